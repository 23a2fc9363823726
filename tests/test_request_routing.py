"""``MULTIDB_PINNING_UNTIL = "replayed"``: a pin ends when a replica has replayed the write, with every store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError, connections, router, transaction
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from rest_framework.authtoken.models import Token

from multidb import health, routing
from multidb.backends import get_pin_store
from multidb.middleware import pinning_cookie
from multidb.pinning import this_thread_is_pinned, use_primary_db, use_replica
from multidb.pins import Hold, Pin, PinStoreUnavailable
from multidb.request_routing import RequestRouting
from multidb.routing import Scope
from tests import urls, vendor, views
from tests.conftest import KEYED, REPLICAS, Clock, Replication, use_store
from tests.models import Book, Post, Shelf

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("_replayed"),
]


def read_three_times(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answers": [views.answer() for _ in range(3)]})


def read_catch_up_read(request: HttpRequest) -> JsonResponse:
    if "force" in request.GET:
        with use_replica:
            views.answer()
    first = views.answer()
    request.environ["replication"].catch_up()
    return JsonResponse({"reasons": [first["reason"], views.answer()["reason"]]})


def read_forced_then_read(request: HttpRequest) -> JsonResponse:
    with use_replica:
        forced = views.answer()
    return JsonResponse({"answers": [forced, views.answer()]})


def write_in_a_transaction_that_stays_open(get_response: Any) -> Any:
    """A middleware before ours that opens a transaction of its own."""

    def middleware(request: HttpRequest) -> Any:
        with transaction.atomic(using="default"):
            return get_response(request)

    return middleware


def stream_that_writes(request: HttpRequest) -> StreamingHttpResponse:
    def chunks() -> Iterator[str]:
        yield "importing"
        yield Post.objects.create(text="mine").text

    return StreamingHttpResponse(chunks())


async def astream_that_writes(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[str]:
        yield "importing"
        yield (await Post.objects.acreate(text="mine")).text

    return StreamingHttpResponse(chunks())


tasks: list[tuple[Any, asyncio.Task[list[str]]]] = []


async def read_later() -> list[str]:
    """Where four reads go that are made when the request has ended."""
    await asyncio.sleep(0.1)
    return [(await sync_to_async(views.answer)())["alias"] for _ in range(4)]


async def begin_task(request: HttpRequest) -> JsonResponse:
    answer = await sync_to_async(views.answer)()
    tasks.append((routing.current().routing, asyncio.create_task(read_later())))
    return JsonResponse(answer)


async def begin_task_and_fail(request: HttpRequest) -> JsonResponse:
    await begin_task(request)
    raise ValueError


def stream_of_reads(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(router.db_for_read(model) for model in (Post, Book, Shelf, Post))


urlpatterns = [
    *urls.urlpatterns,
    path("task", begin_task),
    path("task-and-fail", begin_task_and_fail),
    path("stream-of-reads", stream_of_reads),
    path("stream-that-writes", stream_that_writes),
    path("astream-that-writes", astream_that_writes),
    path("read-three-times", read_three_times),
    path("read-catch-up-read", read_catch_up_read),
    path("read-forced-then-read", read_forced_then_read),
]


@pytest.fixture
def _replayed(replication: Replication, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MULTIDB_PINNING_UNTIL = "replayed"
    vendor.use(monkeypatch)


def asked_of(*aliases: str) -> list[tuple[str, str]]:
    return [question for question in vendor.asked if question[0] in aliases]


def test_a_pin_ends_when_a_replica_has_replayed_the_write(store: str, client: Client, replication: Replication) -> None:
    assert client.post("/post", {"text": "mine"}, follow=True).json()["reason"] == "pinned"
    replication.catch_up()
    answer = client.get("/read").json()
    assert answer["texts"] == ["mine"]
    assert answer["reason"] == "replica"


async def test_in_async_views_too(store: str, async_client: AsyncClient, replication: Replication) -> None:
    response = await async_client.post("/apost", {"text": "mine"}, follow=True)
    assert response.json()["reason"] == "pinned"
    replication.catch_up()
    answer = (await async_client.get("/aread")).json()
    assert answer["texts"] == ["mine"]
    assert answer["reason"] == "replica"


@pytest.mark.parametrize("name", KEYED)
def test_for_other_devices_and_clients_without_cookies(
    request: pytest.FixtureRequest, replication: Replication, name: str
) -> None:
    use_store(request, name)
    user = User.objects.create_user("ada")
    Token.objects.create(user=user, key="ada's")
    replication.catch_up()
    headers = {"authorization": "Token ada's"}
    Client().post("/api", {"text": "mine"}, headers=headers)
    assert Client().get("/api", headers=headers).json()["reason"] == "pinned"
    replication.catch_up()
    answer = Client().get("/api", headers=headers).json()
    assert answer["texts"] == ["mine"]
    assert answer["reason"] == "replica"


def test_it_still_ends_after_its_seconds(store: str, client: Client, clock: Clock) -> None:
    client.post("/post", {"text": "mine"})
    clock.advance(16)
    assert client.get("/read").json()["reason"] == "replica"


def test_elapsed_pins_take_no_notice_of_positions(client: Client, replication: Replication, settings: Any) -> None:
    """Nor does a pin that was made before the setting was changed."""
    client.post("/post", {"text": "mine"})
    replication.catch_up()
    settings.MULTIDB_PINNING_UNTIL = "elapsed"
    assert client.get("/read").json()["reason"] == "pinned"
    vendor.asked.clear()
    client.post("/post", {"text": "mine"})
    assert vendor.asked == []


class TestQuestions:
    def test_a_writing_request_asks_one_and_an_unpinned_one_none(self, client: Client) -> None:
        client.get("/read-three-times")
        assert vendor.asked == []
        client.post("/post", {"text": "mine"})
        assert vendor.asked == [("default", "primary_position")]

    def test_a_pinned_request_asks_each_replica_at_most_one(self, client: Client) -> None:
        client.post("/post", {"text": "mine"})
        vendor.asked.clear()
        answers = client.get("/read-three-times").json()["answers"]
        assert {each["reason"] for each in answers} == {"pinned"}
        assert sorted(vendor.asked) == [(alias, "replayed_position") for alias in REPLICAS]

    def test_a_replica_that_is_far_enough_is_asked_once_for_all_requests_on_its_connection(
        self, client: Client, replication: Replication
    ) -> None:
        client.post("/post", {"text": "mine"})
        replication.catch_up()
        vendor.asked.clear()
        for _ in range(6):
            assert client.get("/read-three-times").json()["answers"][2]["reason"] == "replica"
        assert sorted(vendor.asked) == [(alias, "replayed_position") for alias in REPLICAS]

    def test_a_new_connection_is_asked_anew(self, client: Client, replication: Replication) -> None:
        """It may lead to another server."""
        client.post("/post", {"text": "mine"})
        replication.catch_up()
        for _ in range(2):
            client.get("/read")
        for alias in REPLICAS:
            connections[alias].close()
        vendor.asked.clear()
        for _ in range(4):
            client.get("/read")
        assert sorted(vendor.asked) == [(alias, "replayed_position") for alias in REPLICAS]

    def test_many_replicas_are_not_all_asked(self, client: Client, settings: Any) -> None:
        settings.REPLICA_DATABASES = [*REPLICAS, "users", "users-replica"]
        client.post("/post", {"text": "mine"})
        vendor.asked.clear()
        assert client.get("/read").json()["reason"] == "pinned"
        assert len(vendor.asked) == 3

    def test_a_replica_that_has_replayed_is_found_behind_one_that_has_not(
        self, client: Client, replication: Replication
    ) -> None:
        client.post("/post", {"text": "mine"})
        replication.catch_up("replica-2")
        assert {client.get("/read").json()["alias"] for _ in range(4)} == {"replica-2"}

    def test_a_replica_that_dies_of_its_question_is_passed_over(
        self,
        client: Client,
        replication: Replication,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Nothing is said of positions: that it refuses is said when it does."""

        def die(connection: Any) -> dict[str, str]:
            if connection.alias == "replica-2":
                return {"posts": "0000000000000001"}
            monkeypatch.setattr(connection, "is_usable", lambda: False)
            raise OperationalError("server closed the connection unexpectedly")

        client.post("/post", {"text": "mine"})
        replication.catch_up()
        monkeypatch.setattr(vendor, "replayed_position", die)
        for _ in range(4):
            answer = client.get("/read").json()
            assert (answer["alias"], answer["reason"]) == ("replica-2", "replica")
        assert [record for record in caplog.records if record.name == "multidb"] == []


class TestOneState:
    @pytest.mark.parametrize("query", ["", "?force"])
    def test_a_request_that_began_on_the_primary_stays_there(
        self, client: Client, replication: Replication, query: str
    ) -> None:
        """Whether or not it has a replica that it was forced to read from before."""
        client.post("/post", {"text": "mine"})
        answer = client.get(f"/read-catch-up-read{query}", replication=replication).json()
        assert answer["reasons"] == ["pinned", "pinned"]

    def test_a_replica_chosen_by_force_serves_only_if_it_has_replayed(
        self, client: Client, replication: Replication
    ) -> None:
        client.post("/post", {"text": "mine"})
        forced, pinned = client.get("/read-forced-then-read").json()["answers"]
        assert (forced["reason"], pinned["reason"]) == ("forced", "pinned")
        replication.catch_up()
        forced, kept = client.get("/read-forced-then-read").json()["answers"]
        assert (forced["alias"], kept["reason"]) == (kept["alias"], "replica")

    def test_where_no_replica_is_up_a_pinned_read_stays_pinned(
        self, client: Client, replication: Replication, tmp_path: Any
    ) -> None:
        client.post("/post", {"text": "mine"})
        for alias in REPLICAS:
            replication.connect(alias, str(tmp_path / "no such directory" / "file"))
        forced, pinned = client.get("/read-forced-then-read").json()["answers"]
        assert (forced["reason"], pinned["reason"]) == ("no replica", "pinned")


class Answering:
    """A pin store of one pin."""

    knows_clients = True
    client_may_change = False
    may_wait = False

    def __init__(self, pin: Pin | None) -> None:
        self._pin = pin

    def client(self, request: HttpRequest) -> list[str]:
        return []

    def load(self, request: HttpRequest) -> Pin | None:
        return self._pin


def begin(rf: RequestFactory, position: Any, primary: str = "default") -> RequestRouting:
    state = RequestRouting(rf.get("/"), Answering(Pin({primary: Hold(2**50, position)})), writes=False)
    routing.resume(Scope(state))
    return state


def test_while_the_store_cannot_tell_no_replica_is_asked_about_a_pin_that_may_be_further(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_what_is_known(store: Answering, request: HttpRequest) -> Pin | None:
        raise PinStoreUnavailable(store._pin)

    monkeypatch.setattr(Answering, "load", load_what_is_known)
    assert begin(rf, {"posts": "0000000000000000"}).pin_reason("default")
    assert vendor.asked == []


class TestBadPositions:
    """Each is a pin by the seconds or no pin, one log line, and never an exception."""

    @pytest.mark.parametrize(
        "position",
        [
            '{"lsn":"0000000000000001"}',
            '{"0":"00000000000000000001"}',
            '{"posts":"zzz"}',
            '{"posts":"0000000000000000","x":"1"}',
        ],
        ids=["PostgreSQL's", "MariaDB's", "nonsense", "too many streams"],
    )
    def test_one_that_a_replica_cannot_reach_holds_for_the_seconds(
        self, client: Client, position: str, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.send(client, f'{{"default":[{int(clock() * 1000) + 9000},{position}]}}')
        for _ in range(4):
            assert client.get("/read").json()["reason"] == "pinned"
        assert len([record for record in caplog.records if record.name == "multidb"]) <= len(REPLICAS)
        clock.advance(16)
        assert client.get("/read").json()["reason"] == "replica"

    @pytest.mark.parametrize("position", ["{}", '{"posts":5}', '{"posts":""}', '{"":"1"}', "5", '"x"', "[]"])
    def test_one_that_is_none_holds_for_the_seconds_or_not_at_all(
        self, client: Client, position: str, clock: Clock
    ) -> None:
        self.send(client, f'{{"default":[{int(clock() * 1000) + 9000},{position}]}}')
        assert client.get("/read").json()["reason"] in ("pinned", "replica")

    def test_a_pin_on_a_primary_that_is_no_longer_one_pins_nobody(
        self, client: Client, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
        client.post("/nothing")
        settings.REPLICA_DATABASES = {"default": ["replica-1"]}
        for _ in range(3):
            client.get("/read")
        assert [record.getMessage() for record in caplog.records if record.name == "multidb"] == [
            "A pin names what is no primary in REPLICA_DATABASES: that part pins nobody."
        ]

    def test_a_replica_that_cannot_answer_leaves_the_pin_to_its_seconds(
        self, client: Client, replication: Replication, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        vendor.silent.update(REPLICAS)
        client.post("/post", {"text": "mine"})
        replication.catch_up()
        for _ in range(4):
            assert client.get("/read").json()["reason"] == "pinned"
        said = [record.getMessage() for record in caplog.records if record.name == "multidb"]
        assert sorted(said) == [
            f"The position of {alias} cannot be had (it is told to be silent): pins hold for their seconds."
            for alias in REPLICAS
        ]
        clock.advance(16)
        assert client.get("/read").json()["reason"] == "replica"

    def test_a_primary_that_cannot_answer_leaves_the_pin_to_its_seconds(
        self, store: str, client: Client, replication: Replication, caplog: pytest.LogCaptureFixture
    ) -> None:
        vendor.silent.add("default")
        for _ in range(2):
            client.post("/post", {"text": "mine"})
        replication.catch_up()
        assert client.get("/read").json()["reason"] == "pinned"
        assert len([record for record in caplog.records if "position of default" in record.getMessage()]) == 1

    def send(self, client: Client, text: str) -> None:
        """Give ``client`` a cookie that is rightly signed, whatever ``text`` is."""
        response = JsonResponse({})
        get_pin_store()._write(RequestFactory().get("/"), response, text, 9)
        client.cookies[pinning_cookie()] = response.cookies[pinning_cookie()].value


def test_a_write_whose_transaction_is_still_open_is_held_for_its_seconds(client: Client, settings: Any) -> None:
    """The commit is yet to come: no position has it."""
    settings.MIDDLEWARE = [f"{__name__}.write_in_a_transaction_that_stays_open", *settings.MIDDLEWARE]
    response = client.post("/post", {"text": "mine"})
    request = RequestFactory().get("/")
    request.COOKIES[pinning_cookie()] = response.cookies[pinning_cookie()].value
    assert get_pin_store().load(request).holds["default"].position is None
    assert vendor.asked == []


def test_the_further_position_wins_in_a_race(store: str, client: Client, clock: Clock) -> None:
    """Two responses in the wrong order: the pin of the later write stands."""
    client.get("/remember")
    request = client.get("/read").wsgi_request
    request.META["HTTP_AUTHORIZATION"] = "Token x"
    until = int(clock() * 1000) + 9000
    with use_primary_db:
        for count in (7, 5):
            response = JsonResponse({})
            get_pin_store().save(request, response, Pin({"default": Hold(until, {"posts": f"{count:016}"})}))
            request.COOKIES.update({name: morsel.value for name, morsel in response.cookies.items()})
        assert get_pin_store().load(request) == Pin({"default": Hold(until, {"posts": "0000000000000007"})})


def test_a_thread_is_pinned_only_until_the_write_is_replayed(client: Client, replication: Replication) -> None:
    with use_primary_db:
        Post.objects.create(text="mine")
    begin(RequestFactory(), {"posts": "0000000000000001"})
    assert this_thread_is_pinned()
    replication.catch_up()
    begin(RequestFactory(), {"posts": "0000000000000001"})
    assert not this_thread_is_pinned()


class TestAStreamThatWrites:
    """Its pin holds for its seconds: a position that was read before the write would end it too early."""

    def test_in_a_thread(self, client: Client, replication: Replication) -> None:
        replication.catch_up()
        response: Any = client.post("/stream-that-writes")
        assert list(response) == [b"importing", b"mine"]
        assert client.get("/read").json() == {"alias": "default", "reason": "pinned", "texts": ["mine"]}

    async def test_on_an_event_loop(self, async_client: AsyncClient, replication: Replication) -> None:
        await sync_to_async(replication.catch_up)()
        response: Any = await async_client.post("/astream-that-writes")
        assert [chunk async for chunk in response] == [b"importing", b"mine"]
        answer = (await async_client.get("/read")).json()
        assert answer == {"alias": "default", "reason": "pinned", "texts": ["mine"]}


class TestAfterTheEndOfARequest:
    """What a task does that goes on."""

    def test_it_keeps_the_replica_while_that_can_be_asked(
        self, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would fail for ever on one that is down."""
        state = begin_unpinned(rf)
        kept = state.replica("default")
        state.end()
        assert {router.db_for_read(Post) for _ in range(4)} == {kept}
        [other] = [alias for alias in REPLICAS if alias != kept]
        monkeypatch.setattr(health, "is_usable", lambda alias: alias == other)
        assert {router.db_for_read(Post) for _ in range(4)} == {other}
        monkeypatch.setattr(health, "is_usable", lambda alias: False)
        assert {router.db_for_read(Post) for _ in range(4)} == {"default"}
        monkeypatch.setattr(health, "is_usable", lambda alias: True)
        assert router.db_for_read(Post) in REPLICAS

    def test_it_reads_from_no_replica_that_has_not_replayed_the_pin(
        self, client: Client, replication: Replication, rf: RequestFactory
    ) -> None:
        Post.objects.create(text="mine")
        replication.catch_up("replica-2")
        state = begin(rf, {"posts": "0000000000000001"})
        assert router.db_for_read(Post) == "replica-2"
        state.end()
        assert {router.db_for_read(Post) for _ in range(6)} == {"replica-2"}

    def test_it_reads_what_the_request_has_written(self, rf: RequestFactory) -> None:
        state = begin_unpinned(rf)
        state.observe_write("default", None)
        state.end()
        assert {router.db_for_read(Post) for _ in range(4)} == {"default"}

    async def test_real_requests_end(self, async_client: AsyncClient) -> None:
        """One that answers, and one that fails."""
        for url in ("/task", "/task-and-fail"):
            tasks.clear()
            with suppress(ValueError):
                await async_client.get(url)
            [(state, task)] = tasks
            assert len(set(await task)) == 1
            assert state._replicas.has_ended


def test_a_stream_keeps_its_replica_to_its_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer."""
    begun: list[RequestRouting] = []
    begin_stream = RequestRouting.note_stream
    monkeypatch.setattr(RequestRouting, "note_stream", lambda state: (begun.append(state), begin_stream(state)))
    response: Any = client.get("/stream-of-reads")
    assert not begun[0]._replicas.has_ended
    assert len(set(response)) == 1
    response.close()
    assert begun[0]._replicas.has_ended


def begin_unpinned(rf: RequestFactory) -> RequestRouting:
    state = RequestRouting(rf.get("/"), Answering(None), writes=False)
    routing.resume(Scope(state))
    return state
