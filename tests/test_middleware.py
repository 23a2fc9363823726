"""Real requests: who writes reads what they wrote, with every store, and everybody else reads from a replica."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connections
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.urls import path
from rest_framework.authtoken.models import Token

from multidb import middleware, routing
from multidb.backends import get_pin_store
from multidb.backends.base import UnsentResponse
from multidb.middleware import (
    READ_ONLY_METHODS,
    PinningRouterMiddleware,
    pinning_cookie,
    pinning_cookie_httponly,
    pinning_cookie_samesite,
    pinning_cookie_secure,
    pinning_seconds,
)
from multidb.pinning import db_read, mark_as_write, pin_this_thread, this_thread_is_pinned
from multidb.pins import Pin
from multidb.signals import pinned, request_routed
from tests import urls, views
from tests.conftest import KEYED, REDIS, REPLICAS, STORES, Clock, Replication, use_store
from tests.models import Post

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.usefixtures("replication")]


@pytest.fixture
def ada(replication: Replication) -> User:
    """A user with the token ``ada's``, whom every replica knows."""
    user = User.objects.create_user("ada", password="secret")
    Token.objects.create(user=user, key="ada's")
    replication.catch_up()
    return user


def sign_in(client: Client, replication: Replication) -> None:
    """Sign ``client`` in as ada on a site that has long caught up, so that only what follows pins."""
    client.force_login(User.objects.get(username="ada"))
    replication.catch_up()


def forget_cookie(client: Client | AsyncClient) -> None:
    client.cookies.pop(pinning_cookie(), None)


def test_whoever_posts_reads_the_post_after_the_redirect(store: str, client: Client) -> None:
    response = client.post("/post", {"text": "mine"}, follow=True)
    assert response.json() == {"texts": ["mine"], "alias": "default", "reason": "pinned"}


async def test_whoever_posts_reads_the_post_after_the_redirect_in_async_views(
    store: str, async_client: AsyncClient
) -> None:
    response = await async_client.post("/apost", {"text": "mine"}, follow=True)
    assert response.json() == {"texts": ["mine"], "alias": "default", "reason": "pinned"}


def test_others_read_from_a_replica(store: str, client: Client) -> None:
    client.post("/post", {"text": "mine"})
    answer = Client().get("/read").json()
    assert answer["texts"] == []
    assert answer["alias"] in REPLICAS
    assert answer["reason"] == "replica"


@pytest.mark.parametrize(("name", "sees"), [(name, name in KEYED) for name in STORES])
def test_a_second_browser_of_the_same_user_reads_the_write_with_a_keyed_store(
    request: pytest.FixtureRequest, ada: User, replication: Replication, name: str, sees: bool
) -> None:
    use_store(request, name)
    laptop, phone = Client(), Client()
    sign_in(laptop, replication)
    sign_in(phone, replication)
    laptop.post("/post", {"text": "mine"})
    answer = phone.get("/read").json()
    assert (answer["texts"] == ["mine"]) is sees
    assert answer["reason"] == ("pinned" if sees else "replica")


@pytest.mark.parametrize("keys", [["user"], ["authorization"], ["user", "session", "authorization"]], ids=str)
@pytest.mark.parametrize("name", KEYED)
def test_an_api_client_that_drops_cookies_reads_its_write(
    request: pytest.FixtureRequest, ada: User, name: str, keys: list[str]
) -> None:
    """Its user is known only inside the view, by Django REST framework's ``TokenAuthentication``."""
    use_store(request, name, keys=keys)
    headers = {"authorization": "Token ada's"}
    assert Client().post("/api", {"text": "mine"}, headers=headers).status_code == 201
    answer = Client().get("/api", headers=headers).json()
    assert answer == {"user": "ada", "texts": ["mine"], "alias": "default", "reason": "pinned"}


@pytest.mark.parametrize("name", KEYED)
def test_a_token_and_a_browser_of_one_user_share_the_pin(
    request: pytest.FixtureRequest, ada: User, replication: Replication, name: str
) -> None:
    use_store(request, name)
    browser = Client()
    sign_in(browser, replication)
    Client().post("/api", {"text": "mine"}, headers={"authorization": "Token ada's"})
    assert browser.get("/read").json()["texts"] == ["mine"]


def test_logging_in_pins_although_the_session_key_changes(
    store: str, ada: User, client: Client, replication: Replication
) -> None:
    client.post("/remember")
    replication.catch_up()
    forget_cookie(client)
    before = client.session.session_key
    client.post("/log-in", {"user": "ada"})
    assert client.session.session_key != before
    answer = client.get("/who").json()
    assert answer["user"] == "ada"
    assert answer["reason"] == "pinned"


def test_a_pin_on_another_primary_is_kept_when_the_session_key_changes(
    request: pytest.FixtureRequest, ada: User, client: Client, settings
) -> None:
    """What the request came with is filed under the new keys too, though no cookie carries it."""
    use_store(request, "redis", keys=["session"])
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
    client.get("/remember")
    client.post("/nothing")
    settings.REPLICA_DATABASES = ["replica-1"]
    forget_cookie(client)
    client.post("/log-in-after-a-read", {"user": "ada"})
    forget_cookie(client)
    pin = get_pin_store().load(client.get("/nothing").wsgi_request)
    assert pin.holds.keys() == {"default", "users"}


async def test_a_pin_on_another_primary_is_kept_when_the_session_key_changes_under_asgi(
    request: pytest.FixtureRequest, ada: User, async_client: AsyncClient, settings
) -> None:
    use_store(request, "redis", keys=["session"])
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
    await async_client.get("/remember")
    await async_client.post("/nothing")
    settings.REPLICA_DATABASES = ["replica-1"]
    forget_cookie(async_client)
    await async_client.post("/log-in-after-a-read", {"user": "ada"})
    forget_cookie(async_client)
    pin = await get_pin_store().aload((await async_client.get("/nothing")).asgi_request)
    assert pin.holds.keys() == {"default", "users"}


async def test_under_asgi_no_thread_is_asked_for_a_position_that_nobody_wants(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multidb.middleware.positions_after", lambda written: pytest.fail("it was asked for"))
    assert pinning_cookie() in (await async_client.post("/nothing")).cookies


@pytest.mark.parametrize("name", STORES)
def test_a_pin_follows_a_client_who_logs_in_by_a_link(
    request: pytest.FixtureRequest, ada: User, client: Client, replication: Replication, name: str
) -> None:
    """A ``GET`` that pins nobody, and that changes the key under which the pin was found."""
    use_store(request, name)
    client.get("/remember")
    client.post("/nothing")
    assert client.get("/log-in-by-get").json()["reason"] == "pinned"
    replication.catch_up()
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize(("begins", "path"), [("/remember", "/log-in"), ("/log-in", "/log-out")])
def test_a_pin_follows_a_client_whose_log_in_or_out_pins_nobody(
    store: str, ada: User, client: Client, settings, begins: str, path: str
) -> None:
    """It writes only what is ignored, looks no pin up, and ends the session under which there is one."""
    settings.MULTIDB_PINNING_TRIGGER = "write"
    settings.MULTIDB_PINNING_IGNORE = ["sessions", "auth.User.last_login"]
    client.post(begins, {"user": "ada"})
    client.post("/post", {"text": "mine"})
    before = client.session.session_key
    assert pinning_cookie() not in client.post(path, {"user": "ada"}).cookies
    assert client.session.session_key != before
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize("token", ["Bearer new", ""])
def test_a_pin_follows_a_client_with_cookies_who_has_another_token_or_none(
    store: str, client: Client, token: str
) -> None:
    """Also by a session that the writing request has begun."""
    client.post("/remember", headers={"authorization": "Bearer old"})
    assert client.get("/read", headers={"authorization": token} if token else {}).json()["reason"] == "pinned"


def test_a_client_known_by_the_project_s_own_key_only_inside_the_view_is_looked_up_then(
    request: pytest.FixtureRequest, keyed_store: str
) -> None:
    use_store(request, keyed_store, keys=["tests.views.api_client"])
    headers = {"X-Api-Key": "secret"}
    Client().post("/api-with-keys", headers=headers)
    assert Client().get("/api-with-keys", headers=headers).json() == {"reasons": ["replica", "pinned"]}


def test_a_pin_follows_a_client_who_logs_out_by_a_link(
    store: str, ada: User, client: Client, replication: Replication
) -> None:
    sign_in(client, replication)
    client.post("/nothing")
    assert client.get("/log-out-by-get").json()["reason"] == "pinned"
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize("engine", ["db", "signed_cookies"])
@pytest.mark.parametrize("path", ["/read", "/nothing", "/marked?write=yes"])
def test_a_session_cookie_of_a_session_that_is_gone_is_left_alone(
    store: str, client: Client, settings, path: str, engine: str
) -> None:
    """A read neither deletes it nor varies on it."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    client.cookies["sessionid"] = "gonegonegonegonegonegonegonegone"
    response = client.get(path)
    assert "sessionid" not in response.cookies
    assert not response.has_header("Vary")


@pytest.mark.parametrize("name", ["redis", "session"])
async def test_a_client_that_hangs_up_is_pinned_all_the_same(
    request: pytest.FixtureRequest, ada: User, async_client: AsyncClient, name: str
) -> None:
    """Its request is cancelled, as a server under ASGI does; its write may be made, the session's change is not."""
    use_store(request, name)
    headers = {"authorization": "Token ada's"}
    await async_client.get("/remember")
    begun = asyncio.Event()

    async def hang(request: HttpRequest) -> HttpResponse:
        begun.set()
        await asyncio.sleep(60)
        return HttpResponse()

    post = AsyncRequestFactory().post("/", headers=headers)
    post.session = SessionStore(async_client.cookies["sessionid"].value)
    await post.session.aset("visits", 99)
    task = asyncio.create_task(PinningRouterMiddleware(hang)(post))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await async_client.get("/aread", headers=headers)).json()["reason"] == "pinned"
    assert (await async_client.get("/remember")).json()["visits"] == 2


@pytest.mark.parametrize("name", ["redis", "session"])
async def test_a_client_that_hangs_up_is_pinned_although_a_middleware_is_not_async(
    request: pytest.FixtureRequest, ada: User, async_client: AsyncClient, settings, monkeypatch, name: str
) -> None:
    """Then Django runs ours, which stands before it, on a thread, where it sees the view cancelled."""
    use_store(request, name)
    monkeypatch.setattr(views, "hanging", asyncio.Event())
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.views.never_made_async"]
    headers = {"authorization": "Token ada's"}
    await async_client.get("/remember")
    hung_up = asyncio.create_task(async_client.post("/hang", headers=headers))
    await asyncio.wait_for(views.hanging.wait(), 10)
    hung_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung_up
    assert (await async_client.get("/aread", headers=headers)).json()["reason"] == "pinned"


def test_logging_out_pins_whoever_is_left(store: str, ada: User, client: Client, replication: Replication) -> None:
    sign_in(client, replication)
    client.post("/log-out")
    answer = client.get("/who").json()
    assert answer["user"] == ""
    assert answer["reason"] == "pinned"


def test_a_database_session_is_never_read_from_a_lagging_replica(client: Client) -> None:
    """``GET`` requests that change the session pin nobody, and the next one finds the change all the same."""
    assert [client.get("/remember").json()["visits"] for _ in range(3)] == [1, 2, 3]
    assert Session.objects.using(REPLICAS[0]).count() == 0


def test_a_database_session_is_found_by_a_pin_lookup_on_the_primary(
    request: pytest.FixtureRequest, ada: User, client: Client
) -> None:
    use_store(request, "redis")
    client.force_login(ada)
    assert client.get("/who").json()["user"] == "ada"


def test_a_pin_ends_after_its_seconds(store: str, client: Client, clock: Clock) -> None:
    client.post("/post", {"text": "mine"})
    clock.advance(14)
    assert client.get("/read").json()["reason"] == "pinned"
    clock.advance(1.1)
    assert client.get("/read").json()["reason"] == "replica"


@pytest.mark.parametrize("trigger", ["method", "write"])
def test_a_request_that_writes_reads_from_the_primary(store: str, client: Client, settings: Any, trigger: str) -> None:
    settings.MULTIDB_PINNING_TRIGGER = trigger
    assert client.post("/read").json()["reason"] == "method"


@pytest.mark.parametrize("path", ["/post-and-fail", "/get-that-writes-and-fails"])
def test_a_view_that_raises_after_it_wrote_pins(store: str, ada: User, replication: Replication, path: str) -> None:
    client = Client(raise_request_exception=False)
    sign_in(client, replication)
    method = client.get if path.startswith("/get") else client.post
    assert method(path).status_code == 500
    assert client.get("/read").json() == {"texts": ["failed"], "alias": "default", "reason": "pinned"}


@pytest.mark.parametrize("path", ["/stream", "/stream-file"])
@pytest.mark.parametrize(("method", "expected"), [("post", "default method"), ("get", "default pinned")])
def test_a_streamed_response_reads_as_its_request_did(client: Client, path: str, method: str, expected: str) -> None:
    client.post("/post", {"text": "mine"})
    response = getattr(client, method)(path)
    assert response.getvalue().decode().splitlines() == [expected] * 2


@pytest.mark.parametrize(("method", "expected"), [("post", "default method"), ("get", "default pinned")])
async def test_an_async_streamed_response_reads_as_its_request_did(
    async_client: AsyncClient, method: str, expected: str
) -> None:
    await async_client.post("/apost", {"text": "mine"})
    response = await getattr(async_client, method)("/astream")
    chunks = [chunk async for chunk in response]
    assert b"".join(chunks).decode().splitlines() == [expected] * 2


def test_a_stream_read_after_the_request_keeps_the_replica_of_the_request(client: Client) -> None:
    response = client.get("/stream")
    chunks = [chunk.decode().split()[0] for chunk in response.streaming_content]
    assert chunks[0] == chunks[1]
    assert chunks[0] in REPLICAS
    assert not routing.current().routing.is_of(response.wsgi_request)


def test_nothing_is_set_or_varied_on_where_nothing_was_written(
    store: str, ada: User, client: Client, replication: Replication
) -> None:
    sign_in(client, replication)
    response = client.get("/read")
    assert not response.cookies
    assert not response.has_header("Vary")


def test_one_replica_serves_a_whole_request_and_the_next_serves_the_next(client: Client) -> None:
    aliases = [client.get("/stream").getvalue().split()[::2] for _ in range(2)]
    assert all(first == second for first, second in aliases)
    assert {first.decode() for first, _ in aliases} == set(REPLICAS)


def test_requests_in_threads_do_not_see_each_other(store: str) -> None:
    """Each of eight browsers writes and reads its own, between others that only read."""

    def browse(number: int) -> list[str]:
        browser, reader = Client(), Client()
        try:
            reasons = [reader.get("/read").json()["reason"]]
            browser.post("/read")
            reasons.append(browser.get("/read").json()["reason"])
            reasons.append(reader.get("/read").json()["reason"])
            return reasons
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(browse, range(8))) == [["replica", "pinned", "replica"]] * 8


async def test_requests_in_gathered_tasks_do_not_see_each_other(async_client: AsyncClient) -> None:
    writer, reader = AsyncClient(), AsyncClient()
    await writer.post("/async-by-class", {"text": "x"})
    await writer.put("/async-by-class")

    async def reason(client: AsyncClient) -> str:
        return (await client.get("/aread")).json()["reason"]

    reasons = await asyncio.gather(*(reason(client) for client in [writer, reader] * 5))
    assert reasons == ["pinned", "replica"] * 5


def test_a_request_leaves_the_thread_as_it_found_it(client: Client) -> None:
    before = routing.current()
    client.post("/post", {"text": "mine"})
    Client(raise_request_exception=False).post("/post-and-fail")
    assert routing.current() is before


class TestOnItsOwn:
    """``process_request`` and ``process_response`` are called alone, as django-multidb-router documents."""

    @pytest.fixture
    def pinning(self) -> PinningRouterMiddleware:
        return PinningRouterMiddleware(lambda request: HttpResponse())

    def test_a_request_with_a_pin_is_pinned(self, pinning: PinningRouterMiddleware, rf: RequestFactory) -> None:
        written = pinning.process_response(rf.post("/"), HttpResponse())
        request = rf.get("/")
        request.COOKIES[pinning_cookie()] = written.cookies[pinning_cookie()].value
        assert pinning.process_request(request) is None
        assert this_thread_is_pinned()

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", None])
    def test_a_request_that_writes_is_pinned(self, pinning: PinningRouterMiddleware, method: str | None) -> None:
        request = HttpRequest()
        request.method = method
        pinning.process_request(request)
        assert this_thread_is_pinned()
        assert pinning_cookie() in pinning.process_response(request, HttpResponse()).cookies

    @pytest.mark.parametrize("method", sorted(READ_ONLY_METHODS))
    def test_a_request_that_reads_ends_what_the_last_one_left(
        self, pinning: PinningRouterMiddleware, rf: RequestFactory, method: str
    ) -> None:
        pin_this_thread()
        request = rf.generic(method, "/")
        pinning.process_request(request)
        assert not this_thread_is_pinned()
        assert pinning_cookie() not in pinning.process_response(request, HttpResponse()).cookies

    def test_the_cookie_has_the_attributes_of_the_settings(self, pinning: PinningRouterMiddleware, settings) -> None:
        settings.MULTIDB_PINNING_COOKIE = "pin"
        settings.MULTIDB_PINNING_SECONDS = 60
        settings.MULTIDB_PINNING_COOKIE_SECURE = True
        settings.MULTIDB_PINNING_COOKIE_HTTPONLY = True
        settings.MULTIDB_PINNING_COOKIE_SAMESITE = "Strict"
        cookie = pinning.process_response(HttpRequest(), HttpResponse()).cookies["pin"]
        assert cookie["max-age"] == pinning_seconds() == 60
        assert cookie["secure"] is pinning_cookie_secure() is True
        assert cookie["httponly"] is pinning_cookie_httponly() is True
        assert cookie["samesite"] == pinning_cookie_samesite() == "Strict"

    def test_a_marked_response_is_pinned_whatever_the_method(
        self, pinning: PinningRouterMiddleware, rf: RequestFactory
    ) -> None:
        response = mark_as_write(HttpResponse())
        assert pinning_cookie() in pinning.process_response(rf.get("/"), response).cookies

    def test_a_response_to_another_request_goes_by_its_own_method(
        self, pinning: PinningRouterMiddleware, rf: RequestFactory
    ) -> None:
        pinning.process_request(rf.post("/"))
        assert pinning_cookie() not in pinning.process_response(rf.get("/"), HttpResponse()).cookies

    def test_the_pin_of_another_request_is_not_its_own(
        self, pinning: PinningRouterMiddleware, rf: RequestFactory, settings
    ) -> None:
        settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
        written = pinning.process_response(rf.post("/"), HttpResponse())
        settings.REPLICA_DATABASES = ["replica-1"]
        request = rf.get("/")
        request.COOKIES[pinning_cookie()] = written.cookies[pinning_cookie()].value
        pinning.process_request(request)
        assert this_thread_is_pinned()
        other = rf.get("/")
        other.COOKIES[pinning_cookie()] = (
            pinning.process_response(rf.post("/"), HttpResponse()).cookies[pinning_cookie()].value
        )
        assert get_pin_store().load(other).holds.keys() == {"default"}

    def test_it_needs_a_view_to_call(self) -> None:
        with pytest.raises(ValueError, match="get_response"):
            PinningRouterMiddleware(None)


class Overridden(PinningRouterMiddleware):
    """A project's own subclass, as django-multidb-router allows: it reads, pins staff, and keeps no pins."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        super().process_request(request)
        if "staff" in request.GET and not User.objects.filter(username="nobody"):
            pin_this_thread()
        return HttpResponse("closed") if "closed" in request.GET else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response["X-Own"] = f"{request.method} {User.objects.count()}"
        return response


@pytest.fixture
def _overridden(settings) -> None:
    settings.MIDDLEWARE = [
        f"{__name__}.Overridden" if path.endswith("PinningRouterMiddleware") else path for path in settings.MIDDLEWARE
    ]


@pytest.mark.usefixtures("_overridden")
def test_a_subclass_overrides_either_hook(client: Client) -> None:
    assert client.get("/read?staff").json()["reason"] == "forced"
    assert client.get("/read").json()["reason"] == "replica"
    assert client.get("/read?closed").content == b"closed"
    assert not client.post("/read").cookies
    assert client.get("/read")["X-Own"] == "GET 0"


@pytest.mark.usefixtures("_overridden")
async def test_a_subclass_overrides_either_hook_under_asgi(async_client: AsyncClient) -> None:
    assert (await async_client.get("/aread", {"staff": "1"})).json()["reason"] == "forced"
    assert (await async_client.get("/aread")).json()["reason"] == "replica"
    assert (await async_client.get("/aread", {"closed": "1"})).content == b"closed"
    assert (await async_client.get("/aread"))["X-Own"] == "GET 0"


def observes(table: str | None) -> Callable[[HttpRequest], HttpResponse]:
    """A view that is seen to write, to an ignored ``table`` if that is one."""

    def view(request: HttpRequest) -> HttpResponse:
        routing.current().routing.observe_write("default", table)
        return HttpResponse()

    return view


@pytest.mark.parametrize(
    ("trigger", "view", "method", "pins"),
    [
        ("method", observes(None), "GET", False),
        ("method", observes(None), "POST", True),
        ("method", db_read(HttpResponse), "POST", False),
        ("write", observes(None), "GET", True),
        ("write", observes("tests_post"), "POST", False),
        ("write", HttpResponse, "POST", False),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_who_is_pinned(rf: RequestFactory, settings: Any, trigger: str, view: Any, method: str, pins: bool) -> None:
    settings.MULTIDB_PINNING_TRIGGER = trigger
    response = PinningRouterMiddleware(view)(rf.generic(method, "/"))
    assert (pinning_cookie() in response.cookies) is pins


def test_a_pin_is_merged_with_the_one_that_was_looked_up(rf: RequestFactory, settings: Any) -> None:
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
    settings.MULTIDB_PINNING_TRIGGER = "write"
    pins: list[Pin] = []

    def note(sender: Any, pin: Pin, **kwargs: Any) -> None:
        pins.append(pin)

    def view(request: HttpRequest) -> HttpResponse:
        this_thread_is_pinned()
        routing.current().routing.observe_write(request.GET["to"], None)
        return HttpResponse()

    pinned.connect(note)
    try:
        rf.cookies = PinningRouterMiddleware(view)(rf.get("/", {"to": "users"})).cookies
        PinningRouterMiddleware(view)(rf.get("/", {"to": "default"}))
    finally:
        pinned.disconnect(note)
    assert [set(pin.holds) for pin in pins] == [{"users"}, {"users", "default"}]


def test_it_is_told_with_its_request_and_response_where_reads_went(rf: RequestFactory, settings: Any) -> None:
    settings.MULTIDB_EXPLAIN = True
    told: list[Any] = []

    def note(sender: Any, request: HttpRequest, response: HttpResponse, **kwargs: Any) -> None:
        told.extend((request, response))

    request_routed.connect(note)
    try:
        request = rf.get("/")
        response = PinningRouterMiddleware(HttpResponse)(request)
    finally:
        request_routed.disconnect(note)
    assert [each is of for each, of in zip(told, (request, response), strict=True)] == [True, True]
    assert response["Server-Timing"] == 'multidb;desc="no reads"'


def test_what_is_ignored_of_a_request_inside_another_is_ignored_there_too(rf: RequestFactory, settings: Any) -> None:
    states: list[Any] = []

    def outer(request: HttpRequest) -> HttpResponse:
        states.append(routing.current().routing)
        return PinningRouterMiddleware(observes("tests_post"))(rf.get("/"))

    PinningRouterMiddleware(outer)(rf.get("/"))
    assert (set(states[0].written), set(states[0].ignored_tables)) == (set(), {"tests_post"})


class Prepares(PinningRouterMiddleware):
    """A project's own subclass that prepares what templates are given."""

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        return response


async def _answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@pytest.mark.parametrize(
    ("middleware", "get_response", "is_async"),
    [
        (PinningRouterMiddleware, _answer, True),
        (PinningRouterMiddleware, HttpResponse, False),
        (Prepares, _answer, False),
        (Prepares, HttpResponse, False),
    ],
)
def test_what_prepares_templates_is_called_without_a_thread_unless_it_is_a_subclass_s(
    middleware: type[PinningRouterMiddleware], get_response: Any, is_async: bool
) -> None:
    """Django looks whether it is async."""
    assert iscoroutinefunction(middleware(get_response).process_template_response) is is_async


def test_a_file_is_sent_as_django_sends_it(rf: RequestFactory, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    response = FileResponse(path.open("rb"))
    PinningRouterMiddleware(lambda request: response)(rf.get("/"))
    assert response.file_to_stream is not None
    response.close()


class TestTheSignalOfAPin:
    @pytest.fixture
    def told(self) -> Iterator[list[Any]]:
        told: list[Any] = []

        def receive(**kwargs: Any) -> None:
            told.append(kwargs)
            raise RuntimeError("a receiver that fails fails no request")

        pinned.connect(receive)
        yield told
        assert pinned.disconnect(receive)

    @pytest.mark.parametrize("address", ["nothing", "anothing"])
    async def test_it_is_sent_with_the_pin_of_each_response_that_pins(self, told: list[Any], address: str) -> None:
        client = AsyncClient() if address.startswith("a") else Client()
        visit = client.generic if address.startswith("a") else sync_to_async(client.generic)
        await visit("GET", f"/{address}")
        assert not told
        response = await visit("POST", f"/{address}")
        assert [(each["response"], list(each["pin"].holds)) for each in told] == [(response, ["default"])]
        assert told[0]["request"].method == "POST"


class TestARequestInsideARequest:
    """As of a view that calls its own site by Django's test client."""

    def test_what_it_has_written_the_outer_one_reads(self, replication: Replication, settings: Any) -> None:
        settings.ROOT_URLCONF = __name__
        answer = Client().get("/calls-itself").json()
        assert answer["before"]["alias"] in REPLICAS
        assert (answer["after"]["texts"], answer["after"]["reason"]) == (["mine"], "wrote")

    async def test_what_an_async_one_has_written_the_outer_one_reads(
        self, replication: Replication, settings: Any
    ) -> None:
        settings.ROOT_URLCONF = __name__
        answer = (await AsyncClient().get("/acalls-itself")).json()
        assert (answer["after"]["texts"], answer["after"]["reason"]) == (["mine"], "wrote")

    def test_what_it_has_written_to_an_ignored_table_the_outer_one_reads_too(
        self, replication: Replication, settings: Any
    ) -> None:
        settings.ROOT_URLCONF = __name__
        settings.MULTIDB_PINNING_TRIGGER = "write"
        settings.MULTIDB_PINNING_IGNORE = ["tests.Post"]
        answer = Client().get("/calls-itself").json()
        assert (answer["after"]["texts"], answer["after"]["reason"]) == (["mine"], "wrote")


def calls_itself(request: HttpRequest) -> JsonResponse:
    before = views.answer()
    Client().post("/post", {"text": "mine"})
    return JsonResponse({"before": before, "after": views.answer()})


async def acalls_itself(request: HttpRequest) -> JsonResponse:
    await sync_to_async(views.answer)()
    await AsyncClient().post("/apost", {"text": "mine"})
    return JsonResponse({"after": await sync_to_async(views.answer)()})


class TestAClientThatHangsUp:
    async def test_is_pinned_by_its_method(self, replication: Replication, real_redis: Any, settings: Any) -> None:
        """With ``"write"`` too: what it asked for may still be written by a thread."""
        settings.ROOT_URLCONF = __name__
        settings.MULTIDB_PINNING_TRIGGER = "write"
        headers = await known_by_token(settings)
        BEGUN.clear()
        visit = asyncio.create_task(AsyncClient().post("/writes-later", headers=headers))
        while not BEGUN.is_set():
            await asyncio.sleep(0.01)
        await cancelled(visit)
        GO_ON.set()
        while not await Post.objects.using("default").aexists():
            await asyncio.sleep(0.01)
        answer = (await AsyncClient().get("/aread", headers=headers)).json()
        assert (answer["texts"], answer["reason"]) == (["late"], "pinned")

    async def test_is_pinned_by_a_write_that_was_seen_whatever_its_method(
        self, replication: Replication, real_redis: Any, settings: Any
    ) -> None:
        settings.MULTIDB_PINNING_TRIGGER = "write"
        headers = await known_by_token(settings)
        written = asyncio.Event()

        async def write(request: HttpRequest) -> HttpResponse:
            await Post.objects.acreate(text="mine")
            written.set()
            await asyncio.sleep(60)
            return HttpResponse()

        visit = asyncio.create_task(PinningRouterMiddleware(write)(AsyncRequestFactory().get("/", headers=headers)))
        await written.wait()
        await cancelled(visit)
        answer = (await AsyncClient().get("/aread", headers=headers)).json()
        assert (answer["texts"], answer["reason"]) == (["mine"], "pinned")

    @pytest.mark.parametrize(("method", "mark", "reason"), [("GET", True, "pinned"), ("POST", False, "replica")])
    async def test_while_its_pin_is_saved_is_pinned_as_the_response_says(
        self,
        replication: Replication,
        real_redis: Any,
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        mark: bool,
        reason: str,
    ) -> None:
        """The response that the view has returned, and that nobody gets any more."""
        headers = await known_by_token(settings)
        saving = asyncio.Event()

        async def view(request: HttpRequest) -> HttpResponse:
            response = HttpResponse()
            response._db_write = mark
            return response

        class Slow(PinningRouterMiddleware):
            async def aprocess_response(self, request: HttpRequest, response: Any) -> Any:
                if not isinstance(response, UnsentResponse):
                    saving.set()
                    await asyncio.sleep(60)
                return await super().aprocess_response(request, response)

        visit = asyncio.create_task(Slow(view)(AsyncRequestFactory().generic(method, "/", headers=headers)))
        await saving.wait()
        await cancelled(visit)
        assert (await AsyncClient().get("/aread", headers=headers)).json()["reason"] == reason

    def test_on_a_thread_while_its_pin_is_saved_is_pinned_as_the_response_says(self, rf: RequestFactory) -> None:
        """Where a middleware after ours is not async, so that ours is not either."""

        def view(request: HttpRequest) -> HttpResponse:
            response = HttpResponse()
            response._db_write = True
            return response

        seen: list[Any] = []

        class Interrupted(PinningRouterMiddleware):
            def process_response(self, request: HttpRequest, response: Any) -> Any:
                seen.append(response)
                if len(seen) == 1:
                    raise asyncio.CancelledError
                return super().process_response(request, response)

        with pytest.raises(asyncio.CancelledError):
            Interrupted(view)(rf.get("/"))
        assert pinning_cookie() in seen[1].cookies

    @pytest.mark.parametrize("trigger", ["method", "write"])
    async def test_while_a_receiver_is_told_of_its_pin_is_told_of_once_and_to_the_end(
        self, replication: Replication, real_redis: Any, settings: Any, trigger: str
    ) -> None:
        settings.MULTIDB_PINNING_TRIGGER = trigger
        headers = await known_by_token(settings)
        told: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def receive(**kwargs: Any) -> None:
            told.append("begun")
            begun.set()
            await go_on.wait()
            told.append("ended")

        async def view(request: HttpRequest) -> HttpResponse:
            await Post.objects.acreate(text="mine")
            return HttpResponse()

        pinned.connect(receive)
        try:
            visit = asyncio.create_task(PinningRouterMiddleware(view)(AsyncRequestFactory().post("/", headers=headers)))
            await begun.wait()
            visit.cancel()
            asyncio.get_running_loop().call_later(0.1, go_on.set)
            with pytest.raises(asyncio.CancelledError):
                await visit
        finally:
            assert pinned.disconnect(receive)
        assert told == ["begun", "ended"]
        assert (await AsyncClient().get("/aread", headers=headers)).json()["reason"] == "pinned"

    async def test_is_told_so_though_its_pin_could_not_be_saved(self, settings: Any) -> None:
        """Whoever has cancelled it waits for that, and for nothing else."""
        begun = asyncio.Event()

        async def view(request: HttpRequest) -> HttpResponse:
            begun.set()
            await asyncio.sleep(60)
            return HttpResponse()

        visit = asyncio.create_task(Failing(view)(AsyncRequestFactory().post("/")))
        await begun.wait()
        visit.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await visit
        assert isinstance(raised.value.__cause__, LookupError)

    def test_is_told_so_on_a_thread_though_its_pin_could_not_be_saved(self, rf: RequestFactory) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError) as raised:
            Failing(view)(rf.post("/"))
        assert isinstance(raised.value.__cause__, LookupError)

    async def test_leaves_nothing_behind(self, rf: RequestFactory) -> None:
        """Neither the task that has saved its pin, nor an error of that."""
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        begun = asyncio.Event()

        async def view(request: HttpRequest) -> HttpResponse:
            begun.set()
            await asyncio.sleep(60)
            return HttpResponse()

        visit = asyncio.create_task(PinningRouterMiddleware(view)(AsyncRequestFactory().post("/")))
        await begun.wait()
        await cancelled(visit)
        await asyncio.sleep(0)
        assert (middleware._tasks, complaints) == (set(), [])


class Failing(PinningRouterMiddleware):
    def process_response(self, request: HttpRequest, response: Any) -> Any:
        raise LookupError


async def known_by_token(settings: Any) -> dict[str, str]:
    """The headers of a client that a new Redis store knows by its token."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "timeout": 5}}
    await sync_to_async(get_pin_store().declare_new)()
    return {"authorization": "Token ada"}


async def cancelled(visit: asyncio.Task[Any]) -> None:
    visit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visit


BEGUN, GO_ON = threading.Event(), threading.Event()


async def writes_later(request: HttpRequest) -> JsonResponse:
    def write() -> None:
        BEGUN.set()
        GO_ON.wait(10)
        Post.objects.create(text="late")
        connections.close_all()  # Of a thread that no other test has.

    await sync_to_async(write, thread_sensitive=False)()
    return JsonResponse({})


urlpatterns = [
    *urls.urlpatterns,
    path("calls-itself", calls_itself),
    path("acalls-itself", acalls_itself),
    path("writes-later", writes_later),
]
