"""Session ids that a real database refuses to compare: they fail no request and no store, and are in no log."""

import logging
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from multidb.pinning import use_primary_db
from tests.conftest import use_store

# As a Cookie header carries them: NUL as an octal escape in quotes, and an emoji as the bytes of its UTF-8.
SESSION_IDS = {"NUL": r'"secret\000secret"', "emoji": ("\U0001f600" * 8).encode().decode("latin-1")}

ENGINES = ["db", "cached_db"]


@pytest.fixture(params=["session", "local cache"])
def store(request: pytest.FixtureRequest, cluster: Any, settings: Any) -> str:
    """The stores that look at the session."""
    use_store(request, request.param)
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, **settings.CACHES}
    return request.param


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("session_id", SESSION_IDS.values(), ids=SESSION_IDS)
def test_a_session_id_that_the_database_refuses_is_that_of_no_session(
    cluster: Any, store: str, settings: Any, caplog: pytest.LogCaptureFixture, engine: str, session_id: str
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    if connections["default"].vendor == "mysql":
        _give_sessions_an_old_character_set()
    caplog.set_level(logging.INFO)
    cookies = {"HTTP_COOKIE": f"sessionid={session_id}"}
    assert Client().get("/read", **cookies).json()["reason"] == "replica"
    response = Client().post("/nothing", **cookies)
    assert list(response.cookies) == ["multidb_pin_writes"]
    assert not caplog.records


def _give_sessions_an_old_character_set() -> None:
    """What a table has that was made before utf8mb4 was the default."""
    with use_primary_db, connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE django_session CONVERT TO CHARACTER SET latin1")
