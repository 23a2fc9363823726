"""SessionPinStore: the pin is part of the Django session."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore, UnsentResponse

SESSION_KEY = "_multidb_pin"

_GONE = "_multidb_gone"

# What a session engine makes a key of, and a cookie carries. A client can send anything: NUL, which PostgreSQL refuses,
# or characters that the table's character set has not.
SESSION_KEYS = re.compile(r"[!-~]{1,4096}")


class SessionPinStore(PinStore):
    """Keeps the pin in ``request.session``, whatever its engine.

    A client without a session is pinned by the signed cookie: no session is made for a pin. A request that writes saves
    the session, and may overwrite what another changes in it at that moment, as every save of it may. Needs
    ``SessionMiddleware`` before ``PinningRouterMiddleware``. A session that cannot be loaded or saved is a failure of
    that one, and not of all.
    """

    asks_by_itself = True

    def client(self, request: HttpRequest) -> Collection[str]:
        key = getattr(getattr(request, "session", None), "session_key", None)
        return [key] if key else []

    def _read(self, request: HttpRequest) -> Iterable[str | None]:
        session = getattr(request, "session", None)
        content = session is not None and peek(session)
        return [content.get(SESSION_KEY)] if content else []

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> bool:
        session = getattr(request, "session", None)
        # Django saves no session with a server error.
        if session is None or response.status_code >= 500:
            return False
        is_unsent = isinstance(response, UnsentResponse)
        if is_unsent:
            # What the view has changed in its own is not saved either.
            session = type(session)(session.session_key)
        content = peek(session)
        if not content or not content.keys() - {SESSION_KEY}:
            return False
        if not is_unsent and (session.modified or settings.SESSION_SAVE_EVERY_REQUEST):
            session[SESSION_KEY] = text
            return True
        return _saved(session, text)


def peek(session: SessionBase) -> dict[str, Any] | None:
    """What is in ``session``, or ``None`` if it has a key, but is gone, or can never have been.

    Leaves no trace of having been there: the response is not made to vary on the session's cookie, nor to delete it.
    """
    key = session.session_key
    if key is not None and (vars(session).get(_GONE) == key or not SESSION_KEYS.fullmatch(key)):
        return None
    accessed, modified = session.accessed, session.modified
    try:
        content = dict(session.items())
    finally:
        session.accessed, session.modified = accessed, modified
    if session.session_key == key:
        return content
    # Loading it has cleared its key. Whoever uses the session shall find that out for themselves.
    session._session_key = key
    vars(session).pop("_session_cache", None)
    vars(session)[_GONE] = key
    return None


def _saved(session: SessionBase, text: str) -> bool:
    """Save ``text`` in a session that nobody else has changed.

    Here and not by ``SessionMiddleware``, which would fail the request if the session has been deleted meanwhile.
    """
    accessed, key = session.accessed, session.session_key
    session[SESSION_KEY] = text
    try:
        session.save()
    except UpdateError:
        return False
    else:
        return True
    finally:
        # The key of a session in a signed cookie is its content, which the middleware has to send.
        session.modified = session.session_key != key
        session.accessed = accessed or session.modified
