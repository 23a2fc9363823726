"""A store that the database refuses, inside a transaction of the site that the error would end."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import connections, transaction
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

    merges = True

    def _read(self, request: HttpRequest) -> Iterable[str | None]:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT text FROM no_such_table")
            return [text for (text,) in cursor.fetchall()]

    def _write(self, *args: object) -> None:
        self._read(HttpRequest())


class OwnKeyedStore(KeyedPinStore):
    merges = True

    def _set(self, *args: object) -> bool:
        TablePinStore()._write()
        return True

    def _get(self, keys: list[str]) -> Iterable[str | None]:
        return TablePinStore()._read(HttpRequest())


class SessionStore(db.SessionStore):
    """Whose table is not there either."""

    def load(self) -> dict[str, object]:
        return dict(enumerate(TablePinStore()._read(HttpRequest())))


class SessionRow(AbstractBaseSession):
    class Meta:
        app_label = "tests"
        managed = False
        db_table = "no_such_table"


class SessionWithRow(db.SessionStore):
    """Which is in the row of that table, and nowhere else."""

    @classmethod
    def get_model_class(cls) -> type[SessionRow]:
        return SessionRow


def key_in_table(request: HttpRequest) -> str | None:
    return next(iter(TablePinStore()._read(request)))


def read(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"texts": [list(Post.objects.all()), list(Post.objects.using("default"))]})


def write(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"number": Post.objects.create(text="mine").pk})


def in_a_transaction(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A middleware of the site's, which is before ours, and keeps a transaction open until ours is done."""

    @transaction.atomic
    def middleware(request: HttpRequest) -> Any:
        return get_response(request)

    return middleware


urlpatterns = [path("read", read), path("write", write)]

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


@pytest.fixture(params=STORES)
def _refused(request: pytest.FixtureRequest, cluster: Any, settings: Any, fake_redis: None) -> None:
    """Each store in turn, whose table is not there."""
    settings.CACHES = {
        **settings.CACHES,
        "no table": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "no_such_table"},
    }
    settings.MULTIDB_PIN_STORE = STORES[request.param]
    settings.SESSION_ENGINE = __name__


@pytest.fixture
def client() -> Client:
    client = Client(headers={"Authorization": "Token ada"})
    client.cookies["sessionid"] = "a" * 32
    return client


@pytest.mark.usefixtures("_refused")
def test_the_view_goes_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """That asked in its transaction of ``ATOMIC_REQUESTS``."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert client.get("/read").json() == {"texts": [[], []]}


@pytest.mark.usefixtures("_refused")
@pytest.mark.parametrize("session", [SessionStore, SessionWithRow])
def test_what_the_view_wrote_stays(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, session: type[db.SessionStore]
) -> None:
    """Where the transaction in which it did is still open when the pin is saved. The client is told that it did."""
    monkeypatch.setitem(globals(), "SessionStore", session)
    ours = settings.MIDDLEWARE.index("multidb.middleware.PinningRouterMiddleware")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:ours], f"{__name__}.in_a_transaction", *settings.MIDDLEWARE[ours:]]
    number = client.post("/write").json()["number"]
    assert Post.objects.using("default").get().pk == number
