"""What every pin store does, and what only some do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from multidb.backends import get_pin_store
from multidb.backends.base import PinStore
from multidb.backends.cookie import SignedCookiePinStore
from multidb.middleware import pinning_cookie
from multidb.pinning import use_primary_db
from multidb.pins import Hold, Pin
from tests.conftest import MORE_KEYED, MORE_STORES, Clock, use_store

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Requests = Callable[..., HttpRequest]


@pytest.fixture
def requests(rf: RequestFactory) -> Requests:
    """Requests of one client with a session, each with what the store in use has put into the responses before it."""
    session = SessionStore()
    session["visits"] = 1
    session.save()
    return Browser(rf, session.session_key).request


@pytest.fixture(params=MORE_STORES)
def store(request: pytest.FixtureRequest) -> str:
    """The name of each store in turn, which ``MULTIDB_PIN_STORE`` then is."""
    use_store(request, request.param)
    return request.param


@pytest.fixture(params=MORE_KEYED)
def keyed_store(request: pytest.FixtureRequest) -> str:
    """The name of each store that files pins under keys, which ``MULTIDB_PIN_STORE`` then is."""
    use_store(request, request.param)
    return request.param


class Browser:
    def __init__(self, rf: RequestFactory, session_key: str) -> None:
        self._rf = rf
        self._session_key = session_key

    def request(self, *responses: HttpResponse) -> HttpRequest:
        request = self._rf.get("/")
        request.session = SessionStore(self._session_key)
        if isinstance(get_pin_store(), SignedCookiePinStore):
            for response in responses:
                request.COOKIES.update({name: morsel.value for name, morsel in response.cookies.items()})
        return request


def save(store: PinStore, request: HttpRequest, pin: Pin) -> HttpResponse:
    """Save ``pin`` as a request does, its session included."""
    response = HttpResponse()
    store.save(request, response, pin)
    if request.session.modified:
        request.session.save()
    return response


def until(pin: Pin | None) -> int | None:
    return pin and pin.holds["default"].until


def test_what_was_saved_is_loaded(store: str, requests: Requests, clock: Clock) -> None:
    pin = Pin.on(["default", "users"], clock() + 10)
    response = save(get_pin_store(), requests(), pin)
    assert get_pin_store().load(requests(response)) == pin


async def test_what_was_saved_is_loaded_by_the_async_twins(store: str, rf: RequestFactory, clock: Clock) -> None:
    pin = Pin.on(["default"], clock() + 10)
    request, response = rf.get("/", headers={"authorization": "Token x"}), HttpResponse()
    await get_pin_store().asave(request, response, pin)
    for name, morsel in response.cookies.items():
        request.COOKIES[name] = morsel.value
    assert await get_pin_store().aload(request) == pin


def test_nothing_was_saved(store: str, requests: Requests) -> None:
    assert get_pin_store().load(requests()) is None


def test_another_client_has_no_pin(store: str, requests: Requests, rf: RequestFactory, clock: Clock) -> None:
    save(get_pin_store(), requests(), Pin.on(["default"], clock() + 10))
    other = SessionStore()
    other["visits"] = 1
    other.save()
    assert get_pin_store().load(Browser(rf, other.session_key).request()) is None


@pytest.mark.parametrize(("first", "second"), [(10, 12), (12, 10)], ids=["later", "sooner"])
def test_a_pin_never_gets_shorter(store: str, requests: Requests, clock: Clock, first: float, second: float) -> None:
    now = clock()
    response = save(get_pin_store(), requests(), Pin.on(["default"], now + first))
    response = save(get_pin_store(), requests(response), Pin.on(["default"], now + second))
    assert until(get_pin_store().load(requests(response))) == until(Pin.on(["default"], now + 12))


def test_pins_on_two_primaries_are_kept_side_by_side(store: str, requests: Requests, clock: Clock) -> None:
    now = clock()
    response = save(get_pin_store(), requests(), Pin.on(["default"], now + 10))
    response = save(get_pin_store(), requests(response), Pin.on(["users"], now + 5))
    pin = Pin.on(["default"], now + 10).merge(Pin.on(["users"], now + 5))
    assert get_pin_store().load(requests(response)) == pin


def test_the_further_position_of_each_stream_wins(store: str, requests: Requests, clock: Clock) -> None:
    now = int(clock() * 1000) + 10_000
    first = Pin(
        {
            "default": Hold(now, {"0": "00000000000000000001", "1": "00000000000000000009"}),
            "users": Hold(now, {"0": "00000000000000000001"}),
        }
    )
    second = Pin(
        {"default": Hold(now - 1, {"0": "00000000000000000002", "2": "00000000000000000005"}), "users": Hold(now)}
    )
    response = save(get_pin_store(), requests(), first)
    response = save(get_pin_store(), requests(response), second)
    pin = get_pin_store().load(requests(response))
    assert pin.holds == {
        "default": Hold(now, {"0": "00000000000000000002", "1": "00000000000000000009", "2": "00000000000000000005"}),
        "users": Hold(now),
    }


def test_a_position_that_is_not_known_of_either_pin_stays_unknown(store: str, requests: Requests, clock: Clock) -> None:
    now = int(clock() * 1000) + 10_000
    response = save(get_pin_store(), requests(), Pin({"default": Hold(now)}))
    response = save(get_pin_store(), requests(response), Pin({"default": Hold(now, {"0": "00000000000000000001"})}))
    assert get_pin_store().load(requests(response)).holds == {"default": Hold(now)}


def test_a_pin_ends_at_its_time(store: str, requests: Requests, clock: Clock) -> None:
    response = save(get_pin_store(), requests(), Pin.on(["default"], clock() + 10))
    clock.advance(10.002)  # A pin counts in milliseconds, rounded up.
    assert get_pin_store().load(requests(response)) is None


@pytest.mark.parametrize("seconds", [15, 120])
def test_while_the_seconds_are_being_changed_a_pin_of_either_counts(
    store: str, requests: Requests, clock: Clock, settings: Any, seconds: float
) -> None:
    """Some processes have the old ones still."""
    settings.MULTIDB_PINNING_SECONDS = seconds
    begin = clock()
    response = save(get_pin_store(), requests(), Pin.on(["default"], begin + seconds))
    settings.MULTIDB_PINNING_SECONDS = 135 - seconds
    until = get_pin_store().load(requests(response)).holds["default"].until / 1000
    assert begin + 15 <= until <= clock() + 15.001


def test_a_client_without_a_key_is_pinned_by_the_signed_cookie(store: str, rf: RequestFactory, clock: Clock) -> None:
    request, response = rf.get("/"), HttpResponse()
    get_pin_store().save(request, response, Pin.on(["default"], clock() + 10))
    request.COOKIES[pinning_cookie()] = response.cookies[pinning_cookie()].value
    assert get_pin_store().load(request) is not None


def test_a_client_is_pinned_by_the_signed_cookie_too(store: str, requests: Requests, clock: Clock) -> None:
    """A request that knows of no pin may save the session as it was, end it, or give it another key."""
    pin = Pin.on(["default"], clock() + 10)
    response = save(get_pin_store(), requests(), pin)
    assert list(response.cookies) == [pinning_cookie()]
    assert not response.has_header("Vary")
    request = requests()
    request.COOKIES[pinning_cookie()] = response.cookies[pinning_cookie()].value
    assert SignedCookiePinStore().load(request) == pin


def test_a_pin_in_the_fallback_counts_with_the_one_in_the_store(store: str, requests: Requests, clock: Clock) -> None:
    now = clock()
    response = HttpResponse()
    SignedCookiePinStore().save(requests(), response, Pin.on(["users"], now + 12))
    save(get_pin_store(), requests(), Pin.on(["default"], now + 10))
    request = requests()
    request.COOKIES[pinning_cookie()] = response.cookies[pinning_cookie()].value
    pin = get_pin_store().load(request)
    assert "users" in pin.holds
    assert ("default" in pin.holds) is (store != "cookie")


@pytest.mark.parametrize("garbage", ["y", "", "{", "x" * 10_000, "a:b:c", "\ud800", "é", "\x00"])
def test_a_cookie_that_is_none_of_ours_is_no_pin(store: str, requests: Requests, garbage: str) -> None:
    request = requests()
    request.COOKIES[pinning_cookie()] = garbage
    assert get_pin_store().load(request) is None


def test_a_session_is_not_marked_as_read_by_a_look_up(store: str, requests: Requests) -> None:
    request = requests()
    get_pin_store().load(request)
    assert not request.session.accessed
    assert not request.session.modified


def test_a_session_that_is_gone_is_loaded_once(
    store: str, rf: RequestFactory, django_assert_max_num_queries: Any
) -> None:
    request = Browser(rf, "gonegonegonegonegonegonegonegone").request()
    with use_primary_db, django_assert_max_num_queries(1):
        get_pin_store().client(request)
        assert get_pin_store().load(request) is None


def test_a_user_is_found_without_a_query_for_it(
    keyed_store: str, rf: RequestFactory, clock: Clock, django_assert_num_queries: Any
) -> None:
    user = User.objects.create_user("ada")
    request = rf.get("/")
    request.user = user
    get_pin_store().save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session.save()
    queries = 1 if keyed_store != "database cache" else 2
    with use_primary_db, django_assert_num_queries(queries):
        assert get_pin_store().load(Browser(rf, session.session_key).request()) is not None


@pytest.mark.parametrize("name", ["session", "fake redis"])
def test_an_impossible_setting_is_raised_when_a_pin_is_looked_up(
    request: pytest.FixtureRequest, settings, requests: Requests, name: str, clock: Clock
) -> None:
    use_store(request, name)
    save(get_pin_store(), requests(), Pin.on(["default"], clock() + 10))
    settings.MULTIDB_PINNING_SECONDS = -1
    with pytest.raises(ImproperlyConfigured, match="MULTIDB_PINNING_SECONDS is -1"):
        get_pin_store().load(requests())
