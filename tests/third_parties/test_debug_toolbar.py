"""django-debug-toolbar among the middleware, before ours and after it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from pytest_django.plugin import DjangoDbBlocker

from tests.third_parties.conftest import Pins
from tests.third_parties.installed import MIDDLEWARE, OURS, after, before, installed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

TOOLBAR = "debug_toolbar.middleware.DebugToolbarMiddleware"
HANDLE = 'id="djDebug"'
PLACES = {
    "first": [TOOLBAR, *MIDDLEWARE],
    "just before ours": before(TOOLBAR, OURS),
    "just after ours": after(TOOLBAR, OURS),
}


def show_toolbar(request: Any) -> bool:
    return True


@pytest.fixture(scope="module", autouse=True)
def _site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    labels = ["django.contrib.messages", "django.contrib.staticfiles", "debug_toolbar"]
    # The other panels tell of the machine, or profile it.
    panels = [f"debug_toolbar.panels.{name}" for name in ("sql.SQLPanel", "cache.CachePanel", "history.HistoryPanel")]
    others = {
        "DEBUG": True,
        "DEBUG_TOOLBAR_CONFIG": {"SHOW_TOOLBAR_CALLBACK": f"{__name__}.show_toolbar", "IS_RUNNING_TESTS": False},
        "DEBUG_TOOLBAR_PANELS": panels,
    }
    with installed(django_db_blocker, "debug_toolbar", *labels, **others):
        yield


@pytest.fixture(params=PLACES)
def _place(request: pytest.FixtureRequest, settings: Any) -> None:
    """Each place of the toolbar in turn."""
    settings.MIDDLEWARE = PLACES[request.param]


@pytest.mark.usefixtures("_place")
@pytest.mark.parametrize("trigger", ["method", "write"])
def test_whoever_writes_sees_it(ada: User, settings: Any, cookie_pins: Pins, trigger: str) -> None:
    """Also where a pin takes that a write was observed, while the toolbar records queries."""
    settings.MULTIDB_PINNING_TRIGGER = trigger
    browser, other = Client(), Client()
    for client in (browser, other):
        assert HANDLE in client.get("/page").text
    browser.post("/post", {"text": "mine"})
    page = browser.get("/page").text
    assert HANDLE in page
    assert ("['mine']" in page) == cookie_pins.hold
    assert "['mine']" not in other.get("/page").text


@pytest.mark.usefixtures("_place")
async def test_async_views(ada: User, settings: Any, cookie_pins: Pins) -> None:
    browser, other = AsyncClient(), AsyncClient()
    await browser.post("/apost", {"text": "mine"})
    page = (await browser.get("/apage")).text
    assert HANDLE in page
    assert ("['mine']" in page) == cookie_pins.hold
    assert "['mine']" not in (await other.get("/apage")).text


def test_the_panel_of_queries_names_the_database_of_each(ada: User, settings: Any) -> None:
    settings.MIDDLEWARE = PLACES["first"]
    browser = Client()
    browser.post("/post", {"text": "mine"})
    for client, alias in ((browser, "default"), (Client(), "replica-")):
        page = client.get("/page").text
        assert alias in panel(client, page)
    assert "default" not in panel(client, page)


def panel(client: Client, page: str) -> str:
    """What the toolbar's own request for the panel of queries of ``page`` answers."""
    request_id = page.split('data-request-id="')[1].split('"')[0]
    answer = client.get("/__debug__/render_panel/", {"request_id": request_id, "panel_id": "SQLPanel"})
    assert answer.status_code == 200
    return answer.json()["content"]
