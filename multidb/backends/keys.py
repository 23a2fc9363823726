"""The keys of a client: user, session, authorization, and a project's own."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_IN_SESSION
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string

from multidb.backends.client_session import peek

KeyFunction = Callable[[HttpRequest], str | None]


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
    except ImportError as error:
        raise ImproperlyConfigured(
            f"The option keys names {name!r}, which cannot be imported ({error}). "
            f"Use {', '.join(map(repr, KEYS))}, or the dotted path to a function."
        ) from error
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ImproperlyConfigured(f"The option keys names {name!r}, which is not a function of a request.")
    return cast("KeyFunction", function)


def _from_session(request: HttpRequest, name: str) -> Any:
    found = getattr(request, "session", None)
    content = found is not None and peek(found)
    return content.get(name) if content else None


def session_key_is_its_content() -> bool:
    return settings.SESSION_ENGINE.endswith(".signed_cookies")
