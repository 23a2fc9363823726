"""What a look at the Redis of RedisPinStore tells: that it answers, how fast, and how many pins it has."""

import re
from time import monotonic
from typing import Any

from redis.cluster import RedisCluster

from multidb.backends.inspection import Inspection
from multidb.backends.redis_answers import as_told
from multidb.backends.redis_client import RedisClient
from multidb.backends.redis_connections import sentinels_of

# A server with more pins, or with many other keys, is not kept busy: SCAN has gone through 100,000 keys by then.
MOST_COUNTED = 10_000
LONGEST_COUNT_SECONDS = 0.25
KEYS_A_STEP = 1000

# https://redis.io/docs/latest/commands/keys/
SPECIAL_IN_PATTERNS = re.compile(r"([*?\[\]\\^])")


def inspect(client: RedisClient, prefix: str) -> Inspection:
    """Ask each server of ``client``, and close it. ``prefix`` is what the keys of pins begin with.

    Raises ``RedisError`` if a server fails, or does not answer within the timeout of ``client``.
    """
    try:
        with as_told():
            servers = _servers(client.redis)
            round_trip = max(map(_round_trip, servers))
            pins, counted_all = _count(servers, prefix, isinstance(client.redis, RedisCluster))
    finally:
        _close(client.redis)
    return Inspection(round_trip, pins, counted_all)


def _servers(redis: Any) -> list[Any]:
    if isinstance(redis, RedisCluster):
        cluster: Any = redis  # Its methods have no types.
        return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]
    return [redis]


def _round_trip(server: Any) -> float:
    server.ping()  # Which connects.
    begin = monotonic()
    server.ping()
    return monotonic() - begin


def _count(servers: list[Any], prefix: str, is_cluster: bool) -> tuple[int, bool]:
    """How many keys of pins there are, and whether these are all."""
    # The marker's has two parts. In a cluster, each begins with its bucket.
    pattern = ("{*}" if is_cluster else "") + SPECIAL_IN_PATTERNS.sub(r"\\\1", prefix) + ":*:*"
    ends = monotonic() + LONGEST_COUNT_SECONDS
    found: set[Any] = set()  # SCAN may name a key twice.
    for server in servers:
        cursor = -1
        while cursor != 0:
            if len(found) >= MOST_COUNTED or monotonic() >= ends:
                return min(len(found), MOST_COUNTED), False
            cursor, keys = server.scan(max(cursor, 0), match=pattern, count=KEYS_A_STEP)
            found.update(keys)
    return len(found), True


def _close(redis: Any) -> None:
    if isinstance(redis, RedisCluster):
        redis.close()
        return
    for pool in [
        redis.connection_pool,
        *(sentinel.connection_pool for sentinel in sentinels_of(redis.connection_pool)),
    ]:
        pool.disconnect()
