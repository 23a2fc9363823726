"""KeyedPinStore: a store that files pins under keys of the client."""

import re
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac

from multidb.backends.base import PinStore
from multidb.backends.client_session import is_known, session_key
from multidb.backends.failures import ERRORS_OF_ONE_REQUEST, asking_in_transaction_of_view, reading
from multidb.backends.keys import KEYS, ask_again, key_function, session_key_is_its_content
from multidb.backends.waiting import check_sessions
from multidb.conf import conf
from multidb.log import complain
from multidb.pins import Pin, PinStoreUnavailable

DEFAULT_KEYS = ("user", "session", "authorization")
DEFAULT_PREFIX = "multidb"

# 128 bits of an HMAC: nobody finds a second value with the same hash.
HASH_LENGTH = 32

# What a user's primary key usually looks like, and every cache takes as a key.
PLAIN = re.compile(r"[A-Za-z0-9_-]{1,36}")


# What Memcached takes, with room for the rest of the key.
PREFIX = re.compile(r"[!-~]{0,64}")


class KeyedPinStore(PinStore):
    """A store that files a pin under keys of the client: all that apply when writing, any when reading.

    ``keys``: ``"user"``, ``"session"``, ``"authorization"``, or the dotted path to ``f(request) -> str | None``.
    ``prefix``: what each key begins with. Everything but a user's primary key is stored as a hash made with
    ``SECRET_KEY``; ``SECRET_KEY_FALLBACKS`` are honoured when reading.
    """

    def __init__(
        self,
        *,
        keys: Iterable[str] = DEFAULT_KEYS,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        if isinstance(keys, str) or not (keys := list(keys)) or not all(isinstance(key, str) for key in keys):
            raise ImproperlyConfigured(
                f"The option keys is {keys!r}. Set a list with one or more of "
                f"{', '.join(map(repr, KEYS))} and dotted paths to functions."
            )
        if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
            raise ImproperlyConfigured(
                f"The option prefix is {prefix!r}. Set at most 64 printable ASCII characters without spaces."
            )
        self._functions = {name: key_function(name) for name in keys}
        self._prefix = prefix
        # Is lost with the pins: no client's key has two parts.
        self._marker = f"{prefix}:marker"
        self.client_may_change = not KEYS.keys() >= self._functions.keys()

    asks_by_itself = True

    def client(self, request: HttpRequest) -> list[str]:
        if self._would_wait_in_vain(request):
            raise PinStoreUnavailable
        with reading():
            return self._keys(request, settings.SECRET_KEY)

    def declare_new(self) -> None:
        """Say that the store is new, so that no pin can be missing from it.

        Without this a store that is empty is taken for one that has lost its pins, for ``MULTIDB_PINNING_SECONDS``.
        May raise anything.
        """

    def declare_gone(self) -> None:
        """Take back what ``declare_new`` has put into the store, which is not used any more. May raise anything."""

    def check(self) -> list[CheckMessage]:
        messages: list[CheckMessage] = []
        if "session" in self._functions and session_key_is_its_content():
            messages.append(
                Warning(
                    "MULTIDB_PIN_STORE files pins under the session key, which changes with every change of a session "
                    "of the engine signed_cookies: such sessions are left out.",
                    hint="Use another SESSION_ENGINE, or SignedCookiePinStore.",
                    id="multidb.W025",
                )
            )
        if not {"user", "session"}.isdisjoint(self._functions):
            messages.extend(check_sessions())
        return messages

    def _read(self, request: HttpRequest) -> Iterator[str | bytes | None]:
        keys = self._keys_to_read(request)
        if keys:
            yield from self._told(self._asked(self._get_all, keys))

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> None:
        ask_again(request)
        keys = self._keys_to_write(request, seconds)
        if not keys:
            return
        with self._owing(keys, text, seconds):
            taken = self._asked(self._set_all, keys, text, seconds)
        if not taken:
            self._not_taken(keys, text, seconds)

    def _get_all(self, keys: list[str]) -> list[str | bytes | None]:
        with asking_in_transaction_of_view():
            return list(self._get(keys))

    def _set_all(self, keys: list[str], text: str, seconds: float) -> bool:
        with asking_in_transaction_of_view():
            if self.merges:
                return self._set(keys, text, seconds)
            pin = self._pin_of([text, *self._found(keys)])
            if pin is None:
                return True  # It has run out.
            return self._set(keys, pin.encode(), min(pin.seconds_left(time.time()), conf.pinning_seconds))

    def _found(self, keys: list[str]) -> list[str | bytes | None]:
        """What is under ``keys``, but for what cannot be read, and is to be replaced."""
        try:
            return list(self._get(keys))
        except ERRORS_OF_ONE_REQUEST as error:
            if len(keys) > 1:
                return [text for key in keys for text in self._found([key])]
            complain("A pin could not be merged with what is under its key:", error)
            return []

    def _with_known(self, request: HttpRequest, pin: Pin) -> Pin:
        return pin  # It is merged with what is under the very keys that it is written under.

    def _keys_to_read(self, request: HttpRequest) -> list[str]:
        if self._would_wait_in_vain(request):
            raise PinStoreUnavailable
        keys: list[str] = []
        for secret in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]:
            keys += self._keys(request, secret)
        return list(dict.fromkeys(keys))

    def _told(self, texts: Iterable[str | bytes | None]) -> Iterator[str | bytes | None]:
        """``texts``, and then ``PinStoreUnavailable`` if they may not be all that there were."""
        yield from texts
        if self.outage.may_miss_pins():
            raise PinStoreUnavailable

    def _keys_to_write(self, request: HttpRequest, seconds: float) -> list[str]:
        names = list(self._functions)
        if self._would_wait_in_vain(request):
            self._may_miss(seconds)
            names = [name for name in names if name == "authorization"]
        return self._keys_that_can_be_told(request, names)

    @contextmanager
    def _owing(self, keys: list[str], text: str, seconds: float) -> Iterator[None]:
        """Inside, the store is given ``text``, which it has not taken where that is interrupted or fails."""
        try:
            yield
        except ERRORS_OF_ONE_REQUEST:
            raise  # To bring the same later would fail again, and for everybody.
        except BaseException:  # Also of a worker that is told to end: it may yet go on.
            self._not_taken(keys, text, seconds)
            raise

    def _would_wait_in_vain(self, request: HttpRequest) -> bool:
        """Is the store left alone, and a session would have to be loaded for it? Its server is often the same."""
        return self.outage.is_resting() and self._would_load_session(request)

    def _would_load_session(self, request: HttpRequest) -> bool:
        """Does it take a session that is not known yet to tell the keys of the client?"""
        if self._functions.keys() <= {"authorization"}:
            return False
        return session_key(request) is not None and not is_known(request.session)

    def _not_taken(self, keys: list[str], text: str, seconds: float) -> None:
        """The store has failed to take ``text``, which may hold for ``seconds``."""
        self._may_miss(seconds)

    def _may_miss(self, seconds: float) -> None:
        """A pin that holds for ``seconds`` is missing from the store, and will be."""
        self.outage.miss_for(seconds)

    @abstractmethod
    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        """The texts kept under ``keys``. May raise anything."""

    @abstractmethod
    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        """Keep ``text`` under each of ``keys`` for ``seconds``. Return whether all took it. May raise anything."""

    def _keys(self, request: HttpRequest, secret: str | bytes) -> list[str]:
        return [key for name in self._functions if (key := self._key(name, request, secret)) is not None]

    def _keys_that_can_be_told(self, request: HttpRequest, names: Iterable[str]) -> list[str]:
        """So that a session that cannot be loaded, say, takes no pin from a client that has a header too."""
        keys = []
        for name in names:
            try:
                keys.append(self._key(name, request, settings.SECRET_KEY))
            except (ImproperlyConfigured, SynchronousOnlyOperation):
                raise
            except PinStoreUnavailable:
                pass  # Of which somebody has complained.
            except Exception as error:
                complain(f"The key {name!r} of a client cannot be told:", error)
        return [key for key in keys if key is not None]

    def _key(self, name: str, request: HttpRequest, secret: str | bytes) -> str | None:
        value = self._functions[name](request)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise TypeError(f"The key {name!r} is a {type(value).__name__}. Return a string, or None.")
        if name != "user":
            value = _hash(name, value, secret)
        elif not PLAIN.fullmatch(value):
            # No plain primary key begins so, and can be taken for the hash of another.
            value = "#" + _hash(name, value, secret)
        return f"{self._prefix}:{name}:{value}"


def _hash(name: str, value: str, secret: str | bytes) -> str:
    # A header may hold lone surrogates: how WSGI passes on bytes that are no text.
    bytes_ = value.encode(errors="surrogatepass")
    return salted_hmac(f"multidb.{name}", bytes_, secret=secret, algorithm="sha256").hexdigest()[:HASH_LENGTH]
