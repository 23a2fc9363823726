"""What redis-py is told of the servers of a cache: their addresses, and limits of our own."""

import math
from typing import Any

import pytest
from redis import BlockingConnectionPool, Connection, Redis
from servers.redis_cluster import RedisCluster

from multidb.backends import redis_connections, redis_time
from multidb.backends.redis_connections import UNDISTURBED, PunctualPool, connected, sentinels_of
from multidb.backends.redis_time import punctual

TIMEOUT = 5


def cache(location: object, **options: Any) -> dict[str, Any]:
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options}


class TestOfACluster:
    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """What redis-py is told, which would ask the servers at once, and ``seconds``: how long it may take."""
        told: dict[str, Any] = {}

        def tell(**arguments: Any) -> None:
            told.update(arguments, seconds=redis_time._seconds_left(math.inf))

        monkeypatch.setattr(redis_connections, "RedisCluster", tell)
        return told

    @pytest.mark.parametrize("as_list", [False, True], ids=["text", "list"])
    def test_each_node_is_known_by_its_address(self, told: dict[str, Any], as_list: bool) -> None:
        addresses = ["redis://127.0.0.1:7001/0?socket_timeout=99", "redis://127.0.0.2", "redis://127.0.0.3:7003/0"]
        connected(cache(addresses if as_list else ",".join(addresses)), TIMEOUT, True)
        nodes = [(each.host, each.port) for each in told["startup_nodes"]]
        assert (told["url"], nodes) == ("redis://127.0.0.1:7001/0", [("127.0.0.2", 6379), ("127.0.0.3", 7003)])

    def test_what_it_takes_is_limited_whatever_the_cache_says(self, told: dict[str, Any]) -> None:
        """To find the nodes, by the timeout for each of them, and once more for the one that is asked then."""
        connected(
            cache("redis://127.0.0.1:7001/0?socket_timeout=99,redis://127.0.0.2", SOCKET_TIMEOUT=99), TIMEOUT, True
        )
        assert (told["socket_timeout"], told["socket_connect_timeout"]) == (TIMEOUT, TIMEOUT)
        assert told["connection_pool_class"] is PunctualPool
        assert 2 * TIMEOUT < told["seconds"] <= 3 * TIMEOUT

    @pytest.mark.skipif(not UNDISTURBED, reason="redis-py 6 knows of no such notices")
    @pytest.mark.parametrize(
        ("version", "query", "is_told"),
        [((8,), "", True), ((8, 1, 0), "", True), ((7, 4, 1), "", False), ((7, 4, 1), "?protocol=3", True)],
    )
    def test_it_is_told_that_nobody_wants_notices_where_redis_py_takes_that(
        self, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], query: str, is_told: bool
    ) -> None:
        monkeypatch.setattr(redis_connections, "VERSION", version)
        connected(cache(f"redis://127.0.0.1:7001/0{query}"), TIMEOUT, True)
        assert (UNDISTURBED.keys() <= told.keys()) == is_told

    def test_one_of_its_addresses_that_answers_is_enough(self, redis_cluster: RedisCluster) -> None:
        location = f"redis://127.0.0.1:1/0,{redis_cluster.nodes[1].url}"
        client = connected(cache(location), TIMEOUT, True)
        assert client.get("key") is None


def test_sentinels_too_are_asked_in_time() -> None:
    """A connection that is punctual takes no longer for all of an answer than is left."""
    options = {
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "SENTINELS": [("127.0.0.1", 1), ("127.0.0.1", 2)],
    }
    client = connected(cache("redis://service/0", **options), TIMEOUT, False)
    sentinels = [each.connection_pool for each in sentinels_of(client.connection_pool)]
    assert [each.connection_class for each in sentinels] == [punctual(Connection)] * 2
    assert [each.connection_kwargs["socket_timeout"] for each in sentinels] == [TIMEOUT] * 2


def test_a_client_class_of_the_project_is_given_what_the_cache_says() -> None:
    options = {"REDIS_CLIENT_CLASS": f"{__name__}.Noting", "REDIS_CLIENT_KWARGS": {"note": "kept"}}
    client = connected(cache("redis://127.0.0.1:1/0", **options), TIMEOUT, False)
    assert isinstance(client, Noting)
    assert client.note == "kept"


class Noting(Redis):
    def __init__(self, *, note: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.note = note


def test_a_pool_that_lets_its_callers_wait_is_not_used() -> None:
    options = {
        "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
        "CONNECTION_POOL_KWARGS": {"max_connections": 1, "timeout": 7},
    }
    pool = connected(cache("redis://127.0.0.1:1/0", **options), TIMEOUT, False).connection_pool
    assert not isinstance(pool, BlockingConnectionPool)
    assert pool.max_connections > 1000
    assert "timeout" not in pool.connection_kwargs
