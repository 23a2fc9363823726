"""What is noted of each read of a request, and from which place in the code it was made."""

import logging
import threading
from typing import Any

import pytest
from django.core.cache import caches
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client
from django.urls import path
from rest_framework.request import Request

from multidb import routing
from multidb.explanation import Explanation, Read, explain
from multidb.request_routing import RequestRouting
from multidb.routes import Route
from multidb.routing import Scope
from tests.conftest import REPLICAS
from tests.models import Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
]

HERE = __name__


def reads(request: HttpRequest) -> HttpResponse:
    Post.objects.first()
    for _ in range(3):
        Post.objects.exists()
    return HttpResponse(Template("{{ posts.count }}").render(Context({"posts": Post.objects.all()})))


def explains_itself(request: HttpRequest) -> HttpResponse:
    Post.objects.exists()
    request.explanation = explain(request)
    Post.objects.exists()
    return HttpResponse()


def explains_itself_to_others(request: HttpRequest) -> HttpResponse:
    request.explanation = explain(Request(request))
    Post.objects.exists()
    return HttpResponse()


def asks_a_cache(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(caches["pins"].get("any")))


urlpatterns = [
    path("asks-a-cache", asks_a_cache),
    path("reads", reads),
    path("explains-itself", explains_itself),
    path("explains-itself-to-others", explains_itself_to_others),
]


class Early:
    """A middleware that stands before ours and asks for an explanation, as a debug toolbar does."""

    explanations: list[Explanation] = []

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        self.explanations.append(explain(request))
        return self._get_response(request)


def test_each_kind_of_read_is_counted_with_its_place(settings: Any) -> None:
    """That of the project's own code, and not Django's: also where a template reads."""
    settings.MIDDLEWARE = [f"{__name__}.Early", *settings.MIDDLEWARE]
    Client().get("/reads")
    kinds = Early.explanations.pop().reads
    first = reads.__code__.co_firstlineno
    alias = next(iter(kinds)).alias
    assert alias in REPLICAS
    assert kinds == {
        Read("tests.Post", alias, "replica", f"{HERE}:{first + 1}"): 1,
        Read("tests.Post", alias, "replica", f"{HERE}:{first + 3}"): 3,
        Read("tests.Post", alias, "replica", f"{HERE}:{first + 4}"): 1,
    }


def test_it_can_be_asked_for_midway() -> None:
    """Then it has the reads from there on, decided or settled before."""
    request = Client().get("/explains-itself").wsgi_request
    assert list(request.explanation.reads.values()) == [1]


def test_it_can_be_asked_for_as_often_as_one_likes(settings: Any) -> None:
    """None takes the reads of another, nor those of the header."""
    settings.MULTIDB_EXPLAIN = True
    settings.MIDDLEWARE = [f"{__name__}.Early", f"{__name__}.Early", *settings.MIDDLEWARE]
    response = Client().get("/explains-itself")
    early = [Early.explanations.pop() for _ in range(2)]
    assert [each.counts().total() for each in early] == [2, 2]
    assert response.wsgi_request.explanation.counts().total() == 1
    assert 'desc="2 from replica-' in response["Server-Timing"]


def test_a_request_of_django_rest_framework_is_the_one_in_it() -> None:
    request = Client().get("/explains-itself-to-others").wsgi_request
    assert request.explanation.counts().total() == 1


def test_of_another_request_nothing_is_noted(rf: Any) -> None:
    routing.resume(Scope(RequestRouting(rf.get("/"), object.__new__(_Store), False)))
    noted = explain(rf.get("/other"))
    router.db_for_read(Post)
    assert not noted.reads


class _Store:
    knows_clients = False
    client_may_change = False
    may_wait = False

    def client(self, request: HttpRequest) -> tuple[()]:
        return ()

    def load(self, request: HttpRequest) -> None:
        return None


def test_reads_are_counted_by_database_and_reason() -> None:
    noted = Explanation()
    for alias, reason in (("default", "pinned"), ("default", "pinned"), ("replica-1", "replica")):
        noted.append(Route(alias, reason, Post, "default"))
    noted.append(Route("default", "pinned", "no model", "default"))
    assert noted.counts() == {("default", "pinned"): 3, ("replica-1", "replica"): 1}
    assert [read.model for read in noted.reads] == ["tests.Post", "tests.Post", "str"]
    assert {read.place for read in noted.reads} == {""}


def test_a_page_of_many_reads_keeps_one_entry_a_kind() -> None:
    noted = Explanation(with_places=True)
    for _ in range(5000):
        noted.append(Route("default", "pinned", Post, "default"))
    assert list(noted.reads.values()) == [5000]


def test_threads_of_one_request_lose_no_read() -> None:
    noted = Explanation()

    def note() -> None:
        for _ in range(2000):
            noted.append(Route("default", "pinned", Post, "default"))

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert noted.counts().total() == 8000


@pytest.mark.parametrize(("mode", "how"), [(True, "(replica)"), ("dry run", "(replica), in a dry run,")])
@pytest.mark.parametrize("others", [[], [f"{__name__}.Early"]], ids=["nobody else", "somebody else"])
def test_the_log_has_each_read_and_its_place_once_at_debug(
    settings: Any, caplog: pytest.LogCaptureFixture, mode: Any, how: str, others: list[str]
) -> None:
    """Also where somebody else, such as the panel of the toolbar, has asked for an explanation."""
    settings.MIDDLEWARE = [*others, *settings.MIDDLEWARE]
    settings.MULTIDB_EXPLAIN = True
    settings.MULTIDB_ROUTING = mode
    caplog.set_level(logging.DEBUG, "multidb.routing")
    Client().get("/reads")
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert len(lines) == 5
    first = reads.__code__.co_firstlineno
    assert lines[0].startswith("tests.Post: replica-")
    assert lines[0].endswith(f"{how} at {HERE}:{first + 1}")


@pytest.mark.usefixtures("database_cache")
def test_a_cache_in_the_database_has_no_model_and_a_name_all_the_same(client: Client, settings: Any) -> None:
    """Django asks where its reads go about an object that is like a model."""
    settings.MIDDLEWARE = [f"{HERE}.Early", *settings.MIDDLEWARE]
    assert client.get("/asks-a-cache").content == b"None"
    [read] = Early.explanations.pop().reads
    assert (read.model, read.reason) == ("CacheEntry", "replica")
