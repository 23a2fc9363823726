"""SwitchedPinStore: the pin store that the page can switch, to see what each does."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.conf import settings
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore
from multidb.backends.cache import CachePinStore
from multidb.backends.cookie import SignedCookiePinStore
from multidb.backends.redis import RedisPinStore
from multidb.backends.session import SessionPinStore
from multidb.pins import Pin


class OffPinStore(PinStore):
    """Remembers nothing, so that nobody is pinned."""

    def _read(self, request: HttpRequest) -> Iterable[str]:
        return []

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> bool:
        return True


class Choice(NamedTuple):
    """A store that the page offers, and what the page says of it."""

    name: str
    label: str
    store: PinStore
    explanation: str


def _with_fallback(store: PinStore) -> PinStore:
    store.fallback = SignedCookiePinStore()
    return store


def _redis() -> PinStore:
    store = RedisPinStore(alias="redis", timeout=1)  # That the demo's machine is busy is no failure of Redis.
    if not settings.REDIS_URL:
        store.declare_new()  # The Redis in this process is as new as the process.
    return _with_fallback(store)


def _cache() -> PinStore:
    store = CachePinStore(alias="files")
    store.declare_new()  # What was in the files before is there.
    return _with_fallback(store)


CHOICES = {
    choice.name: choice
    for choice in [
        Choice("off", "Off", OffPinStore(), "Nothing is remembered: every visitor reads from a replica."),
        Choice("cookie", "Cookie", SignedCookiePinStore(), "The pin travels with the browser, in a signed cookie."),
        Choice(
            "session",
            "Session",
            _with_fallback(SessionPinStore()),
            "The pin is part of the Django session, if there is one, and in the signed cookie too.",
        ),
        Choice(
            "redis",
            "Redis",
            _redis(),
            "The pin is kept under the user, the session and the token, so it follows a user to other devices and "
            "serves clients without cookies. It is in the signed cookie too.",
        ),
        Choice(
            "cache",
            "Cache",
            _cache(),
            "The pin is kept as in Redis, but in a cache of Django's: here, in files. It is in the signed cookie too.",
        ),
    ]
}


class SwitchedPinStore(PinStore):
    """Does what the store in use does. Which one that is holds for the whole process."""

    in_use: Choice

    def __init__(self, *, using: str) -> None:
        try:
            self.switch(using)
        except ValueError as error:
            raise ValueError(f"BOARD_STORE: {error}") from error

    @classmethod
    def switch(cls, name: str) -> None:
        """From now on use the store ``name``. Raises ``ValueError`` if there is no such store."""
        if name not in CHOICES:
            raise ValueError(f"There is no pin store {name!r}. Choose one of {', '.join(CHOICES)}.")
        cls.in_use = CHOICES[name]

    def load(self, request: HttpRequest) -> Pin | None:
        return self.in_use.store.load(request)

    def save(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        self.in_use.store.save(request, response, pin)

    def client(self, request: HttpRequest) -> Collection[str]:
        return self.in_use.store.client(request)

    def check(self) -> list[CheckMessage]:
        return [message for choice in CHOICES.values() for message in choice.store.check()]

    def _read(self, request: HttpRequest) -> Iterable[str | bytes | None]:
        return self.in_use.store._read(request)

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> bool:
        return self.in_use.store._write(request, response, text, seconds)
