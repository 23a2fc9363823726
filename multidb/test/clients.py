"""Is a client pinned, as the store that the project uses has it?"""

import copy
import time
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest

from multidb.backends import get_pin_store
from multidb.pinning import use_primary_db
from multidb.pins import Pin, PinStoreUnavailable


def assert_pinned(response: Any) -> Pin:
    """Assert that the client which got ``response`` is pinned: a next request with its cookies and headers would find
    its pin in the store. Returns the pin.

    ``response`` is one of Django's test clients, or of a client that inherits from them; ``TypeError`` for another. A
    pin up to a position counts, whether or not a replica has replayed that.
    """
    pin = _pin_after(response)
    if pin is None:
        raise AssertionError(
            f"The client of {_what(response)} is not pinned: neither the pin store has a pin of it, nor its cookie."
        )
    return pin


def assert_not_pinned(response: Any) -> None:
    """Assert that the client which got ``response`` is not pinned. As ``assert_pinned``."""
    pin = _pin_after(response)
    if pin is not None:
        raise AssertionError(f"The client of {_what(response)} is pinned to {_described(pin)}.")


async def aassert_pinned(response: Any) -> Pin:
    """``assert_pinned`` for async tests."""
    return await sync_to_async(assert_pinned)(response)


async def aassert_not_pinned(response: Any) -> None:
    """``assert_not_pinned`` for async tests."""
    await sync_to_async(assert_not_pinned)(response)


def _pin_after(response: Any) -> Pin | None:
    store = get_pin_store()
    try:
        with use_primary_db:
            return store.load(_next_request(response))
    except PinStoreUnavailable as unavailable:
        if unavailable.pin is not None:
            return unavailable.pin
        raise AssertionError(
            f"The pin store {type(store).__name__} cannot tell whether the client of {_what(response)} is pinned: it "
            "does not answer, or it is new. What is new is known to be so inside isolated_routing()."
        ) from unavailable


def _next_request(response: Any) -> HttpRequest:
    """A request as the client of ``response`` would send it next: with the same headers, and its cookies by now."""
    request = _request_of(response)
    following = copy.copy(request)
    following.COOKIES = {name: morsel.value for name, morsel in response.client.cookies.items() if morsel.value}
    if hasattr(request, "session"):
        engine = import_module(settings.SESSION_ENGINE)
        following.session = engine.SessionStore(following.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return following


def _request_of(response: Any) -> HttpRequest:
    request: HttpRequest | None = getattr(response, "wsgi_request", None) or getattr(response, "asgi_request", None)
    if request is None or not hasattr(response, "client"):
        raise TypeError(f"A response of Django's Client or AsyncClient is needed, and this is {response!r}.")
    return request


def _what(response: Any) -> str:
    request = _request_of(response)
    return f"{request.method} {request.path}"


def _described(pin: Pin) -> str:
    now = time.time()
    return ", ".join(
        f"{primary} for {hold.until / 1000 - now:.1f} s{'' if hold.position is None else ' or until replayed'}"
        for primary, hold in pin.holds.items()
    )
