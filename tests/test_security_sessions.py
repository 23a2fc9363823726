"""What docs/security.md claims of sessions: what a client's session id costs the primary, and what keeps one alive."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from multidb.backends.session import SESSION_KEY
from tests.conftest import Replication, use_store

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

SOON = timedelta(minutes=1)


def queries_on_the_primary(session_id: str) -> int:
    """Of a ``GET`` whose view reads, by a client with that session id."""
    with CaptureQueriesContext(connections["default"]) as queries:
        assert Client().get("/read", HTTP_COOKIE=f"sessionid={session_id}").json()["reason"] == "replica"
    return len(queries)


@pytest.mark.parametrize(("name", "cost"), [("cookie", 0), ("session", 1), ("redis", 1), ("local cache", 1)])
def test_an_invented_session_id_costs_a_query_on_the_primary_with_each_get(
    request: pytest.FixtureRequest, replication: Replication, name: str, cost: int
) -> None:
    """Where sessions are in the database, and the store looks into them."""
    use_store(request, name)
    assert [queries_on_the_primary(f"{number:032}") for number in range(3)] == [cost] * 3


@pytest.mark.parametrize(("engine", "cost"), [("cache", 0), ("signed_cookies", 0), ("cached_db", 1)])
def test_it_costs_none_where_sessions_are_elsewhere(
    request: pytest.FixtureRequest, replication: Replication, settings: Any, engine: str, cost: int
) -> None:
    use_store(request, "redis")
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    assert queries_on_the_primary("0" * 32) == cost


def test_it_costs_none_where_no_pin_is_filed_under_user_or_session(
    request: pytest.FixtureRequest, replication: Replication
) -> None:
    use_store(request, "redis", keys=["authorization"])
    assert queries_on_the_primary("0" * 32) == 0


@pytest.mark.parametrize("name", ["session", "cookie", "redis"])
def test_a_post_renews_no_session(request: pytest.FixtureRequest, name: str) -> None:
    """Also not where the pin is put into it."""
    use_store(request, name)
    thief = Client()
    thief.force_login(User.objects.create_user("ada"))
    Session.objects.update(expire_date=timezone.now() + SOON)
    assert thief.get("/read").status_code == 200
    assert thief.post("/nothing").status_code == 200
    assert Session.objects.get().expire_date <= timezone.now() + SOON
    assert (SESSION_KEY in thief.session) == (name == "session")
