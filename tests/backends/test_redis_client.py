"""The client of the store: a cache's server, asked over connections and with timeouts of its own, and once."""

import contextlib
import math
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from redis import BlockingConnectionPool, RedisError
from redis.exceptions import ConnectionError, RedisClusterException, ResponseError, TimeoutError
from servers.processes import wait_until
from servers.redis import RedisNode, RedisServer
from servers.redis_cluster import RedisCluster
from servers.redis_sentinels import RedisSentinels

from multidb.backends import get_pin_store, redis_time
from multidb.backends.redis_client import RedisClient
from multidb.backends.redis_conversations import Conversation
from tests.conftest import REDIS
from tests.servers import started

PASSWORD = "s3/cr:et"

# What a cache may say of its own connections.
OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "timeouts": {"SOCKET_TIMEOUT": 7, "SOCKET_CONNECT_TIMEOUT": 7},
    "timeouts of the pool": {"CONNECTION_POOL_KWARGS": {"socket_timeout": 7, "socket_connect_timeout": None}},
    "retries": {
        "CONNECTION_POOL_KWARGS": {"retry_on_timeout": True, "retry_on_error": [ConnectionError, TimeoutError]}
    },
    "a pool that waits": {
        "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
        "CONNECTION_POOL_KWARGS": {"max_connections": 1, "timeout": 7},
    },
    "a pool that is small": {"CONNECTION_POOL_KWARGS": {"max_connections": 1}},
}
QUERIES = ["", "?socket_timeout=7&socket_connect_timeout=7", "?retry_on_timeout=yes"]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param]


def cache(location: str | Sequence[str], **options: Any) -> dict[str, Any]:
    return {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options}}


def made(settings: Any, location: str | Sequence[str], timeout: float = 5, **options: Any) -> RedisClient:
    """The client for a cache at ``location`` with ``options``."""
    settings.CACHES = cache(location, **options)
    return RedisClient("pins", timeout, False)


@contextlib.contextmanager
def counted(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A server that says ``answer`` and hangs up: its port, and what it was sent over each connection."""
    received: list[bytes] = []

    def talk(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with closing(connection):
                    received.append(connection.recv(65536))
                    connection.sendall(answer)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=talk, args=(listening,), daemon=True)
        thread.start()
        yield listening.getsockname()[1], received
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("query", QUERIES)
def test_its_timeouts_are_the_store_s_whatever_the_cache_says(
    server: RedisServer, settings: Any, options: dict[str, Any], query: str
) -> None:
    client = made(settings, server.url + query, 3, **options)
    connection = client.redis.connection_pool.get_connection()
    connection.connect()
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (3, 3)
    assert connection._sock.gettimeout() == 3
    assert connection.retry.get_retries() == 0


@pytest.mark.parametrize("query", QUERIES)
def test_nothing_is_tried_twice(settings: Any, options: dict[str, Any], query: str) -> None:
    """One connection, and no answer over it."""
    with counted() as (port, received):
        client = made(settings, f"redis://127.0.0.1:{port}/0{query}", **options)
        for number in (1, 2):
            with pytest.raises(ConnectionError):
                client.answers([("GET", "key")])
            assert len(received) == number


def test_a_command_is_not_sent_again_after_a_timeout(server: RedisServer, settings: Any) -> None:
    client = made(settings, server.url, 1, CONNECTION_POOL_KWARGS={"retry_on_timeout": True})
    client.answers([("SET", "count", 0)])
    server.pause()
    with pytest.raises(TimeoutError):
        client.answers([("INCR", "count")])
    server.resume()
    assert server.execute("GET", "count") in ("0", "1")


def test_nobody_waits_for_a_connection_that_another_has(
    server: RedisServer, settings: Any, options: dict[str, Any]
) -> None:
    client = made(settings, server.url, **options)
    pool = client.redis.connection_pool
    taken = [pool.get_connection() for _ in range(3)]
    assert client.answers([("PING",)]) in ([b"PONG"], [True])
    assert not isinstance(pool, BlockingConnectionPool)
    for connection in taken:
        pool.release(connection)


def test_an_address_that_names_a_most_of_connections_lets_nobody_go_without(server: RedisServer, settings: Any) -> None:
    client = made(settings, f"{server.url}?max_connections=1")
    with client.redis.pipeline(transaction=False) as other:
        other.execute_command("PING")
        other.watch("key")  # Keeps its connection.
        assert client.answers([("PING",)]) in ([b"PONG"], [True])


def test_sentinels_are_asked_with_the_same_timeouts_and_once_each(settings: Any) -> None:
    """Those of the cache stay as they are, but for these."""
    with counted() as (first, received), counted() as (second, received_too):
        client = made(
            settings,
            "redis://service/0",
            3,
            CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
            SENTINELS=[("127.0.0.1", first), ("127.0.0.1", second)],
            SENTINEL_KWARGS={"socket_timeout": 7, "client_name": "of-the-cache"},
        )
        for sentinel in client.redis.connection_pool.sentinel_manager.sentinels:
            known = sentinel.connection_pool.connection_kwargs
            # With redis-py 7 and later.
            assert not getattr(sentinel.connection_pool, "maint_notifications_enabled", lambda: False)()
            assert (known["socket_timeout"], known["socket_connect_timeout"]) == (3, 3)
            assert known["retry"].get_retries() == 0
            assert known["client_name"] == "of-the-cache"
        with pytest.raises(RedisError):
            client.answers([("GET", "key")])
        assert (len(received), len(received_too)) == (1, 1)


def test_the_options_of_the_cache_are_left_as_they_are(redis_sentinels: RedisSentinels, settings: Any) -> None:
    given = {
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "SENTINELS": redis_sentinels.sentinel_addresses,
        "SENTINEL_KWARGS": {"socket_timeout": 7},
        "CONNECTION_POOL_KWARGS": {"max_connections": 3},
    }
    client = made(settings, f"redis://{redis_sentinels.service_name}/0", **given)
    assert client.answers([("GET", "key")]) == [None]
    assert given["SENTINEL_KWARGS"] == {"socket_timeout": 7}
    assert given["CONNECTION_POOL_KWARGS"] == {"max_connections": 3}


def test_a_cluster_has_the_same_timeouts_and_asks_only_the_nodes_of_the_keys(
    redis_cluster: RedisCluster, settings: Any
) -> None:
    """For scripts, too, whose keys redis-py would have a node tell."""
    settings.CACHES = cache(redis_cluster.url)
    client = RedisClient("pins", 3, True)
    key = "key"
    own = client.redis.get_node_from_key(key).port
    assert client.answers([("EVAL", "return KEYS[1]", 1, key), ("GET", key)]) == [key.encode(), None]
    for node in redis_cluster.nodes:
        node.execute("CONFIG RESETSTAT")
    assert client.answers([("EVAL", "return KEYS[1]", 1, key), ("EVALSHA", "0" * 40, 1, key)])[0] == key.encode()
    for node in redis_cluster.nodes:
        asked = called(node) - OTHERS
        assert asked == ({"eval", "evalsha"} if node.port == own else set())
        connection = client.redis.get_redis_connection(client.redis.get_node("127.0.0.1", node.port))
        known = connection.connection_pool.connection_kwargs
        assert (known["socket_timeout"], known["socket_connect_timeout"]) == (3, 3)


# What the test itself asks, and a new connection.
OTHERS = {"config|resetstat", "info", "client|setinfo", "hello"}


def called(server: RedisNode) -> set[str]:
    """The commands that ``server`` was given since its statistics were reset."""
    statistics = server.execute("INFO", "commandstats")
    return {name.removeprefix("cmdstat_") for name in statistics if name.startswith("cmdstat_")}


def test_a_client_that_decodes_is_told_errors_and_texts(server: RedisServer, settings: Any) -> None:
    client = made(settings, server.url, CONNECTION_POOL_KWARGS={"decode_responses": True})
    [text, error] = client.answers([("EVAL", "return 'text'", 0), ("EVALSHA", "0" * 40, 0)])
    assert text == "text"
    assert "NOSCRIPT" in f"{type(error).__name__} {error}".upper()


def test_another_setting_gives_another_client(server: RedisServer, settings: Any) -> None:
    settings.CACHES = cache(server.url)
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins"}}
    store: Any = get_pin_store()
    before = store._client()
    assert store._client() is before
    with override_settings(CACHES=cache(server.url.removesuffix("/0") + "/3")):
        assert store._client().database == 3
    assert store._client().database == 0


LOCKED = {
    "in the address": ("redis://:s3%2Fcr%3Aet@{}", {}),
    "in the address, with a user": ("redis://default:s3%2Fcr%3Aet@{}", {}),
    "as an option": ("redis://{}", {"PASSWORD": PASSWORD}),
    "of the pool": ("redis://{}", {"CONNECTION_POOL_KWARGS": {"password": PASSWORD}}),
}


@pytest.mark.parametrize("where", LOCKED)
def test_a_password_is_given(settings: Any, where: str) -> None:
    location, options = LOCKED[where]
    with RedisServer() as server:
        with server.client() as admin:
            admin.config_set("requirepass", PASSWORD)
        client = made(settings, location.format(f"127.0.0.1:{server.port}/0"), **options)
        assert client.answers([("SET", "key", "value"), ("GET", "key")])[1] == b"value"


@pytest.mark.parametrize("where", ["in the address", "as an option"])
def test_a_password_is_given_to_each_node_of_a_cluster(redis_cluster: RedisCluster, settings: Any, where: str) -> None:
    location, options = LOCKED[where]
    with contextlib.ExitStack() as stack:
        for node in redis_cluster.nodes:
            admin = stack.enter_context(node.client())
            admin.config_set("requirepass", PASSWORD)
            stack.callback(admin.config_set, "requirepass", "")
        settings.CACHES = cache(location.format(f"127.0.0.1:{redis_cluster.nodes[0].port}/0"), **options)
        client = RedisClient("pins", 5, True)
        assert client.answers([("GET", f"key {number}") for number in range(30)]) == [None] * 30


@pytest.mark.parametrize("is_cluster", [False, True], ids=["single", "cluster"])
@pytest.mark.parametrize("where", ["in the address", "of the pool"])
def test_a_server_over_tls_is_verified_by_the_authority_that_is_given(
    request: pytest.FixtureRequest, settings: Any, certificate: Path, where: str, is_cluster: bool
) -> None:
    authority = str(certificate / "cert.pem")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    tls = {"tls_port": port, "tls_cert_file": authority, "tls_key_file": certificate / "key.pem"}
    options = {**tls, "tls_ca_cert_file": authority, "tls_auth_clients": "no"}
    if is_cluster:
        options |= {"cluster_enabled": "yes", "tls_cluster": "yes"}
    for server in started(request, partial(RedisServer, **options)):
        if is_cluster:
            server.execute("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_until(partial(_is_ok, server), 10, "The cluster is not up")
        query, pool = "", {}
        if where == "in the address":
            query = f"?ssl_ca_certs={authority}"
        else:
            pool = {"ssl_ca_certs": authority}
        settings.CACHES = cache(f"rediss://127.0.0.1:{port}/0{query}", CONNECTION_POOL_KWARGS=pool)
        client = RedisClient("pins", 5, is_cluster)
        assert client.answers([("SET", "key", "value"), ("GET", "key")])[1] == b"value"
        settings.CACHES = cache(f"rediss://127.0.0.1:{port}/0")
        with pytest.raises((RedisError, RedisClusterException), match="CERTIFICATE_VERIFY_FAILED"):
            RedisClient("pins", 5, is_cluster).answers([("GET", "key")])


def _is_ok(server: RedisServer) -> bool:
    return bool(server.execute("CLUSTER INFO")["cluster_state"] == "ok")


def complaint() -> Conversation[None]:
    """Of a server that has answered to all that it was asked."""
    yield [("PING",)]
    raise ConnectionError("None of these is an answer.")


def idle(pool: Any) -> list[bool]:
    """Of each connection in ``pool`` that nobody uses, whether it is open."""
    return [connection._sock is not None for connection in pool._available_connections]


def test_a_complaint_closes_the_connections_that_nobody_uses(server: RedisServer, settings: Any) -> None:
    """Answers to others may be left on them."""
    client = made(settings, server.url)
    client.answers([("GET", "key")])
    pool = client.redis.connection_pool
    used = pool.get_connection()
    client.answers([("GET", "key")])
    assert idle(pool) == [True]
    with pytest.raises(ConnectionError, match="None of these"):
        client.hold(complaint())
    assert idle(pool) == [False]
    assert used._sock is not None
    pool.release(used)


def test_a_complaint_of_a_cluster_closes_those_of_every_node(redis_cluster: RedisCluster, settings: Any) -> None:
    """But of a node that was not asked yet, which has none."""
    settings.CACHES = cache(redis_cluster.url)
    client = RedisClient("pins", 5, True)
    for node in client.redis.get_nodes()[:-1]:
        client.redis.get_redis_connection(node).ping()
    client.redis.get_nodes()[-1].redis_connection = None
    pools = [node.redis_connection.connection_pool for node in client.redis.get_nodes()[:-1]]
    assert all(any(idle(pool)) for pool in pools)
    with pytest.raises(ConnectionError, match="None of these"):
        client.hold(complaint())
    assert not any(any(idle(pool)) for pool in pools)


def test_a_complaint_closes_those_to_the_sentinels(redis_sentinels: RedisSentinels, settings: Any) -> None:
    client = made(
        settings,
        f"redis://{redis_sentinels.service_name}/0",
        CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
        SENTINELS=redis_sentinels.sentinel_addresses,
    )
    client.answers([("GET", "key")])
    pools = [sentinel.connection_pool for sentinel in client.redis.connection_pool.sentinel_manager.sentinels]
    pools.append(client.redis.connection_pool)
    assert any(map(any, map(idle, pools)))
    with pytest.raises(ConnectionError, match="None of these"):
        client.hold(complaint())
    assert not any(map(any, map(idle, pools)))
    assert client.most_asked == 1 + len(pools) - 1
    with client.in_time():
        assert 5 < redis_time._seconds_left(math.inf) <= 5 * client.most_asked


def test_an_error_that_is_not_of_one_key_is_raised_without_what_was_sent(server: RedisServer, settings: Any) -> None:
    client = made(settings, server.url)
    with pytest.raises(ResponseError, match=r"^ResponseError$"):
        client.answers([("GET", "key"), ("NOTHING",)])


def test_a_server_that_names_no_policy_has_none_to_warn_of(
    server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that only speaks as Redis does."""
    client = made(settings, server.url)
    monkeypatch.setattr(client.redis, "info", lambda section: {"maxmemory": 1})
    assert client.evicting_policies() == set()
