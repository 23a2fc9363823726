"""What a pin store has from its base: one of a project's own fails no request and loses no pin."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.db import DataError, IntegrityError, router
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory

from multidb.backends import base, get_pin_store
from multidb.backends.base import PinStore
from multidb.backends.cookie import SignedCookiePinStore
from multidb.backends.keyed import KeyedPinStore
from multidb.middleware import pinning_cookie
from multidb.pins import Pin, PinStoreUnavailable
from tests.conftest import COOKIE, SESSION, Ahead, Clock, lines
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Broken(PinStore):
    """A store that fails to read and to write."""

    def _read(self, request: HttpRequest) -> list[str]:
        raise OSError("the store is down")

    def _write(self, request: HttpRequest, response: HttpResponse, text: str, seconds: float) -> bool:
        raise OSError("the store is down")


def test_a_store_that_fails_loses_no_pin_and_fails_no_request(
    settings, client, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Broken"}
    with caplog.at_level(logging.CRITICAL, logger="multidb"):
        assert client.get("/read").json()["reason"] == "store down"
        client.post("/nothing")
        assert client.get("/read").json()["reason"] == "pinned"


class OwnPinStore(PinStore):
    """A project's own store: pins by the address of the client, in this process."""

    def __init__(self, *, places: dict | None = None) -> None:
        self._texts = {} if places is None else places

    def _read(self, request: HttpRequest) -> list[str | None]:
        return [self._texts.get(request.META["REMOTE_ADDR"])]

    def _write(self, request: HttpRequest, response: HttpResponse, text: str, seconds: float) -> bool:
        self._texts[request.META["REMOTE_ADDR"]] = text
        return True


class Flaky(OwnPinStore):
    """A store of a project, which can be told to fail."""

    error: ClassVar[Exception | None] = None

    def _read(self, request: HttpRequest) -> list[str | None]:
        return super()._read(request) if self.error is None else self._fail()

    def _write(self, request: HttpRequest, response: HttpResponse, text: str, seconds: float) -> bool:
        return super()._write(request, response, text, seconds) if self.error is None else self._fail()

    def _fail(self) -> Any:
        raise self.error


class FlakyKeyed(KeyedPinStore):
    """A keyed store of a project, which can be told to fail."""

    error: ClassVar[Exception | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[str, str] = {}

    def _get(self, keys: list[str]) -> list[str | None]:
        return [self._texts.get(key) for key in keys] if self.error is None else self._fail()

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        if self.error is not None:
            self._fail()
        self._texts.update(dict.fromkeys(keys, text))
        return True

    def _fail(self) -> Any:
        raise self.error


class Merging(FlakyKeyed):
    """Whose server merges, so that it need not be asked what it has."""

    merges = True

    def _get(self, keys: list[str]) -> list[str | None]:
        pytest.fail("it was asked")

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        assert 9 < seconds < 10.1  # Up to the millisecond after it.
        return super()._set(keys, text, seconds)


def test_a_keyed_store_that_merges_is_not_asked_before_it_is_written_to(rf: RequestFactory, clock: Clock) -> None:
    store, pin = Merging(), Pin.on(["default"], clock() + 10)
    store.save(rf.get("/", headers={"authorization": "Token x"}), HttpResponse(), pin)
    [text] = store._texts.values()
    assert Pin.decode(text) == pin


@pytest.fixture
def flaky(settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Flaky"}
    return lambda error: monkeypatch.setattr(Flaky, "error", error)


def reason() -> str:
    """Of a client without cookies."""
    return str(Client().get("/read").json()["reason"])


def test_a_pin_that_a_project_s_own_store_did_not_take_is_missed_until_it_has_run_out(
    flaky: Callable[[Exception | None], None], clock: Clock, monotonic: Ahead
) -> None:
    assert reason() == "replica"
    flaky(OSError("the store is down"))
    Client().post("/nothing")
    flaky(None)
    monotonic.now += 6.1
    assert reason() == "store down"
    monotonic.now += 6.1
    clock.advance(14.8)
    assert reason() == "store down"
    clock.advance(0.3)
    assert reason() == "replica"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        KeyError(),
        DataError(),
        IntegrityError(),
        SuspiciousOperation(),
        ZeroDivisionError(),
    ],
)
@pytest.mark.parametrize("flaky_store", [Flaky, FlakyKeyed])
def test_what_one_client_s_request_does_to_the_store_is_no_failure_for_the_others(
    settings: Any, monkeypatch: pytest.MonkeyPatch, flaky_store: type[Flaky | FlakyKeyed], error: Exception
) -> None:
    """Else whoever finds such a request sends everybody to the primary."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.{flaky_store.__name__}"}
    client = Client(headers={"authorization": "Token x"})
    monkeypatch.setattr(flaky_store, "error", error)
    assert client.get("/read").json()["reason"] == "store down"
    assert pinning_cookie() in client.post("/nothing").cookies
    monkeypatch.setattr(flaky_store, "error", None)
    assert Client(headers={"authorization": "Token y"}).get("/read").json()["reason"] == "replica"


def test_such_a_request_takes_from_nobody_the_turn_to_ask_a_store_that_has_failed(
    flaky: Callable[[Exception | None], None], monotonic: Ahead
) -> None:
    flaky(OSError("the store is down"))
    assert reason() == "store down"
    monotonic.now += 6.1
    flaky(ValueError())
    assert reason() == "store down"
    flaky(None)
    assert reason() == "store down"  # Others may owe pins still.
    assert not get_pin_store().outage.is_resting()
    monotonic.now += 6.1
    assert reason() == "replica"


class ComesBack(OwnPinStore):
    """A store that is back in the moment between the two questions that saving takes."""

    ahead: ClassVar[Any] = None

    def _with_known(self, request: HttpRequest, pin: Pin) -> Pin:
        known = super()._with_known(request, pin)
        self.ahead.now += 6.1
        return known


def test_a_pin_that_may_have_been_written_over_is_missed(
    rf: RequestFactory, settings: Any, clock: Clock, monotonic: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not merge is read first, and may be back when it is written to, a moment later."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.ComesBack"}
    monkeypatch.setattr(ComesBack, "ahead", monotonic)
    store, begin = get_pin_store(), clock()
    for primary in ("users", "default"):
        store.save(rf.get("/"), HttpResponse(), Pin.on([primary], clock() + 10))
        if primary == "users":
            assert store.outage.missing_until == 0
            store.outage.failed(OSError())
    assert store.outage.missing_until >= (begin + 15) * 1000 - 1


class Raising(OwnPinStore):
    """Whose own methods do not keep to what the base class promises."""

    def load(self, request: HttpRequest) -> Pin | None:
        raise OSError(request.META["HTTP_AUTHORIZATION"])

    def save(self, request: HttpRequest, response: HttpResponse, pin: Pin) -> None:
        raise OSError(request.META["HTTP_AUTHORIZATION"])


class RaisingCookie(SignedCookiePinStore):
    save = Raising.save


@pytest.mark.parametrize("method", ["post", "apost"])
def test_a_load_or_save_of_a_project_s_own_that_raises_fails_no_request_and_loses_no_pin(
    settings: Any, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Raising"}
    client = Client(headers={"authorization": "Token x"})
    assert client.get("/read").json()["reason"] == "store down"
    if method == "post":
        assert pinning_cookie() in client.post("/nothing").cookies
    else:
        response = async_to_sync(AsyncClient().post)("/anothing", headers={"authorization": "Token x"})
        assert pinning_cookie() in response.cookies
    assert [line.partition("\n")[0] for line in lines(caplog)] == [
        "The pin of a client could not be looked up: OSError:",
        "The pin of a client could not be saved: OSError:",
    ]
    assert "Token x" not in caplog.text
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.RaisingCookie"}
    assert client.post("/nothing").status_code == 200


class Impossible(OwnPinStore):
    def save(self, request: HttpRequest, response: HttpResponse, pin: Pin) -> None:
        raise ImproperlyConfigured("its setting")


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
def test_but_one_that_finds_a_setting_impossible_says_so(settings: Any, client_class: Any) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Impossible"}
    post = client_class().post
    with pytest.raises(ImproperlyConfigured, match="its setting"):
        (post if client_class is Client else async_to_sync(post))("/nothing")


def test_a_store_that_fails_is_logged_once(settings, client, caplog: pytest.LogCaptureFixture) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Broken"}
    client.get("/read")
    client.post("/nothing")
    messages = [record.message for record in caplog.records if record.name == "multidb"]
    assert messages == ["The pin store Broken is left alone: OSError: the store is down"]


@pytest.mark.parametrize("store", [COOKIE, SESSION])
def test_an_impossible_setting_is_raised_and_not_logged_away(settings, client, store: str) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": store}
    client.get("/remember")
    settings.MULTIDB_PINNING_SECONDS = -1
    with pytest.raises(ImproperlyConfigured, match="MULTIDB_PINNING_SECONDS is -1"):
        get_pin_store().save(client.get("/nothing").wsgi_request, HttpResponse(), Pin.on(["default"], 0))


class ReadingStore(PinStore):
    """Notes where its own reads go."""

    aliases: ClassVar[list[str]] = []

    def _read(self, request: HttpRequest) -> list[str]:
        self.aliases.append(router.db_for_read(Post))
        return []

    def _write(self, request: HttpRequest, response: HttpResponse, text: str, seconds: float) -> bool:
        self.aliases.append(router.db_for_read(Post))
        return True


def test_a_store_reads_from_the_primary(settings, client, async_client) -> None:
    """Also while it saves the pin of a request that reads from a replica."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.ReadingStore"}
    ReadingStore.aliases.clear()
    assert client.get("/marked?write=yes").json()["reason"] == "replica"
    assert async_to_sync(async_client.get)("/marked?write=yes").status_code == 200
    assert ReadingStore.aliases == ["default"] * 6


def test_a_project_s_own_store_needs_two_methods(settings, client) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.OwnPinStore"}
    client.post("/nothing")
    client.cookies.clear()
    assert client.get("/read").json()["reason"] == "pinned"
    assert client.get("/read", REMOTE_ADDR="10.0.0.2").json()["reason"] == "replica"


def test_what_it_keeps_and_is_no_pin_pins_nobody_and_is_said_once(
    settings, client, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MULTIDB_PIN_STORE = {
        "BACKEND": f"{__name__}.OwnPinStore",
        "OPTIONS": {"places": {"127.0.0.1": "a secret"}},
    }
    assert [client.get("/read").json()["reason"] for _ in range(2)] == ["replica", "replica"]
    assert lines(caplog) == ["What OwnPinStore holds for a client is no pin: it pins nobody."]


class InTheResponse(PinStore):
    """A project's own store: the client is sent its pin, and for how long to send it back."""

    def _read(self, request: HttpRequest) -> list[str | None]:
        return [request.headers.get("X-Pin")]

    def _write(self, request: HttpRequest, response: HttpResponse, text: str, seconds: float) -> None:
        response["X-Pin"], response["X-Seconds"] = text, str(seconds)


def test_it_is_given_the_response_and_the_seconds_that_are_left(rf: RequestFactory, clock: Clock) -> None:
    pin, response = Pin.on(["default"], clock() + 10), HttpResponse()
    InTheResponse().save(rf.get("/"), response, pin)
    assert Pin.decode(response["X-Pin"]) == pin
    assert float(response["X-Seconds"]) == pytest.approx(10, abs=1)


def test_what_it_asks_its_server_with_is_passed_on() -> None:
    assert OwnPinStore()._asked(dict, [("key", 1)], timeout=2) == {"key": 1, "timeout": 2}


class SlowlyMade(OwnPinStore):
    """Notes when one is made, which takes a moment."""

    made: ClassVar[list[object]] = []

    def __init__(self) -> None:
        super().__init__()
        self.made.append(self)
        time.sleep(0.05)


def test_of_two_threads_that_need_the_store_first_one_makes_it(settings: Any) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.SlowlyMade"}
    SlowlyMade.made.clear()
    start = threading.Barrier(4)

    def need(_: int) -> PinStore:
        start.wait(10)
        return get_pin_store()

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(need, range(4))) == set(SlowlyMade.made)
    assert len(SlowlyMade.made) == 1


def test_the_store_is_made_anew_only_when_the_setting_is_another(settings) -> None:
    first = get_pin_store()
    assert get_pin_store() is first
    settings.MULTIDB_PIN_STORE = {"BACKEND": COOKIE}
    assert get_pin_store() is not first


async def test_a_store_of_its_own_has_no_fallback_to_ask_or_tell(rf: RequestFactory, clock: Clock) -> None:
    """As one that ``get_pin_store()`` has not made."""
    store, response = FlakyKeyed(), HttpResponse()
    request = rf.get("/", headers={"authorization": "Token ada"})
    pin = Pin.on(["default"], clock() + 10)
    await store.asave(request, response, pin)
    assert not response.cookies
    assert await store.aload(request) == pin


def test_two_threads_that_come_at_once_get_one_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    store, first = OwnPinStore(), []

    class Meanwhile(base.Outage):
        """Made while another thread makes one too, and is sooner done."""

        def __init__(self, name: str) -> None:
            super().__init__(name)
            if not first:
                first.append(self)
                first.append(store.outage)

    monkeypatch.setattr(base, "Outage", Meanwhile)
    assert store.outage is first[1]


class Partial(OwnPinStore):
    """A store that has two pins of each client, and fails before it has told all that there are."""

    asks_by_itself = True
    pins: ClassVar[list[Pin]] = []
    is_whole: ClassVar[bool] = False

    def _read(self, request: HttpRequest) -> Any:
        yield from (pin.encode() for pin in self.pins)
        if not self.is_whole:
            raise PinStoreUnavailable


@pytest.mark.parametrize("is_awaited", [False, True])
@pytest.mark.parametrize("is_whole", [False, True])
def test_all_that_is_found_is_known_and_what_the_cookie_has_too(
    rf: RequestFactory, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch, is_awaited: bool, is_whole: bool
) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Partial"}
    store, response = get_pin_store(), HttpResponse()
    store.fallback.save(rf.get("/"), response, Pin.on(["cookie"], clock() + 10))
    rf.cookies = response.cookies
    monkeypatch.setattr(Partial, "pins", [Pin.on(["default"], clock() + 10), Pin.on(["users"], clock() + 10)])
    monkeypatch.setattr(Partial, "is_whole", is_whole)
    load = async_to_sync(store.aload) if is_awaited else store.load
    if is_whole:
        pin = load(rf.get("/"))
    else:
        with pytest.raises(PinStoreUnavailable) as raised:
            load(rf.get("/"))
        pin = raised.value.pin
    assert set(pin.holds) == {"default", "users", "cookie"}


def test_what_was_told_of_a_pin_is_merged_with_the_one_that_takes_its_place(
    rf: RequestFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it may not be all that there is."""
    monkeypatch.setattr(Partial, "pins", [Pin.on(["users"], clock() + 10)])
    places: dict[str, str] = {}
    store = Partial(places=places)
    store.save(rf.get("/"), HttpResponse(), Pin.on(["default"], clock() + 10))
    [text] = places.values()
    assert Pin.decode(text).holds.keys() == {"default", "users"}
    assert store.outage.missing_until == 0


def test_a_project_s_own_save_gets_the_response_on_an_event_loop_too(rf: RequestFactory, clock: Clock) -> None:
    saved: list[Any] = []

    class Saves(OwnPinStore):
        def save(self, *arguments: Any) -> None:
            saved.extend(arguments)

    arguments = rf.get("/"), HttpResponse(), Pin.on(["default"], clock() + 10)
    async_to_sync(Saves().asave)(*arguments)
    assert [each is given for each, given in zip(saved, arguments, strict=True)] == [True] * 3


def test_a_store_that_has_no_pin_of_a_client_is_not_read(rf: RequestFactory) -> None:
    class Elsewhere(OwnPinStore):
        def _may_have_one_of(self, request: HttpRequest) -> bool:
            return False

        def _read(self, request: HttpRequest) -> Any:
            pytest.fail("It was read.")

    assert Elsewhere().load(rf.get("/")) is None


class OwnLoad(OwnPinStore):
    def load(self, request: HttpRequest) -> Pin | None:
        return super().load(request)


class OwnClient(OwnPinStore):
    def client(self, request: HttpRequest) -> list[str]:
        return []


class OwnCookie(SignedCookiePinStore):
    """Which is asked without ``_asked``, as a store of the library's need not be."""

    def _read(self, request: HttpRequest) -> list[str]:
        return []


class OwnCondition(KeyedPinStore):
    def _may_have_one_of(self, request: HttpRequest) -> bool:
        return True

    _get = _set = None


@pytest.mark.parametrize(
    ("store", "may_wait"),
    [
        (OwnPinStore, False),
        (FlakyKeyed, False),
        (SignedCookiePinStore, False),
        (OwnLoad, True),
        (OwnClient, True),
        (OwnCookie, True),
        (OwnCondition, True),
    ],
)
def test_a_load_or_client_of_a_project_s_own_may_keep_an_event_loop_waiting(
    store: type[PinStore], may_wait: bool
) -> None:
    """What it reads and writes is asked for by methods of ours, which refuse to do so there."""
    assert store().may_wait is may_wait
