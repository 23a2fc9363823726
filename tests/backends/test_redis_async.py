"""A Redis that is asked from an event loop: no thread, no loop that waits, and all that the store does in a thread."""

import asyncio
import gc
import importlib
import os
import random
import select
import socket
import sys
import threading
import time
import weakref
from asyncio import BaseEventLoop
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, markcoroutinefunction, sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, RequestFactory
from django.urls import path
from django.utils.functional import SimpleLazyObject
from redis import ConnectionPool
from redis.exceptions import ConnectionError
from servers.processes import wait_until
from servers.redis import RedisServer

from multidb.backends import get_pin_store
from multidb.backends.base import PinStore
from multidb.backends.redis import RedisPinStore
from multidb.backends.redis_async import MOST_AT_ONCE, AsyncRedisClient
from multidb.backends.redis_conversations import Conversation
from multidb.pins import Pin, PinStoreUnavailable
from tests import urls
from tests.backends.redis_faults import FAULTS, NONSENSE, Fault, is_far_away, is_frozen
from tests.conftest import REDIS, Ahead, Clock, Replication, lines
from tests.servers import started
from tests.views import answer

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


def use(settings: Any, location: str, timeout: float = 5, **options: Any) -> RedisPinStore:
    settings.CACHES = {
        "pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options},
    }
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "timeout": timeout}}
    return get_pin_store()


@pytest.fixture
async def store(server: RedisServer, settings: Any) -> AsyncIterator[RedisPinStore]:
    """On the event loop of the test, which it has seen before. That this machine is busy is no failure of Redis."""
    store = use(settings, server.url)
    await sync_to_async(store.declare_new)()
    await seen(store)
    yield store
    server.execute("FLUSHALL")


@pytest.fixture
async def impatient(store: RedisPinStore, server: RedisServer, settings: Any) -> RedisPinStore:
    """The same with a timeout that a test can wait for."""
    impatient = use(settings, server.url, timeout=1)
    await seen(impatient)
    return impatient


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was run in a thread by ``sync_to_async``, or by an event loop otherwise."""
    run: list[Any] = []
    call = SyncToAsync.__call__
    run_in_executor = BaseEventLoop.run_in_executor

    async def noted(self: SyncToAsync[Any, Any], *args: Any, **kwargs: Any) -> Any:
        run.append(self.func)
        return await call(self, *args, **kwargs)

    def noted_by_the_loop(self: Any, executor: Any, function: Any, *args: Any) -> Any:
        if sys._getframe(1).f_code is not call.__code__:
            run.append(function)
        return run_in_executor(self, executor, function, *args)

    monkeypatch.setattr(SyncToAsync, "__call__", noted)
    monkeypatch.setattr(BaseEventLoop, "run_in_executor", noted_by_the_loop)
    return run


def request_of(token: str = "ada") -> HttpRequest:
    return RequestFactory().get("/", headers={"authorization": f"Token {token}"})


async def seen(store: RedisPinStore) -> Any:
    """The client on the event loop that runs, which ``store`` has seen before."""
    await sync_to_async(store._client)()
    await store._awaitable()
    return await store._awaitable()


async def save(store: RedisPinStore, pin: Pin, token: str = "ada") -> HttpResponse:
    response = HttpResponse()
    await store.asave(request_of(token), response, pin)
    return response


async def test_what_was_saved_is_loaded_without_a_thread(
    store: RedisPinStore, threads: list[Any], clock: Clock
) -> None:
    pin = Pin.on(["default"], clock() + 10)
    await save(store, pin)
    assert await store.aload(request_of()) == pin
    assert await store.aload(request_of("grace")) is None
    assert await store.aload(RequestFactory().get("/")) is None
    assert threads == []


async def test_each_takes_one_round_trip(store: RedisPinStore, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    answers = AsyncRedisClient._answers

    async def counted(client: AsyncRedisClient, commands: list[Any]) -> list[Any]:
        asked.append(len(commands))
        return await answers(client, commands)

    await store.aload(request_of())
    monkeypatch.setattr(AsyncRedisClient, "_answers", counted)
    await save(store, Pin.on(["default"], clock() + 10))
    await store.aload(request_of())
    assert asked == [2, 2]


async def test_what_was_saved_in_a_thread_is_loaded_here_and_the_other_way(store: RedisPinStore, clock: Clock) -> None:
    pin = Pin.on(["default"], clock() + 10)
    await save(store, pin)
    assert await sync_to_async(store.load)(request_of()) == pin
    await sync_to_async(store.save)(request_of("grace"), HttpResponse(), pin)
    assert await store.aload(request_of("grace")) == pin


def test_the_first_request_of_an_event_loop_is_asked_for_by_a_thread(
    server: RedisServer, settings: Any, threads: list[Any]
) -> None:
    """As under WSGI each is, where Django makes a loop for each request."""
    store = use(settings, server.url)
    store.declare_new()

    async def load(times: int) -> None:
        for _ in range(times):
            await store.aload(request_of())

    before = len(clients_of(server))
    for _ in range(3):
        asyncio.run(load(1))
    assert len(threads) == 3
    asyncio.run(load(5))
    assert len(threads) == 4
    assert len(clients_of(server)) <= before + 1  # That of the thread.


def clients_of(server: RedisServer) -> list[Any]:
    return [each for each in server.execute("CLIENT LIST") if each["name"] != "admin"]


def test_the_connections_are_closed_with_the_event_loop(server: RedisServer, settings: Any) -> None:
    store = use(settings, server.url)
    store.declare_new()
    open_: list[int] = []

    async def load() -> None:
        await store.aload(request_of())
        await asyncio.gather(*(store.aload(request_of(str(number))) for number in range(4)))
        open_.append(len(clients_of(server)))

    for _ in range(3):
        asyncio.run(load())
    assert open_[-1] <= open_[0]  # Those of tests before may be closed meanwhile.
    wait_until(lambda: len(clients_of(server)) < open_[-1], 10, "The connections are still open")


async def test_another_setting_is_another_client(store: RedisPinStore, server: RedisServer, settings: Any) -> None:
    first = await store._awaitable()
    assert await store._awaitable() is first
    settings.CACHES = {
        "pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{server.port}/3"}
    }
    second = await store._awaitable()
    assert second is not first
    assert second.client.database == 3
    assert await store._awaitable() is second


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("redis://127.0.0.1:1/0", {"CONNECTION_POOL_KWARGS": {"connection_class": "fakeredis.FakeConnection"}}),
        (["redis://127.0.0.1:1/0"], {"CLIENT_CLASS": "django_redis.client.SentinelClient"}),
    ],
)
async def test_what_redis_py_has_no_twin_of_is_asked_in_a_thread(
    settings: Any, request: pytest.FixtureRequest, location: Any, options: Any
) -> None:
    request.getfixturevalue("fake_redis")
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins"}}
    store = get_pin_store()
    assert [await store._awaitable() for _ in range(2)] == [None, None]


def fails(name: str) -> Any:
    return pytest.param(FAULTS[name], id=name)


@pytest.mark.parametrize("fault", [fails(name) for name in ("killed", "frozen", "out of memory", *NONSENSE)])
async def test_one_that_fails_is_left_alone_and_owed_the_pin(
    impatient: RedisPinStore,
    server: RedisServer,
    settings: Any,
    fault: Fault,
    clock: Clock,
    monotonic: Ahead,
    threads: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By tasks and threads alike; the cookie has the pin meanwhile, and the store as soon as it is back."""
    pin = Pin.on(["default"], clock() + 10)
    await impatient.aload(request_of())
    with fault(server, settings):
        await seen(impatient)
        response = await save(impatient, pin)
        assert list(response.cookies) == ["multidb_pin_writes"]
        assert len(lines(caplog)) == 1
        for load in (impatient.aload, sync_to_async(impatient.load)):
            with pytest.raises(PinStoreUnavailable):
                await load(request_of())
        threads.clear()
    monotonic.now += 10
    await seen(impatient)
    await known(impatient, "grace")
    assert await known(use(settings, server.url), "ada") == pin  # Of another process, which knows of nothing.


async def known(store: PinStore, token: str) -> Pin | None:
    """The pin of a client, whether or not the store is sure that it has all pins."""
    try:
        return await store.aload(request_of(token))
    except PinStoreUnavailable as unavailable:
        return unavailable.pin


async def test_one_that_came_back_empty_has_lost_pins(store: RedisPinStore, server: RedisServer) -> None:
    await store.aload(request_of())
    server.execute("FLUSHALL")
    with pytest.raises(PinStoreUnavailable):
        await store.aload(request_of())


@asynccontextmanager
async def is_never_blocked(seconds: float, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Inside, nothing keeps the event loop for so long: neither does asyncio complain, nor do others wait."""
    loop = asyncio.get_running_loop()
    turns: list[float] = []

    async def turn() -> None:
        while True:
            turns.append(loop.time())
            await asyncio.sleep(0.01)

    turning = asyncio.create_task(turn())
    loop.set_debug(True)
    loop.slow_callback_duration = seconds
    try:
        yield
    finally:
        loop.set_debug(False)
        turning.cancel()
    assert max(later - earlier for earlier, later in pairwise(turns)) < seconds
    assert [record for record in caplog.records if record.name == "asyncio" and "took" in record.getMessage()] == []


@pytest.mark.parametrize("what", ["load", "save"])
async def test_an_event_loop_does_not_wait_for_one_that_hangs(
    server: RedisServer, settings: Any, clock: Clock, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Nothing keeps the loop for longer than a quarter of what the store waits."""
    store = use(settings, server.url, timeout=1)
    await sync_to_async(store.declare_new)()
    await seen(store)
    await store.aload(request_of())

    async def ask() -> None:
        if what == "save":
            await save(store, Pin.on(["default"], clock() + 10))
            return
        with pytest.raises(PinStoreUnavailable):
            await store.aload(request_of())

    with is_frozen(server, settings):
        async with is_never_blocked(0.25, caplog):
            await asyncio.create_task(ask())  # asyncio complains when a step of a task has ended.
    assert store.outage.is_resting()


def saved_by_a_thread(store: PinStore) -> None:
    for number in range(3):
        store.save(request_of(f"client {number}"), HttpResponse(), Pin.on(["default"], time.time() + 10))


async def test_an_event_loop_does_not_wait_for_one_that_is_slow(
    store: RedisPinStore, server: RedisServer, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In whole requests, which have to wait for 0.8 seconds and more, and are answered; while a thread saves, too."""
    token = {"authorization": "Token grace"}
    loop = asyncio.get_running_loop()
    with is_far_away(server, settings):
        await seen(get_pin_store())
        async with is_never_blocked(0.25, caplog), asyncio.TaskGroup() as others:
            others.create_task(sync_to_async(saved_by_a_thread, thread_sensitive=False)(get_pin_store()))
            for method, path, reason in [("GET", "/aread", "replica"), ("POST", "/anothing", None)]:
                begun = loop.time()
                response = await asyncio.create_task(AsyncClient().generic(method, path, headers=token))
                assert loop.time() - begun > 0.8
                assert reason is None or response.json()["reason"] == reason
        assert not get_pin_store().outage.is_resting()
    assert await store.aload(request_of("grace")) is not None


LOOKING_FOR_ADDRESSES = ("getaddrinfo", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo")


@pytest.mark.parametrize("what", ["load", "save", "GET", "POST"])
async def test_nothing_that_waits_is_called_on_an_event_loop(store: RedisPinStore, clock: Clock, what: str) -> None:
    """No sleep, no thread or process that is waited for, no name that is looked up, and no socket but those that never
    wait: so it does not matter how slow the server is.
    """
    waited: list[str] = []
    selector = asyncio.get_running_loop()._selector._selector
    wait = threading.Condition.wait.__code__

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "c_call" and waits(argument, argument.__self__):
            waited.append(argument.__qualname__)
        if event == "call" and frame.f_code is wait and frame.f_locals["timeout"] != 0 and not begins_a_thread(frame):
            waited.append(frame.f_code.co_qualname)

    def begins_a_thread(frame: Any) -> bool:
        """``Thread.start`` waits until it has begun."""
        return frame.f_back.f_back.f_code is threading.Thread.start.__code__

    def waits(called: Any, owner: Any) -> bool:
        if isinstance(owner, socket.socket):
            return owner.gettimeout() != 0 and called.__name__ != "setblocking"
        if called.__name__ in ("poll", "control"):
            return owner is not selector
        return called in (time.sleep, select.select, os.waitpid) or called.__name__ in LOOKING_FOR_ADDRESSES

    client = await store._awaitable()
    await client.pool.disconnect()  # What it does to connect is looked at too.
    outer = sys.getprofile()
    sys.setprofile(note)
    try:
        if what == "save":
            await save(store, Pin.on(["default"], clock() + 10))
        elif what == "load":
            await store.aload(request_of())
        else:
            await AsyncClient().generic(what, "/aread", headers={"authorization": "Token ada"})
    finally:
        sys.setprofile(outer)
    assert waited == []


async def test_who_is_cancelled_leaves_no_answer_for_the_next(
    store: RedisPinStore, server: RedisServer, settings: Any, clock: Clock
) -> None:
    """And is owed the pin."""
    pins = {
        name: Pin.on(["default"], clock() + seconds) for name, seconds in (("ada", 9), ("grace", 10), ("linus", 11))
    }
    await save(store, pins["ada"])
    await save(store, pins["grace"], "grace")
    for number in range(5):
        with is_frozen(server, settings):
            loading = asyncio.create_task(store.aload(request_of()))
            saving = asyncio.create_task(save(store, pins["linus"], "linus"))
            await asyncio.sleep(0.02 + 0.01 * number)
            for task in (loading, saving):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert await store.aload(request_of("grace")) == pins["grace"]
        assert await store.aload(request_of("ada")) == pins["ada"]
    assert await store.aload(request_of("linus")) == pins["linus"]


async def test_all_of_it_is_on_one_server(store: RedisPinStore) -> None:
    client = await store._awaitable()
    assert client.share_server("one", "another")
    assert client.database == 0


async def test_who_is_cancelled_disturbs_nobody_else(store: RedisPinStore, clock: Clock) -> None:
    """Whose connections are open, and are not taken from them."""
    noted: list[Exception] = []
    store.outage.failed = noted.append  # type: ignore[method-assign]
    pin = Pin.on(["default"], clock() + 10)
    chance = random.Random(1)

    async def come_and_go(token: str) -> None:
        for _ in range(40):
            task = asyncio.create_task(save(store, pin, token))
            await asyncio.sleep(chance.random() * 0.004)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def stay(token: str) -> None:
        for _ in range(40):
            await save(store, pin, token)
            assert await known(store, token) == pin

    goers = (come_and_go(f"goes {number}") for number in range(6))
    await asyncio.gather(*goers, *(stay(f"stays {number}") for number in range(12)))
    assert noted == []


async def test_who_is_cancelled_before_its_turn_is_not_owed_the_pin(store: RedisPinStore, clock: Clock) -> None:
    """Else clients that hang up while Redis is well would send the reads of all to the primary.

    The middleware saves their pins again.
    """
    client = await store._awaitable()
    async with AsyncExitStack() as turns:
        for _ in range(MOST_AT_ONCE):
            await turns.enter_async_context(client.in_turn())
        waiting = [
            asyncio.create_task(save(store, Pin.on(["default"], clock() + 10), str(each))) for each in range(100)
        ]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {
            asyncio.CancelledError
        }
    assert not store.outage.may_miss_pins()
    await save(store, Pin.on(["default"], clock() + 10), "ada")
    assert store._owed.oldest(0, 1) == []
    assert await known(store, "grace") is None


async def test_many_at_once_each_get_their_own(store: RedisPinStore, clock: Clock) -> None:
    pins = {str(number): Pin.on(["default"], clock() + 10 + number / 100) for number in range(200)}
    await asyncio.gather(*(save(store, pin, token) for token, pin in pins.items()))
    found = await asyncio.gather(*(store.aload(request_of(token)) for token in pins))
    assert found == list(pins.values())


async def test_many_at_once_share_sixteen_connections(store: RedisPinStore, server: RedisServer) -> None:
    before = server.execute("INFO", "clients")["connected_clients"]
    await asyncio.gather(*(store.aload(request_of(str(number))) for number in range(200)))
    assert server.execute("INFO", "clients")["connected_clients"] - before <= 16


async def test_a_loop_that_is_late_itself_is_no_failure_of_the_server(
    impatient: RedisPinStore, server: RedisServer, settings: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """However often, while it answers between. The pin is owed all the same."""
    pin = Pin.on(["default"], clock() + 10)
    await impatient.aload(request_of())
    for token in ("ada", "linus"):
        with is_frozen(server, settings):
            saving = asyncio.create_task(save(impatient, pin, token))
            await asyncio.sleep(0.05)
            time.sleep(1.3)  # What is tried here.
            await saving
        assert not impatient.outage.is_resting()
        await impatient.aload(request_of("grace"))
    assert lines(caplog) == []
    assert await known(use(settings, server.url), "ada") == pin
    assert await known(use(settings, server.url), "linus") == pin


async def test_a_loop_that_is_always_late_leaves_a_server_that_hangs_alone_in_the_end(
    store: RedisPinStore, server: RedisServer, settings: Any, clock: Clock
) -> None:
    """After two timeouts: else each request would wait for it, for ever."""
    store = use(settings, server.url, timeout=0.5)
    await seen(store)
    asked = 0
    with is_frozen(server, settings):
        while not store.outage.is_resting() and asked < 9:
            asked += 1
            saving = asyncio.create_task(save(store, Pin.on(["default"], clock() + 10)))
            await asyncio.sleep(0.05)
            time.sleep(0.7)  # Longer than the timeout, and late by more than can be the server's.
            await saving
    assert 1 < asked <= 4


async def test_who_waits_for_a_turn_gets_it(impatient: RedisPinStore, clock: Clock) -> None:
    """However long that takes: the event loop is busy, and not the server."""
    pin = Pin.on(["default"], clock() + 10)
    client = await seen(impatient)
    async with AsyncExitStack() as others:
        for _ in range(MOST_AT_ONCE):
            await others.enter_async_context(client.in_turn())
        saving = asyncio.create_task(save(impatient, pin))
        await asyncio.sleep(2 * client.client.timeout)
        assert not saving.done()
    await saving
    assert await impatient.aload(request_of()) == pin
    assert impatient._owed.until(without=[]) == 0
    assert not impatient.outage.is_resting()


async def test_while_the_server_rests_nobody_waits_for_a_turn(
    store: RedisPinStore, settings: Any, clock: Clock
) -> None:
    """The pin is owed."""
    pin = Pin.on(["default"], clock() + 10)
    client = await seen(store)
    async with AsyncExitStack() as others:
        for _ in range(MOST_AT_ONCE):
            await others.enter_async_context(client.in_turn())
        store.outage.failed(OSError())
        response = await save(store, pin)
        assert list(response.cookies) == ["multidb_pin_writes"]
        with pytest.raises(PinStoreUnavailable):
            await store.aload(request_of())
    store.outage.succeeded()
    with suppress(PinStoreUnavailable):  # Others may owe some too, for all that it knows.
        await store.aload(request_of("grace"))
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)
    assert await known(get_pin_store(), "ada") == pin


class TwoRegions(RedisPinStore):
    """Keeps each pin in another place too, in its own way."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.called: list[str] = []

    def _read(self, request: HttpRequest) -> Any:
        self.called.append("read")
        return super()._read(request)

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        self.called.append("set")
        return super()._set(keys, text, seconds)


ASKED_ON: list[bool] = []


def by_tenant(request: HttpRequest) -> str:
    """A project's own key, which may ask a database. Notes whether an event loop would wait for it."""
    ASKED_ON.append(asyncio._get_running_loop() is not None)
    return "tenant"


async def test_a_project_s_own_key_is_asked_for_in_a_thread(
    store: RedisPinStore, server: RedisServer, settings: Any, clock: Clock
) -> None:
    settings.MULTIDB_PIN_STORE = {
        "BACKEND": REDIS,
        "OPTIONS": {"alias": "pins", "timeout": 5, "keys": [f"{__name__}.by_tenant"]},
    }
    await seen(get_pin_store())
    await save(get_pin_store(), Pin.on(["default"], clock() + 10))
    assert await get_pin_store().aload(request_of()) is not None
    assert set(ASKED_ON) == {False}


async def test_a_store_that_asks_in_its_own_way_is_let(server: RedisServer, settings: Any, clock: Clock) -> None:
    """In a thread, as its methods expect."""
    use(settings, server.url)
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.TwoRegions", "OPTIONS": {"alias": "pins", "timeout": 5}}
    store = get_pin_store()
    await sync_to_async(store.declare_new)()
    for _ in range(3):
        await save(store, Pin.on(["default"], clock() + 10))
        assert await store.aload(request_of()) is not None
    assert store.called == ["set", "read"] * 3


def test_the_first_client_is_made_in_a_thread(server: RedisServer, settings: Any) -> None:
    """To import redis-py takes long."""
    store = use(settings, server.url)
    assert asyncio.run(store._awaitable()) is None
    assert store._built is None


@pytest.mark.parametrize("engine", ["db", "cache", "signed_cookies"])
async def test_a_client_without_a_session_is_pinned_by_its_token(
    replication: Replication, real_redis: Any, settings: Any, engine: str
) -> None:
    """With the keys that are the default, behind Django's SessionMiddleware."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "timeout": 5}}
    store = get_pin_store()
    await sync_to_async(store.declare_new)()
    await seen(store)
    headers = {"authorization": "Token ada"}
    for number in range(3):
        await AsyncClient().post("/apost", {"text": str(number)}, headers=headers)
    answer = (await AsyncClient().get("/aread", headers=headers)).json()
    assert (answer["texts"], answer["reason"]) == (["0", "1", "2"], "pinned")


async def test_a_user_whom_only_a_thread_can_load_is_pinned(
    store: RedisPinStore, server: RedisServer, clock: Clock
) -> None:
    """Who is lazy in a lazy object, as of a middleware that wraps ``request.user``."""
    await User.objects.acreate(username="ada", pk=17)
    request = RequestFactory().post("/")
    inner = SimpleLazyObject(lambda: User.objects.get(pk=17))
    request.user = SimpleLazyObject(lambda: inner)
    request.user._setup()
    pin = Pin.on(["default"], clock() + 10)
    await store.asave(request, HttpResponse(), pin)
    assert "multidb:user:17" in server.execute("KEYS *")
    fresh = RequestFactory().get("/")
    fresh.user = SimpleLazyObject(lambda: SimpleLazyObject(lambda: User.objects.get(pk=17)))
    fresh.user._setup()
    assert await store.aload(fresh) == pin


def request_with_auser(auser: Any) -> HttpRequest:
    request = RequestFactory().post("/")
    request.auser = auser
    return request


async def test_a_user_whom_only_the_project_s_own_auser_knows_is_awaited(
    store: RedisPinStore, server: RedisServer, clock: Clock, threads: list[Any]
) -> None:
    """Once for each request, and without a thread."""
    awaited: list[int] = []

    async def auser() -> User:
        awaited.append(1)
        return User(pk=17)

    pin = Pin.on(["default"], clock() + 10)
    request = request_with_auser(auser)
    await store.asave(request, HttpResponse(), pin)
    assert server.execute("KEYS *:user:*") == ["multidb:user:17"]
    assert await store.aload(request) == pin
    assert await store.aload(request_with_auser(auser)) == pin
    assert (len(awaited), threads) == (2, [])
    assert await sync_to_async(store.load)(request_with_auser(auser)) == pin
    assert len(awaited) == 3


async def test_an_auser_that_fails_takes_no_pin_from_the_other_keys(
    store: RedisPinStore, clock: Clock, threads: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is awaited once, and may hang each time."""
    awaited: list[int] = []

    async def auser() -> User:
        awaited.append(1)
        raise LookupError(request.META["HTTP_AUTHORIZATION"])

    request = request_with_auser(auser)
    request.META["HTTP_AUTHORIZATION"] = "Token ada"
    pin = Pin.on(["default"], clock() + 10)
    await store.asave(request, HttpResponse(), pin)
    assert await store.aload(request_of()) == pin
    assert [line.partition("\n")[0] for line in lines(caplog)] == [
        "The user of a client cannot be told by its auser: LookupError:"
    ]
    assert "Token ada" not in caplog.text
    with pytest.raises(PinStoreUnavailable):
        await store.aload(request)
    assert (len(awaited), threads) == (1, [])


async def test_an_auser_that_knows_nobody_leaves_it_to_the_session(store: RedisPinStore, server: RedisServer) -> None:
    async def auser() -> AnonymousUser:
        return AnonymousUser()

    request = request_with_auser(auser)
    request.session = SessionStore()
    request.session["_auth_user_id"] = "7"
    await store.asave(request, HttpResponse(), Pin.on(["default"], time.time() + 10))
    assert server.execute("KEYS *:user:*") == ["multidb:user:7"]


async def test_another_auser_is_another_user(store: RedisPinStore, server: RedisServer) -> None:
    """As after a log-in in the view."""

    async def ada() -> User:
        return User(pk=17)

    async def grace() -> User:
        return User(pk=18)

    request = request_with_auser(ada)
    assert await store.aload(request) is None
    request.auser = grace
    await store.asave(request, HttpResponse(), Pin.on(["default"], time.time() + 10))
    assert server.execute("KEYS *:user:*") == ["multidb:user:18"]


async def test_without_the_key_nobody_s_auser_is_awaited(server: RedisServer, settings: Any, clock: Clock) -> None:
    async def auser() -> User:
        raise AssertionError("auser was awaited")

    settings.CACHES = {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": server.url}}
    settings.MULTIDB_PIN_STORE = {
        "BACKEND": REDIS,
        "OPTIONS": {"alias": "pins", "timeout": 5, "keys": ["authorization"]},
    }
    store = get_pin_store()
    await seen(store)
    request = request_with_auser(auser)
    request.META["HTTP_AUTHORIZATION"] = "Token ada"
    pin = Pin.on(["default"], clock() + 10)
    await store.asave(request, HttpResponse(), pin)
    assert await known(store, "ada") == pin


async def test_an_event_loop_is_not_kept_waiting_by_what_is_not_async(store: RedisPinStore, clock: Clock) -> None:
    """Not even in a server's debug mode would anybody see that."""
    with pytest.raises(SynchronousOnlyOperation):
        store.load(request_of())
    assert not store.outage.is_resting()


async def test_an_impossible_setting_is_raised(store: RedisPinStore, settings: Any, clock: Clock) -> None:
    settings.MULTIDB_PINNING_SECONDS = -1
    with pytest.raises(ImproperlyConfigured, match="MULTIDB_PINNING_SECONDS is -1"):
        await store.aload(request_of())
    with pytest.raises(ImproperlyConfigured, match="MULTIDB_PINNING_SECONDS is -1"):
        await save(store, Pin.on(["default"], clock() + 10))


def test_no_event_loop_is_kept(server: RedisServer, settings: Any) -> None:
    store = use(settings, server.url)
    store.declare_new()
    loops: list[weakref.ref[Any]] = []

    async def load() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await store.aload(request_of())
        await store.aload(request_of())

    for _ in range(4):
        asyncio.run(load())
    gc.collect()
    # The thread of asgiref keeps the last one.
    assert [loop() for loop in loops[:-1]] == [None] * 3
    assert not store._async_clients._clients


def test_a_loop_that_is_closed_in_a_hurry_is_forgotten_with_the_next(server: RedisServer, settings: Any) -> None:
    """One that does not shut down what is left in it: its connections are Python's to close."""
    store = use(settings, server.url)
    store.declare_new()
    for _ in range(4):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(store.aload(request_of()))
        loop.close()
    assert len(store._async_clients._clients) == 1


async def test_a_connection_keeps_nothing_of_the_request_that_has_opened_it(
    store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """It lives on with the context in which it was opened."""
    hasty = use(settings, server.url, timeout=0.25)
    await seen(hasty)
    variable: ContextVar[Any] = ContextVar("variable")
    kept: list[weakref.ref[Any]] = []

    async def visit() -> None:
        variable.set(request := request_of())
        kept.append(weakref.ref(request))
        with suppress(PinStoreUnavailable):
            await hasty.aload(request)

    await asyncio.create_task(visit())
    await asyncio.sleep(1)  # So long event loops keep the timeout that it did not come to.
    gc.collect()
    assert [each() for each in kept] == [None]


async def test_a_server_that_hangs_up_is_asked_once(
    store: RedisPinStore, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []

    def hang_up(reader: Any, writer: Any) -> None:
        asked.append(writer)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        store = use(settings, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", timeout=5)
        await seen(store)
        with pytest.raises(PinStoreUnavailable):
            await store.aload(request_of())
    assert len(asked) == 1
    assert "The pin store RedisPinStore is left alone: ConnectionError: " in caplog.text
    assert "does not answer as Redis does" not in caplog.text


async def test_what_is_asked_is_no_transaction(store: RedisPinStore, server: RedisServer, clock: Clock) -> None:
    """Which would make Redis do twice as much, and is refused where there are many servers."""
    server.execute("CONFIG RESETSTAT")
    await save(store, Pin.on(["default"], clock() + 10))
    await store.aload(request_of())
    assert "cmdstat_multi" not in server.execute("INFO commandstats")


async def test_a_server_over_tls_is_asked_and_given_up_when_it_hangs(
    request: pytest.FixtureRequest, settings: Any, certificate: Path
) -> None:
    """After the timeout, and no other for the end of the connection, which takes an answer too."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    authority = certificate / "cert.pem"
    files = {"tls_cert_file": authority, "tls_key_file": certificate / "key.pem", "tls_ca_cert_file": authority}
    for server in started(request, partial(RedisServer, tls_port=port, tls_auth_clients="no", **files)):
        store = use(settings, f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority}", timeout=3)
        await sync_to_async(store.declare_new)()
        await seen(store)
        assert await store.aload(request_of()) is None
        with is_frozen(server, settings):
            async with asyncio.timeout(5):
                with pytest.raises(PinStoreUnavailable):
                    await store.aload(request_of())


async def test_what_redis_py_does_not_take_is_not_said_of_the_server(
    server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As an argument of a version to come."""
    monkeypatch.setattr("multidb.backends.redis_async.QUIET", {"not_taken": True})
    store = use(settings, server.url)
    for _ in range(2):  # What a thread asks, until this event loop has been seen before.
        with suppress(PinStoreUnavailable):
            await store.aload(request_of())
    with pytest.raises(PinStoreUnavailable):
        await store.aload(request_of())
    assert "could not be looked up: TypeError" in caplog.text
    assert "does not answer as Redis does" not in caplog.text


async def test_a_complaint_closes_the_connections_that_nobody_uses(store: RedisPinStore) -> None:
    """Answers to others may be left on them."""

    def complaint() -> Conversation[None]:
        yield [("PING",)]
        raise ConnectionError("None of these is an answer.")

    client = await store._awaitable()
    await store.aload(request_of())
    used = await client.pool.get_connection()
    await store.aload(request_of())
    [idle] = client.pool._available_connections
    assert idle.is_connected
    with pytest.raises(ConnectionError, match="None of these"):
        await client.hold(complaint())
    assert not idle.is_connected
    assert used.is_connected
    await client.pool.release(used)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {"CONNECTION_POOL_KWARGS": {"health_check_interval": 9}}),
        ("", {"CONNECTION_POOL_KWARGS": {"redis_connect_func": print}}),
        ("", {"CONNECTION_POOL_CLASS": f"{__name__}.OwnPool"}),
        ("?health_check_interval=9", {}),
    ],
    ids=["argument", "function", "pool", "address"],
)
async def test_what_only_a_thread_s_connections_are_sure_to_know_is_left_to_a_thread(
    server: RedisServer, settings: Any, query: str, options: dict[str, Any]
) -> None:
    store = use(settings, f"{server.url}{query}", **options)
    assert [await store._awaitable() for _ in range(3)] == [None] * 3


class OwnPool(ConnectionPool):
    """As one that has a token for each connection."""


async def test_a_store_that_saves_in_its_own_way_is_let(server: RedisServer, settings: Any, clock: Clock) -> None:
    store = use(settings, server.url)
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Audited", "OPTIONS": {"alias": "pins", "timeout": 5}}
    store = get_pin_store()
    await sync_to_async(store.declare_new)()
    for _ in range(3):
        await save(store, Pin.on(["default"], clock() + 10))
        assert await store.aload(request_of()) is not None
    assert store.audited == ["save", "load"] * 3


class Audited(RedisPinStore):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.audited: list[str] = []

    def save(self, request: HttpRequest, response: Any, pin: Pin) -> None:
        self.audited.append("save")
        super().save(request, response, pin)

    def load(self, request: HttpRequest) -> Pin | None:
        self.audited.append("load")
        return super().load(request)


class TestSessions:
    """A session that is not loaded yet is loaded in a thread, by Django."""

    @pytest.fixture
    def session(self) -> SessionStore:
        session = SessionStore()
        session["visits"] = 1
        session.save()
        return session

    def request(self, session: SessionStore) -> HttpRequest:
        request = RequestFactory().get("/")
        request.session = SessionStore(session.session_key)
        return request

    async def test_the_store_is_asked_in_that_thread(
        self, session: SessionStore, store: RedisPinStore, threads: list[Any], clock: Clock
    ) -> None:
        pin = Pin.on(["default"], clock() + 10)
        await store.asave(self.request(session), HttpResponse(), pin)
        assert await store.aload(self.request(session)) == pin
        assert len(threads) == 2

    @pytest.mark.parametrize("engine", ["cache", "cached_db", "file", "signed_cookies", "db"])
    async def test_none_is_loaded_on_the_event_loop(
        self, engine: str, server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
        store = use(settings, server.url, timeout=5)
        settings.CACHES = {**settings.CACHES, "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        await sync_to_async(store.declare_new)()
        module = importlib.import_module(settings.SESSION_ENGINE)
        session = module.SessionStore()
        session["visits"] = 1
        await sync_to_async(session.save)()
        on_thread: list[bool] = []
        load = module.SessionStore.load

        def noted(session: Any) -> Any:
            on_thread.append(threading.current_thread() is not threading.main_thread())
            return load(session)

        monkeypatch.setattr(module.SessionStore, "load", noted)
        pin = Pin.on(["default"], clock() + 10)
        for _ in range(3):
            request = RequestFactory().get("/")
            request.session = module.SessionStore(session.session_key)
            with pytest.raises(SynchronousOnlyOperation):
                store.client(request)
            await store.asave(request, HttpResponse(), pin)
        assert on_thread == [True] * 3

    async def test_where_no_key_needs_it_none_is_loaded(
        self, session: SessionStore, store: RedisPinStore, settings: Any, threads: list[Any], clock: Clock
    ) -> None:
        options = {"alias": "pins", "timeout": 5, "keys": ["authorization"]}
        settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": options}
        store = get_pin_store()
        await seen(store)
        threads.clear()
        request = self.request(session)
        request.META["HTTP_AUTHORIZATION"] = "Token ada"
        pin = Pin.on(["default"], clock() + 10)
        await store.asave(request, HttpResponse(), pin)
        assert await store.aload(request) == pin
        assert threads == []

    async def test_after_that_no_thread_is_needed(
        self, session: SessionStore, store: RedisPinStore, threads: list[Any], clock: Clock
    ) -> None:
        pin = Pin.on(["default"], clock() + 10)
        request = self.request(session)
        await request.session.aget("visits")
        threads.clear()
        await store.asave(request, HttpResponse(), pin)
        assert await store.aload(request) == pin
        assert threads == []


class TestRequests:
    """Through Django's ASGI handler."""

    async def test_a_write_takes_no_thread_of_ours(
        self, store: RedisPinStore, threads: list[Any], async_client: AsyncClient
    ) -> None:
        """That of the ORM excepted, and those of Django's own handler, which a view without us takes as well."""
        await async_client.post("/anothing")
        with_store = list(threads)
        threads.clear()
        await async_client.post("/anothing", headers={"authorization": "Token ada"})
        assert len(threads) == len(with_store)
        assert not [each for each in threads if getattr(each, "__module__", "").startswith("multidb")]
        response = await async_client.get("/aread", headers={"authorization": "Token ada"})
        assert response.json()["reason"] == "pinned"

    async def test_a_user_who_is_known_to_the_async_view_is_pinned_on_other_devices(
        self, store: RedisPinStore, threads: list[Any]
    ) -> None:
        user = await User.objects.acreate_user("ada")
        phone, laptop = AsyncClient(), AsyncClient()
        for client in (phone, laptop):
            await client.aforce_login(user)
        threads.clear()
        assert (await phone.post("/awho")).json() == {"who": "ada"}
        assert not [each for each in threads if getattr(each, "__module__", "").startswith("multidb")]
        assert (await laptop.get("/aread")).json()["reason"] == "pinned"

    async def test_a_user_whom_only_the_project_s_own_auser_knows_is_pinned_on_other_devices(
        self, store: RedisPinStore, settings: Any
    ) -> None:
        """Whom it reads from the database, on the primary: a query in a thread, where the pin is looked up."""
        await User.objects.acreate_user("ada")
        settings.MIDDLEWARE = [f"{__name__}.knows_users_by_token", "multidb.middleware.PinningRouterMiddleware"]
        await AsyncClient().post("/anothing", headers={"x-token": "ada"})
        assert (await AsyncClient().get("/aread", headers={"x-token": "ada"})).json()["reason"] == "pinned"
        assert (await AsyncClient().get("/aread")).json()["reason"] == "replica"

    async def test_a_user_who_becomes_known_to_auser_inside_the_view_is_looked_up_then(
        self, store: RedisPinStore, replication: Replication, settings: Any
    ) -> None:
        user = await User.objects.acreate_user("ada")
        settings.MIDDLEWARE = [f"{__name__}.knows_users_by_token", "multidb.middleware.PinningRouterMiddleware"]
        settings.ROOT_URLCONF = __name__
        await AsyncClient().post("/anothing", headers={"x-token": "ada"})
        response = await AsyncClient().get(f"/becomes/{user.pk}")
        assert response.json() == ["replica", "pinned", "pinned"]

    async def test_a_read_that_the_view_routes_on_the_event_loop_is_in_doubt(
        self, store: RedisPinStore, threads: list[Any]
    ) -> None:
        """It goes to the primary, and the loop waits for nothing. The next one, in a thread, is sure."""
        response = await AsyncClient().get("/routed-on-the-loop", headers={"authorization": "Token ada"})
        assert response.json() == {"here": ["default", "store down"], "there": "replica"}


def knows_users_by_token(get_response: Any) -> Any:
    """An async middleware of a project's own, for clients without sessions."""

    async def middleware(request: HttpRequest) -> HttpResponse:
        async def auser() -> Any:
            name = request.headers.get("x-token")
            return await User.objects.aget(username=name) if name else AnonymousUser()

        request.auser = auser
        return await get_response(request)

    return markcoroutinefunction(middleware)


knows_users_by_token.async_capable = True
knows_users_by_token.sync_capable = False


async def becomes(request: HttpRequest, number: int) -> JsonResponse:
    """Why each read goes where it goes: the first before the user with the primary key ``number`` is known."""

    async def auser() -> User:
        return User(pk=number)

    reasons = [(await sync_to_async(answer)())["reason"]]
    request.auser = auser
    reasons += [(await sync_to_async(answer)())["reason"] for _ in range(2)]
    return JsonResponse(reasons, safe=False)


urlpatterns = [*urls.urlpatterns, path("becomes/<int:number>", becomes)]
