"""A store of a project's own: two short methods, of which the base class says what they are given and return."""

from collections.abc import Iterable
from typing import assert_type

from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends import get_pin_store
from multidb.backends.base import PinStore, UnsentResponse
from multidb.backends.cache import CachePinStore
from multidb.backends.cookie import SignedCookiePinStore
from multidb.backends.inspection import Inspection
from multidb.backends.keyed import KeyedPinStore
from multidb.backends.redis import RedisPinStore
from multidb.backends.session import SessionPinStore
from multidb.pins import Hold, Pin, PinStoreUnavailable


class OwnPinStore(PinStore):
    def __init__(self, *, header: str = "X-Client") -> None:
        self.header = header

    def _read(self, request: HttpRequest) -> Iterable[str | None]:
        return [request.headers.get(self.header)]

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> None:
        response.headers[self.header] = text

    def check(self) -> list[CheckMessage]:
        return super().check()

    def inspect(self) -> Inspection:
        return Inspection(0.001, pins=2)


class Misspelt(PinStore):
    def _read(self, request: HttpRequest) -> int:  # type: ignore[override]  # texts are wanted
        return 1


class OwnKeyedPinStore(KeyedPinStore):
    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        return [None for _ in keys]

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        return True


def of_stores(request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
    store = get_pin_store()
    assert_type(store, PinStore)
    assert_type(store.load(request), Pin | None)
    store.save(request, response, pin)
    store.save(request, pin)  # type: ignore[call-arg]  # the response is missing
    RedisPinStore(alias="pins", timeout=1, keys=["user"])
    RedisPinStore(timeout="1")  # type: ignore[arg-type]  # seconds are a number
    CachePinStore(alias="pins", keys=["user"], prefix="site")
    CachePinStore(timeout=1)  # type: ignore[call-arg]  # that of its cache
    OwnKeyedPinStore(keys=("session",), prefix="site")
    KeyedPinStore()  # type: ignore[abstract]  # _get and _set are missing
    for each in (SignedCookiePinStore(), SessionPinStore()):
        assert_type(each.load(request), Pin | None)


async def of_twins(request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
    assert_type(await get_pin_store().aload(request), Pin | None)
    await get_pin_store().asave(request, response, pin)


def of_pins(pin: Pin) -> None:
    assert_type(pin.merge(None), Pin)
    assert_type(pin.encode(), str)
    assert_type(Pin.decode("{}"), Pin | None)
    assert_type(Pin.on(["default"], 1.0), Pin)
    pin.holds = {}  # type: ignore[misc]  # a pin is a value


def of_a_store_that_cannot_tell(request: HttpRequest, pin: Pin) -> None:
    try:
        get_pin_store().load(request)
    except PinStoreUnavailable as unavailable:
        assert_type(unavailable.pin, Pin | None)
    get_pin_store().save(request, UnsentResponse(), pin)
    assert_type(get_pin_store().inspect(), Inspection | None)


def of_holds(pin: Pin) -> None:
    for hold in pin.holds.values():
        assert_type(hold.until, int)
        assert_type(hold.merge(Hold(0)), Hold)
