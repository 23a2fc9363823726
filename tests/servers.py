"""Fixtures: real Redis servers on free loopback ports."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from servers import ServersMissing
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster
from servers.redis_sentinels import RedisSentinels


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


def started(request: pytest.FixtureRequest, make: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """What ``make`` returns, inside its ``with`` block. Where servers are missing, skips, or fails with --services."""
    # As Ctrl-C does: the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with ExitStack() as stack:
        try:
            servers = stack.enter_context(make())
        except ServersMissing as missing:
            if request.config.getoption("--services"):
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        yield servers
