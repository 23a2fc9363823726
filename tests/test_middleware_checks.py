"""manage.py check: a middleware or a router that is missing, or in the wrong place, is named with what mends it."""

from typing import Any

import pytest

from multidb.middleware import PinningRouterMiddleware
from multidb.routers import ReplicaRouter
from tests.conftest import SESSION
from tests.test_checks import assert_reported_alone, messages, store

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
PINNING = "multidb.middleware.PinningRouterMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
REMOTE_USER = "django.contrib.auth.middleware.PersistentRemoteUserMiddleware"

DOUBTFUL = [
    ("multidb.W004", "after SessionMiddleware", {"MIDDLEWARE": [SESSIONS, AUTHENTICATION]}),
    ("multidb.W004", f"did you mean {PINNING}?", {"MIDDLEWARE": [SESSIONS, "multidb.PinningRouterMiddleware"]}),
    (
        "multidb.W036",
        "nobody asks it",
        {
            "MULTIDB_ROUTING": "builtins.callable",
            "MIDDLEWARE": [SESSIONS, AUTHENTICATION],
            "DATABASE_ROUTERS": ["multidb.ReplicaRouter"],
        },
    ),
    ("multidb.E026", "MIDDLEWARE", {"MULTIDB_PIN_STORE": store(SESSION), "MIDDLEWARE": [PINNING, SESSIONS]}),
    ("multidb.E026", "MIDDLEWARE", {"MULTIDB_PIN_STORE": store(SESSION), "MIDDLEWARE": [PINNING]}),
    ("multidb.W037", "SessionMiddleware", {"MIDDLEWARE": [PINNING, SESSIONS]}),
    ("multidb.W037", "after it", {"MIDDLEWARE": [f"{__name__}.Own", AUTHENTICATION, SESSIONS]}),
    (
        "multidb.W038",
        "PersistentRemoteUserMiddleware",
        {"MIDDLEWARE": [SESSIONS, AUTHENTICATION, REMOTE_USER, PINNING]},
    ),
    ("multidb.W040", "ReplicaRouter", {"DATABASE_ROUTERS": ["multidb.ReplicaRouter", "multidb.PinningReplicaRouter"]}),
    ("multidb.W041", "more than once", {"MIDDLEWARE": [SESSIONS, PINNING, AUTHENTICATION, PINNING]}),
    ("multidb.W041", f"({PINNING}, {__name__}.Own)", {"MIDDLEWARE": [SESSIONS, PINNING, f"{__name__}.Own"]}),
]


class ForSome(ReplicaRouter):
    """A project's own router, which has nothing to say of most models."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return None


def test_a_router_that_leaves_reads_to_the_next_one_may_be_before_it(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.ForSome", "multidb.PinningReplicaRouter"]
    assert messages() == []


class Own(PinningRouterMiddleware):
    """A project's own subclass counts as the middleware."""


@pytest.mark.parametrize(("id", "word", "values"), DOUBTFUL, ids=[f"{id} {word}" for id, word, _ in DOUBTFUL])
def test_what_is_missing_or_in_the_wrong_place_is_reported_alone(
    settings: Any, id: str, word: str, values: dict[str, Any]
) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    assert_reported_alone(id, word, values)


@pytest.mark.parametrize(
    "values",
    [
        {"DATABASE_ROUTERS": ["multidb.ReplicaRouter"], "MIDDLEWARE": [SESSIONS]},
        {"MIDDLEWARE": [SESSIONS, f"{__name__}.Own", "tests.views.in_a_transaction"]},
        {"MIDDLEWARE": [SESSIONS, AUTHENTICATION, PINNING, REMOTE_USER]},
        {"MIDDLEWARE": [PINNING]},
        {"MIDDLEWARE": [SESSIONS, PINNING, "tests.nowhere.Middleware"]},
        {"MIDDLEWARE": [SESSIONS, PINNING, ".nowhere.Middleware", ".Middleware"]},
    ],
)
def test_what_is_right_passes(settings: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    assert messages() == []


@pytest.mark.parametrize("routers", [[], ["multidb.ReplicaRouter"]])
def test_a_middleware_by_whose_pins_nothing_routes_is_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch, routers: list[str]
) -> None:
    settings.DATABASE_ROUTERS = routers
    assert messages() == []  # The tests' models have a ReplicaManager, which is reason enough.
    monkeypatch.setattr("multidb.middleware_checks.apps.get_models", list)
    [message] = messages()
    assert message.id == "multidb.W005"
    assert "DATABASE_ROUTERS" in message.msg


def test_one_that_is_missing_is_a_warning_beside_a_setting_that_is_impossible(settings: Any) -> None:
    settings.MIDDLEWARE = [SESSIONS]
    settings.MULTIDB_ROUTING = "nowhere"
    assert {message.id[-4:] for message in messages()} > {"W004"}
