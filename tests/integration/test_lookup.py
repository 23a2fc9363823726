"""A look-up that the database refuses, inside the transaction of ``ATOMIC_REQUESTS`` that the error would end."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.sessions.backends import db
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path

from multidb.backends.base import PinStore
from multidb.backends.keyed import KeyedPinStore
from tests.conftest import CACHE, REDIS
from tests.models import Post

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.urls(__name__)]


class TablePinStore(PinStore):
    """A project's own, whose table has not been made yet."""

    def _read(self, request: HttpRequest) -> Iterable[str | None]:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT text FROM no_such_table")
            return [text for (text,) in cursor.fetchall()]

    def _write(self, *args: object) -> None:
        pass


class OwnKeyedStore(KeyedPinStore):
    _set = TablePinStore._write

    def _get(self, keys: list[str]) -> Iterable[str | None]:
        return TablePinStore()._read(HttpRequest())


class SessionStore(db.SessionStore):
    """Whose table is not there either."""

    def load(self) -> dict[str, object]:
        return dict(enumerate(TablePinStore()._read(HttpRequest())))


def key_in_table(request: HttpRequest) -> str | None:
    return next(iter(TablePinStore()._read(request)))


def read(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"texts": [list(Post.objects.all()), list(Post.objects.using("default"))]})


urlpatterns = [path("read", read)]

STORES = {
    "of a project's own": {"BACKEND": f"{__name__}.TablePinStore"},
    "derived from one with keys": {"BACKEND": f"{__name__}.OwnKeyedStore", "OPTIONS": {"keys": ["authorization"]}},
    "key of a project's own": {
        "BACKEND": REDIS,
        "OPTIONS": {"alias": "pins", "keys": [f"{__name__}.key_in_table"], "timeout": 5},
    },
    "cache in the database": {"BACKEND": CACHE, "OPTIONS": {"alias": "no table"}},
    "session": {"BACKEND": "multidb.backends.session.SessionPinStore"},
    "key of the session": {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "keys": ["session"]}},
}


@pytest.mark.parametrize("name", STORES)
def test_the_view_goes_on(
    cluster: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, fake_redis: None, name: str
) -> None:
    settings.CACHES = {
        **settings.CACHES,
        "no table": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "no_such_table"},
    }
    settings.MULTIDB_PIN_STORE = STORES[name]
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    settings.SESSION_ENGINE = __name__
    client = Client(headers={"Authorization": "Token ada"})
    client.cookies["sessionid"] = "a" * 32
    assert client.get("/read").json() == {"texts": [[], []]}
