"""SessionPinStore: the pin is part of the Django session."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from importlib import import_module
from time import monotonic

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore, UnsentResponse
from multidb.backends.client_session import peek, session_key
from multidb.backends.inspection import Inspection
from multidb.backends.waiting import check_sessions

SESSION_KEY = "_multidb_pin"

# A key that no session has, of a length that every engine takes.
NO_SESSION = "0" * 32


class SessionPinStore(PinStore):
    """Keeps the pin in ``request.session``, whatever its engine.

    A client without a session is pinned by the signed cookie only: no session is made for a pin. A request that writes
    saves the session, as it is by then, if the view has not changed it. Needs ``SessionMiddleware`` before
    ``PinningRouterMiddleware``. A session that cannot be loaded or saved is a failure of that one, and not of all.
    """

    asks_by_itself = True

    def client(self, request: HttpRequest) -> Collection[str]:
        key = session_key(request)
        return [key] if key else []

    def check(self) -> list[CheckMessage]:
        return list(check_sessions())

    def inspect(self) -> Inspection:
        sessions: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore()
        begin = monotonic()
        sessions.exists(NO_SESSION)
        return Inspection(monotonic() - begin)

    def _read(self, request: HttpRequest) -> Iterable[str | None]:
        session = getattr(request, "session", None)
        content = session is not None and peek(session)
        return [content.get(SESSION_KEY)] if content else []

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> None:
        session = getattr(request, "session", None)
        # Django saves no session with a server error.
        if session is None or response.status_code >= 500:
            return
        is_sent = not isinstance(response, UnsentResponse)
        if is_sent and (session.modified or settings.SESSION_SAVE_EVERY_REQUEST):
            if _is_kept(session):
                session[SESSION_KEY] = text
            return
        _save(session, text)


def _save(session: SessionBase, text: str) -> None:
    """Save ``text`` in a session which the view has left alone, or whose changes are not saved either.

    Here and not by ``SessionMiddleware``, which would fail the request if the session has been deleted meanwhile; and
    in the session as it is by now, for another request may have changed it.
    """
    current = type(session)(session.session_key)
    if not _is_kept(current):
        return
    current[SESSION_KEY] = text
    with suppress(UpdateError):
        current.save()
    if current.session_key != session.session_key:
        # The key of a session in a signed cookie is its content, which the middleware has to send.
        session[SESSION_KEY] = text


def _is_kept(session: SessionBase) -> bool:
    """Is there something in ``session`` beside a pin?"""
    return bool((peek(session) or {}).keys() - {SESSION_KEY})
