"""``MULTIDB_EXPLAIN`` and ``request_routed``: what is told at the end of a request, of where its reads went."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from multidb.backends import get_pin_store
from multidb.explanation import Explanation
from multidb.reporting import report
from multidb.request_routing import RequestRouting
from multidb.routes import Route
from multidb.signals import request_routed
from tests import urls
from tests.conftest import REPLICAS
from tests.models import Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
]


def reads(request: HttpRequest) -> HttpResponse:
    for _ in range(3):
        Post.objects.exists()
    return HttpResponse()


async def areads(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(reads)(request)


def times_itself(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Server-Timing": "db;dur=53"})


def streams(request: HttpRequest) -> StreamingHttpResponse:
    Post.objects.exists()
    return StreamingHttpResponse("yes" if Post.objects.exists() else "no" for _ in range(2))


async def astreams(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> Any:
        for _ in range(2):
            yield "yes" if await Post.objects.aexists() else "no"

    return StreamingHttpResponse(chunks())


def fails(request: HttpRequest) -> HttpResponse:
    Post.objects.exists()
    raise RuntimeError("after the read")


urlpatterns = [
    *urls.urlpatterns,
    path("reads", reads, name="the page"),
    path("areads", areads, name="the page"),
    path("times-itself", times_itself),
    path("streams", streams),
    path("astreams", astreams),
    path("fails", fails),
]


@pytest.fixture
def routed() -> Iterator[list[dict[str, Any]]]:
    """What each ``request_routed`` has told."""
    received: list[dict[str, Any]] = []

    def receive(**told: Any) -> None:
        received.append(told)
        raise RuntimeError("a receiver that fails fails no request")

    request_routed.connect(receive)
    yield received
    assert request_routed.disconnect(receive)


async def visit(address: str, is_async: bool, method: str = "GET", **kwargs: Any) -> Any:
    if is_async:
        return await AsyncClient().generic(method, f"/a{address}", **kwargs)
    return await sync_to_async(Client().generic)(method, f"/{address}", **kwargs)


EITHER_WAY = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@EITHER_WAY
async def test_the_header_says_where_reads_went(settings: Any, is_async: bool) -> None:
    settings.MULTIDB_EXPLAIN = True
    response = await visit("reads", is_async)
    assert response["Server-Timing"] in [f'{alias}-replica;desc="3 from {alias} (replica)"' for alias in REPLICAS]


@EITHER_WAY
async def test_without_the_setting_nothing_is_told(
    settings: Any, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    caplog.set_level(logging.DEBUG, "multidb.routing")
    assert "Server-Timing" not in await visit("reads", is_async)
    assert not caplog.records


def test_the_header_says_that_nothing_was_read(settings: Any) -> None:
    settings.MULTIDB_EXPLAIN = True
    assert Client().get("/nothing")["Server-Timing"] == 'multidb;desc="no reads"'


def test_the_header_keeps_what_others_have_put_there(settings: Any) -> None:
    settings.MULTIDB_EXPLAIN = True
    assert Client().get("/times-itself")["Server-Timing"] == 'db;dur=53, multidb;desc="no reads"'


def test_the_header_names_each_reason(settings: Any) -> None:
    settings.MULTIDB_EXPLAIN = True
    client = Client()
    assert client.post("/reads")["Server-Timing"] == 'default-method;desc="3 from default (method)"'
    client.post("/post", {"text": "mine"})
    assert client.get("/reads")["Server-Timing"] == 'default-pinned;desc="3 from default (pinned)"'
    settings.MULTIDB_ROUTING = "dry run"
    assert client.get("/reads")["Server-Timing"] == 'dry-run-default-pinned;desc="dry run: 3 from default (pinned)"'


def test_an_alias_of_any_letters_makes_a_lawful_header(settings: Any, rf: Any) -> None:
    """A token, and a quoted string without quotes: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4"""
    settings.MULTIDB_EXPLAIN = True
    request, response = rf.get("/"), HttpResponse()
    state = RequestRouting(request, get_pin_store(), False)
    explanation = Explanation()
    state.note_reads(explanation)
    explanation.append(Route('réplica "1"', "store down", Post, "default"))
    report(request, response, state)
    assert response["Server-Timing"] == 'r-plica--1--store-down;desc="1 from r?plica ?1? (store down)"'


def test_the_log_names_the_view_and_not_the_path(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.MULTIDB_EXPLAIN = True
    caplog.set_level(logging.INFO, "multidb.routing")
    Client().get("/reads?secret")
    Client().get("/nothing?secret")
    Client().get("/no-such-page?secret")
    lines = caplog.messages
    assert lines[0] in [f"the page reads 3 from {alias} (replica)" for alias in REPLICAS]
    assert lines[1] == "tests.views.nothing reads nothing"
    assert "no view reads nothing" in lines
    assert "secret" not in "".join(record.getMessage() for record in caplog.records if record.name == "multidb.routing")


@EITHER_WAY
async def test_the_signal_has_counts_by_database_and_reason(routed: list[Any], is_async: bool) -> None:
    response = await visit("reads", is_async)
    (told,) = routed
    ((alias, reason),) = told["counts"]
    assert alias in REPLICAS
    assert reason == "replica"
    assert told["counts"][alias, reason] == 3
    assert not told["dry_run_counts"]
    assert told["request"].path.endswith("reads")
    assert told["response"] is response


@EITHER_WAY
async def test_the_signal_is_sent_for_each_request(routed: list[Any], settings: Any, is_async: bool) -> None:
    """Whether it reads, writes, or is a dry run."""
    await visit("nothing", is_async)
    settings.MULTIDB_ROUTING = "dry run"
    await visit("reads", is_async)
    assert [(told["counts"].total(), told["dry_run_counts"].total()) for told in routed] == [(0, 0), (0, 3)]


async def test_receivers_that_are_coroutine_functions_are_awaited() -> None:
    received: list[Any] = []

    async def receive(**told: Any) -> None:
        received.append(told["counts"].total())

    request_routed.connect(receive)
    try:
        await AsyncClient().get("/areads")
        await sync_to_async(Client().get)("/reads")
    finally:
        request_routed.disconnect(receive)
    assert received == [3, 3]


async def test_a_request_that_is_cancelled_while_it_is_being_told_is_told_once() -> None:
    told: list[Any] = []
    begun = asyncio.Event()

    async def receive(**kwargs: Any) -> None:
        told.append(kwargs["counts"])
        begun.set()
        await asyncio.sleep(60 if len(told) == 1 else 0)

    request_routed.connect(receive)
    try:
        visit = asyncio.create_task(AsyncClient().get("/areads"))
        await begun.wait()
        visit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await visit
    finally:
        request_routed.disconnect(receive)
    assert len(told) == 1


@EITHER_WAY
async def test_the_header_of_a_stream_has_what_was_read_before_it(settings: Any, is_async: bool) -> None:
    """And none that says that nothing is read, while that is not known."""
    settings.MULTIDB_EXPLAIN = True
    response = await visit("streams", is_async)
    if is_async:
        assert "Server-Timing" not in response
    else:
        assert 'desc="1 from replica-' in response["Server-Timing"]
    await sync_to_async(response.close)()


def test_of_a_view_that_fails_all_is_told_too(routed: list[Any]) -> None:
    Client(raise_request_exception=False).get("/fails")
    assert [told["counts"].total() for told in routed] == [1]
    assert routed[0]["response"].status_code == 500


@EITHER_WAY
async def test_of_a_stream_all_is_told_when_it_has_ended(routed: list[Any], is_async: bool) -> None:
    response = await visit("streams", is_async)
    assert not routed
    if is_async:
        assert b"".join([chunk async for chunk in response.streaming_content]) == b"nono"
        await sync_to_async(response.close)()
    else:
        assert await sync_to_async(response.getvalue)() == b"nono"
        await sync_to_async(response.close)()
    assert [told["counts"].total() for told in routed] == [2 if is_async else 3]


@pytest.mark.parametrize("value", ["yes", 2, None])
def test_an_impossible_value_is_an_error_that_names_it(settings: Any, value: Any) -> None:
    settings.MULTIDB_EXPLAIN = value
    with pytest.raises(ImproperlyConfigured, match=r"MULTIDB_EXPLAIN is .*\n?.*Set True or False"):
        Client().get("/nothing")
