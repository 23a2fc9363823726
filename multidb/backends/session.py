"""SessionPinStore: the pin is part of the Django session."""

from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from time import monotonic
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore
from multidb.backends.client_session import load, peek, session_key
from multidb.backends.failures import asking_in_transaction_of_view
from multidb.backends.inspection import Inspection
from multidb.backends.session_row import change_row, has_row
from multidb.backends.unsent import UnsentResponse
from multidb.backends.waiting import check_sessions

SESSION_KEY = "_multidb_pin"

# A key that no session has, of a length that every engine takes.
NO_SESSION = "0" * 32


class SessionPinStore(PinStore):
    """Keeps the pin in ``request.session``.

    A client without a session is pinned by the signed cookie only: no session is made for a pin. Where the view has
    changed the session, the pin is saved with it. Where it has not, it is put into the row of a session in the database
    (the engines ``db`` and ``cached_db``), and with other engines the pin is in the cookie only: nothing but the
    database can change a session without bringing one back that another request has just ended. Needs
    ``SessionMiddleware`` before ``PinningRouterMiddleware``. A session that cannot be loaded or saved is a failure of
    that one, and not of all.
    """

    asks_by_itself = True
    merges = True

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
        if not isinstance(session, SessionBase) or response.status_code >= 500:
            return
        with asking_in_transaction_of_view():
            self._write_into(session, text, is_sent=not isinstance(response, UnsentResponse))

    def _write_into(self, session: SessionBase, text: str, is_sent: bool) -> None:
        if is_sent and (session.modified or settings.SESSION_SAVE_EVERY_REQUEST):
            with_pin = self._with_pin(load(session) or {}, text)
            if with_pin is not None:
                session[SESSION_KEY] = with_pin[SESSION_KEY]
        elif has_row(session):
            change_row(session, lambda content: self._with_pin(content, text))

    def _with_pin(self, content: Mapping[str, Any], text: str) -> dict[str, Any] | None:
        """The ``content`` of a session with the pin ``text``, merged with the one that it has. ``None`` for a session
        that is gone, or holds nothing but a pin.
        """
        merged = self._pin_of([text, content.get(SESSION_KEY)])
        if merged is None or not content.keys() - {SESSION_KEY}:
            return None
        return {**content, SESSION_KEY: merged.encode()}
