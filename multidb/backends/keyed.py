"""KeyedPinStore, and the keys: user, session, authorization."""

import inspect
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_IN_SESSION
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string

from multidb.backends.base import ERRORS_OF_ONE_REQUEST, PinStore, reading
from multidb.backends.client_session import is_loaded, peek, session_key
from multidb.backends.waiting import check_sessions
from multidb.log import complain
from multidb.pins import PinStoreUnavailable

DEFAULT_KEYS = ("user", "session", "authorization")
DEFAULT_PREFIX = "multidb"

KeyFunction = Callable[[HttpRequest], str | None]

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
        self._functions = {name: _key_function(name) for name in keys}
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

    def check(self) -> list[CheckMessage]:
        messages: list[CheckMessage] = []
        if "session" in self._functions and _session_key_is_its_content():
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
        if self._would_wait_in_vain(request):
            raise PinStoreUnavailable
        keys: list[str] = []
        for secret in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]:
            keys += self._keys(request, secret)
        if not keys:
            return
        yield from self._asked(lambda: list(self._get(list(dict.fromkeys(keys)))))
        if self._may_miss_pins():
            raise PinStoreUnavailable

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> None:
        if self._would_wait_in_vain(request):
            self.outage.miss_for(seconds)
            return
        keys = self._keys_that_can_be_told(request)
        if not keys:
            return
        try:
            taken = self._asked(self._set, keys, text, seconds)
        except ERRORS_OF_ONE_REQUEST:
            raise  # To bring the same later would fail again, and for everybody.
        except BaseException:  # Also of a worker that is told to end: it may yet go on.
            self._not_taken(keys, text, seconds)
            raise
        if not taken:
            self._not_taken(keys, text, seconds)

    def _may_miss_pins(self) -> bool:
        """May a pin that was not found hold all the same?"""
        return self.outage.may_miss_pins()

    def _would_wait_in_vain(self, request: HttpRequest) -> bool:
        """Is the store left alone, and a session would have to be loaded for it? Its server is often the same."""
        return self.outage.is_resting() and session_key(request) is not None and not is_loaded(request.session)

    def _not_taken(self, keys: list[str], text: str, seconds: float) -> None:
        """The store has failed to take ``text``, which may hold for ``seconds``."""
        self.outage.miss_for(seconds)

    @abstractmethod
    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        """The texts kept under ``keys``. May raise anything."""

    @abstractmethod
    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        """Keep ``text`` under each of ``keys`` for ``seconds``. Return whether all took it. May raise anything."""

    def _keys(self, request: HttpRequest, secret: str | bytes) -> list[str]:
        keys = (self._key(name, request, secret) for name in self._functions)
        return [key for key in keys if key is not None]

    def _keys_that_can_be_told(self, request: HttpRequest) -> list[str]:
        """So that a session that cannot be loaded, say, takes no pin from a client that has a header too."""
        keys = []
        for name in self._functions:
            try:
                keys.append(self._key(name, request, settings.SECRET_KEY))
            except (ImproperlyConfigured, SynchronousOnlyOperation):
                raise
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


def user(request: HttpRequest) -> str | None:
    """The primary key of ``request.user`` if that is loaded, else the one in the session: no query for the user."""
    known = request.__dict__.get("user")
    if known is None or (isinstance(known, LazyObject) and known._wrapped is empty):
        in_session = _from_session(request, USER_IN_SESSION)
        return None if in_session is None else str(in_session)
    if not getattr(known, "is_authenticated", False) or known.pk is None:
        return None
    meta = getattr(known, "_meta", None)
    return str(known.pk) if meta is None else str(meta.pk.value_to_string(known))


def session(request: HttpRequest) -> str | None:
    """The key of a session that exists."""
    found = getattr(request, "session", None)
    if found is None or _session_key_is_its_content():
        return None
    key: str | None = None if peek(found) is None else found.session_key
    return key


def authorization(request: HttpRequest) -> str | None:
    """The ``Authorization`` header."""
    header: str | None = request.META.get("HTTP_AUTHORIZATION")
    return header


KEYS: dict[str, KeyFunction] = {"user": user, "session": session, "authorization": authorization}


def _key_function(name: str) -> KeyFunction:
    if name in KEYS:
        return KEYS[name]
    try:
        function = import_string(name)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"The option keys names {name!r}, which cannot be imported ({error}). "
            f"Use {', '.join(map(repr, KEYS))}, or the dotted path to a function."
        ) from error
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ImproperlyConfigured(f"The option keys names {name!r}, which is not a function of a request.")
    return function  # type: ignore[no-any-return]  # its signature is the project's promise


def _from_session(request: HttpRequest, name: str) -> Any:
    found = getattr(request, "session", None)
    content = found is not None and peek(found)
    return content.get(name) if content else None


def _session_key_is_its_content() -> bool:
    return settings.SESSION_ENGINE.endswith(".signed_cookies")


def _hash(name: str, value: str, secret: str | bytes) -> str:
    # A header may hold lone surrogates: how WSGI passes on bytes that are no text.
    bytes_ = value.encode(errors="surrogatepass")
    return salted_hmac(f"multidb.{name}", bytes_, secret=secret, algorithm="sha256").hexdigest()[:HASH_LENGTH]
