"""What the session of a client tells a store, without a trace of having been asked."""

import re
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.asyncio import async_unsafe

_GONE = "_multidb_gone"

# What a session engine makes a key of, and a cookie carries. A client can send anything: NUL, which PostgreSQL refuses,
# or characters that the table's character set has not.
SESSION_KEYS = re.compile(r"[!-~]{1,4096}")


def session_key(request: HttpRequest) -> str | None:
    """The key of the client's session, or of one that may have gone; ``None`` where it has none. Loads nothing."""
    return getattr(getattr(request, "session", None), "session_key", None)


def is_loaded(session: SessionBase) -> bool:
    """Has the content of ``session`` been loaded, so that to look at it waits for no server?"""
    return "_session_cache" in vars(session)


def peek(session: SessionBase) -> dict[str, Any] | None:
    """What is in ``session``, or ``None`` if it has a key, but is gone, or can never have been.

    Leaves no trace of having been there: the response is not made to vary on the session's cookie, nor to delete it.
    """
    key = session.session_key
    if key is not None and (vars(session).get(_GONE) == key or not SESSION_KEYS.fullmatch(key)):
        return None
    if key is None and not is_loaded(session):
        return {}  # As Django has it, which asks nobody then.
    content = _content(session) if is_loaded(session) else _loaded_content(session)
    if session.session_key == key:
        return content
    # Loading it has cleared its key. Whoever uses the session shall find that out for themselves.
    session._session_key = key
    vars(session).pop("_session_cache", None)
    vars(session)[_GONE] = key
    return None


def _content(session: SessionBase) -> dict[str, Any]:
    accessed, modified = session.accessed, session.modified
    try:
        return dict(session.items())
    finally:
        session.accessed, session.modified = accessed, modified


# Of the engines, only those that use the database say so by themselves.
_loaded_content = async_unsafe("A session cannot be loaded on an event loop.")(_content)
