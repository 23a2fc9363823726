"""Django's admin, with every store: log in, save, be redirected, and see it in the list."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import Clock, Replication
from tests.models import Post
from tests.third_parties.conftest import LATER, PASSWORD, Pins
from tests.third_parties.installed import installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
ADDED = "was added successfully"


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with installed(django_db_blocker, "admin", "django.contrib.messages", "django.contrib.admin"):
        yield


def logged_in(name: str) -> Client:
    client = Client()
    client.post("/admin/login/?next=/admin/", {"username": name, "password": PASSWORD})
    return client


def listed(client: Client) -> list[str]:
    page = client.get("/admin/tests/post/")
    assert page.status_code == 200
    return sorted(post.text for post in page.context["cl"].result_list)


def test_what_was_saved_is_in_the_list(ada: User, every_pins: Pins, clock: Clock) -> None:
    browser, phone, other = logged_in("ada"), logged_in("ada"), logged_in("grace")
    clock.advance(LATER)
    page = browser.post("/admin/tests/post/add/", {"text": "mine"}, follow=True)
    assert page.redirect_chain == [("/admin/tests/post/", 302)]
    assert ADDED in page.text
    assert [post.text for post in page.context["cl"].result_list] == (["mine"] if every_pins.hold else [])
    assert listed(browser) == (["mine"] if every_pins.hold else [])
    assert listed(phone) == (["mine"] if every_pins.are_keyed else [])
    assert listed(other) == []


def test_one_can_go_on_editing_what_was_saved(ada: User, every_pins: Pins, clock: Clock) -> None:
    """Of what a replica does not have yet the admin says that it does not exist, and redirects to its index."""
    browser = logged_in("ada")
    clock.advance(LATER)
    page = browser.post("/admin/tests/post/add/", {"text": "mine", "_continue": "on"}, follow=True)
    edit = f"/admin/tests/post/{Post.objects.using('default').get().pk}/change/"
    assert [address for address, _ in page.redirect_chain] == ([edit] if every_pins.hold else [edit, "/admin/"])


def test_what_was_changed_and_deleted_is(ada: User, cookie_pins: Pins, clock: Clock, replication: Replication) -> None:
    old, gone = [Post.objects.create(text=text) for text in ("old", "gone")]
    replication.catch_up()
    browser = logged_in("ada")
    clock.advance(LATER)
    browser.post(f"/admin/tests/post/{old.pk}/change/", {"text": "new"})
    browser.post(f"/admin/tests/post/{gone.pk}/delete/", {"post": "yes"})
    assert listed(browser) == (["new"] if cookie_pins.hold else ["gone", "old"])


def test_a_new_member_of_staff_can_log_in(make_user: Callable[..., User], cookie_pins: Pins) -> None:
    """Though no replica knows them yet, without which the log-in fails."""
    make_user("ada", is_staff=True, is_superuser=True)
    assert logged_in("ada").get("/admin/").status_code == (200 if cookie_pins.hold else 302)
