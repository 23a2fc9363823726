"""A session's row is changed only where nobody has changed or deleted it meanwhile."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.contrib.sessions.backends import cached_db, db
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import router
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist

from multidb.backends.session_row import MOST_TRIES, change_row, has_row

pytestmark = pytest.mark.django_db(databases="__all__")

ENGINES = {"db": db.SessionStore, "cached_db": cached_db.SessionStore}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    return ENGINES[request.param]


@pytest.fixture
def key(engine: Any) -> str:
    """That of a session with a visit."""
    session = engine()
    session["visits"] = 1
    session.save()
    return str(session.session_key)


def with_pin(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "pin": "a pin"}


def but_first(happens: Callable[[], Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What changes a session, between whose reading and writing something ``happens``."""

    def change(content: Mapping[str, Any]) -> dict[str, Any]:
        happens()
        return with_pin(content)

    return change


def visit(engine: Any, key: str) -> None:
    """As another request does."""
    session = engine(key)
    session["visits"] += 1
    session.save()


def test_everybody_sees_what_is_changed(engine: Any, key: str) -> None:
    change_row(engine(key), with_pin)
    assert dict(engine(key).items()) == {"visits": 1, "pin": "a pin"}


def test_to_change_one_takes_two_queries(engine: Any, key: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        change_row(engine(key), with_pin)


def test_its_date_of_expiry_stays(engine: Any, key: str) -> None:
    soon = timezone.now() + timedelta(minutes=1)
    Session.objects.update(expire_date=soon)
    change_row(engine(key), with_pin)
    assert Session.objects.get().expire_date == soon


def test_what_another_has_changed_meanwhile_stays(engine: Any, key: str) -> None:
    others = iter([lambda: visit(engine, key)])
    change_row(engine(key), but_first(lambda: next(others, lambda: None)()))
    assert dict(engine(key).items()) == {"visits": 2, "pin": "a pin"}


def test_what_others_change_each_time_is_left_to_them(engine: Any, key: str) -> None:
    change_row(engine(key), but_first(lambda: visit(engine, key)))
    assert dict(engine(key).items()) == {"visits": 1 + MOST_TRIES}


def test_one_that_is_ended_meanwhile_does_not_come_back(engine: Any, key: str) -> None:
    change_row(engine(key), but_first(lambda: engine(key).flush()))
    assert not Session.objects.exists()
    assert dict(engine(key).items()) == {}


def test_one_that_is_to_stay_as_it_is_stays_so(engine: Any, key: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        change_row(engine(key), lambda content: None)
    assert dict(engine(key).items()) == {"visits": 1}


@pytest.mark.parametrize("is_there", [False, True], ids=["gone", "expired"])
def test_one_that_is_gone_is_not_changed(engine: Any, key: str, is_there: bool) -> None:
    if is_there:
        Session.objects.update(expire_date=timezone.now() - timedelta(minutes=1))
    else:
        Session.objects.all().delete()
    change_row(engine(key), lambda content: pytest.fail("there is nothing to be changed"))


@pytest.mark.parametrize("key", [None, "\0" * 32], ids=["none", "impossible"])
def test_one_that_cannot_be_there_is_not_looked_for(
    engine: Any, key: str | None, django_assert_num_queries: Any
) -> None:
    session = engine()
    session._session_key = key
    with django_assert_num_queries(0):
        change_row(session, with_pin)


def test_it_is_changed_where_routers_send_its_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(router, "db_for_write", lambda model: asked.append(model) or "elsewhere")
    with pytest.raises(ConnectionDoesNotExist, match="elsewhere"):
        change_row(db.SessionStore("x" * 32), with_pin)
    assert asked == [Session]


class InAnotherCache(cached_db.SessionStore):
    """Cached where a project has said, and not where its settings do."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache = caches["local"]


def test_the_copy_is_dropped_in_the_cache_of_the_engine(settings: Any) -> None:
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    settings.CACHES = {**settings.CACHES, "local": {**local, "LOCATION": "of sessions"}}
    session = InAnotherCache()
    session["visits"] = 1
    session.save()
    change_row(InAnotherCache(session.session_key), with_pin)
    assert dict(InAnotherCache(session.session_key).items()) == {"visits": 1, "pin": "a pin"}


def test_a_session_that_is_ended_by_its_own_request_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a thread that a client who has hung up has left behind."""
    session = cached_db.SessionStore()
    session["visits"] = 1
    session.save()
    encode = session.encode
    monkeypatch.setattr(session, "encode", lambda content: setattr(session, "_session_key", None) or encode(content))
    change_row(session, with_pin)
    assert session.session_key is None


class InItsOwnWay(db.SessionStore):
    """An engine of a project's own that keeps a copy somewhere, say."""

    def load(self) -> Any:
        return super().load()


class SavedInItsOwnWay(db.SessionStore):
    def save(self, must_create: bool = False) -> None:
        super().save(must_create)


class Encrypted(db.SessionStore):
    """One that keeps it in the row, and says how."""

    def encode(self, session_dict: dict[str, Any]) -> str:
        return super().encode(session_dict)[::-1]

    def decode(self, session_data: Any) -> dict[str, Any]:
        return super().decode(session_data[::-1])


@pytest.mark.parametrize(
    ("engine", "has_one"),
    [
        ("db", True),
        ("cached_db", True),
        ("cache", False),
        ("file", False),
        ("signed_cookies", False),
        (Encrypted, True),
        (InItsOwnWay, False),
        (SavedInItsOwnWay, False),
    ],
    ids=str,
)
def test_the_row_is_all_that_there_is(engine: Any, has_one: bool) -> None:
    if isinstance(engine, str):
        engine = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
    assert has_row(engine()) == has_one


def test_it_is_written_as_the_engine_does() -> None:
    session = Encrypted()
    session["visits"] = 1
    session.save()
    change_row(Encrypted(session.session_key), with_pin)
    assert dict(Encrypted(session.session_key).items()) == {"visits": 1, "pin": "a pin"}
