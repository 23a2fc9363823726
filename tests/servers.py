"""Fixtures: real Redis servers on free loopback ports, and the cache ``pins`` on each, or on one in this process."""

import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any, NoReturn

import fakeredis
import pytest
from django.core.cache import caches
from servers import ServersMissing
from servers.processes import Workspace
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster
from servers.redis_sentinels import RedisSentinels


@pytest.fixture
def port() -> Iterator[int]:
    """One that is free, and kept for what the test starts on it."""
    with closing(Workspace()) as workspace:
        yield workspace.hold_port()


@pytest.fixture(scope="session")
def redis_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a real redis-server, started for the tests and stopped after them."""
    for server in started(request, RedisServer):
        yield server.port


@pytest.fixture(scope="session")
def redis_cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    """A real Redis Cluster of three nodes, which the tests share."""
    yield from started(request, RedisCluster)


@pytest.fixture(scope="session")
def redis_cluster_port(redis_cluster: RedisCluster) -> int:
    """The port of a node of ``redis_cluster``."""
    return redis_cluster.nodes[0].port


@pytest.fixture(scope="session")
def redis_sentinels(request: pytest.FixtureRequest) -> Iterator[RedisSentinels]:
    """A real primary, its replica and three sentinels, which the tests share: who ends a server starts it again."""
    yield from started(request, RedisSentinels)


@pytest.fixture
def real_redis(redis_port: int, settings: Any) -> Iterator[Any]:
    """The cache ``pins`` on a real server, emptied."""
    settings.CACHES = _caches(f"redis://127.0.0.1:{redis_port}/0", {})
    yield caches["pins"].client.get_client()
    caches["pins"].client.get_client().flushall()
    caches["pins"].client.close()


@pytest.fixture
def fake_redis(settings: Any) -> Iterator[Any]:
    """The cache ``pins`` on a Redis in this process."""
    settings.CACHES = _caches("redis://fake:6379/0", {"connection_class": fakeredis.FakeRedisConnection})
    yield caches["pins"].client.get_client()
    caches["pins"].client.get_client().flushall()


@pytest.fixture
def sentinel_redis(redis_sentinels: RedisSentinels, settings: Any) -> Iterator[None]:
    """The cache ``pins`` on the primary that real sentinels name, emptied afterwards."""
    options = {
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "SENTINELS": redis_sentinels.sentinel_addresses,
    }
    settings.CACHES = _caches(f"redis://{redis_sentinels.service_name}/0", {}, **options)
    yield
    with redis_sentinels.primary.client() as client:
        client.flushall()


@pytest.fixture
def cluster_redis(redis_cluster: RedisCluster, settings: Any) -> Iterator[None]:
    """The cache ``pins`` on a real cluster of three nodes, emptied afterwards."""
    settings.CACHES = _caches(",".join(node.url for node in redis_cluster.nodes), {})
    yield
    with redis_cluster.client() as client:
        client.flushall(target_nodes=client.PRIMARIES)


def _caches(location: str, pool: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "pins": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": location,
            "OPTIONS": {"CONNECTION_POOL_KWARGS": pool, **options},
        },
    }


def started(request: pytest.FixtureRequest, make: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """What ``make`` returns, inside its ``with`` block. Where servers are missing, skips, or fails with --services."""
    # As Ctrl-C does: the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with ExitStack() as stack:
        try:
            servers = stack.enter_context(make())
        except ServersMissing as missing:
            _do_without(missing, request.config)
        yield servers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The same for a test that starts servers by itself."""
    try:
        return (yield)
    except ServersMissing as missing:
        _do_without(missing, item.config)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CoverageWithServers(config))


class CoverageWithServers:
    """Coverage is judged where nothing was skipped for want of servers: the rest sees little of what asks them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_complete = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and MISSING in str(report.longrepr):
            self._is_complete = False
            if self._config.pluginmanager.hasplugin("_cov"):
                self._config.pluginmanager.getplugin("_cov").options.cov_fail_under = 0

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._is_complete:
            terminalreporter.write_line("Coverage is not judged, since tests were skipped for want of servers.")


def _do_without(missing: ServersMissing, config: pytest.Config) -> NoReturn:
    if config.getoption("--services"):
        pytest.fail(str(missing))
    pytest.skip(f"{MISSING}{missing}")


MISSING = "Servers are missing: "
