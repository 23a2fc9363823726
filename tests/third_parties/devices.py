"""A user's devices, and who of all sees what one of them has written."""

from collections.abc import Callable

from django.test import Client

from tests.conftest import Clock
from tests.third_parties.conftest import LATER, PASSWORD, Pins


def logged_in(name: str, field: str = "username") -> Client:
    """A browser in which the user ``name`` has logged in, by a form that has the name in ``field``."""
    client = Client()
    client.post("/accounts/login/", {field: name, "password": PASSWORD})
    return client


def seen_by(client: Client) -> tuple[str, list[str]]:
    """Whom the site takes ``client`` for, and the posts that they see."""
    answer = client.get("/posts").json()
    return answer["user"], answer["texts"]


def show_who_sees_a_write(log_in: Callable[[str], Client], pins: Pins, clock: Clock) -> None:
    """Assert that whoever wrote does, and that their other devices do where pins are filed under the user."""
    browser, phone, other = log_in("ada"), log_in("ada"), log_in("grace")
    clock.advance(LATER)
    browser.post("/post", {"text": "mine"})
    assert seen_by(browser) == ("ada", ["mine"] if pins.hold else [])
    assert seen_by(phone) == ("ada", ["mine"] if pins.are_keyed else [])
    assert seen_by(other) == ("grace", [])
