"""Every engine of ``django.contrib.sessions``, with Django's own views to log in and to change the password."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import Clock, Replication
from tests.third_parties.conftest import LATER, PASSWORD, Pins
from tests.third_parties.devices import logged_in, seen_by, show_who_sees_a_write
from tests.third_parties.installed import installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    pages = {"registration/login.html": "Try again.", "registration/logged_out.html": "Bye."}
    templates = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", pages)]},
    }
    others = {"LOGIN_REDIRECT_URL": "/posts", "TEMPLATES": [templates]}
    with installed(django_db_blocker, "sessions", "django.contrib.messages", **others):
        yield


@pytest.fixture(params=["db", "cache", "cached_db", "file", "signed_cookies"])
def engine(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> str:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return request.param


def test_whoever_writes_sees_it_and_so_do_their_other_devices(ada: User, engine: str, pins: Pins, clock: Clock) -> None:
    """The latter where pins are filed under the user; others read from a replica."""
    show_who_sees_a_write(logged_in, pins, clock)


def test_a_new_user_is_logged_in(make_user: Callable[..., User], engine: str, cookie_pins: Pins) -> None:
    """Though no replica knows them yet, without which the log-in itself fails too."""
    make_user("ada")
    assert seen_by(logged_in("ada"))[0] == ("ada" if cookie_pins.hold else "")


def test_a_new_password_logs_out_nobody_but_the_other_devices(
    ada: User, engine: str, pins: Pins, clock: Clock, replication: Replication
) -> None:
    """A replica has the old one, which the hash in the session is no longer of. The other devices are logged out at
    once where pins are filed under the user, and else when the replicas have caught up.
    """
    browser, phone = logged_in("ada"), logged_in("ada")
    clock.advance(LATER)
    new = PASSWORD + ", changed"
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert browser.post("/accounts/password_change/", fields).status_code == 302
    assert seen_by(browser)[0] == ("ada" if pins.hold else "")
    assert seen_by(phone)[0] == ("" if pins.are_keyed else "ada")
    replication.catch_up()
    assert seen_by(browser)[0] == ("ada" if pins.hold else "")
    assert seen_by(phone)[0] == ""


def test_whoever_logs_out_is_logged_out(ada: User, engine: str, clock: Clock) -> None:
    browser = logged_in("ada")
    clock.advance(LATER)
    assert browser.post("/accounts/logout/").status_code == 200
    assert seen_by(browser)[0] == ""


async def test_async_views(ada: User, engine: str, pins: Pins, clock: Clock) -> None:
    browser, phone = AsyncClient(), AsyncClient()
    for client in (browser, phone):
        await client.post("/accounts/login/", {"username": "ada", "password": PASSWORD})
    clock.advance(LATER)
    await browser.post("/apost", {"text": "mine"})
    assert (await browser.get("/aposts")).json() == {"user": "ada", "texts": ["mine"] if pins.hold else []}
    seen = ["mine"] if pins.are_keyed else []
    assert (await phone.get("/aposts")).json() == {"user": "ada", "texts": seen}
