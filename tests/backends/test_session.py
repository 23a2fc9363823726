"""The session store: in the session where there is one, in the cookie where there is none."""

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpResponse
from django.test import Client, RequestFactory

from multidb.backends.session import SESSION_KEY, SessionPinStore
from multidb.middleware import pinning_cookie
from multidb.pins import Pin
from tests.conftest import use_store

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def _session_store(request: pytest.FixtureRequest) -> None:
    use_store(request, "session")


def test_a_session_that_exists_carries_the_pin(client: Client) -> None:
    client.get("/remember")
    response = client.post("/nothing")
    assert pinning_cookie() not in response.cookies
    assert SESSION_KEY in client.session


def test_a_response_that_carries_the_session_varies_on_its_cookie(client: Client) -> None:
    """Else a shared cache would give one visitor's session to the next."""
    client.get("/remember")
    response = client.get("/aget-that-writes")
    assert response.cookies["sessionid"].value
    assert "Cookie" in response["Vary"]


def test_the_session_is_accessed_when_the_pin_is_written(rf: RequestFactory) -> None:
    """From this Django decides on ``Vary``, in its first releases of 5.2 from this alone."""
    request = rf.get("/")
    request.session = SessionStore()
    request.session["visits"] = 1
    request.session.accessed = False
    SessionPinStore().save(request, HttpResponse(), Pin.on(["default"], 1))
    assert request.session.accessed


def test_no_session_is_made_for_a_pin(client: Client) -> None:
    response = client.post("/nothing")
    assert list(response.cookies) == [pinning_cookie()]


def test_a_server_error_is_pinned_by_the_cookie_because_django_saves_no_session_with_it() -> None:
    client = Client(raise_request_exception=False)
    client.get("/remember")
    response = client.post("/post-and-fail")
    assert pinning_cookie() in response.cookies


@pytest.mark.parametrize(
    "engine", ["db", "cached_db", "cache", "file", "signed_cookies"], ids=lambda engine: f"{engine} sessions"
)
def test_every_engine_of_django_carries_the_pin(client: Client, settings, tmp_path, engine: str) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    client.get("/remember")
    response = client.post("/nothing")
    assert pinning_cookie() not in response.cookies
    assert client.get("/read").json()["reason"] == "pinned"


def test_without_sessions_nothing_is_read_or_written(rf: RequestFactory) -> None:
    store, request, response = SessionPinStore(), rf.get("/"), HttpResponse()
    store.save(request, response, Pin.on(["default"], 1))
    assert store.load(request) is None
    assert not response.cookies
