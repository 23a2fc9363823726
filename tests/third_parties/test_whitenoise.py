"""WhiteNoise among the middleware, before ours and after it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from pytest_django.plugin import DjangoDbBlocker

from tests.third_parties.conftest import Pins
from tests.third_parties.installed import MIDDLEWARE, OURS, after, before, installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
PLACES = {
    # As WhiteNoise's documentation has it.
    "after SecurityMiddleware": after(WHITENOISE, MIDDLEWARE[0]),
    "just before ours": before(WHITENOISE, OURS),
    "just after ours": after(WHITENOISE, OURS),
    "last": [*MIDDLEWARE, WHITENOISE],
}


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    labels = ["django.contrib.messages", "django.contrib.staticfiles", "whitenoise.runserver_nostatic"]
    with installed(django_db_blocker, "middleware", *labels):
        yield


@pytest.fixture(params=PLACES, autouse=True)
def _place(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    """Each place of WhiteNoise in turn, and a static file."""
    settings.MIDDLEWARE = PLACES[request.param]
    settings.STATIC_ROOT = str(tmp_path)
    (tmp_path / "site.css").write_text("body {}")


def assert_untouched(response: Any) -> None:
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == b"body {}"
    response.close()
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")


def test_whoever_writes_sees_it_and_a_static_file_asks_nobody(ada: User, pins: Pins) -> None:
    """Nor loads the session, as a look-up of a pin would, also for whoever is pinned."""
    browser, other = Client(), Client()
    browser.force_login(ada)
    browser.post("/post", {"text": "mine"})
    with CaptureQueriesContext(connections["default"]) as queries:
        assert_untouched(browser.get("/static/site.css"))
    assert len(queries) == 0
    assert ("['mine']" in browser.get("/page").text) == pins.hold
    assert "['mine']" not in other.get("/page").text


async def test_async_views(ada: User, cookie_pins: Pins) -> None:
    browser = AsyncClient()
    await browser.post("/apost", {"text": "mine"})
    response = await browser.get("/static/site.css")
    assert response.status_code == 200
    assert not response.cookies
    response.close()
    assert ("['mine']" in (await browser.get("/apage")).text) == cookie_pins.hold
