"""Middleware of Django that changes, drops or keeps responses: before ours and after it."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import AsyncClient, Client
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import Clock, Replication
from tests.models import Post
from tests.third_parties.conftest import Pins
from tests.third_parties.installed import MIDDLEWARE, OURS, after, before, installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
PACKED = {"accept-encoding": "gzip"}
COOKIE = "multidb_pin_writes"

# As Django's documentation has it.
CACHED = [
    "django.middleware.cache.UpdateCacheMiddleware",
    *MIDDLEWARE,
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with installed(django_db_blocker, "middleware", "django.contrib.messages"):
        yield


def placed(middleware: str) -> dict[str, list[str]]:
    """Each place of ``middleware``."""
    return {
        "first": [middleware, *MIDDLEWARE],
        "just before ours": before(middleware, OURS),
        "just after ours": after(middleware, OURS),
    }


@pytest.fixture(params=placed(GZIP))
def _gzip(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.MIDDLEWARE = placed(GZIP)[request.param]


@pytest.fixture(params=placed(CONDITIONAL))
def _conditional(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.MIDDLEWARE = placed(CONDITIONAL)[request.param]


def unpacked(response: Any) -> str:
    assert response["Content-Encoding"] == "gzip"
    return gzip.decompress(response.content).decode()


@pytest.mark.usefixtures("_gzip")
def test_whoever_writes_sees_it_in_what_is_compressed(ada: User, cookie_pins: Pins) -> None:
    browser, other = Client(headers=PACKED), Client(headers=PACKED)
    browser.post("/post", {"text": "mine"})
    assert ("['mine']" in unpacked(browser.get("/page"))) == cookie_pins.hold
    assert "['mine']" not in unpacked(other.get("/page"))


@pytest.mark.usefixtures("_gzip")
def test_whoever_writes_sees_it_in_what_is_compressed_as_it_is_sent(ada: User, cookie_pins: Pins) -> None:
    browser, other = Client(headers=PACKED), Client(headers=PACKED)
    browser.post("/post", {"text": "mine"})
    assert sent(browser) == (["['mine']", "['mine']"] if cookie_pins.hold else ["[]", "[]"])
    assert sent(other) == ["[]", "[]"]


def sent(client: Client) -> list[str]:
    response = client.get("/stream")
    content = gzip.decompress(b"".join(response.streaming_content))
    response.close()
    return content.decode().split("\n")[:2]


@pytest.mark.usefixtures("_gzip")
async def test_async_views(ada: User, cookie_pins: Pins) -> None:
    browser = AsyncClient()
    await browser.post("/apost", {"text": "mine"}, headers=PACKED)
    assert ("['mine']" in unpacked(await browser.get("/apage", headers=PACKED))) == cookie_pins.hold
    response = await browser.get("/astream", headers=PACKED)
    content = gzip.decompress(b"".join([chunk async for chunk in response.streaming_content]))
    response.close()
    assert content.decode().split("\n")[:2] == (["['mine']"] * 2 if cookie_pins.hold else ["[]"] * 2)


@pytest.mark.usefixtures("_conditional")
def test_nobody_who_wrote_is_told_that_nothing_has_changed(
    ada: User, cookie_pins: Pins, replication: Replication
) -> None:
    """``ConditionalGetMiddleware`` compares with what the client's own read has found."""
    browser, other = Client(), Client()
    known = {"if-none-match": browser.get("/page")["ETag"]}
    browser.post("/post", {"text": "mine"})
    assert browser.get("/page", headers=known).status_code == (200 if cookie_pins.hold else 304)
    assert other.get("/page", headers=known).status_code == 304
    replication.catch_up()
    assert other.get("/page", headers=known).status_code == 200


def test_the_site_s_cache_hands_no_pin_to_others(ada: User, settings: Any, clock: Clock) -> None:
    """Else that of whoever made a page replaced, in the browser of the next, a pin that holds for longer."""
    settings.MIDDLEWARE = CACHED
    settings.MULTIDB_PINNING_TRIGGER = "write"
    first, second = Client(), Client()
    first.get("/visit")
    clock.advance(10)
    second.post("/post", {"text": "mine"})
    second.get("/visit")
    assert second.cookies[COOKIE].value != first.cookies[COOKIE].value
    clock.advance(10)
    assert "mine" in second.get("/page").text


@pytest.mark.parametrize(("page", "is_fresh"), [("/of-whom", True), ("/page", False)])
def test_a_cached_page_is_as_old_as_its_cache_unless_it_varies_on_cookies(
    ada: User, settings: Any, page: str, is_fresh: bool
) -> None:
    """Whoever is pinned has another cookie. A page that does not vary on it is the same for all, and whoever comes
    first fills the cache from a replica, also when the project has just emptied it.
    """
    settings.MIDDLEWARE = CACHED
    browser, other = Client(), Client()
    browser.force_login(ada)
    browser.get(page)
    browser.post("/post", {"text": "mine"})
    caches["default"].clear()
    assert "mine" not in other.get(page).text
    assert ("mine" in browser.get(page).text) == is_fresh
    assert "mine" not in other.get(page).text


def test_the_cached_response_of_a_view_that_writes_pins_whoever_gets_it(ada: User, clock: Clock) -> None:
    """By the mark that ``db_write`` has put on it, and with a cookie of their own."""
    first = Client().get("/cached-visit").cookies[COOKIE].value
    clock.advance(1)
    assert Client().get("/cached-visit").cookies[COOKIE].value != first
    assert Post.objects.using("default").count() == 1
