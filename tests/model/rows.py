"""What keeps its rows in a modelled database, where the routers say: a session engine and a pin store."""

import json
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import connections, router

from multidb.backends.keyed import KeyedPinStore
from tests.model.databases import READ, WRITE, query
from tests.models import PinRow


def read(model: Any, name: str) -> Any:
    """The text of the row ``name``, read as Django's ORM reads it: from where the routers say."""
    return query(connections[router.db_for_read(model)], READ.format(model._meta.db_table), name)


def write(model: Any, name: str, text: str) -> None:
    query(connections[router.db_for_write(model)], WRITE.format(model._meta.db_table), name, text)


class SessionStore(SessionBase):
    """The session engine, as ``django.contrib.sessions.backends.db`` is one."""

    def load(self) -> dict[str, Any]:
        text = read(Session, self.session_key)
        if text is None:
            self._session_key = None
        return json.loads(text) if text else {}

    def exists(self, session_key: str) -> bool:
        return read(Session, session_key) is not None

    def save(self, must_create: bool = False) -> None:
        assert self.session_key, "the model makes no sessions"
        write(Session, self.session_key, json.dumps(self._get_session(no_load=must_create)))


class TablePinStore(KeyedPinStore):
    """Keeps pins in a table, as a project's own store may."""

    def _get(self, keys: list[str]) -> list[str | None]:
        return [read(PinRow, key) for key in keys]

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        for key in keys:
            write(PinRow, key, text)
        return True
