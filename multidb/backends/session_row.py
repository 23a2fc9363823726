"""The row of a session in the database, changed only where nobody has changed or deleted it meanwhile."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.sessions.backends import cached_db, db
from django.contrib.sessions.backends.base import SessionBase
from django.db import router
from django.utils import timezone

from multidb.backends.client_session import is_possible

# Requests that change one session at the same moment are few.
MOST_TRIES = 3


def has_row(session: SessionBase) -> bool:
    """Is the row in the database all that there is of ``session``, but for a copy in Django's cache?

    Not of an engine that is no relational database, and not of a project's own that loads or saves in its own way.
    """
    engine = session.__class__
    return (
        issubclass(engine, db.SessionStore)
        and engine.load in (db.SessionStore.load, cached_db.SessionStore.load)
        and engine.save in (db.SessionStore.save, cached_db.SessionStore.save)
    )


def change_row(session: Any, change: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]) -> None:
    """Let what is in the row of ``session`` be what ``change`` makes of it; ``None`` leaves it as it is.

    ``session`` itself is left alone, and so is its date of expiry. A row that is gone, or that other requests change
    at each of ``MOST_TRIES``, stays as they leave it: a session that has been ended does not come back.
    """
    key = session.session_key
    if key is None or not is_possible(key):
        return
    rows = session.model.objects.using(router.db_for_write(session.model)).filter(session_key=key)
    for _ in range(MOST_TRIES):
        before = rows.filter(expire_date__gt=timezone.now()).values_list("session_data", flat=True).first()
        content = None if before is None else change(session.decode(before))
        if content is None:
            return
        if rows.filter(session_data=before).update(session_data=session.encode(content)):
            if isinstance(session, cached_db.SessionStore):
                # Its ``cache_key`` would give a session that is ended meanwhile a key.
                session._cache.delete(session.cache_key_prefix + key)  # type: ignore[attr-defined]  # missing in the stubs
            return
