"""SessionPinStore: the pin is part of the Django session."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore

SESSION_KEY = "_multidb_pin"


class SessionPinStore(PinStore):
    """Keeps the pin in ``request.session``, whatever its engine.

    A client without a session is pinned by the signed cookie: no session is made for a pin. A request that writes saves
    the session, and may overwrite what another changes in it at that moment, as every save of it may. Needs
    ``SessionMiddleware`` before ``PinningRouterMiddleware``.
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
        if session.modified or settings.SESSION_SAVE_EVERY_REQUEST:
            session[SESSION_KEY] = text
            return True
        return _saved(session, text)


@contextmanager
def unaccessed(session: SessionBase) -> Iterator[None]:
    """Look into ``session`` without that making the response vary on its cookie, or delete it."""
    accessed, key = session.accessed, session.session_key
    try:
        yield
    finally:
        session.accessed = accessed
        if session.session_key != key:
            # It is gone. Whoever uses it finds that out: until then it is as if it had not been loaded.
            session._session_key = key
            session.__dict__.pop("_session_cache", None)


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
