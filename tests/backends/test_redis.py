"""Redis: one command a key, one round trip, a time to live, and no pin made shorter by a race."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Barrier
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import RequestFactory
from redis import Connection
from servers.redis_cluster import RedisCluster

from multidb.backends import get_pin_store
from multidb.backends.redis import RedisPinStore
from multidb.pins import Pin, PinStoreUnavailable
from tests.conftest import Clock, use_store

GARBAGE = [
    *["y", '"text"', "1", "", "null", "[5]", '{"default":5}', '{"default":[]}', '{"default":["x"]}'],
    *['{"default":[null]}', '{"users":5}', '{"users":[1.5]}', '{"users":[1,2]}', '{"users":[1,{},3]}'],
]
HEADERS = {"authorization": "Token x"}


@pytest.fixture(params=["redis", "fake redis"])
def client(request: pytest.FixtureRequest) -> Any:
    """A client of the Redis that the store uses."""
    use_store(request, request.param)
    return caches["pins"].client.get_client()


def save(rf: RequestFactory, until: float) -> HttpResponse:
    response = HttpResponse()
    get_pin_store().save(rf.get("/", headers=HEADERS), response, Pin.on(["default"], until))
    return response


def keys_of(client: Any) -> list[bytes]:
    """The keys of clients, without the marker."""
    return [key for key in client.scan_iter() if key != b"multidb:marker"]


def test_a_pin_is_plain_json_under_a_key_that_ends_with_it(client: Any, rf: RequestFactory, clock: Clock) -> None:
    save(rf, clock() + 10)
    [key] = keys_of(client)
    assert Pin.decode(client.get(key)) is not None
    assert 9_000 < client.pttl(key) <= 10_002  # Milliseconds, rounded up.


def test_responses_that_race_never_make_a_pin_shorter(
    request: pytest.FixtureRequest, rf: RequestFactory, clock: Clock
) -> None:
    """Real threads against a real server, the longest pin written by each of them in turn."""
    use_store(request, "redis")
    now = clock()
    for longest in range(8):
        caches["pins"].client.get_client().flushall()
        get_pin_store().declare_new()
        barrier = Barrier(8)

        def write(number: int, longest: int = longest, barrier: Barrier = barrier) -> None:
            barrier.wait(timeout=10)
            save(rf, now + (14 if number == longest else 5 + number / 8))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))
        pin = get_pin_store().load(rf.get("/", headers=HEADERS))
        assert pin == Pin.on(["default"], now + 14)
        [key] = keys_of(caches["pins"].client.get_client())
        assert caches["pins"].client.get_client().pttl(key) > 12_000


def test_one_round_trip_reads_and_one_writes_and_each_command_names_one_key(
    request: pytest.FixtureRequest, rf: RequestFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(request, "redis", keys=["authorization", f"{__name__}.second"])
    sent: list[list[str]] = []
    original = Connection.pack_commands

    def pack_commands(connection: Any, commands: Any) -> Any:
        sent.append([command[0] for command in commands])
        return original(connection, commands)

    monkeypatch.setattr(Connection, "pack_commands", pack_commands)
    save(rf, clock() + 10)
    get_pin_store().load(rf.get("/", headers=HEADERS))
    assert sent == [["EVAL", "EVAL", "EVALSHA"], ["GET", "GET", "EVALSHA"]]


def test_a_new_connection_takes_three_round_trips_more(
    request: pytest.FixtureRequest, real_redis: Any, rf: RequestFactory
) -> None:
    """And TCP its own: this is what the option ``timeout`` has to be enough for, where Redis is far away."""
    use_store(request, "redis", keys=["authorization"])

    def reads_of_a_look_up() -> int:
        before = real_redis.info("stats")["total_reads_processed"]
        get_pin_store().load(rf.get("/", headers=HEADERS))
        return int(real_redis.info("stats")["total_reads_processed"]) - before - 1

    get_pin_store()._client().redis.connection_pool.disconnect()
    assert 1 < reads_of_a_look_up() <= 4
    assert reads_of_a_look_up() == 1


def second(request: Any) -> str:
    return "second"


def test_what_is_there_and_no_pin_is_replaced(client: Any, rf: RequestFactory, clock: Clock) -> None:
    save(rf, clock() + 10)
    [key] = keys_of(client)
    for garbage in GARBAGE:
        client.set(key, garbage)
        assert get_pin_store().load(rf.get("/", headers=HEADERS)) is None
        save(rf, clock() + 10)
        assert get_pin_store().load(rf.get("/", headers=HEADERS)) is not None
        assert client.pttl(key) > 0


def test_a_server_whose_clock_is_ahead_takes_no_pin_from_the_others(
    client: Any, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hold is one that nobody counts: it is replaced, not merged."""
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 7200)
    save(rf, real() + 7200 + 15)
    monkeypatch.setattr("time.time", real)
    assert get_pin_store().load(rf.get("/", headers=HEADERS)) is None
    until = real() + 15
    save(rf, until)
    assert get_pin_store().load(rf.get("/", headers=HEADERS)) == Pin.on(["default"], until)


def test_a_key_of_another_type_loses_no_pin(
    client: Any, rf: RequestFactory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    save(rf, clock() + 10)
    [key] = keys_of(client)
    client.delete(key)
    client.rpush(key, "x")
    assert get_pin_store().load(rf.get("/", headers=HEADERS)) is None
    save(rf, clock() + 10)
    assert get_pin_store().load(rf.get("/", headers=HEADERS)) is not None
    assert not caplog.records


def test_a_client_that_decodes_serves_as_well(request: pytest.FixtureRequest, rf, clock, settings) -> None:
    use_store(request, "redis")
    cache = {**settings.CACHES["pins"], "OPTIONS": {"CONNECTION_POOL_KWARGS": {"decode_responses": True}}}
    settings.CACHES = {**settings.CACHES, "pins": cache}
    save(rf, clock() + 10)
    assert get_pin_store().load(rf.get("/", headers=HEADERS)) is not None
    caches["pins"].client.close()


def test_it_reads_from_the_redis_that_it_writes_to(
    request: pytest.FixtureRequest, redis_port: int, settings, rf, clock
) -> None:
    """A replica of Redis, which is listed after it, may lag too."""
    use_store(request, "redis")
    cache = {**settings.CACHES["pins"], "LOCATION": [f"redis://127.0.0.1:{redis_port}/0", "redis://127.0.0.1:1/0"]}
    settings.CACHES = {**settings.CACHES, "pins": cache}
    save(rf, clock() + 10)
    assert all(get_pin_store().load(rf.get("/", headers=HEADERS)) for _ in range(8))
    caches["pins"].client.close()


def test_a_fraction_of_a_second_counts(client: Any, rf: RequestFactory, clock: Clock) -> None:
    save(rf, clock() + 2.5)
    [key] = keys_of(client)
    assert 2_000 < client.pttl(key) <= 2_502


def test_a_store_that_is_declared_gone_leaves_no_marker(client: Any) -> None:
    assert list(client.scan_iter()) == [b"multidb:marker"]
    get_pin_store().declare_gone()
    assert list(client.scan_iter()) == []


def test_a_store_that_is_declared_gone_leaves_no_marker_in_a_cluster(
    request: pytest.FixtureRequest, redis_cluster: RedisCluster
) -> None:
    use_store(request, "redis cluster")
    assert all(node.execute("KEYS *:marker") for node in redis_cluster.nodes)
    get_pin_store().declare_gone()
    assert not any(node.execute("KEYS *:marker") for node in redis_cluster.nodes)


def test_what_an_inspection_takes_is_imported_before_it_and_may_be_missing(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "multidb.backends.redis_inspection"
    monkeypatch.setattr(name, import_module(name))  # Afterwards, the package has again what others have imported.
    monkeypatch.delitem(sys.modules, name)
    get_pin_store().prepare()
    assert name in sys.modules
    monkeypatch.setitem(sys.modules, name, None)
    get_pin_store().prepare()


def test_a_cluster_that_has_lost_all_is_found_out_once_for_each_node(
    request: pytest.FixtureRequest, rf: RequestFactory, redis_cluster: RedisCluster, clock: Clock
) -> None:
    """And not again for each of a node's markers, when the first pin beside that is looked up."""
    use_store(request, "redis cluster")
    for node in redis_cluster.nodes:
        node.execute("FLUSHALL")
        node.execute("SCRIPT FLUSH")
    store, found_out = get_pin_store(), 0
    for number in range(100):
        try:
            store.load(rf.get("/", headers={"authorization": f"Token {number}"}))
        except PinStoreUnavailable:
            found_out += 1
            clock.advance(15.1)
    assert found_out == len(redis_cluster.nodes)


@pytest.mark.parametrize("timeout", [0, 61, True])
def test_a_timeout_is_of_seconds_up_to_a_minute(timeout: float) -> None:
    RedisPinStore(timeout=60)
    with pytest.raises(ImproperlyConfigured, match=f"The option timeout is {timeout}"):
        RedisPinStore(timeout=timeout)
