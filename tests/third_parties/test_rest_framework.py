"""Django REST framework: tokens, sessions, and the JWTs of djangorestframework-simplejwt."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from multidb.pinning import use_primary_db
from tests.conftest import Replication, use_store
from tests.third_parties.conftest import PASSWORD, Pins
from tests.third_parties.installed import installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

BY_HEADER = ["token", "jwt"]
KINDS = [*BY_HEADER, "session"]
LOG_IN = {"username": "ada", "password": PASSWORD}


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with installed(django_db_blocker, "rest_framework", "django.contrib.messages"):
        yield


@pytest.fixture
def tokens(ada: User, replication: Replication) -> None:
    """Tokens that every replica knows."""
    for user in User.objects.all():
        Token.objects.create(user=user)
    replication.catch_up()


def client_of(name: str, kind: str) -> APIClient:
    """One that has logged in long ago: a new device, without cookies but that of its session."""
    with use_primary_db:
        user = User.objects.get(username=name)
        client = APIClient()
        if kind == "session":
            client.force_login(user)
        elif kind == "token":
            client.credentials(HTTP_AUTHORIZATION=f"Token {user.auth_token.key}")
        else:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {jwt_of(user)}")
        return client


def jwt_of(user: User) -> str:
    # Looks at the settings when it is imported.
    from rest_framework_simplejwt.tokens import AccessToken

    return str(AccessToken.for_user(user))


def seen_by(client: APIClient, kind: str, **headers: str) -> list[str]:
    answer = client.get(f"/{kind}/", **headers)
    assert answer.status_code == 200, answer.json()
    return [post["text"] for post in answer.json()]


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_writes_sees_it_and_so_do_their_other_devices(tokens: None, kind: str, pins: Pins) -> None:
    """The latter where pins are filed under keys; others read from a replica."""
    client, phone, other = client_of("ada", kind), client_of("ada", kind), client_of("grace", kind)
    made = client.post(f"/{kind}/", {"text": "mine"})
    assert made.status_code == 201
    assert seen_by(client, kind) == (["mine"] if pins.hold else [])
    assert client.get(f"/{kind}/{made.json()['id']}/").status_code == (200 if pins.hold else 404)
    assert seen_by(phone, kind) == (["mine"] if pins.are_keyed else [])
    assert seen_by(other, kind) == []


@pytest.mark.parametrize("kind", BY_HEADER)
def test_a_client_that_drops_cookies_needs_a_store_with_keys(tokens: None, kind: str, pins: Pins) -> None:
    client = client_of("ada", kind)
    client.post(f"/{kind}/", {"text": "mine"})
    client.cookies.clear()
    assert seen_by(client, kind) == (["mine"] if pins.are_keyed else [])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_and_deleted_is(tokens: None, kind: str, cookie_pins: Pins, replication: Replication) -> None:
    client = client_of("ada", kind)
    old, gone = [client.post(f"/{kind}/", {"text": text}).json()["id"] for text in ("old", "gone")]
    replication.catch_up()
    client = client_of("ada", kind)
    assert client.patch(f"/{kind}/{old}/", {"text": "new"}).json()["text"] == "new"
    assert client.delete(f"/{kind}/{gone}/").status_code == 204
    assert seen_by(client, kind) == (["new"] if cookie_pins.hold else ["gone", "old"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_that_a_browser_gets_shows_it(tokens: None, kind: str, cookie_pins: Pins) -> None:
    """It is rendered after the view."""
    client = client_of("ada", kind)
    assert "mine" in client.post(f"/{kind}/", {"text": "mine"}, HTTP_ACCEPT="text/html").text
    assert ("mine" in client.get(f"/{kind}/", HTTP_ACCEPT="text/html").text) == cookie_pins.hold


def test_a_refreshed_jwt_is_of_the_same_user(tokens: None, pins: Pins) -> None:
    """It is another header, so that the pin is found by the user, who is known when it has been verified."""
    client = APIClient()
    pair = client.post("/obtain-jwt", LOG_IN).json()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
    client.post("/jwt/", {"text": "mine"})
    refreshed = APIClient().post("/refresh-jwt", {"refresh": pair["refresh"]}).json()["access"]
    assert refreshed != pair["access"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {refreshed}")
    assert seen_by(client, "jwt") == (["mine"] if pins.are_keyed else [])


@pytest.mark.parametrize("store", ["cookie", "session", "redis"])
@pytest.mark.parametrize(("kind", "name", "word"), [("token", "token", "Token"), ("jwt", "access", "Bearer")])
def test_a_log_in_that_no_replica_knows_of_needs_the_cookie_or_a_look_at_the_primary(
    request: pytest.FixtureRequest, make_user: Callable[..., User], kind: str, name: str, word: str, store: str
) -> None:
    """The token's row, or that of a new user, is read before anybody can tell whose request it is."""
    use_store(request, store)
    make_user("ada")
    client = APIClient()
    got = client.post(f"/obtain-{kind}", LOG_IN).json()[name]
    client.credentials(HTTP_AUTHORIZATION=f"{word} {got}")
    assert client.get(f"/{kind}/").status_code == 200
    client.cookies.clear()
    assert client.get(f"/{kind}/").status_code == 401
    assert client.get(f"/fresh-{kind}/").status_code == 200


@pytest.mark.parametrize("trigger", ["method", "write"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_was_refused_pins_only_by_its_method(
    tokens: None, settings: Any, kind: str, trigger: str
) -> None:
    settings.MULTIDB_PINNING_TRIGGER = trigger
    refused = client_of("ada", kind).post(f"/{kind}/", {"text": ""})
    assert refused.status_code == 400
    assert ("multidb_pin_writes" in refused.cookies) == (trigger == "method")
