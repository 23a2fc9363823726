"""The signed cookie: nobody forges it, an old one pins nobody, and a new key does not end it."""

import zlib
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, RequestFactory

from multidb.backends import get_pin_store
from multidb.backends.cookie import LONGEST_COOKIE, SignedCookiePinStore, _Text
from multidb.middleware import pinning_cookie
from multidb.pins import Pin
from tests.conftest import Clock, lines


def cookie_of(pin: Pin) -> str:
    response = HttpResponse()
    SignedCookiePinStore().save(HttpRequest(), response, pin)
    return response.cookies[pinning_cookie()].value


def load(cookie: str) -> Pin | None:
    request = RequestFactory().get("/")
    request.COOKIES[pinning_cookie()] = cookie
    return SignedCookiePinStore().load(request)


@pytest.fixture
def pin(clock: Clock) -> Pin:
    return Pin.on(["default"], clock() + 15)


def test_it_is_read_back(pin: Pin) -> None:
    assert load(cookie_of(pin)) == pin


async def test_its_async_twins_do_the_same(pin: Pin, clock: Clock) -> None:
    request, response, other = HttpRequest(), HttpResponse(), Pin.on(["users"], clock() + 15)
    request.COOKIES[pinning_cookie()] = cookie_of(pin)
    assert await SignedCookiePinStore().aload(request) == pin
    await SignedCookiePinStore().asave(request, response, other)
    assert load(response.cookies[pinning_cookie()].value) == pin.merge(other)


def test_a_forged_one_is_no_pin(pin: Pin) -> None:
    cookie = cookie_of(pin)
    payload, timestamp, signature = cookie.split(":")
    assert load(f"{payload}:{timestamp}:{signature[:-1]}") is None
    assert load(f"{payload}:{signing.b62_encode(10**10)}:{signature}") is None
    assert load(f"{cookie_of(Pin.on(['users'], 1e9)).split(':')[0]}:{timestamp}:{signature}") is None
    assert load(pin.encode()) is None


def test_one_signed_for_another_purpose_or_name_is_no_pin(pin: Pin, settings) -> None:
    assert load(signing.dumps(pin.encode())) is None
    cookie = cookie_of(pin)
    settings.MULTIDB_PINNING_COOKIE = "other"
    assert load(cookie) is None


def test_one_that_is_signed_and_no_pin_is_no_pin() -> None:
    class Text:
        def dumps(self, text: str) -> bytes:
            return text.encode("latin-1")

    salt = f"multidb.backends.cookie:{pinning_cookie()}"
    assert load(signing.dumps("y", salt=salt, serializer=Text)) is None
    assert load(signing.dumps("\xff", salt=salt, serializer=Text)) is None


@pytest.mark.parametrize(
    "signed",
    [
        *["", "!", "é", "e30", ".", ".e30", "." + signing.b64_encode(zlib.compress(b" " * 2_400_000 + b"{}")).decode()],
        *[f"{signing.b64_encode(text.encode()).decode()}" for text in ["[" * 2500, '{"default":[' + "9" * 2500 + "]}"]],
        *[f"{signing.b64_encode(text.encode()).decode()}" for text in ['{"default":[NaN]}', '{"default":[1e999]}']],
    ],
    ids=lambda text: text[:12].replace("é", "e acute"),
)
@pytest.mark.parametrize("time", [None, "", "-", "!", "Z" * 600])
def test_whatever_is_signed_is_no_error(signed: str, time: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """As if somebody else had signed with our salt: neither the pin nor the time has to be one."""
    salt = f"multidb.backends.cookie:{pinning_cookie()}"
    if time is None:
        cookie = signing.TimestampSigner(salt=salt).sign(signed)
    else:
        cookie = signing.Signer(salt=salt).sign(f"{signed}:{time}")
    assert len(cookie) <= LONGEST_COOKIE
    assert load(cookie) is None
    assert "could not be read" not in caplog.text


def test_one_that_is_compressed_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlib.decompress", lambda *_: pytest.fail("it was unpacked"))
    bomb = signing.dumps("0" * 2_900_000, salt=f"multidb.backends.cookie:{pinning_cookie()}", compress=True)
    assert len(bomb) <= LONGEST_COOKIE
    assert load(bomb) is None


def test_an_old_one_pins_nobody_although_the_browser_kept_it(clock: Clock, settings) -> None:
    """Its age is checked apart from the time that it names."""
    settings.MULTIDB_PINNING_SECONDS = 60
    cookie = cookie_of(Pin.on(["default"], clock() + 60))
    settings.MULTIDB_PINNING_SECONDS = 15
    clock.advance(30)
    assert load(cookie) is None


def test_it_holds_to_the_end_whatever_fraction_of_a_second_it_was_signed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.999)
    cookie = cookie_of(Pin.on(["default"], 1_700_000_015.999))
    monkeypatch.setattr("time.time", lambda: 1_700_000_015.99)
    assert load(cookie) is not None
    monkeypatch.setattr("time.time", lambda: 1_700_000_016.0)
    assert load(cookie) is None


def test_its_age_in_the_browser_is_the_seconds(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0001)
    response = HttpResponse()
    SignedCookiePinStore().save(HttpRequest(), response, Pin.on(["default"], 1_700_000_015.0001))
    assert response.cookies[pinning_cookie()]["max-age"] == 15


def test_a_secret_key_that_was_rotated_still_counts(pin: Pin, settings) -> None:
    cookie = cookie_of(pin)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key"
    assert load(cookie) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert load(cookie) == pin


@pytest.mark.parametrize(
    ("setting", "attribute", "value"),
    [
        ("SECURE", "secure", True),
        ("HTTPONLY", "httponly", True),
        ("SAMESITE", "samesite", "Strict"),
    ],
)
def test_its_attributes_are_those_of_the_settings(pin: Pin, settings, setting: str, attribute: str, value: Any) -> None:
    setattr(settings, f"MULTIDB_PINNING_COOKIE_{setting}", value)
    response = HttpResponse()
    SignedCookiePinStore().save(HttpRequest(), response, pin)
    assert response.cookies[pinning_cookie()][attribute] == value


def test_one_that_is_as_long_as_a_browser_keeps_is_kept_and_one_that_is_longer_is_not(
    pin: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = cookie_of(pin)
    monkeypatch.setattr("multidb.backends.cookie.LONGEST_COOKIE", len(cookie))
    assert load(cookie) == pin
    monkeypatch.setattr("multidb.backends.cookie.LONGEST_COOKIE", len(cookie) - 1)
    assert load(cookie) is None
    monkeypatch.setattr("multidb.backends.cookie.LONGEST_COOKIE", len(pinning_cookie()) + len(cookie))
    assert load(cookie_of(pin)) == pin


def test_one_that_no_browser_need_keep_is_no_pin(clock: Clock) -> None:
    pin = Pin.on([f"primary-{number}" for number in range(200)], clock() + 10)
    salt = f"multidb.backends.cookie:{pinning_cookie()}"
    cookie = signing.dumps(pin.encode(), salt=salt, serializer=_Text)
    assert len(cookie) > 4096
    assert load(cookie) is None


def test_positions_that_do_not_fit_are_left_out(clock: Clock) -> None:
    positions, until = {f"primary-{number}": {"lsn": "0" * 16} for number in range(60)}, clock() + 10
    cookie = cookie_of(Pin.on(positions, until))
    assert len(pinning_cookie()) + len(cookie) <= 4096
    assert load(cookie) == Pin.on(positions.keys(), until)


def test_a_pin_that_does_not_fit_at_all_is_said(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A browser would drop the cookie without a word."""
    response = HttpResponse()
    pin = Pin.on([f"primary-{number}" for number in range(200)], clock() + 10)
    SignedCookiePinStore().save(HttpRequest(), response, pin)
    assert not response.cookies
    assert lines(caplog) == ["A pin is longer than the 4096 bytes of a cookie, which cannot carry it."]


def test_it_is_short(pin: Pin) -> None:
    """One of two primaries fits a header many times over."""
    assert len(cookie_of(Pin.on(["default", "users"], 1_700_000_000))) < 130


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        ("GET", None, "private"),
        ("HEAD", None, "private"),
        ("GET", "public, max-age=60", "max-age=60, private"),
        ("GET", "no-store", "no-store, private"),
        ("POST", None, None),
        ("POST", "no-store", "no-store"),
    ],
)
def test_no_shared_cache_keeps_it(pin: Pin, method: str, before: str | None, after: str | None) -> None:
    """Of what is answered to other methods caches keep nothing, and it is left alone."""
    response = HttpResponse(headers={} if before is None else {"Cache-Control": before})
    SignedCookiePinStore().save(RequestFactory().generic(method, "/"), response, pin)
    assert response.get("Cache-Control") == after


class Audited(SignedCookiePinStore):
    """Notes in a table whom it pins, as a method that is not async may."""

    def _write(self, request: HttpRequest, response: Any, text: str, seconds: float) -> None:
        Group.objects.create(name=f"pinned {Group.objects.count()}")
        super()._write(request, response, text, seconds)

    def load(self, request: HttpRequest) -> Pin | None:
        Group.objects.count()
        return super().load(request)


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_a_store_with_a_way_of_its_own_is_asked_in_a_thread(settings: Any) -> None:
    """Else it would keep the event loop waiting, and lose the pin."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Audited"}
    client = AsyncClient()
    assert (await client.post("/anothing")).cookies
    assert await Group.objects.acount() == 1
    assert await get_pin_store().aload((await client.get("/anothing")).asgi_request) is not None
