"""A pin that a Redis has not taken because it hangs: it has it as soon as it goes on, whoever asks it then."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from redis.exceptions import TimeoutError
from servers.redis import RedisServer

from multidb.backends import get_pin_store, redis_async, redis_client
from multidb.backends.owed import Debt
from multidb.backends.redis import RedisPinStore
from multidb.backends.redis_conversations import Word
from multidb.backends.redis_hanging import MOST_BYTES, Hanging
from multidb.backends.redis_scripts import MERGE
from multidb.backends.redis_time import within
from multidb.pins import Pin, PinStoreUnavailable
from tests.backends.redis_faults import NONSENSE, answers, is_frozen, is_slow
from tests.conftest import REDIS
from tests.servers import started

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ADA, GRACE = ({"authorization": f"Token {name}"} for name in ("ada", "grace"))


# These Pythons keep in memory whatever an event loop is given to send: CVE-2024-12254,
# https://github.com/python/cpython/issues/127655. Of us that is no more than ``MOST_BYTES``.
WRITES_WITHOUT_END = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


@pytest.fixture(scope="module")
def server_with_tls(request: pytest.FixtureRequest, certificate: Path) -> Iterator[RedisServer]:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    files = {"tls_cert_file": certificate / "cert.pem", "tls_key_file": certificate / "key.pem"}
    options = {**files, "tls_ca_cert_file": files["tls_cert_file"], "tls_auth_clients": "no"}
    for server in started(request, partial(RedisServer, tls_port=port, **options)):
        server.tls_url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate / 'cert.pem'}"
        yield server


@pytest.fixture(params=["TCP", "TLS"])
def reached(request: pytest.FixtureRequest, settings: Any) -> Iterator[RedisServer]:
    """A server that the site asks, in each way."""
    has_tls = request.param == "TLS"
    server = request.getfixturevalue("server_with_tls" if has_tls else "server")
    for _ in used(server, server.tls_url if has_tls else server.url, settings):
        yield server


@pytest.fixture
def store(server: RedisServer, settings: Any) -> Iterator[RedisPinStore]:
    yield from used(server, server.url, settings)


def used(server: RedisServer, url: str, settings: Any) -> Iterator[RedisPinStore]:
    settings.CACHES = {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}}
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
    fault: Any, reached: RedisServer, settings: Any
) -> None:
    """Also one of a client that came when the store was left alone already, and though nobody brings it later."""
    assert reason(**ADA) == "replica"
    with fault(reached, settings):
        assert reason(**ADA) == "store down"
        assert Client().post("/nothing", headers=ADA).status_code == 200
        assert Client().post("/nothing", headers=GRACE).status_code == 200
        assert get_pin_store().outage.is_resting()
    another_process(settings)
    assert reason(**ADA) == reason(**GRACE) == "pinned"
    assert reason(authorization="Token somebody") == "replica"


def test_who_may_not_ask_for_silence_may_post(store: RedisPinStore, server: RedisServer, settings: Any) -> None:
    rights = ["~*", "+@all", "-client|reply"]
    server.execute("ACL", "SETUSER", "talkative", "on", ">secret", *rights)
    settings.CACHES = {
        "pins": {**settings.CACHES["pins"], "LOCATION": f"redis://talkative:secret@127.0.0.1:{server.port}"}
    }
    another_process(settings)
    assert reason(**ADA) == "replica"
    with is_frozen(server, settings):
        assert reason(**ADA) == "store down"
        for headers in (ADA, GRACE):
            assert Client().post("/nothing", headers=headers).status_code == 200
    another_process(settings)
    assert reason(**ADA) == reason(**GRACE) == "pinned"
    server.execute("ACL", "DELUSER", "talkative")


def test_what_is_posted_is_not_preceded_by_a_look_at_the_health_of_the_connection(
    store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """The answer to which would not come."""
    options = {"CONNECTION_POOL_KWARGS": {"health_check_interval": 0.01}}
    settings.CACHES = {"pins": {**settings.CACHES["pins"], "OPTIONS": options}}
    another_process(settings)
    assert reason(**ADA) == "replica"
    with is_frozen(server, settings):
        assert reason(**ADA) == "store down"
        assert Client().post("/nothing", headers=GRACE).status_code == 200
    another_process(settings)
    assert reason(**GRACE) == "pinned"


def test_a_connection_on_which_nothing_could_be_sent_is_not_kept(store: RedisPinStore) -> None:
    client = store._client()
    client.answers([("PING",)])
    with within(0), pytest.raises(TimeoutError):
        client.answers([("PING",)])
    assert client._hanging.kept is None
    assert not client.redis.connection_pool._in_use_connections
    assert client.answers([("PING",)])


async def test_an_event_loop_posts_too(reached: RedisServer, settings: Any) -> None:
    client = AsyncClient()
    for _ in range(2):  # The first request of a loop asks in a thread.
        await client.get("/aread", headers=ADA)
    with is_frozen(reached, settings):
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
        assert here(store)._hanging.kept is not None
    await sync_to_async(another_process)(settings)
    for headers in (ADA, GRACE):
        assert (await AsyncClient().get("/aread", headers=headers)).json()["reason"] == "pinned"


class Connection:
    """Packs a command as so many bytes as it has parts."""

    def pack_command(self, *command: Any) -> list[bytes]:
        return [b"x" if part == MERGE else b"." for part in command]


class Sender:
    """Sends whatever it is given, until it is told to fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, bytes]] = []
        self.fails = False

    def __call__(self, connection: object, packed: list[bytes]) -> bool:
        [command] = packed
        self.sent.append((connection, command))
        return not self.fails


QUIET, WITH_SCRIPT, WITH_DIGEST = b"...", b".x......", b"........"

DEBT = Debt("multidb:user:7", "{}", 0)


def test_of_two_connections_the_first_is_kept_until_it_is_let_go() -> None:
    sender, first, second = Sender(), Connection(), Connection()
    hanging = Hanging(sender)
    assert not hanging.post([DEBT])
    assert hanging.keep(first, sent=10, answered=5) is None
    assert hanging.kept is not None
    assert hanging.keep(second, sent=10, answered=5) is second
    assert hanging.post([DEBT])
    assert hanging.let_go() is first
    assert hanging.let_go() is None
    assert hanging.kept is None
    assert not hanging.post([DEBT])
    assert sender.sent == [(first, QUIET + WITH_SCRIPT)]
    assert hanging.keep(second, sent=10, answered=5) is None


def test_one_takes_the_place_of_another_on_which_the_server_hung_before_it_answered_again() -> None:
    """It may have been started anew since, or has no room left."""
    sender, first, second = Sender(), Connection(), Connection()
    hanging = Hanging(sender)
    hanging.keep(first, sent=MOST_BYTES, answered=5)
    assert not hanging.post([DEBT])
    assert hanging.keep(second, sent=10, answered=6) is first
    assert hanging.post([DEBT])
    assert sender.sent == [(second, QUIET + WITH_SCRIPT)]


def test_the_script_goes_once_over_each_connection_whose_answers_nobody_wants() -> None:
    """Redis knows it from then on, and there is room for more. What is posted together is sent together."""
    sender = Sender()
    hanging = Hanging(sender)
    for _ in range(2):
        hanging.keep(Connection(), sent=10, answered=0)
        assert hanging.post([DEBT, DEBT])
        assert hanging.post([DEBT])
        hanging.let_go()
    assert [command for _, command in sender.sent] == [QUIET + WITH_SCRIPT + WITH_DIGEST, WITH_DIGEST] * 2


def test_that_pins_may_be_missing_is_said_once_until_more_are() -> None:
    sender = Sender()
    hanging = Hanging(sender)
    hanging.keep(Connection(), sent=10, answered=0)
    for until in (3000, 3000, 2000, 4000):
        assert hanging.post([Word(("SAY", until), until)])
    assert hanging.post([DEBT])
    assert [command for _, command in sender.sent] == [QUIET + b"..", b"..", WITH_SCRIPT]


@pytest.mark.parametrize(("room", "sent"), [(27, 3), (26, 2), (11, 1), (10, 0), (-1, 0)])
def test_no_more_is_posted_than_there_is_room_for(room: int, sent: int) -> None:
    sender = Sender()
    hanging = Hanging(sender)
    hanging.keep(Connection(), sent=MOST_BYTES - room, answered=0)
    assert [hanging.post([DEBT]) for _ in range(4)] == [number < sent for number in range(4)]
    assert len(sender.sent) == sent


def test_nothing_is_posted_behind_what_was_cut_off_before_another_connection_is_kept() -> None:
    sender, full = Sender(), Connection()
    hanging = Hanging(sender)
    hanging.keep(full, sent=10, answered=0)
    sender.fails = True
    assert not hanging.post([DEBT, DEBT])
    sender.fails = False
    assert not hanging.post([DEBT])
    assert len(sender.sent) == 1
    assert hanging.let_go() is full
    hanging.keep(Connection(), sent=10, answered=0)
    assert hanging.post([DEBT])


def test_a_process_that_was_forked_posts_on_a_connection_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent would talk on the same connection at once."""
    sender, own = Sender(), Connection()
    hanging = Hanging(sender)
    hanging.keep(Connection(), sent=10, answered=0)
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert not hanging.post([DEBT])
    assert hanging.keep(own, sent=10, answered=0) is None
    assert hanging.post([DEBT])
    assert sender.sent == [(own, QUIET + WITH_SCRIPT)]


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_a_connection_that_failed_otherwise_is_not_kept(
    store: RedisPinStore, server: RedisServer, settings: Any, answer: bytes | None
) -> None:
    with answers(answer)(server, settings):
        assert reason(**ADA) == "store down"
        client = get_pin_store()._client()
        assert client._hanging.kept is None
        assert not client.redis.connection_pool._in_use_connections


def takes(megabytes: int, send: Any, client: Any) -> bool:
    """Has the connection that is kept room for so much?"""
    return all(send(client._hanging.kept.connection, [b"x" * 1_000_000]) for _ in range(megabytes))


def test_a_connection_without_room_keeps_nobody_waiting(store: RedisPinStore, server: RedisServer) -> None:
    assert reason(**ADA) == "replica"
    with is_frozen(server, None):
        assert reason(**ADA) == "store down"
        assert not takes(100, redis_client._send_at_once, store._client())


async def test_a_connection_without_room_keeps_no_event_loop_waiting(store: RedisPinStore, server: RedisServer) -> None:
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=ADA)
    with is_frozen(server, None):
        await AsyncClient().post("/anothing", headers=ADA)
        assert takes(100, redis_async._send_at_once, here(store)) is WRITES_WITHOUT_END


def here(store: RedisPinStore) -> Any:
    """The client of the event loop that runs."""
    return store._async_clients._clients[asyncio.get_running_loop()][0]


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("unable to perform operation on <TCPTransport closed=True>"),
        AttributeError("'NoneType' object has no attribute '_add_writer'"),
        TypeError("fileobj must be an integer or have a fileno() method"),
    ],
    ids=["closed", "uvloop", "Python 3.12", "Python 3.13"],
)
def test_a_connection_that_is_gone_takes_nothing(error: Exception | None) -> None:
    """It is not made anew, and what event loops raise of it is no error of the request."""

    async def send(packed: list[bytes]) -> None:
        assert error is not None, "it would connect"
        raise error

    gone = SimpleNamespace(is_connected=error is not None, send_packed_command=send)
    assert not redis_async._send_at_once(gone, [b"x"])


async def test_what_a_thread_saves_is_posted_by_the_loop_that_was_not_answered(
    store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """As for a client whose session has to be loaded."""
    session = (await AsyncClient().get("/remember")).cookies
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=ADA)
    with is_frozen(server, settings):
        await AsyncClient().post("/anothing", headers=ADA)
        assert here(store).is_late
        assert store._client()._hanging.kept is None
        client = AsyncClient()
        client.cookies.update(session)
        await client.post("/anothing", headers=GRACE)
    await sync_to_async(another_process)(settings)
    assert (await AsyncClient().get("/aread", headers=GRACE)).json()["reason"] == "pinned"


async def test_what_the_loop_was_answered_makes_room_for_another_connection_of_the_threads(
    store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """The one that they keep may have no room left, or have gone, which only their own answers would tell."""
    client, pool = store._client(), store._client().redis.connection_pool
    read = sync_to_async(reason)
    other = await sync_to_async(pool.get_connection)()
    assert await read(**ADA) == "replica"
    pool.release(other)
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=ADA)
    with is_frozen(server, settings):
        assert await read(**ADA) == "store down"
        kept = client._hanging.kept
        kept.room = 0
    store.outage._breaker.forget()
    await AsyncClient().post("/anothing", headers=ADA)
    assert client._hanging.kept is kept
    with is_frozen(server, settings):
        assert await read(**ADA) == "store down"
        await AsyncClient().post("/anothing", headers=GRACE)
        assert client._hanging.kept is not kept
        assert len(pool._in_use_connections) == 1
    await sync_to_async(another_process)(settings)
    assert await read(**GRACE) == "pinned"


def test_of_a_user_whose_session_is_not_loaded_in_vain_other_devices_are_not_told_that_there_is_no_pin(
    store: RedisPinStore, server: RedisServer, settings: Any, client: Client
) -> None:
    """Where Redis is left alone: all read by the setting once it goes on, though this process does not ask it then."""
    client.get("/remember")
    assert reason(**ADA) == "replica"
    with is_frozen(server, settings):
        assert reason(**ADA) == "store down"
        for _ in range(3):
            assert client.post("/nothing").status_code == 200
    another_process(settings)
    assert reason(**GRACE) == "store down"


def test_a_pin_is_posted_under_all_keys_of_its_client(
    store: RedisPinStore, server: RedisServer, settings: Any, client: Client
) -> None:
    client.get("/remember")
    session = client.cookies.copy()
    assert reason(**ADA) == "replica"
    with is_frozen(server, settings):
        assert reason(**ADA) == "store down"
        request = RequestFactory().post("/", headers=ADA)
        request.session = SessionStore(session["sessionid"].value)
        request.session["loaded"] = True
        store.save(request, HttpResponse(), Pin.on(["default"], time.time() + 10))
    another_process(settings)
    assert reason(**ADA) == "pinned"
    client.cookies = session
    assert client.get("/read").json()["reason"] == "pinned"


WORKER = """
import os, signal, sys, time
from django.conf import settings

redis, secret = sys.argv[1:]
settings.configure(
    SECRET_KEY=secret,
    CACHES={"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis}},
    MULTIDB_PIN_STORE={"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {"alias": "pins"}},
    MULTIDB_RETRY_SECONDS=600,
)
from django.http import HttpRequest, HttpResponse
from multidb.backends import get_pin_store
from multidb.pins import Pin

def client(number):
    request = HttpRequest()
    request.META["HTTP_AUTHORIZATION"] = f"Token {number}"
    return request

get_pin_store().load(client(0))
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    get_pin_store().save(client(number), HttpResponse(), Pin.on(["default"], time.time() + 10))
    time.sleep(0.002)  # A machine that is busy has room again when it has seen to its sockets.
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_worker_has_posted_outlives_it(reached: RedisServer, settings: Any) -> None:
    """More than Redis reads at once, though it finds the connection closed."""
    command = [sys.executable, "-c", WORKER, settings.CACHES["pins"]["LOCATION"], settings.SECRET_KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "ready\n"
        with is_frozen(reached, settings):
            worker.communicate("\n")
    assert worker.returncode == -signal.SIGKILL
    assert [reason(authorization=f"Token {number}") for number in range(100)] == ["pinned"] * 100


# The socket is Python's to close then, which does so when it collects garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_ends_in_silence_while_the_server_hangs(reached: RedisServer) -> None:
    """Over TLS it would say good-bye, which nobody answers."""
    complaints: list[Any] = []
    request = RequestFactory().get("/", headers=ADA)
    store = get_pin_store()
    store.load(request)

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        for _ in range(3):
            await store.aload(request)
        reached.pause()
        with pytest.raises(PinStoreUnavailable):
            await store.aload(request)

    try:
        asyncio.run(run())
    finally:
        reached.resume()
    assert complaints == []
    gc.collect()


def test_a_cluster_that_cannot_be_reached_is_owed_only(
    rf: RequestFactory, settings: Any, store: RedisPinStore, server: RedisServer
) -> None:
    """For want of a client there is nothing to post with."""
    settings.CACHES = {"pins": {**settings.CACHES["pins"], "LOCATION": "redis://127.0.0.1:1/0"}}
    store = RedisPinStore(alias="pins", cluster=True)
    store.save(rf.get("/", headers=ADA), HttpResponse(), Pin.on(["default"], time.time() + 10))
    assert len(store._owed.oldest(0, 9)) == 1
    assert not store.outage.may_miss_pins()
    request = rf.get("/")
    request.session = SessionStore("a" * 32)  # Which would have to be loaded.
    store.save(request, HttpResponse(), Pin.on(["default"], time.time() + 10))
    assert store.outage.may_miss_pins()
    assert store._built is None


def test_of_two_threads_that_are_answered_at_once_one_closes_what_was_kept(
    store: RedisPinStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = store._client()
    client.answers([("PING",)])
    client._hanging.keep(client.redis.connection_pool.get_connection(), sent=1, answered=client.answered)
    monkeypatch.setattr(client._hanging, "let_go", lambda: None)  # The other one has it.
    assert list(client.hold(store._conversations(client).get(["multidb:user:7"]))) == [None]


def test_a_connection_that_was_kept_is_closed_and_given_back(store: RedisPinStore, server: RedisServer) -> None:
    assert reason(**ADA) == "replica"
    with is_frozen(server, None):
        assert reason(**ADA) == "store down"
        client = store._client()
        connection, pool = client._hanging.kept.connection, client.redis.connection_pool
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
        client = here(store)
        connection = client._hanging.kept.connection
        assert connection in client.pool._in_use_connections
    store.outage._breaker.forget()
    await AsyncClient().post("/anothing", headers=ADA)
    assert not connection.is_connected
    assert not client.pool._in_use_connections


def test_the_connection_that_was_answered_is_the_next_to_be_used(
    store: RedisPinStore, server: RedisServer, settings: Any
) -> None:
    """So that something can be posted where Redis is frozen anew."""
    assert reason(**ADA) == "replica"
    with is_frozen(server, None):
        assert reason(**ADA) == "store down"
    store.outage._breaker.forget()
    assert reason(**ADA) == "replica"
    with is_frozen(server, None):
        assert reason(**ADA) == "store down"
        assert store._client()._hanging.kept is not None


async def test_that_of_an_event_loop_is_too(store: RedisPinStore, server: RedisServer) -> None:
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=ADA)
    for _ in range(2):
        with is_frozen(server, None):
            await AsyncClient().post("/anothing", headers=ADA)
            assert here(store)._hanging.kept is not None
        store.outage._breaker.forget()
        await AsyncClient().post("/anothing", headers=ADA)
        assert here(store)._hanging.kept is None


async def test_a_server_that_has_gone_is_posted_nothing(store: RedisPinStore, server: RedisServer) -> None:
    """It is owed all the same."""
    for _ in range(2):
        await AsyncClient().post("/anothing", headers=GRACE)
    await sync_to_async(Client().get)("/read", headers=GRACE)
    with is_frozen(server, None):
        await AsyncClient().post("/anothing", headers=GRACE)
        clients = [here(store), store._client()]
        store.outage._breaker.forget()
        await sync_to_async(Client().get)("/read", headers=GRACE)
        server.kill()
    server.start()
    while not clients[0]._hanging.kept.connection._writer.transport.is_closing():
        await asyncio.sleep(0.01)
    for client in clients:
        assert client._hanging.kept is not None
        assert [client.post([DEBT]) for _ in range(9)].count(True) < 3
