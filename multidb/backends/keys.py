"""The keys of a client: user, session, authorization, and a project's own."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_IN_SESSION
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.asyncio import async_unsafe
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string

from multidb.backends import client_session
from multidb.backends.client_session import peek
from multidb.backends.failures import in_transaction_of_view
from multidb.log import complain
from multidb.pins import PinStoreUnavailable
from multidb.setting_error import UNIMPORTABLE
from multidb.users import own_auser, user_so_far

KeyFunction = Callable[[HttpRequest], str | None]

_AWAITED = "_multidb_auser"

_FAILED = object()


def user(request: HttpRequest) -> str | None:
    """The primary key of ``request.user`` if that is loaded, of the user by a ``request.auser`` of the project's own,
    or the one in the session: no query for the user.
    """
    known = request.__dict__.get("user")
    if known is None or (isinstance(known, LazyObject) and known._wrapped is empty):
        known = _by_own_auser(request)
    if known is None:
        in_session = _from_session(request, USER_IN_SESSION)
        return None if in_session is None else str(in_session)
    key = getattr(known, "pk", None)
    if key is None or not getattr(known, "is_authenticated", False):
        return None
    meta = getattr(known, "_meta", None)
    return str(key) if meta is None else str(meta.pk.value_to_string(known))


async def await_user(request: HttpRequest) -> Any:
    """Await the ``request.auser`` of a project's own, if it has one and no user is loaded, and return whom it returned:
    ``user`` then knows it. Complains of what it raises, which ``user`` then cannot tell.
    """
    auser = own_auser(request)
    if auser is None or user_so_far(request) is not auser:
        return None
    awaited, answer = _awaited(request)
    if awaited is not auser:
        try:
            answer = await auser()
        except Exception as error:
            # Which is not kept: it would keep the request alive.
            complain("The user of a client cannot be told by its auser:", error)
            answer = _FAILED
        request.__dict__[_AWAITED] = auser, answer
    return answer


def ask_again(request: HttpRequest) -> None:
    """Let ``user`` and ``session`` ask anew what has failed, since much may depend on the answer."""
    client_session.ask_again(request)
    if _awaited(request)[1] is _FAILED:
        request.__dict__.pop(_AWAITED, None)


def session(request: HttpRequest) -> str | None:
    """The key of a session that exists."""
    found = getattr(request, "session", None)
    if found is None or session_key_is_its_content():
        return None
    key: str | None = None if peek(found) is None else found.session_key
    return key


def authorization(request: HttpRequest) -> str | None:
    """The ``Authorization`` header."""
    header: str | None = request.META.get("HTTP_AUTHORIZATION")
    return header


KEYS: dict[str, KeyFunction] = {"user": user, "session": session, "authorization": authorization}


def key_function(name: str) -> KeyFunction:
    if name in KEYS:
        return KEYS[name]
    try:
        function = import_string(name)
    except UNIMPORTABLE as error:
        raise ImproperlyConfigured(
            f"The option keys names {name!r}, which cannot be imported ({error}). "
            f"Use {', '.join(map(repr, KEYS))}, or the dotted path to a function."
        ) from error
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ImproperlyConfigured(f"The option keys names {name!r}, which is not a function of a request.")
    return _of_the_project(function)


def _of_the_project(function: Callable[[HttpRequest], Any]) -> KeyFunction:
    """``function``, which may ask a database or a cache: never on an event loop, nor to the harm of a transaction."""

    @async_unsafe("A key function of the project's own may keep the event loop waiting.")
    def ask(request: HttpRequest) -> Any:
        with in_transaction_of_view():
            return function(request)

    return cast("KeyFunction", ask)


def _by_own_auser(request: HttpRequest) -> Any:
    """Who has been awaited; ``None`` if nobody has logged in, as far as that knows."""
    auser = own_auser(request)
    if auser is None:
        return None
    awaited, answer = _awaited(request)
    if awaited is not auser:
        answer = _await_user_in_thread(request)
    elif answer is _FAILED:
        raise PinStoreUnavailable
    return answer if getattr(answer, "is_authenticated", False) else None


def _awaited(request: HttpRequest) -> tuple[Any, Any]:
    """What was awaited last, and what came of it."""
    awaited: tuple[Any, Any] = request.__dict__.get(_AWAITED, (None, None))
    return awaited


@async_unsafe("A user cannot be awaited by what an event loop waits for.")
def _await_user_in_thread(request: HttpRequest) -> Any:
    with in_transaction_of_view():
        answer = async_to_sync(await_user)(request)
        if answer is _FAILED:
            raise PinStoreUnavailable  # So that what it has begun is undone.
    return answer


def _from_session(request: HttpRequest, name: str) -> Any:
    found = getattr(request, "session", None)
    content = found is not None and peek(found)
    return content.get(name) if content else None


def session_key_is_its_content() -> bool:
    return settings.SESSION_ENGINE.endswith(".signed_cookies")
