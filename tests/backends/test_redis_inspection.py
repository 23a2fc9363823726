"""What a look at the Redis of RedisPinStore takes, and leaves behind."""

from collections.abc import Iterator
from typing import Any

import pytest
from servers.redis import RedisServer
from servers.redis_sentinels import RedisSentinels

from multidb.backends.redis_client import RedisClient
from multidb.backends.redis_connections import sentinels_of
from multidb.backends.redis_inspection import KEYS_A_STEP, inspect
from tests.servers import started


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


@pytest.fixture
def client(server: RedisServer, settings: Any) -> RedisClient:
    settings.CACHES = {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": server.url}}
    return RedisClient("pins", 5, False)


def test_pins_are_counted_a_thousand_keys_a_step(client: RedisClient, server: RedisServer) -> None:
    client.answers([("SET", f"multidb:user:{number}", "{}") for number in range(2 * KEYS_A_STEP)])
    server.execute("CONFIG RESETSTAT")
    found = inspect(client, "multidb")
    assert (found.pins, found.counted_all) == (2 * KEYS_A_STEP, True)
    steps = server.execute("INFO", "commandstats")["cmdstat_scan"]["calls"]
    assert 2 <= steps <= 4  # Redis may look at some more keys in a step.


def test_the_round_trip_is_timed_on_a_connection_that_is_open(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, ping = [10.0], client.redis.ping

    def slowly() -> object:
        now[0] += 0.125 if now[0] > 10 else 100
        return ping()

    monkeypatch.setattr("multidb.backends.redis_inspection.monotonic", lambda: now[0])
    monkeypatch.setattr(client.redis, "ping", slowly)
    assert inspect(client, "multidb").round_trip == 0.125


def test_no_connection_is_left_open(redis_sentinels: RedisSentinels, settings: Any) -> None:
    """Nor one to the sentinels that were asked for the way."""
    settings.CACHES = {
        "pins": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{redis_sentinels.service_name}/0",
            "OPTIONS": {
                "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                "SENTINELS": redis_sentinels.sentinel_addresses,
            },
        }
    }
    client = RedisClient("pins", 5, False)
    pool = client.redis.connection_pool
    pools = [pool, *(each.connection_pool for each in sentinels_of(pool))]
    inspect(client, "multidb")
    connections = [connection for each in pools for connection in each._available_connections]
    assert len(connections) > 1
    assert not [each for each in connections if each._sock is not None]
