"""django-ninja: bearer tokens and sessions, sync and async."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.authtoken.models import Token

from tests.conftest import Replication
from tests.third_parties.conftest import Pins
from tests.third_parties.installed import installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

BY_HEADER = ["bearer", "silent"]
JSON = "application/json"


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with installed(django_db_blocker, "ninja", "django.contrib.messages", "ninja"):
        yield


@pytest.fixture
def tokens(ada: User, replication: Replication) -> None:
    """Tokens that every replica knows."""
    for user in User.objects.all():
        Token.objects.create(user=user, key=user.username)
    replication.catch_up()


def client_of(name: str, kind: str) -> Client:
    """A new device, without cookies but that of its session."""
    if kind != "session":
        return Client(headers={"authorization": f"Bearer {name}"})
    client = Client()
    client.force_login(User.objects.using("default").get(username=name))
    return client


def seen_by(client: Any, kind: str) -> list[str]:
    answer = client.get(f"/api/{kind}")
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("kind", [*BY_HEADER, "session"])
def test_whoever_writes_sees_it_and_so_do_their_other_devices(tokens: None, kind: str, pins: Pins) -> None:
    """The latter where pins are filed under keys; others read from a replica."""
    client, phone, other = client_of("ada", kind), client_of("ada", kind), client_of("grace", kind)
    written = client.post(f"/api/{kind}", {"text": "mine"}, content_type=JSON)
    assert written.json() == (["mine"] if pins.hold else [])
    assert seen_by(client, kind) == (["mine"] if pins.hold else [])
    assert seen_by(phone, kind) == (["mine"] if pins.are_keyed else [])
    assert seen_by(other, kind) == []


@pytest.mark.parametrize("kind", BY_HEADER)
def test_another_token_of_a_user_is_theirs_where_the_request_knows_the_user(
    tokens: None, kind: str, pins: Pins
) -> None:
    """What ``authenticate`` returns is ninja's ``request.auth``, of which the store knows nothing."""
    laptop = client_of("ada", "session")
    laptop.post("/api/session", {"text": "mine"}, content_type=JSON)
    assert seen_by(client_of("ada", kind), kind) == (["mine"] if pins.are_keyed and kind == "bearer" else [])


def test_a_token_that_no_replica_knows_is_looked_up_on_the_primary_by_those_who_say_so(ada: User) -> None:
    Token.objects.create(user=ada, key="ada")
    assert client_of("ada", "bearer").get("/api/bearer").status_code == 401
    assert client_of("ada", "fresh").get("/api/fresh").status_code == 200


async def test_async_operations(tokens: None, pins: Pins) -> None:
    client, phone, other = AsyncClient(), AsyncClient(), AsyncClient()
    ada, grace = [{"authorization": f"Bearer {name}"} for name in ("ada", "grace")]
    written = await client.post("/api/async", {"text": "mine"}, content_type=JSON, headers=ada)
    assert written.json() == (["mine"] if pins.hold else [])
    assert (await client.get("/api/async", headers=ada)).json() == (["mine"] if pins.hold else [])
    assert (await phone.get("/api/async", headers=ada)).json() == (["mine"] if pins.are_keyed else [])
    assert (await other.get("/api/async", headers=grace)).json() == []
