"""What manage.py check says of a Redis that may hang for long or forget pins, as far as it can be asked."""

from typing import Any

import pytest
from django.core.checks import run_checks
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster

from tests.conftest import REDIS


def warnings() -> list[tuple[str, str, str]]:
    """What ``manage.py check`` says: the id, the message and the hint of each."""
    return [(message.id or "", message.msg, message.hint or "") for message in run_checks(tags=["multidb"])]


@pytest.mark.parametrize(
    ("sentinels", "timeout", "waits", "lower"),
    [
        (0, 1, None, ""),
        (0, 1.5, "1 server(s), one after the other: a request may wait 1.5 seconds", "1 seconds"),
        (3, 0.25, None, ""),
        (3, 0.3, "4 server(s), one after the other: a request may wait 1.2 seconds", "0.25 seconds"),
        (5, 0.25, "6 server(s), one after the other: a request may wait 1.5 seconds", "0.17 seconds"),
    ],
)
def test_a_configuration_in_which_it_may_hang_for_long_is_a_warning(
    settings: Any, sentinels: int, timeout: float, waits: str | None, lower: str
) -> None:
    """Nobody need answer for that. Nobody does, which is another warning."""
    addresses = [("127.0.0.1", 1)] * sentinels
    factory = {"CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory", "SENTINELS": addresses}
    use_server(settings, "redis://127.0.0.1:1/0", timeout=timeout, **(factory if sentinels else {}))
    *waiting, (silent, _, _) = warnings()
    assert silent == "multidb.W039"
    if waits is None:
        assert waiting == []
        return
    [(id, text, hint)] = waiting
    assert id == "multidb.W026"
    assert f"{timeout!r}" in text
    assert waits in text
    assert lower in hint


def test_the_nodes_of_a_cluster_count(redis_cluster: RedisCluster, settings: Any) -> None:
    use_server(settings, redis_cluster.url, timeout=0.25, cluster=True)
    assert warnings() == []
    use_server(settings, redis_cluster.url, timeout=0.26, cluster=True)
    [(id, text, _)] = warnings()
    assert id == "multidb.W026"
    assert "4 server(s)" in text


POLICIES = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl", "volatile-random"]


def test_a_server_that_may_evict_pins_is_a_warning_if_its_memory_is_limited(settings: Any) -> None:
    with RedisServer() as server:
        use_server(settings, server.url)
        for policy in POLICIES:
            server.execute("CONFIG SET", "maxmemory-policy", policy, "maxmemory", 0)
            assert warnings() == []
            server.execute("CONFIG SET", "maxmemory", "100mb")
            [(id, text, hint)] = warnings()
            assert id == "multidb.W027"
            assert text.endswith(f" has the maxmemory-policy {policy!r}: it may lose pins before their time.")
            assert "noeviction" in hint
        server.execute("CONFIG SET", "maxmemory-policy", "noeviction")
        assert warnings() == []


def test_each_node_of_a_cluster_is_asked_for_its_policy(redis_cluster: RedisCluster, settings: Any) -> None:
    use_server(settings, redis_cluster.url, cluster=True)
    last = redis_cluster.nodes[-1]
    last.execute("CONFIG SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb")
    try:
        assert [id for id, _, _ in warnings()] == ["multidb.W027"]
    finally:
        last.execute("CONFIG SET", "maxmemory-policy", "noeviction", "maxmemory", 0)


@pytest.mark.parametrize("cluster", [False, True])
def test_a_server_that_cannot_be_asked_is_a_warning(settings: Any, cluster: bool) -> None:
    """One that is down, hangs, or is no node of a cluster. Not one that refuses to tell of its memory."""
    use_server(settings, "redis://127.0.0.1:1/0", cluster=cluster)
    silent = [("multidb.W039", True)]
    assert told() == silent
    with RedisServer("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        use_server(settings, server.url, cluster=cluster)
        server.execute("ACL SETUSER", "default", "-info")
        assert told() == (silent if cluster else [])
        server.pause()
        assert told() == silent


def told() -> list[tuple[str, bool]]:
    """The id of each warning, and whether it says where the server is looked for."""
    return [(id, "LOCATION of the cache 'pins'" in hint) for id, _, hint in warnings()]


def use_server(settings: Any, location: str, cluster: bool = False, timeout: float = 0.25, **options: Any) -> None:
    settings.CACHES = {
        "pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options},
    }
    options = {"alias": "pins", "timeout": timeout, "cluster": cluster}
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": options}
