"""The panel for django-debug-toolbar, opened as its page does: why did this query go there?"""

import html
import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import clear_url_caches, include, path

from multidb import positions
from multidb.backends import get_pin_store
from multidb.pins import Pin
from multidb.request_routing import RequestRouting
from tests import urls
from tests.conftest import REPLICAS, use_store
from tests.models import Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("_toolbar"),
]

OURS = "multidb.middleware.PinningRouterMiddleware"
TOOLBAR = "debug_toolbar.middleware.DebugToolbarMiddleware"
PANEL = "multidb.contrib.debug_toolbar.RoutingPanel"


def page(request: HttpRequest) -> HttpResponse:
    for _ in range(3):
        Post.objects.exists()
    return HttpResponse("<html><body></body></html>")


async def apage(request: HttpRequest) -> HttpResponse:
    await Post.objects.aexists()
    return await sync_to_async(page)(request)


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<html><body></body></html>")


def long(request: HttpRequest) -> HttpResponse:
    """5,000 queries from one place, and 300 from others."""
    for _ in range(5000):
        router.db_for_read(Post)
    for number in range(300):
        code = compile("\n" * number + "router.db_for_read(Post)", "/project/views.py", "exec")
        exec(code, {"__name__": "project.views", "router": router, "Post": Post})
    return HttpResponse("<html><body></body></html>")


urlpatterns = [
    *urls.urlpatterns,
    path("page", page),
    path("apage", apage),
    path("empty", empty),
    path("long", long),
]


@pytest.fixture
def _toolbar(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.STATIC_URL = "/static/"
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "APP_DIRS": True}]
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.staticfiles", "debug_toolbar"]
    settings.MIDDLEWARE = [TOOLBAR, *settings.MIDDLEWARE]
    settings.DEBUG_TOOLBAR_PANELS = ["debug_toolbar.panels.history.HistoryPanel", PANEL]
    forget_addresses()
    settings.DEBUG_TOOLBAR_CONFIG = {"SHOW_TOOLBAR_CALLBACK": lambda request: True}
    # Which has models, so that it can be imported only where it is installed.
    addresses = path("__debug__/", include("debug_toolbar.urls"))
    monkeypatch.setattr(sys.modules[__name__], "urlpatterns", [*urlpatterns, addresses])
    clear_url_caches()
    yield
    forget_addresses()


def forget_addresses() -> None:
    """Those of the panels that were set when the toolbar was asked for them first."""
    sys.modules.pop("debug_toolbar.urls", None)
    toolbar = importlib.import_module("debug_toolbar.toolbar").DebugToolbar
    toolbar._panel_classes = toolbar._urlpatterns = None


def panel_of(response: Any) -> str:
    """The text of the panel, as the toolbar on the page of ``response`` loads it."""
    page = response.content.decode()
    request_id = re.search(r'data-request-id="(\w+)"', page)
    assert request_id
    loaded = Client().get("/__debug__/render_panel/", {"request_id": request_id[1], "panel_id": "RoutingPanel"}).json()
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", loaded["content"])))


def subtitle_of(response: Any) -> str:
    found = re.search(r"RoutingPanel.*?<small>(.*?)</small>", response.content.decode(), re.DOTALL)
    assert found
    return found[1]


def test_reads_are_shown_with_model_database_reason_and_place() -> None:
    response = Client().get("/page")
    line = page.__code__.co_firstlineno + 2
    text = panel_of(response)
    assert [f"3 tests.Post {alias} replica {__name__}:{line}" in text for alias in REPLICAS].count(True) == 1
    assert "None was found, or no read asked for one." in text
    assert subtitle_of(response) in [f"3 {alias}" for alias in REPLICAS]


async def test_under_asgi_too() -> None:
    response = await AsyncClient().get("/apage")
    text = await sync_to_async(panel_of)(response)
    assert f"{__name__}:{page.__code__.co_firstlineno + 2}" in text
    assert f"{__name__}:{apage.__code__.co_firstlineno + 1}" in text


@pytest.mark.parametrize("after", [False, True], ids=["before ours", "after ours"])
def test_wherever_the_toolbar_stands_in_the_middleware(settings: Any, after: bool) -> None:
    if after:
        settings.MIDDLEWARE = [*(each for each in settings.MIDDLEWARE if each != TOOLBAR), TOOLBAR]
    assert "3 tests.Post replica-" in panel_of(Client().get("/page"))


@pytest.mark.parametrize(("store", "source"), [("cookie", "SignedCookiePinStore"), ("redis", "RedisPinStore")])
def test_the_pin_is_shown_with_its_age_and_where_it_was_kept(
    request: pytest.FixtureRequest, store: str, source: str
) -> None:
    use_store(request, store)
    client = Client(headers={"authorization": "Token ada"})
    client.post("/post", {"text": "mine"})
    if store == "redis":
        client.cookies.clear()  # Which has every pin too.
    text = panel_of(client.get("/page"))
    assert re.search(rf"default 0\.\d s ago 1[45]\.\d s more {source} none: it holds for its seconds", text)
    assert "3 default pinned" in text


def test_a_pin_that_both_have_was_kept_in_the_cookie(request: pytest.FixtureRequest) -> None:
    use_store(request, "redis")
    client = Client()
    client.post("/post", {"text": "mine"})
    assert "SignedCookiePinStore" in panel_of(client.get("/page"))


def test_the_position_is_shown(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MULTIDB_PINNING_UNTIL = "replayed"
    monkeypatch.setattr(positions, "primary_position", lambda connection: {"lsn": "00000000016B3748"})
    client = Client()
    client.post("/post", {"text": "mine"})
    assert "lsn: 00000000016B3748" in panel_of(client.get("/page"))


def test_a_dry_run_is_called_one(settings: Any) -> None:
    settings.MULTIDB_ROUTING = "dry run"
    assert "replica, in a dry run : it went to the primary" in panel_of(Client().get("/page"))


def test_a_pin_that_ends_during_the_request_held_when_that_began(settings: Any, rf: Any) -> None:
    """However long the request takes: what is shown is how it was then."""
    from multidb.contrib.debug_toolbar import _pins

    settings.MULTIDB_PINNING_SECONDS = 15
    began = 1_800_000_000.0
    state = RequestRouting(rf.get("/"), get_pin_store(), writes=False)
    for left, shown in ((4, (11, 4)), (0, (15, 0)), (-1, (15, 0))):
        state._lookup.pin = Pin.on(["default"], began + left)
        (pin,) = _pins(rf.get("/"), state, began)
        assert (pin["age"], pin["left"]) == shown


def test_a_page_that_reads_nothing() -> None:
    assert "This request has read nothing through the router." in panel_of(Client().get("/empty"))


def test_a_page_with_very_many_queries_has_a_bounded_panel() -> None:
    text = panel_of(Client().get("/long"))
    assert "5000 tests.Post replica-" in text
    assert text.count("tests.Post") == 200
    assert "And 101 more kinds of reads." in text


def test_a_request_that_our_middleware_has_not_seen_says_so(settings: Any) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != OURS]
    assert "PinningRouterMiddleware has not seen this request" in panel_of(Client().get("/page"))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "debug_toolbar.panels", None)
    monkeypatch.delitem(sys.modules, "multidb.contrib.debug_toolbar", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django-multidb-pinning\[toolbar\]"'):
        importlib.import_module("multidb.contrib.debug_toolbar")
