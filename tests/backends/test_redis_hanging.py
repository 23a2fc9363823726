"""A pin that a Redis has not taken because it hangs: it has it as soon as it goes on, whoever asks it then."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client
from servers.redis import RedisServer

from multidb.backends import get_pin_store
from multidb.backends.redis import RedisPinStore
from multidb.backends.redis_hanging import Hanging
from tests.backends.redis_faults import is_frozen, is_slow
from tests.conftest import REDIS
from tests.servers import started

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ADA, GRACE = ({"authorization": f"Token {name}"} for name in ("ada", "grace"))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


@pytest.fixture
def store(server: RedisServer, settings: Any) -> Iterator[RedisPinStore]:
    settings.CACHES = {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": server.url}}
    # Nobody asks it again before the test has ended.
    settings.MULTIDB_RETRY_SECONDS = 600
    store = another_process(settings)
    store.declare_new()
    yield store
    server.execute("FLUSHALL")


def another_process(settings: Any) -> RedisPinStore:
    """The store as a process has it that knows of nothing."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "timeout": 1}}
    store = get_pin_store()
    assert isinstance(store, RedisPinStore)
    return store


def reason(**headers: str) -> Any:
    """Why a client without cookies reads where it does."""
    return Client().get("/read", headers=headers).json()["reason"]


@pytest.mark.parametrize("fault", [is_frozen, is_slow])
def test_a_pin_that_a_hanging_server_was_posted_is_there_when_it_goes_on(
    fault: Any, store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """Also one of a client that came when the store was left alone already, and though nobody brings it later."""
    assert reason(**ADA) == "replica"
    with fault(server, settings):
        assert reason(**ADA) == "store down"
        assert Client().post("/nothing", headers=ADA).status_code == 200
        assert Client().post("/nothing", headers=GRACE).status_code == 200
        assert store.outage.is_resting()
    another_process(settings)
    assert reason(**ADA) == reason(**GRACE) == "pinned"
    assert reason(authorization="Token somebody") == "replica"


async def test_an_event_loop_posts_too(store: RedisPinStore, server: RedisServer, settings: Any) -> None:
    client = AsyncClient()
    for _ in range(2):  # The first request of a loop asks in a thread.
        await client.get("/aread", headers=ADA)
    with is_frozen(server, settings):
        assert (await client.get("/aread", headers=ADA)).json()["reason"] == "store down"
        await client.post("/anothing", headers=ADA)
        await client.post("/anothing", headers=GRACE)
    await sync_to_async(another_process)(settings)
    assert (await AsyncClient().get("/aread", headers=ADA)).json()["reason"] == "pinned"
    assert (await AsyncClient().get("/aread", headers=GRACE)).json()["reason"] == "pinned"


async def test_what_is_awaited_by_an_event_loop_is_posted_by_it(
    store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """Where it was the loop that was not answered in time."""
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=ADA)
    server.execute("DEL", *server.execute("KEYS", "multidb:authorization:*"))
    with is_frozen(server, settings):
        await AsyncClient().post("/anothing", headers=ADA)
        await AsyncClient().post("/anothing", headers=GRACE)
        assert store._async_clients.here()._hanging.connection is not None
    await sync_to_async(another_process)(settings)
    for headers in (ADA, GRACE):
        assert (await AsyncClient().get("/aread", headers=headers)).json()["reason"] == "pinned"


class Sender:
    """Sends whatever it is given, until it is told to fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, list[str]]] = []
        self.fails = False

    def __call__(self, connection: object, commands: list[str]) -> bool:
        self.sent.append((connection, commands))
        return not self.fails


def test_of_two_connections_the_first_is_kept_until_it_is_let_go() -> None:
    sender = Sender()
    hanging = Hanging(sender)
    assert not hanging.post(["early"])
    assert hanging.keep("first")
    assert not hanging.keep("second")
    assert hanging.post(["pin"])
    assert hanging.let_go() == "first"
    assert hanging.let_go() is hanging.connection is None
    assert not hanging.post(["late"])
    assert sender.sent == [("first", ["pin"])]
    assert hanging.keep("second")


def test_nothing_is_posted_behind_what_was_cut_off_before_another_connection_is_kept() -> None:
    sender = Sender()
    hanging = Hanging(sender)
    hanging.keep("full")
    sender.fails = True
    assert not hanging.post(["cut off"])
    sender.fails = False
    assert not hanging.post(["behind it"])
    assert [commands for _, commands in sender.sent] == [["cut off"]]
    assert hanging.let_go() == "full"
    hanging.keep("other")
    assert hanging.post(["pin"])


def test_a_process_that_was_forked_posts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent would talk on the same connection at once."""
    sender = Sender()
    hanging = Hanging(sender)
    hanging.keep("of the parent")
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert not hanging.post(["pin"])
    assert sender.sent == []


LARGE = [("ECHO", "x" * 100_000)]


def posted(client: Any) -> int:
    """How many times the client has posted what is large, before it could no more."""
    return next(number for number in range(1000) if not client.post(LARGE))


def test_a_server_that_reads_no_more_keeps_nobody_waiting(store: RedisPinStore, server: RedisServer) -> None:
    """What the connection has no room for is owed only."""
    assert reason(**ADA) == "replica"
    with is_frozen(server, None):
        assert reason(**ADA) == "store down"
        client = store._client()
        assert posted(client) > 0
        Client().post("/nothing", headers=ADA)
    store.outage._breaker.forget()
    assert reason(**ADA) == "pinned"
    assert not client.post(LARGE)
    assert client._hanging.connection is None


async def test_a_server_that_reads_no_more_keeps_no_event_loop_waiting(
    store: RedisPinStore, server: RedisServer
) -> None:
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=GRACE)
    with is_frozen(server, None):
        await AsyncClient().post("/anothing", headers=GRACE)
        client = store._async_clients.here()
        assert posted(client) > 0
        await AsyncClient().post("/anothing", headers=ADA)
    store.outage._breaker.forget()
    await AsyncClient().post("/anothing", headers=GRACE)
    assert (await AsyncClient().get("/aread", headers=ADA)).json()["reason"] == "pinned"
    assert not client.post(LARGE)
    assert client._hanging.connection is None


def test_a_connection_that_was_kept_is_closed_and_given_back(store: RedisPinStore, server: RedisServer) -> None:
    assert reason(**ADA) == "replica"
    with is_frozen(server, None):
        assert reason(**ADA) == "store down"
        client = store._client()
        connection, pool = client._hanging.connection, client.redis.connection_pool
        assert connection in pool._in_use_connections
    store.outage._breaker.forget()
    assert reason(**ADA) == "replica"
    assert connection._sock is None
    assert not pool._in_use_connections


async def test_so_is_that_of_an_event_loop(store: RedisPinStore, server: RedisServer) -> None:
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=ADA)
    with is_frozen(server, None):
        await AsyncClient().post("/anothing", headers=ADA)
        client = store._async_clients.here()
        connection = client._hanging.connection
        assert connection in client.pool._in_use_connections
    store.outage._breaker.forget()
    await AsyncClient().post("/anothing", headers=ADA)
    assert not connection.is_connected
    assert not client.pool._in_use_connections


async def test_a_server_that_has_gone_is_posted_nothing(store: RedisPinStore, server: RedisServer) -> None:
    """It is owed all the same."""
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=GRACE)
    await sync_to_async(Client().get)("/read", headers=GRACE)
    with is_frozen(server, None):
        await AsyncClient().post("/anothing", headers=GRACE)
        clients = [store._async_clients.here(), store._client()]
        store.outage._breaker.forget()
        await sync_to_async(Client().get)("/read", headers=GRACE)
        server.kill()
    server.start()
    while not clients[0]._hanging.connection._writer.transport.is_closing():
        await asyncio.sleep(0.01)
    for client in clients:
        assert client._hanging.connection is not None
        assert posted(client) < 3
