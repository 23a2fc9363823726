"""Who changes region takes the cookie along, and leaves behind what the Redis of that region knows."""

from collections.abc import Callable

import pytest
from django.test import Client

from multidb.backends import get_pin_store
from tests.conftest import use_store

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def move_to(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """From now on this is a process in another region, whose Redis is another, and has been in use for long."""

    def move(region: str) -> None:
        use_store(request, "fake redis", prefix=region)
        get_pin_store().declare_new()

    return move


def test_a_browser_is_pinned_in_every_region(move_to: Callable[[str], None]) -> None:
    browser = Client()
    move_to("west")
    browser.post("/post", {"text": "mine"})
    move_to("east")
    assert browser.get("/read").json()["reason"] == "pinned"


def test_a_client_without_cookies_is_pinned_where_it_wrote(move_to: Callable[[str], None]) -> None:
    def client() -> Client:
        return Client(headers={"authorization": "Token ada"})

    move_to("west")
    client().post("/post", {"text": "mine"})
    assert client().get("/read").json()["reason"] == "pinned"
    move_to("east")
    assert client().get("/read").json()["reason"] == "replica"
    move_to("west")
    assert client().get("/read").json()["reason"] == "pinned"
