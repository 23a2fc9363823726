"""django-allauth: sign-up, log-in, log-out, a new password, a confirmed address."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import Clock
from tests.third_parties import devices
from tests.third_parties.conftest import LATER, PASSWORD, Pins
from tests.third_parties.devices import seen_by, show_who_sees_a_write
from tests.third_parties.installed import MIDDLEWARE, after, installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

LOG_IN = {"login": "ada", "password": PASSWORD}
ACCOUNT = "allauth.account.middleware.AccountMiddleware"


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    others = {
        "MIDDLEWARE": after(ACCOUNT, MIDDLEWARE[-1]),
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*", "password2*"],
        "ACCOUNT_RATE_LIMITS": False,
        "ACCOUNT_CONFIRM_EMAIL_ON_GET": True,
        "LOGIN_REDIRECT_URL": "/posts",
    }
    with installed(django_db_blocker, "allauth", "django.contrib.messages", "allauth", "allauth.account", **others):
        yield


logged_in = partial(devices.logged_in, field="login")


def test_whoever_writes_sees_it_and_so_do_their_other_devices(ada: User, pins: Pins, clock: Clock) -> None:
    """The latter where pins are filed under the user; others read from a replica."""
    show_who_sees_a_write(logged_in, pins, clock)


def test_whoever_signs_up_is_logged_in(make_user: Callable[..., User], pins: Pins) -> None:
    """Though no replica knows them yet."""
    browser = Client()
    fields = {"username": "ada", "password1": PASSWORD, "password2": PASSWORD}
    assert browser.post("/accounts/signup/", fields).status_code == 302
    assert seen_by(browser)[0] == ("ada" if pins.hold else "")


def test_a_new_user_can_log_in(make_user: Callable[..., User], pins: Pins) -> None:
    """Though no replica knows them yet, without which the log-in itself fails too."""
    make_user("ada")
    assert seen_by(logged_in("ada"))[0] == ("ada" if pins.hold else "")


def test_a_new_password_logs_out_nobody_but_the_other_devices(ada: User, pins: Pins, clock: Clock) -> None:
    """Those at once where pins are filed under the user."""
    browser, phone = logged_in("ada"), logged_in("ada")
    clock.advance(LATER)
    new = PASSWORD + ", changed"
    fields = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert browser.post("/accounts/password/change/", fields).status_code == 302
    assert seen_by(browser)[0] == ("ada" if pins.hold else "")
    assert seen_by(phone)[0] == ("" if pins.are_keyed else "ada")


def test_whoever_logs_out_is_logged_out(ada: User) -> None:
    browser = logged_in("ada")
    browser.post("/accounts/logout/")
    assert seen_by(browser)[0] == ""


@pytest.mark.parametrize("trigger", ["method", "write"])
def test_a_get_that_confirms_an_address_pins_where_writes_do(
    make_user: Callable[..., User], replication: Any, settings: Any, clock: Clock, trigger: str
) -> None:
    """``ACCOUNT_CONFIRM_EMAIL_ON_GET`` makes a ``GET`` that writes."""
    from allauth.account.models import EmailAddress, EmailConfirmationHMAC

    settings.MULTIDB_PINNING_TRIGGER = trigger
    address = EmailAddress.objects.create(user=make_user("ada"), email="ada@example.org")
    replication.catch_up()
    browser = Client()
    assert browser.get(f"/accounts/confirm-email/{EmailConfirmationHMAC.create(address).key}/").status_code == 302
    assert EmailAddress.objects.using("default").get().verified
    assert ("multidb_pin_writes" in browser.cookies) == (trigger == "write")


async def test_async_views(ada: User, pins: Pins, clock: Clock) -> None:
    browser, phone = AsyncClient(), AsyncClient()
    for client in (browser, phone):
        assert (await client.post("/accounts/login/", LOG_IN)).status_code == 302
    clock.advance(LATER)
    await browser.post("/post", {"text": "mine"})
    assert (await browser.get("/aposts")).json() == {"user": "ada", "texts": ["mine"] if pins.hold else []}
    assert (await phone.get("/aposts")).json() == {"user": "ada", "texts": ["mine"] if pins.are_keyed else []}
