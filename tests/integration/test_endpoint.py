"""A name of many servers, as a reader endpoint is: each new connection may lead to another one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path
from servers.postgresql import PostgresCluster, PostgresStandby

from tests import urls
from tests.views import answer

Lead = Callable[[PostgresStandby], None]

pytestmark = pytest.mark.urls(__name__)
turns: list[Callable[[], None]] = []


def answer_and_close() -> dict[str, Any]:
    try:
        return answer()
    finally:
        connections.close_all()


def in_two_threads(request: HttpRequest) -> JsonResponse:
    first = answer()
    turns.pop()()
    second = async_to_sync(sync_to_async(answer_and_close, thread_sensitive=False))()
    return JsonResponse({"first": first, "second": second})


urlpatterns = [*urls.urlpatterns, path("in-two-threads", in_two_threads)]


@pytest.fixture
def lead(postgres: PostgresCluster, settings: Any) -> Iterator[Lead]:
    """The only replica is a name: ``lead(standby)`` has its next connections lead there. The second one is paused."""
    settings.REPLICA_DATABASES = ["replica-1"]
    postgres.standbys[1].pause()
    yield lambda standby: connections.settings["replica-1"].update(PORT=standby.port)
    postgres.standbys[1].resume()


def a_browser_that_wrote(postgres: PostgresCluster) -> Client:
    browser = Client()
    browser.post("/post", {"text": "mine"})
    postgres.standbys[0].wait_until_replayed(postgres.primary)
    assert browser.get("/read").json() == {"texts": ["mine"], "alias": "replica-1", "reason": "replica"}
    return browser


def test_a_position_is_asked_of_each_connection_anew(lead: Lead, postgres: PostgresCluster) -> None:
    browser = a_browser_that_wrote(postgres)
    lead(postgres.standbys[1])
    # As long as it persists, the connection stays where it is.
    assert browser.get("/read").json() == {"texts": ["mine"], "alias": "replica-1", "reason": "replica"}
    connections["replica-1"].close()
    assert browser.get("/read").json() == {"texts": ["mine"], "alias": "default", "reason": "pinned"}


def test_so_it_is_of_the_connection_of_another_thread_of_a_request(lead: Lead, postgres: PostgresCluster) -> None:
    browser = a_browser_that_wrote(postgres)
    turns.append(lambda: lead(postgres.standbys[1]))
    answers = browser.get("/in-two-threads").json()
    assert answers["first"] == {"texts": ["mine"], "alias": "replica-1", "reason": "replica"}
    assert answers["second"] == {"texts": ["mine"], "alias": "default", "reason": "pinned"}


def test_one_request_of_who_is_not_pinned_may_see_two_states(lead: Lead, postgres: PostgresCluster) -> None:
    a_browser_that_wrote(postgres)
    turns.append(lambda: lead(postgres.standbys[1]))
    answers = Client().get("/in-two-threads").json()
    assert answers["first"] == {"texts": ["mine"], "alias": "replica-1", "reason": "replica"}
    assert answers["second"] == {"texts": [], "alias": "replica-1", "reason": "replica"}
