"""What is said to Redis about pins, and what is made of its answers."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory
from redis.exceptions import ConnectionError
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster

from multidb.backends import get_pin_store
from multidb.backends.outage import Outage
from multidb.backends.owed import Debt, Owed
from multidb.backends.redis import RedisPinStore
from multidb.backends.redis_conversations import Conversations, merge
from multidb.pins import Pin, PinStoreUnavailable
from tests.conftest import Clock, use_store
from tests.servers import started


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


def load(store: RedisPinStore) -> Pin | None:
    return store.load(RequestFactory().get("/", headers={"authorization": "Token ada"}))


@pytest.mark.parametrize(
    "options", [({"prefix": "one"}, {"prefix": "other"}), ({"alias": "0"}, {"alias": "3"})], ids=["prefix", "database"]
)
def test_a_site_notices_a_restart_though_another_on_that_server_has_been_there_since(
    server: RedisServer, settings: Any, options: tuple[dict[str, str], dict[str, str]]
) -> None:
    """By the scripts that a server has forgotten then: each site has its own."""
    server.execute("FLUSHALL")
    settings.CACHES = {
        name: {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{server.port}/{name}"}
        for name in ("0", "3")
    }
    stores = [RedisPinStore(**{"alias": "0", "timeout": 5, **each}) for each in options]
    for store in stores:
        store.declare_new()
        assert load(store) is None
    server.execute("SCRIPT FLUSH")  # As where it has read an old file of its data.
    for store in stores:
        with pytest.raises(PinStoreUnavailable):
            load(store)


def test_an_answer_that_is_none_is_called_so_without_what_was_sent() -> None:
    conversation = Conversations(SimpleNamespace(database=0), Outage("Redis"), Owed(), "marker", False).get(["secret"])
    next(conversation)
    with pytest.raises(ConnectionError, match=r"^The server does not answer as Redis does\.$"):
        conversation.send([None, 1])


@pytest.mark.parametrize("answer", [None, b"QUEUED", 1, "ok"], ids=repr)
def test_what_was_written_is_answered_with_ok_and_nothing_else(answer: Any) -> None:
    """Of a pin, and of one that is owed: it stays so."""
    owed = Owed()
    conversation = Conversations(SimpleNamespace(database=0), Outage("Redis"), owed, "marker", False)
    saving = conversation.set(["secret"], "{}", 5)
    next(saving)
    with pytest.raises(ConnectionError, match=r"^The server does not answer as Redis does\.$"):
        saving.send([answer, b"0"])
    debts = conversation.debts(["secret"], "{}", 5)
    owed.add(debts)
    looking = conversation.get(["other"])
    next(looking)
    with pytest.raises(ConnectionError, match=r"^The server does not answer as Redis does\.$"):
        looking.send([answer, None, b"0"])
    assert owed.oldest(0, 9) == debts


def test_a_prefix_in_braces_is_no_other_place_in_a_cluster(
    request: pytest.FixtureRequest, redis_cluster: RedisCluster
) -> None:
    """Where the first pair of them says on which node a key is."""
    use_store(request, "redis cluster", prefix="{a}b}")
    assert load(get_pin_store()) is None


def test_a_pin_is_brought_while_it_holds(request: pytest.FixtureRequest, clock: Clock) -> None:
    """If for half a second only."""
    use_store(request, "redis")
    store: Any = get_pin_store()
    pin = Pin.on(["default"], clock() + 0.5)
    request_ = RequestFactory().get("/", headers={"authorization": "Token grace"})
    [key] = store.client(request_)
    store._owed.add([Debt(key, pin.encode(), int((clock() + 0.5) * 1000))])
    load(store)
    assert store.load(request_) == pin


@pytest.mark.parametrize(("seconds", "expected"), [(5, 5_000), (60, 15_000), (-1, 1)])
def test_a_pin_is_kept_for_as_long_as_it_holds_and_no_longer_than_pins_do(
    clock: Clock, seconds: float, expected: int
) -> None:
    """Where the setting has been lowered since. Redis takes no time that is not positive."""
    assert merge(Debt("key", "{}", int((clock() + seconds) * 1000)))[5] == expected
