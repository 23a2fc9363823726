"""SessionPinStore: the pin is part of the Django session."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore

SESSION_KEY = "_multidb_pin"


class SessionPinStore(PinStore):
    """Keeps the pin in ``request.session``, whatever its engine.

    A client without a session is pinned by the signed cookie: no session is made for a pin. Two responses that save
    one session at once overwrite each other, as they do for whatever else is in it. Needs ``SessionMiddleware`` before
    ``PinningRouterMiddleware``.
    """

    def _read(self, request: HttpRequest) -> Iterable[str | None]:
        session = getattr(request, "session", None)
        if session is None:
            return []
        with unaccessed(session):
            return [session.get(SESSION_KEY)]

    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> bool:
        session = getattr(request, "session", None)
        # Django saves no session with a server error.
        if session is None or response.status_code >= 500:
            return False
        with unaccessed(session):
            if not session.keys() - {SESSION_KEY}:
                return False
        # Not inside: a response that carries a session must vary on its cookie, or a shared cache gives it to others.
        session[SESSION_KEY] = text
        return True


@contextmanager
def unaccessed(session: SessionBase) -> Iterator[None]:
    """Look into ``session`` without that making the response vary on its cookie."""
    accessed = session.accessed
    try:
        yield
    finally:
        session.accessed = accessed
