"""SessionPinStore: the pin is part of the Django session."""

from collections.abc import Collection, Iterable

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.base import PinStore, UnsentResponse
from multidb.backends.client_session import peek, session_key

SESSION_KEY = "_multidb_pin"


class SessionPinStore(PinStore):
    """Keeps the pin in ``request.session``, whatever its engine.

    A client without a session is pinned by the signed cookie: no session is made for a pin. A request that writes saves
    the session, and may overwrite what another changes in it at that moment, as every save of it may; so the cookie
    carries the pin as well. Needs ``SessionMiddleware`` before ``PinningRouterMiddleware``. A session that cannot be
    loaded or saved is a failure of that one, and not of all.
    """

    asks_by_itself = True

    def client(self, request: HttpRequest) -> Collection[str]:
        key = session_key(request)
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
