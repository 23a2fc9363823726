"""SignedCookiePinStore: the pin travels with the browser."""

import math
from collections.abc import Iterable, Iterator
from typing import cast

from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control

from multidb.backends.base import PinStore
from multidb.backends.inspection import Inspection
from multidb.conf import conf
from multidb.log import say_once
from multidb.pins import Pin

# Browsers need not keep more than this: https://www.rfc-editor.org/rfc/rfc6265#section-6.1
LONGEST_COOKIE = 4096

# What Django's signer puts before what it has compressed. Pins are not: unpacking one could take megabytes.
COMPRESSED = "."

# ``TimestampSigner`` cuts the time to whole seconds; the pin inside is exact.
TIMESTAMP_SECONDS = 1

# Of whose responses caches keep any: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.3
CACHED_METHODS = ("GET", "HEAD")

# The methods that need no thread, as they are here.
WAIT_FOR_NOBODY = ("load", "save", "_read", "_write", "_may_have_one_of")


class SignedCookiePinStore(PinStore):
    """Keeps the pin in a cookie signed with ``SECRET_KEY``; ``SECRET_KEY_FALLBACKS`` are honoured.

    The age of a cookie is checked here as well as in the browser: one that is older than ``MULTIDB_PINNING_SECONDS``
    pins nobody. Needs no server state and no round trip. A ``GET`` that sets it is ``Cache-Control: private``, so that
    no shared cache hands a client's pin to others. A pin of so many primaries that their positions do not fit
    into a cookie is one by the seconds.
    """

    asks_by_itself = True
    knows_clients = False

    async def aload(self, request: HttpRequest) -> Pin | None:
        return self.load(request) if self._has_ours(*WAIT_FOR_NOBODY) else await super().aload(request)

    async def asave(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        if self._has_ours(*WAIT_FOR_NOBODY):
            self.save(request, response, pin)
        else:
            await super().asave(request, response, pin)

    def inspect(self) -> Inspection:
        return Inspection(round_trip=None)

    def _may_have_one_of(self, request: HttpRequest) -> bool:
        return conf.pinning_cookie in request.COOKIES

    def _read(self, request: HttpRequest) -> Iterable[str]:
        name = conf.pinning_cookie
        cookie = request.COOKIES.get(name)
        if not cookie or len(cookie) > LONGEST_COOKIE or cookie.startswith(COMPRESSED):
            return
        try:
            yield signing.loads(
                cookie,
                salt=_salt(name),
                serializer=_Text,
                max_age=math.ceil(conf.pinning_seconds) + TIMESTAMP_SECONDS,
            )
        except (signing.BadSignature, ValueError, LookupError, OverflowError):
            # The last two are of a time that is none, where somebody else has signed with our salt.
            return

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> None:
        name = conf.pinning_cookie
        cookie = next((cookie for cookie in _signed(name, text) if len(name) + len(cookie) <= LONGEST_COOKIE), None)
        if cookie is None:
            say_once(f"A pin is longer than the {LONGEST_COOKIE} bytes of a cookie, which cannot carry it.")
            return
        response.set_cookie(
            name,
            cookie,
            max_age=math.ceil(seconds),
            secure=conf.pinning_cookie_secure,
            httponly=conf.pinning_cookie_httponly,
            samesite=conf.pinning_cookie_samesite,
        )
        if request.method in CACHED_METHODS:
            # A shared cache would hand the pin to others, in place of their own.
            patch_cache_control(response, private=True)


def _signed(name: str, text: str) -> Iterator[str]:
    """The cookie that carries the pin ``text``, and then the shorter one that carries it without its positions."""
    yield signing.dumps(text, salt=_salt(name), serializer=_Text)
    by_time = cast("Pin", Pin.decode(text)).by_time()
    yield signing.dumps(by_time.encode(), salt=_salt(name), serializer=_Text)


class _Text:
    """A serializer for what is text already."""

    def dumps(self, text: str) -> bytes:
        return text.encode()

    def loads(self, text: bytes) -> str:
        return text.decode()


def _salt(name: str) -> str:
    return f"multidb.backends.cookie:{name}"
