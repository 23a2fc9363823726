"""A Redis that fails, in every way that one can: no request fails, none waits twice, and no pin is lost."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory
from servers.redis import RedisServer

from multidb.backends import get_pin_store
from multidb.backends.redis_client import RedisClient
from multidb.middleware import pinning_cookie
from multidb.signals import pin_store_down
from tests.backends.redis_faults import (
    FAULTS,
    NONSENSE,
    Fault,
    answers,
    in_its_place,
    is_frozen,
    is_frozen_and_asked_anew,
    is_killed,
)
from tests.conftest import REDIS, Ahead, Clock, lines
from tests.servers import started

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

TOKEN = {"authorization": "Token ada"}

PASSWORD = "the-password"


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


@pytest.fixture
def asked(server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The store is on a new server of its own. Each time that it is asked, a name is added to the list."""
    use(settings, server.port)
    asked: list[str] = []
    answers = RedisClient.answers

    def counted(client: RedisClient, commands: Any) -> Any:
        asked.append("asked")
        return answers(client, commands)

    monkeypatch.setattr(RedisClient, "answers", counted)
    yield asked
    server.execute("FLUSHALL")


def use(settings: Any, port: int, login: str = "") -> None:
    location = f"redis://{login}127.0.0.1:{port}/0"
    settings.CACHES = {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location}}
    # So that this machine is never too busy, and a test can wait for a server that hangs.
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "timeout": 1}}
    get_pin_store().declare_new()


LOST = (
    "The pin store RedisPinStore is new, or may have lost pins: until those have run out, for 15 seconds, reads go by "
    "MULTIDB_PIN_STORE_DOWN."
)


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Fault:
    return FAULTS[request.param]


def reason(client: Client, **request: Any) -> str:
    response = client.get("/read", **request)
    assert response.status_code == 200
    return str(response.json()["reason"])


def reason_without_cookies() -> str:
    return reason(Client(), headers=TOKEN)


def test_no_request_fails_and_only_one_asks(
    fault: Fault, asked: list[str], server: RedisServer, settings: Any, client: Client, monotonic: Ahead
) -> None:
    """A client with a session, one with a token and no cookies, and one with neither, for whom there is no place."""
    client.get("/remember")
    assert reason(client) == "replica"
    asked.clear()
    with fault(server, settings):
        assert reason(client) == "store down"
        assert reason_without_cookies() == "store down"
        assert pinning_cookie() in client.post("/nothing").cookies
        assert reason(client) == "pinned"
        assert Client().post("/nothing", headers=TOKEN).status_code == 200
        assert reason_without_cookies() == "store down"
        assert reason(Client()) == "replica"
        assert asked == ["asked"]


def test_one_whose_answer_trickles_is_not_waited_for(asked: list[str], server: RedisServer, settings: Any) -> None:
    """A byte in 0.05 seconds keeps any timeout of the socket's from running out."""
    bytes_sent: list[bytes] = []

    def trickle(connection: socket.socket) -> None:
        connection.recv(65536)
        while len(bytes_sent) < 200:
            connection.sendall(b"x")
            bytes_sent.append(b"x")
            time.sleep(0.05)

    with in_its_place(server, settings, trickle):
        assert reason_without_cookies() == "store down"
        assert len(bytes_sent) < 100


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_a_cluster_that_answers_nonsense_is_left_alone(
    server: RedisServer, asked: list[str], settings: Any, answer: bytes | None
) -> None:
    """A client of a cluster asks its nodes when it is made."""
    with answers(answer)(server, settings):
        settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "cluster": True}}
        assert reason_without_cookies() == "store down"
        assert not get_pin_store().outage.may_ask()


def test_a_pin_that_was_not_taken_is_brought_when_the_server_is_back(
    fault: Fault, asked: list[str], server: RedisServer, settings: Any, monotonic: Ahead
) -> None:
    """Without a cookie; and first by a request that only reads, of somebody else."""
    assert reason_without_cookies() == "replica"
    with fault(server, settings):
        Client().post("/nothing", headers=TOKEN)
        Client().post("/nothing", headers={"authorization": "Token grace"})
    monotonic.now += 6.1
    reason(Client(), headers={"authorization": "Token somebody"})
    get_pin_store().outage.succeeded()
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)  # Another process, which knows of nothing.
    assert reason_without_cookies() == "pinned"
    assert reason(Client(), headers={"authorization": "Token grace"}) == "pinned"


def test_what_is_owed_is_brought_in_portions(asked: list[str], server: RedisServer, settings: Any) -> None:
    """All of it at once could take longer than the timeout, again and again."""
    store: Any = get_pin_store()
    with is_killed(server, settings):
        for number in range(120):
            Client().post("/nothing", headers={"authorization": f"Token {number}"})
    store.outage.succeeded()
    owed = []
    while store._owed._debts:
        said = reason(Client(), headers={"authorization": "Token somebody"})
        owed.append(len(store._owed._debts))
    assert owed == [70, 20, 0]
    assert said == "store down"
    pinned = [reason(Client(), headers={"authorization": f"Token {number}"}) for number in (0, 60, 119)]
    assert pinned == ["pinned"] * 3


def test_another_process_knows_of_what_is_owed_still(
    asked: list[str], server: RedisServer, settings: Any, monotonic: Ahead, clock: Clock
) -> None:
    with is_killed(server, settings):
        for number in range(120):
            Client().post("/nothing", headers={"authorization": f"Token {number}"})
    get_pin_store().outage.succeeded()
    clock.advance(14)
    assert reason_without_cookies() == "store down"
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)
    assert reason(Client(), headers={"authorization": "Token 119"}) == "store down"


@pytest.mark.parametrize("fault", [is_killed, is_frozen_and_asked_anew])
def test_another_process_is_told_of_it_by_a_request_that_only_writes(
    asked: list[str], server: RedisServer, settings: Any, fault: Fault
) -> None:
    """Also where the server has lost nothing."""
    with fault(server, settings):
        for number in range(120):
            Client().post("/nothing", headers={"authorization": f"Token {number}"})
    server.execute("SET", "multidb:marker", 0)
    get_pin_store().outage.succeeded()
    get_pin_store().outage.missing_until = 0
    Client().post("/nothing", headers=TOKEN)
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)
    assert reason(Client(), headers={"authorization": "Token 119"}) == "store down"


class Interrupted(BaseException):
    """As what a signal raises in a worker that has taken too long."""


def test_whoever_is_interrupted_leaves_no_answer_for_the_next(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next would be told of somebody else's pin, and so would all after it."""
    Client().post("/nothing", headers=TOKEN)
    store: Any = get_pin_store()
    connection_class = store._client().redis.connection_pool.connection_class
    send = connection_class.send_packed_command

    def interrupt(connection: Any, command: Any, check_health: bool = True) -> None:
        send(connection, command, check_health)
        raise Interrupted

    for _ in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(connection_class, "send_packed_command", interrupt)
            with pytest.raises(Interrupted):
                store.load(RequestFactory().get("/", headers=TOKEN))
        assert store.load(RequestFactory().get("/", headers={"authorization": "Token grace"})) is None
        assert store.load(RequestFactory().get("/", headers=TOKEN)) is not None


def test_a_session_is_not_loaded_for_a_store_that_is_left_alone(
    asked: list[str], server: RedisServer, settings: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server may be the same, and hang: a view that does not use the session does not wait for it."""
    client.get("/remember")
    loads: list[str] = []
    load = SessionStore.load
    monkeypatch.setattr(SessionStore, "load", lambda session: loads.append("loaded") or load(session))
    with is_frozen(server, settings):
        assert reason_without_cookies() == "store down"
        for _ in range(3):
            assert reason(client) == "store down"
        client.post("/nothing")
        assert reason(client) == "pinned"
        assert not loads


def test_a_header_is_owed_its_pin_though_the_session_is_not_loaded(
    asked: list[str], server: RedisServer, settings: Any, client: Client
) -> None:
    client.get("/remember")
    with is_frozen(server, settings):
        assert reason_without_cookies() == "store down"
        client.post("/nothing", headers={"authorization": "Token with a session"})
    get_pin_store().outage.succeeded()
    reason(Client(), headers={"authorization": "Token somebody"})
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)
    assert reason(Client(), headers={"authorization": "Token with a session"}) == "pinned"


def test_one_that_fails_to_write_only_is_left_alone_too(
    asked: list[str], server: RedisServer, settings: Any, client: Client
) -> None:
    """The first request after the failure is the one that writes."""
    client.get("/remember")
    with is_killed(server, settings):
        assert pinning_cookie() in client.post("/nothing").cookies
        assert reason(client) == "pinned"
        assert asked == ["asked"]


def test_reads_of_all_go_to_a_replica_where_the_setting_says_so(
    fault: Fault, asked: list[str], server: RedisServer, settings: Any, client: Client
) -> None:
    """But of those with a cookie, which every response that pins sets then."""
    settings.MULTIDB_PIN_STORE_DOWN = "replica"
    client.get("/remember")
    assert pinning_cookie() in client.post("/nothing").cookies
    assert reason(client) == "pinned"
    Client().post("/nothing", headers=TOKEN)
    assert reason_without_cookies() == "pinned"
    with fault(server, settings):
        assert reason(client) == "pinned"
        assert reason_without_cookies() == "replica"


def test_each_change_is_one_line_and_one_signal(
    asked: list[str],
    server: RedisServer,
    settings: Any,
    monotonic: Ahead,
    sent: list[tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with is_killed(server, settings):
        for _ in range(3):
            reason_without_cookies()
            monotonic.now += 6.1
    settings.MULTIDB_RETRY_SECONDS = 0.001
    reason_without_cookies()
    refused = f"ConnectionError: Error 111 connecting to 127.0.0.1:{server.port}. Connection refused."
    assert lines(caplog) == [
        f"The pin store RedisPinStore is left alone: {refused}",
        LOST,
        "The pin store RedisPinStore is used again.",
    ]
    assert sent == [("down", "RedisPinStore"), ("up", "RedisPinStore")]


def test_no_password_is_in_the_log(
    fault: Fault, asked: list[str], server: RedisServer, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The address has one, whatever fails. A server that wants none takes any. Nor is it told to receivers."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    def note(*, why: object, **kwargs: Any) -> None:
        told.append(f"{why} {why!r}")  # And not the error, which would keep the connection alive in its traceback.

    pin_store_down.connect(note)
    use(settings, server.port, login=f"default:{PASSWORD}@")
    with fault(server, settings):
        assert PASSWORD in settings.CACHES["pins"]["LOCATION"]
        reason_without_cookies()
        Client().post("/nothing", headers=TOKEN)
    pin_store_down.disconnect(note)
    assert lines(caplog)
    assert told
    for secret in (PASSWORD, TOKEN["authorization"]):
        assert secret not in caplog.text + repr([record.args for record in caplog.records]) + repr(told)


def test_who_has_seen_it_fail_waits_for_what_others_may_still_bring(
    asked: list[str], server: RedisServer, settings: Any, monotonic: Ahead
) -> None:
    """For as long as they may leave it alone."""
    with is_frozen(server, settings):
        assert reason_without_cookies() == "store down"
    monotonic.now += 6.1
    assert reason_without_cookies() == "store down"
    monotonic.now += 5.9
    assert reason_without_cookies() == "store down"
    monotonic.now += 0.2
    assert reason_without_cookies() == "replica"


class TestThatHasLostPins:
    """No error says so."""

    @pytest.fixture(params=["flushed", "restarted", "restarted from an old file"])
    def lose(self, request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Callable[[], None]]:
        def lose() -> None:
            if request.param == "flushed":
                server.execute("FLUSHALL")
                return
            server.kill()
            server.start()

        if request.param == "restarted from an old file":
            server.execute("SAVE")
        yield lose
        (server.directory / "dump.rdb").unlink(missing_ok=True)

    def test_reads_go_by_the_setting_until_the_longest_pin_has_run_out(
        self, lose: Callable[[], None], asked: list[str], settings: Any, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        Client().post("/nothing", headers=TOKEN)
        assert reason_without_cookies() == "pinned"
        lose()
        assert reason_without_cookies() == "store down"
        assert lines(caplog) == [LOST]
        clock.advance(14)
        assert reason_without_cookies() == "store down"
        clock.advance(1.1)
        assert reason_without_cookies() == "replica"
        assert len(lines(caplog)) == 1

    def test_every_process_knows_of_it(
        self, lose: Callable[[], None], asked: list[str], settings: Any, clock: Clock
    ) -> None:
        Client().post("/nothing", headers=TOKEN)
        lose()
        reason(Client(), headers={"authorization": "Token somebody"})
        for _ in range(2):
            settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)
            assert reason_without_cookies() == "store down"

    def test_that_is_noticed_without_a_further_round_trip(
        self, lose: Callable[[], None], asked: list[str], settings: Any
    ) -> None:
        """One more, by whoever is the first to notice, leaves word of it."""
        reason_without_cookies()
        lose()
        asked.clear()
        reason_without_cookies()
        assert len(asked) <= 2
        asked.clear()
        reason_without_cookies()
        assert len(asked) == 1

    def test_who_writes_meanwhile_is_pinned_as_ever(
        self, lose: Callable[[], None], asked: list[str], settings: Any
    ) -> None:
        lose()
        Client().post("/nothing", headers=TOKEN)
        assert reason_without_cookies() == "pinned"
