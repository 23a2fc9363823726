"""The session store: in the session where there is one, and in the cookie."""

import time
from importlib import import_module

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpResponse
from django.test import Client, RequestFactory

from multidb.backends import get_pin_store
from multidb.backends.cookie import SignedCookiePinStore
from multidb.backends.session import SESSION_KEY, SessionPinStore
from multidb.middleware import pinning_cookie
from multidb.pins import Pin
from tests.conftest import Clock, lines, use_store

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def _session_store(request: pytest.FixtureRequest) -> None:
    use_store(request, "session")


def test_a_session_that_exists_carries_the_pin_and_so_does_the_cookie(client: Client) -> None:
    """Another request may save the session as it was before, or end it."""
    client.get("/remember")
    response = client.post("/nothing")
    assert pinning_cookie() in response.cookies
    assert SESSION_KEY in client.session


def test_a_response_varies_on_the_session_cookie_only_where_it_carries_it(client: Client) -> None:
    """Else a shared cache would give one visitor's session to the next."""
    response = client.post("/remember")
    assert "sessionid" in response.cookies
    assert "Cookie" in response["Vary"]
    response = client.post("/nothing")
    assert list(response.cookies) == [pinning_cookie()]
    assert not response.has_header("Vary")
    del client.cookies[pinning_cookie()]
    assert client.get("/read").json()["reason"] == "pinned"


def test_a_session_that_the_view_changed_is_accessed(rf: RequestFactory, clock: Clock) -> None:
    """From this Django decides on ``Vary``, in its first releases of 5.2 from this alone."""
    request = rf.get("/")
    request.session = SessionStore()
    request.session["visits"] = 1
    request.session.accessed = False
    SessionPinStore().save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    assert request.session.accessed


@pytest.mark.parametrize("engine", ["db", "signed_cookies"])
def test_a_view_s_own_status_499_is_a_response_like_any_other(client: Client, settings, engine: str) -> None:
    """It is what nginx logs for a client that has gone, but a view may answer it too."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    client.get("/remember")
    assert client.post("/remember?status=499").status_code == 499
    del client.cookies[pinning_cookie()]
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize("everyone", [False, True], ids=["as needed", "SESSION_SAVE_EVERY_REQUEST"])
def test_a_pin_is_kept_however_sessions_are_saved(client: Client, settings, everyone: bool) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = everyone
    client.get("/remember")
    client.post("/nothing")
    assert SESSION_KEY in client.session
    del client.cookies[pinning_cookie()]
    assert client.get("/read").json()["reason"] == "pinned"


def test_a_session_deleted_meanwhile_fails_no_request_and_loses_no_pin(client: Client) -> None:
    """A log-out in another tab, while a view that does not touch the session writes."""
    client.get("/remember")
    response = client.post("/log-out-elsewhere")
    assert response.status_code == 200
    assert pinning_cookie() in response.cookies
    assert client.get("/read").json()["reason"] == "pinned"


def test_what_another_request_puts_into_the_session_meanwhile_stays_there(rf: RequestFactory, clock: Clock) -> None:
    """The view has read the session, and has not changed it."""
    request = rf.post("/")
    request.session = SessionStore()
    request.session["visits"] = 1
    request.session.save()
    request.session = SessionStore(request.session.session_key)
    assert request.session["visits"] == 1
    other = SessionStore(request.session.session_key)
    other["basket"] = ["a book"]
    other.save()
    get_pin_store().save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    saved = SessionStore(request.session.session_key)
    assert saved["basket"] == ["a book"]
    assert SESSION_KEY in saved
    assert not request.session.modified


def test_a_pin_is_merged_with_the_one_that_another_request_has_put_there_meanwhile(
    rf: RequestFactory, clock: Clock
) -> None:
    """After this request has looked its own up."""
    request, other = rf.post("/"), rf.post("/")
    request.session = SessionStore()
    request.session["visits"] = 1
    request.session.save()
    for each in (request, other):
        each.session = SessionStore(request.session.session_key)
    store = SessionPinStore()
    assert store.load(request) is None
    further, nearer = ({"default": {"lsn": f"{number:016X}"}} for number in (2, 1))
    now = clock()
    store.save(other, HttpResponse(), Pin.on(further, now + 5))
    store.save(request, HttpResponse(), Pin.on(nearer, now + 10))
    assert store.load(other) == Pin.on(further, now + 10)


def test_a_pin_that_has_run_out_by_then_is_not_put_there(
    rf: RequestFactory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    request = rf.post("/")
    request.session = SessionStore()
    request.session["visits"] = 1
    SessionPinStore().save(request, HttpResponse(), Pin.on(["default"], clock() - 1))
    assert SESSION_KEY not in request.session
    assert lines(caplog) == []


def test_a_session_that_cannot_be_saved_fails_no_request_and_loses_no_pin(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/remember")

    def fail(self: SessionStore, session_dict: object) -> str:
        raise OSError("the session store is down")

    monkeypatch.setattr(SessionStore, "encode", fail)
    response = client.post("/nothing")
    assert pinning_cookie() in response.cookies
    assert "could not be saved" in caplog.text


def test_a_session_that_holds_only_a_pin_is_none(rf: RequestFactory) -> None:
    """It was emptied by a log-out, say, and is not kept for the pin's sake."""
    request, response = rf.get("/"), HttpResponse()
    request.session = SessionStore()
    request.session[SESSION_KEY] = ""
    store = SessionPinStore()
    store.fallback = SignedCookiePinStore()
    store.save(request, response, Pin.on(["default"], time.time() + 10))
    assert pinning_cookie() in response.cookies
    assert request.session[SESSION_KEY] == ""


def test_no_session_is_made_for_a_pin(client: Client) -> None:
    response = client.post("/nothing")
    assert list(response.cookies) == [pinning_cookie()]


def test_a_server_error_is_pinned_by_the_cookie_because_django_saves_no_session_with_it() -> None:
    client = Client(raise_request_exception=False)
    client.get("/remember")
    response = client.post("/post-and-fail")
    assert pinning_cookie() in response.cookies
    assert SESSION_KEY not in client.session


ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


@pytest.fixture
def engine(request: pytest.FixtureRequest, settings, tmp_path) -> str:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return request.param


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_every_engine_of_django_carries_the_pin_with_what_the_view_changes(client: Client, engine: str) -> None:
    client.post("/remember")
    del client.cookies[pinning_cookie()]
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize(
    ("engine", "reason"),
    [(name, "pinned" if name in ("db", "cached_db") else "replica") for name in ENGINES],
    indirect=["engine"],
)
def test_a_session_that_the_view_leaves_alone_carries_the_pin_where_it_is_in_the_database(
    client: Client, engine: str, reason: str
) -> None:
    """No other can be changed without the risk to bring back one that has ended. The cookie has the pin."""
    client.get("/remember")
    response = client.post("/nothing")
    assert list(response.cookies) == [pinning_cookie()]
    assert not response.has_header("Vary")
    assert client.get("/read").json()["reason"] == "pinned"
    del client.cookies[pinning_cookie()]
    assert client.get("/read").json()["reason"] == reason


@pytest.mark.parametrize("engine", ENGINES[:-1], indirect=True)
def test_a_session_that_is_ended_while_its_pin_is_saved_does_not_come_back(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    """As by a log-out beside the request that writes. The cookie has the pin too."""
    client.get("/remember")
    key = client.session.session_key
    sessions = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
    put = SessionPinStore._with_pin

    def end_before(store: SessionPinStore, *arguments: object) -> object:
        sessions(key).flush()
        return put(store, *arguments)

    monkeypatch.setattr(SessionPinStore, "_with_pin", end_before)
    assert pinning_cookie() in client.post("/nothing").cookies
    monkeypatch.setattr(SessionPinStore, "_with_pin", put)
    if engine in ("cache", "file"):
        assert sessions().exists(key), "It was looked at, though nothing can be put into it."
    else:
        assert not sessions().exists(key)
        assert dict(sessions(key).items()) == {}
    assert lines(caplog) == []


def test_without_sessions_nothing_is_read_or_written(rf: RequestFactory, caplog: pytest.LogCaptureFixture) -> None:
    store, request, response = SessionPinStore(), rf.get("/"), HttpResponse()
    store.save(request, response, Pin.on(["default"], 1))
    assert store.load(request) is None
    assert not response.cookies
    assert lines(caplog) == []


# What a cookie can hold, as by an octal escape in quotes, and no engine makes: http.cookies turns "\000" into NUL.
IMPOSSIBLE_KEYS = [
    *["\0" * 8, "abc\0" * 8, "a b c d e f", "\n" * 32],
    *["é" * 32, "\U0001f600" * 8, "\udcff" * 8, "x" * 4097],
]


@pytest.mark.parametrize("key", IMPOSSIBLE_KEYS, ids=lambda key: ascii(key[:4]).replace("\\", ""))
@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file", "signed_cookies"])
def test_a_key_that_no_engine_makes_is_not_looked_up(
    rf: RequestFactory, settings, monkeypatch: pytest.MonkeyPatch, engine: str, key: str
) -> None:
    """A database may fail to compare it: PostgreSQL takes no NUL, a table in latin1 no emoji."""
    engine = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
    monkeypatch.setattr(engine, "load", lambda session: pytest.fail("it was looked up"))
    request, response = rf.get("/"), HttpResponse()
    request.session = engine(key)
    get_pin_store().save(request, response, Pin.on(["default"], time.time() + 10))
    assert get_pin_store().load(request) is None
    assert pinning_cookie() in response.cookies
    assert request.session.session_key == key
    assert not request.session.accessed
    assert not request.session.modified


def test_a_pin_is_looked_up_again_when_the_session_is_another(rf: RequestFactory) -> None:
    request = rf.get("/")
    assert list(SessionPinStore().client(request)) == []
    request.session = SessionStore("x" * 32)
    assert list(SessionPinStore().client(request)) == ["x" * 32]


def test_the_round_trip_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the engine is asked until it has answered."""
    now, exists = [10.0], SessionStore.exists

    def slowly(session: SessionStore, key: str) -> bool:
        now[0] += 0.25
        return exists(session, key)

    monkeypatch.setattr("multidb.backends.session.monotonic", lambda: now[0])
    monkeypatch.setattr(SessionStore, "exists", slowly)
    assert SessionPinStore().inspect().round_trip == 0.25
