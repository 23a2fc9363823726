"""What the session of a client tells a store, without a trace of having been asked."""

import re
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import BaseCache, caches
from django.http import HttpRequest
from django.utils.asyncio import async_unsafe
from django.utils.functional import LazyObject

from multidb.backends.failures import asking_in_transaction_of_view
from multidb.pins import PinStoreUnavailable

_CACHE = "_session_cache"

# The key under which somebody looked, and what was there. An error is not kept: it would keep the request alive.
Peeked = tuple[str | None, dict[str, Any] | None]

_PEEKED = "_multidb_peeked"

_NOT_PEEKED: Peeked = None, None

_FAILED: dict[str, Any] = {}

# What a session engine makes a key of, and a cookie carries. A client can send anything: NUL, which PostgreSQL refuses,
# or characters that the table's character set has not.
SESSION_KEYS = re.compile(r"[!-~]{1,4096}")


def session_key(request: HttpRequest) -> str | None:
    """The key of the client's session, or of one that may have gone; ``None`` where it has none. Loads nothing."""
    return getattr(getattr(request, "session", None), "session_key", None)


def is_possible(key: str) -> bool:
    """Can there be a session with this ``key``, so that it may be looked up?"""
    return SESSION_KEYS.fullmatch(key) is not None


def is_known(session: SessionBase) -> bool:
    """Is the content of ``session`` known, so that to ``peek`` waits for no server?"""
    if isinstance(session, LazyObject):
        session = session._wrapped
    return _CACHE in vars(session) or _peeked(session) is not None


def peek(session: object) -> dict[str, Any] | None:
    """What is in ``session``, or ``None`` if it has a key, but is gone, or can never have been; or is none of Django's.

    Raises anything where that cannot be told, and from then on ``PinStoreUnavailable``, without asking anybody: see
    ``ask_again``.

    Leaves no trace of having been there, also where the view uses the session at the same moment, in another thread:
    the response is not made to vary on the session's cookie, nor to delete it. Whoever uses the session loads it then,
    as it is by then, and finds out if it is gone.
    """
    if not isinstance(session, SessionBase):
        return None  # As where an API puts a plain dict in its place.
    if isinstance(session, LazyObject):
        session = session._wrapped
    loaded = vars(session).get(_CACHE)
    if loaded is not None:
        return dict(loaded)
    key = session.session_key
    if key is None:
        return {}  # As Django has it, which asks nobody then.
    peeked = _peeked(session)
    if peeked is None:
        peeked = key, _content(session, key)
        vars(session)[_PEEKED] = peeked
    elif peeked[1] is _FAILED:
        raise PinStoreUnavailable
    return peeked[1]


def ask_again(request: HttpRequest) -> None:
    """Let ``peek`` ask anew for the session of ``request`` if it has failed, since much may depend on the answer."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionBase):
        if isinstance(session, LazyObject):
            session = session._wrapped
        if vars(session).get(_PEEKED, _NOT_PEEKED)[1] is _FAILED:
            vars(session).pop(_PEEKED, None)


def load(session: SessionBase) -> dict[str, Any] | None:
    """As ``peek``, but loads ``session`` itself, which nobody else may use at this moment, and keeps it loaded.

    A session that is gone stays as it is, to be found gone by whoever uses it.
    """
    if isinstance(session, LazyObject):
        session = session._wrapped
    loaded = vars(session).get(_CACHE)
    return _loaded_in_thread(session) if loaded is None else dict(loaded)


def _peeked(session: SessionBase) -> Peeked | None:
    peeked: Peeked = vars(session).get(_PEEKED, _NOT_PEEKED)
    return None if peeked[0] is None or peeked[0] != session.session_key else peeked


def _like(session: SessionBase) -> SessionBase:
    """Another object of the same session, also where its class is made of more than the key."""
    other = session.__class__.__new__(session.__class__)
    vars(other).update(vars(session))
    for name, value in list(vars(other).items()):
        # Clients of Memcached are not for two threads. One that is made here has a cache of this thread.
        if isinstance(value, BaseCache) and value not in caches.all(initialized_only=True):
            vars(other)[name] = getattr(session.__class__(session.session_key), name, value)
    return other


def _loaded(session: SessionBase) -> dict[str, Any] | None:
    key = session.session_key
    if key is not None and not is_possible(key):
        return None
    accessed, modified = session.accessed, session.modified
    try:
        content = dict(session.items())
    finally:
        session.accessed, session.modified = accessed, modified
    if session.session_key == key:
        return content
    session._session_key = key
    del vars(session)[_CACHE]
    return None


# Of the engines, only those that use the database say so by themselves.
_in_thread = async_unsafe("A session cannot be loaded on an event loop.")

_loaded_in_thread = _in_thread(_loaded)


@_in_thread
def _content(session: SessionBase, key: str) -> dict[str, Any] | None:
    try:
        with asking_in_transaction_of_view():
            return _loaded(_like(session))
    except Exception:
        vars(session)[_PEEKED] = key, _FAILED
        raise
