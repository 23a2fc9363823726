"""A replica dies under a query: the view of a request that only reads is run once more, and the client sees no error.

Here SQLite plays the server that dies; tests/integration kills real ones.
"""

import io
import logging
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.core.signals import got_request_exception
from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template import Context, Template
from django.template.response import SimpleTemplateResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.views.generic import ListView
from rest_framework.response import Response
from rest_framework.views import APIView

from multidb.middleware import PinningRouterMiddleware
from multidb.pinning import db_read, db_write, use_replica
from tests import vendor
from tests.conftest import REPLICAS, Replication
from tests.models import PinRow, Post
from tests.views import answer

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.urls(__name__)]

DEATH = "server closed the connection unexpectedly"


class Dying:
    """Databases that die under a query: ``after[alias]`` is how many more they answer before."""

    def __init__(self) -> None:
        self.after: dict[str, int] = {}
        self.usable_all_the_same = False
        self.runs = 0
        self.blocks: list[bool] = []
        self.aliases: list[str] = []

    def answer(self, connection: Any) -> None:
        if self.after.get(connection.alias) == 0:
            with connection.wrap_database_errors:
                raise sqlite3.OperationalError(DEATH)
        if connection.alias in self.after:
            self.after[connection.alias] -= 1

    def is_usable(self, connection: Any) -> bool:
        return self.usable_all_the_same or self.after.get(connection.alias) != 0


dying = Dying()


@pytest.fixture(autouse=True)
def _dying(replication: Replication, monkeypatch: pytest.MonkeyPatch) -> None:
    dying.__init__()
    execute = CursorWrapper._execute

    def die_or_execute(cursor: CursorWrapper, sql: str, params: Any, *ignored: Any) -> Any:
        dying.answer(cursor.db)
        return execute(cursor, sql, params, *ignored)

    def die_or_roll_back(connection: DatabaseWrapper) -> None:
        dying.answer(connection)
        BaseDatabaseWrapper._rollback(connection)

    monkeypatch.setattr(CursorWrapper, "_execute", die_or_execute)
    monkeypatch.setattr(DatabaseWrapper, "_rollback", die_or_roll_back)
    monkeypatch.setattr(DatabaseWrapper, "is_usable", lambda connection: dying.is_usable(connection))


def read_and_die() -> list[dict]:
    """Reads, is left by its replica on the first run, and reads again."""
    dying.runs += 1
    first = answer()
    if dying.runs == 1:
        dying.after[first["alias"]] = 0
    answers = [first, answer()]
    dying.aliases = [each["alias"] for each in answers]
    return answers


def read(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answers": read_and_die()})


async def aread(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answers": await sync_to_async(read_and_die)()})


def read_by_force(request: HttpRequest) -> JsonResponse:
    with use_replica:
        return JsonResponse({"answers": read_and_die()})


def read_by_template(request: HttpRequest) -> SimpleTemplateResponse:
    """Reads when its response is rendered, after the view."""
    return SimpleTemplateResponse(_Reading())


class _Reading:
    def render(self, context: Any, request: Any = None) -> str:
        return " ".join(each["alias"] for each in read_and_die())


class _AfterTheFirst:
    def render(self, context: Any, request: Any = None) -> str:
        return "rendered by Django"


def read_then_template(request: HttpRequest) -> SimpleTemplateResponse:
    """Dies in the view; the response of the second run is rendered after it."""
    read_and_die()
    return SimpleTemplateResponse(_AfterTheFirst())


def read_by_template_then_plainly(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain") if dying.runs else read_by_template(request)


class Posts(ListView):
    model = Post

    def render_to_response(self, context: Any, **kwargs: Any) -> HttpResponse:
        dying.runs += 1
        if dying.runs == 1:
            dying.after.update(dict.fromkeys(REPLICAS[:1], 0))
        template = Template("{% for post in object_list %}{{ post.text }}{% endfor %}")
        return HttpResponse(template.render(Context(context)))


class Api(APIView):
    def get(self, request: Any) -> Response:
        return Response({"answers": read_and_die()})


def write_and_die(request: HttpRequest) -> JsonResponse:
    Post.objects.create(text="mine")
    return read_by_force(request)


@db_write
def declared_write(request: HttpRequest) -> JsonResponse:
    return read_by_force(request)


@db_read
def search(request: HttpRequest) -> JsonResponse:
    assert request.POST["text"] == "mine"
    return read(request)


@db_read
def upload(request: HttpRequest) -> JsonResponse:
    request.read()
    return read(request)


def remember(request: HttpRequest) -> JsonResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return read(request)


def add_message(request: HttpRequest) -> JsonResponse:
    messages.success(request, "seen")
    return read(request)


def audit_and_die(request: HttpRequest) -> JsonResponse:
    PinRow.objects.create(client="audit", text="seen")
    return read_by_force(request)


def atomically(request: HttpRequest) -> JsonResponse:
    """Tells whether it runs in a transaction, on each run."""
    dying.blocks.append(connections["default"].in_atomic_block)
    return read_by_force(request)


@transaction.non_atomic_requests
def not_atomically(request: HttpRequest) -> JsonResponse:
    return atomically(request)


def die_twice_in_turn(request: HttpRequest) -> SimpleTemplateResponse:
    """Dies in the view, and again when the response of the second run is rendered."""
    dying.runs += 1
    if dying.runs == 1:
        dying.after[answer()["alias"]] = 0
        answer()
    return SimpleTemplateResponse(_Dying())


class _Dying:
    def render(self, context: Any, request: Any = None) -> str:
        dying.after.update(dict.fromkeys(REPLICAS, 0))
        return str(answer())


def read_from_one_that_comes_back(request: HttpRequest) -> JsonResponse:
    if dying.runs:
        dying.after.clear()
    return read(request)


def opens_it_again(request: HttpRequest) -> JsonResponse:
    """Is left in the midst of a transaction on a replica, which then takes connections again."""
    dying.runs += 1
    alias = answer()["alias"]
    if dying.runs == 2:
        return JsonResponse({"alias": alias})
    try:
        with transaction.atomic(using=alias):
            dying.after[alias] = 0
            return JsonResponse({"count": Post.objects.using(alias).count()})
    finally:
        dying.after.clear()
        connections[alias].ensure_connection()
        dying.aliases = [alias]


def write(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Post.objects.create(text="mine"))


def closes(request: HttpRequest) -> HttpResponse:
    """Closes its replica's connection, and fails for a reason of its own."""
    dying.runs += 1
    connections[answer()["alias"]].close()
    raise OperationalError("of something else")


class Preparing:
    """Another middleware that prepares what templates are given."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self._get_response(request)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        return response


def die_twice(request: HttpRequest) -> JsonResponse:
    dying.runs += 1
    dying.after.update(dict.fromkeys(REPLICAS, 0))
    return JsonResponse({"answers": [answer()]})


def primary_dies(request: HttpRequest) -> JsonResponse:
    dying.runs += 1
    dying.after["default"] = 0
    return JsonResponse({"count": Post.objects.using("default").count()})


def another_error(request: HttpRequest) -> JsonResponse:
    dying.runs += 1
    answer()
    raise ValueError("not of a database")


def gone_by_then(request: HttpRequest) -> JsonResponse:
    if dying.runs:
        raise Http404
    return read(request)


def count(request: HttpRequest) -> HttpResponse:
    dying.runs += 1
    dying.after.update(dict.fromkeys(REPLICAS, 0))
    return HttpResponse(Post.objects.count())


def handled_by_the_view(request: HttpRequest) -> HttpResponse:
    try:
        read_and_die()
    except OperationalError:
        return HttpResponse("handled")
    return HttpResponse("unharmed")


urlpatterns = [
    path(view.__name__.replace("_", "-"), view)
    for view in (
        read,
        aread,
        read_by_force,
        read_by_template,
        read_then_template,
        read_by_template_then_plainly,
        write_and_die,
        declared_write,
        search,
        upload,
        remember,
        add_message,
        die_twice,
        primary_dies,
        another_error,
        audit_and_die,
        atomically,
        not_atomically,
        die_twice_in_turn,
        closes,
        read_from_one_that_comes_back,
        opens_it_again,
        write,
        count,
        gone_by_then,
        handled_by_the_view,
    )
] + [
    path("posts", Posts.as_view()),
    path("api", Api.as_view()),
    path("read/<word>", lambda request, word: read(request)),
]


@pytest.fixture
def reported() -> Iterator[list[Any]]:
    """The exceptions that Django reports: to the log, to the admins, to whoever watches for errors."""
    found: list[Any] = []

    def note(**kwargs: Any) -> None:
        found.append(kwargs["request"])

    got_request_exception.connect(note)
    yield found
    got_request_exception.disconnect(note)


@pytest.mark.parametrize("url", ["/read", "/aread", "/read-by-force", "/api"])
def test_the_view_is_run_once_more_on_another_replica(client: Client, reported: list[Any], url: str) -> None:
    answers = client.get(url).json()["answers"]
    assert dying.runs == 2
    assert len({each["alias"] for each in answers}) == 1
    assert answers[0]["alias"] in REPLICAS
    assert dying.after.keys().isdisjoint({answers[0]["alias"]})
    assert reported == []


@pytest.mark.parametrize("url", ["/read", "/aread"])
async def test_under_asgi_too(async_client: AsyncClient, reported: list[Any], url: str) -> None:
    answers = (await async_client.get(url)).json()["answers"]
    assert dying.runs == 2
    assert {each["reason"] for each in answers} == {"replica"}
    assert reported == []


@pytest.mark.parametrize("alias", ["default", "replica-1"])
def test_with_atomic_requests(client: Client, alias: str, settings: Any) -> None:
    """On the primary, or on the replica itself, whose transaction cannot be rolled back any more."""
    settings.REPLICA_DATABASES = ["replica-1"]
    connections.settings[alias]["ATOMIC_REQUESTS"] = True
    try:
        answers = client.get("/read").json()["answers"]
    finally:
        connections.settings[alias]["ATOMIC_REQUESTS"] = False
    assert dying.runs == 2
    assert {each["reason"] for each in answers} == {"no replica"}


def test_not_on_the_one_that_died_though_it_is_back_and_only_it_has_replayed_the_client_s_write(
    client: Client, replication: Replication, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MULTIDB_PINNING_UNTIL = "replayed"
    vendor.use(monkeypatch)
    client.post("/write")
    replication.catch_up("replica-1")
    answers = client.get("/read-from-one-that-comes-back").json()["answers"]
    assert dying.runs == 2
    assert [(each["alias"], each["reason"]) for each in answers] == [("default", "pinned")] * 2


def test_when_the_connection_has_been_opened_again_since(client: Client) -> None:
    assert client.get("/opens-it-again").json()["alias"] not in dying.aliases
    assert dying.runs == 2


def test_where_there_is_no_other_replica_on_the_primary(client: Client, settings: Any) -> None:
    settings.REPLICA_DATABASES = ["replica-1"]
    answers = client.get("/read").json()["answers"]
    assert {(each["alias"], each["reason"]) for each in answers} == {("default", "no replica")}


def test_a_response_that_reads_while_it_is_rendered(client: Client, reported: list[Any]) -> None:
    aliases = client.get("/read-by-template").content.decode().split()
    assert dying.runs == 2
    assert aliases == dying.aliases
    assert set(aliases) <= set(REPLICAS)
    assert reported == []


async def test_a_response_that_reads_while_it_is_rendered_under_asgi(async_client: AsyncClient) -> None:
    aliases = (await async_client.get("/read-by-template")).content.decode().split()
    assert dying.runs == 2
    assert aliases == dying.aliases


def test_a_response_that_is_rendered_after_the_second_run(client: Client) -> None:
    assert client.get("/read-then-template").content == b"rendered by Django"


def test_a_second_response_that_needs_no_rendering(client: Client) -> None:
    assert client.get("/read-by-template-then-plainly").content == b"plain"


def test_a_class_based_view_is_made_anew(client: Client) -> None:
    assert {client.get("/posts").status_code for _ in range(2)} == {200}
    assert dying.runs >= 2


def test_a_post_that_says_that_it_only_reads(client: Client) -> None:
    response = client.post("/search", "text=mine", "application/x-www-form-urlencoded")
    assert {each["reason"] for each in response.json()["answers"]} == {"replica"}
    assert dying.runs == 2


@pytest.mark.parametrize("url", ["/write-and-die", "/declared-write", "/die-twice", "/primary-dies"])
def test_never_after_a_write_never_twice_and_never_for_the_primary(client: Client, url: str) -> None:
    with pytest.raises(OperationalError, match=DEATH):
        client.get(url)
    assert dying.runs == (2 if url == "/die-twice" else 1)


def test_never_after_a_write_that_does_not_pin(client: Client, settings: Any) -> None:
    settings.MULTIDB_PINNING_TRIGGER = "write"
    settings.MULTIDB_PINNING_IGNORE = ["tests.PinRow"]
    with pytest.raises(OperationalError, match=DEATH):
        client.get("/audit-and-die")
    assert PinRow.objects.using("default").count() == 1


@pytest.mark.parametrize(("url", "atomic"), [("/atomically", True), ("/not-atomically", False)])
def test_the_second_run_is_in_a_transaction_as_the_first(client: Client, url: str, atomic: bool) -> None:
    connections.settings["default"]["ATOMIC_REQUESTS"] = True
    try:
        assert client.get(url).status_code == 200
    finally:
        connections.settings["default"]["ATOMIC_REQUESTS"] = False
    assert dying.blocks == [atomic, atomic]


def test_never_a_third_time(client: Client) -> None:
    with pytest.raises(OperationalError, match=DEATH):
        client.get("/die-twice-in-turn")
    assert dying.runs == 2


def test_never_for_an_error_that_is_not_of_its_connection(client: Client) -> None:
    with pytest.raises(OperationalError, match="of something else"):
        client.get("/closes")
    assert dying.runs == 1


def test_not_while_rendering_what_other_middleware_has_prepared(client: Client, settings: Any) -> None:
    """Nobody could ask it to prepare the second response."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Preparing"]
    assert client.get("/read").status_code == 200
    dying.__init__()
    with pytest.raises(OperationalError, match=DEATH):
        client.get("/read-by-template")
    assert dying.runs == 1


class PreparingItself(PinningRouterMiddleware):
    """Ours, with a hook of the project's own."""

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        return super().process_template_response(request, response)


def test_not_while_rendering_what_a_subclass_of_ours_has_prepared(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:1], f"{__name__}.PreparingItself"]
    assert client.get("/read").status_code == 200
    dying.__init__()
    with pytest.raises(OperationalError, match=DEATH):
        client.get("/read-by-template")
    assert dying.runs == 1


def test_a_form_may_be_sent_with_a_file_or_without(client: Client) -> None:
    assert client.post("/search", {"text": "mine"}).status_code == 200
    dying.__init__()
    with pytest.raises(OperationalError, match=DEATH):
        client.post("/search", {"text": "mine", "file": io.BytesIO(b"mine")})
    assert dying.runs == 1


def test_never_for_a_post(client: Client) -> None:
    with pytest.raises(OperationalError, match=DEATH):
        client.post("/read-by-force")
    assert dying.runs == 1


def test_never_when_what_the_client_sent_has_been_read(client: Client) -> None:
    with pytest.raises(OperationalError, match=DEATH):
        client.post("/upload", b"mine", content_type="application/octet-stream")
    assert dying.runs == 1


@pytest.mark.parametrize("url", ["/remember", "/add-message"])
def test_never_when_something_would_be_there_twice(client: Client, settings: Any, url: str) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.messages.middleware.MessageMiddleware"]
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
    with pytest.raises(OperationalError, match=DEATH):
        client.get(url)
    assert dying.runs == 1


def test_never_for_other_errors(client: Client) -> None:
    with pytest.raises(ValueError, match="not of a database"):
        client.get("/another-error")
    assert dying.runs == 1


def test_never_while_the_connection_lives(client: Client) -> None:
    """A query that was cancelled, or had no right: it would fail again."""
    dying.usable_all_the_same = True
    with pytest.raises(OperationalError, match=DEATH):
        client.get("/read")
    assert dying.runs == 1


def test_an_error_of_the_second_run_is_the_answer(client: Client) -> None:
    assert client.get("/gone-by-then").status_code == 404


def test_what_the_view_handles_itself_is_left_to_it(client: Client) -> None:
    assert client.get("/handled-by-the-view").content == b"handled"


def test_it_is_told_to_the_log_that_asks_for_it(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multidb")
    client.get("/read")
    assert re.search(
        r"Replica replica-\d died under the view tests.test_rerun.read, which is run once more.", caplog.text
    )


def test_nothing_that_the_client_sent_is_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A path may hold a secret, or a line break to forge a line with."""
    caplog.set_level(logging.INFO, "multidb")
    assert client.get("/read/secret%0aforged").status_code == 200
    assert "is run once more" in caplog.text
    assert "secret" not in caplog.text
    assert "forged" not in caplog.text


def test_without_the_middleware_nothing_is_run_again(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = []
    with pytest.raises(OperationalError, match=DEATH):
        client.get("/count")
    assert dying.runs == 1


def test_outside_a_request_nothing_is_run_again(rf: RequestFactory) -> None:
    """A view that a test or another view calls by itself."""
    pinning = PinningRouterMiddleware(read)
    assert pinning.process_exception(rf.get("/read"), OperationalError(DEATH)) is None
