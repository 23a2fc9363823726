"""The pin that is sent with a job, and the reads of the job that has it."""

import json
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from multidb import routing
from multidb.backends.base import PinStore
from multidb.job_routing import LONGEST_TEXT, JobRouting, begin, job, pin_on_all, pin_sent, pin_to_send
from multidb.pinning import db_read, db_write, pin_this_thread, use_primary_db, use_replica
from multidb.pins import Pin
from multidb.routing import OUTSIDE, Scope
from tests import vendor, views
from tests.conftest import REPLICAS, Clock, Replication
from tests.models import Post

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.urls(__name__)]

SEVERAL = {"default": REPLICAS, "users": ["users-replica"]}
BOTH = ["default", "users"]


def send(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pin": pin_to_send()})


def write_to(request: HttpRequest, alias: str) -> JsonResponse:
    connections[alias].cursor().execute("CREATE TEMPORARY TABLE IF NOT EXISTS written (id int)")
    return send(request)


def post_and_send(request: HttpRequest) -> JsonResponse:
    Post.objects.create(text="posted")
    with use_replica:  # Forces reads, and takes no write back.
        return send(request)


def post_in_transaction(request: HttpRequest) -> JsonResponse:
    with transaction.atomic():
        return post_and_send(request)


def post_on_commit(request: HttpRequest) -> JsonResponse:
    sent: list[JsonResponse] = []
    with transaction.atomic():
        Post.objects.create(text="posted")
        transaction.on_commit(lambda: sent.append(send(request)))
    return sent[0]


def send_and_read(request: HttpRequest) -> HttpResponse:
    sent = send(request)
    views.answer()
    return sent


async def asend(request: HttpRequest) -> JsonResponse:
    return send(request)


urlpatterns = [
    path("send", send),
    path("asend", asend),
    path("write", db_write(send)),
    path("read", db_read(send)),
    path("forced", use_primary_db(send)),
    path("send-and-read", send_and_read),
    path("write-to/<alias>", write_to),
    path("post", post_and_send),
    path("post-in-transaction", post_in_transaction),
    path("post-on-commit", post_on_commit),
]


@pytest.fixture(autouse=True)
def _several(settings: Any) -> None:
    settings.REPLICA_DATABASES = SEVERAL


@pytest.fixture
def _by_write(settings: Any) -> None:
    settings.MULTIDB_PINNING_TRIGGER = "write"


@pytest.fixture
def _replayed(replication: Replication, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MULTIDB_PINNING_UNTIL = "replayed"
    settings.REPLICA_DATABASES = REPLICAS
    vendor.use(monkeypatch)


def pinned(response: Any) -> list[str]:
    """The primaries of the pin that was sent."""
    text = response.json()["pin"]
    return sorted(json.loads(text)) if text else []


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.mark.parametrize(
    ("method", "address", "primaries"),
    [
        ("get", "/send", []),
        ("post", "/send", BOTH),
        ("post", "/read", []),
        ("get", "/write", BOTH),
        ("get", "/forced", BOTH),
        ("get", "/write-to/users", ["users"]),
    ],
)
def test_what_a_request_pins_by_its_method(client: Client, method: str, address: str, primaries: list[str]) -> None:
    assert pinned(getattr(client, method)(address)) == primaries


@pytest.mark.usefixtures("_by_write")
@pytest.mark.parametrize(
    ("method", "address", "primaries"),
    [
        ("post", "/send", []),
        ("get", "/write", BOTH),
        ("post", "/write-to/users", ["users"]),
        ("get", "/write-to/default", ["default"]),
    ],
)
def test_what_a_request_pins_by_its_writes(client: Client, method: str, address: str, primaries: list[str]) -> None:
    assert pinned(getattr(client, method)(address)) == primaries


@pytest.mark.usefixtures("_by_write")
def test_the_pin_that_a_request_came_with_goes_on(client: Client) -> None:
    client.post("/write-to/users")
    assert pinned(client.get("/send")) == ["users"]
    assert pinned(client.post("/write-to/default")) == BOTH


def test_outside_a_request_only_a_block_pins() -> None:
    Post.objects.create(text="by a command")
    assert pin_to_send() is None
    with use_primary_db:
        assert sorted(json.loads(pin_to_send() or "")) == BOTH


class Counting(PinStore):
    """A store that is down when it is told to be."""

    asked = 0
    is_down = False

    def _read(self, request: HttpRequest) -> list[str]:
        type(self).asked += 1
        if self.is_down:
            raise OSError("down")
        return []

    def _write(self, request: HttpRequest, response: Any, text: str, seconds: float) -> None: ...


@pytest.fixture
def counting(settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    settings.MULTIDB_PIN_STORE = {"BACKEND": f"{__name__}.Counting"}
    monkeypatch.setattr(Counting, "asked", 0)
    return Counting


def test_a_request_is_looked_up_once_for_its_jobs_and_its_reads(client: Client, counting: type[Counting]) -> None:
    client.get("/send-and-read")
    assert counting.asked == 1


@pytest.mark.parametrize(("reads", "primaries"), [("primary", BOTH), ("replica", [])])
def test_a_store_that_cannot_tell_pins_where_it_sends_reads_to_the_primary(
    client: Client,
    counting: type[Counting],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    reads: str,
    primaries: list[str],
) -> None:
    monkeypatch.setattr(Counting, "is_down", True)
    settings.MULTIDB_PIN_STORE_DOWN = reads
    assert pinned(client.get("/send")) == primaries


async def test_on_the_event_loop_a_store_that_cannot_be_asked_pins(counting: type[Counting]) -> None:
    assert pinned(await AsyncClient().get("/asend")) == BOTH


@pytest.mark.usefixtures("_replayed")
@pytest.mark.parametrize(
    ("address", "has_position"), [("/post", True), ("/post-on-commit", True), ("/post-in-transaction", False)]
)
def test_a_pin_has_a_position_unless_the_transaction_is_open(client: Client, address: str, has_position: bool) -> None:
    [hold] = json.loads(client.post(address).json()["pin"]).values()
    assert (len(hold) == 2) is has_position


@pytest.mark.usefixtures("_replayed")
def test_a_job_reads_from_a_replica_that_has_replayed_the_position(client: Client, replication: Replication) -> None:
    text = client.post("/post").json()["pin"]
    with job(pin_sent(text)):
        assert views.answer()["reason"] == "pinned"
    replication.catch_up("replica-2")
    with job(pin_sent(text)):
        assert views.answer() == {"texts": ["posted"], "alias": "replica-2", "reason": "replica"}


def test_a_job_sends_the_pin_on_that_it_came_with_and_its_own_writes() -> None:
    with job(Pin.on(["users"], time.time() + 10)):
        assert list(json.loads(pin_to_send() or "")) == ["users"]
        Post.objects.create(text="by a job")
        assert views.answer()["reason"] == "wrote"
        assert sorted(json.loads(pin_to_send() or "")) == BOTH


def test_a_job_does_not_send_a_pin_on_that_has_run_out(clock: Clock) -> None:
    with job(Pin.on(["users"], time.time() + 10)):
        clock.advance(11)
        assert pin_to_send() is None


def test_a_job_keeps_its_replica() -> None:
    with job(None):
        [alias] = {views.answer()["alias"] for _ in range(5)}
    assert alias in REPLICAS


@pytest.mark.parametrize(
    ("mode", "aliases"),
    [(True, REPLICAS), (False, ["default"]), ("dry run", ["default"]), (lambda request: True, ["default"])],
)
def test_where_routing_is_off_a_job_reads_from_the_primary(settings: Any, mode: Any, aliases: list[str]) -> None:
    """And where a function of the request decides, since there is no request."""
    settings.MULTIDB_ROUTING = mode
    with job(None):
        assert Post.objects.all().db in aliases


def test_a_job_inside_a_request_is_part_of_it(client: Client) -> None:
    scope = Scope(JobRouting(None))
    routing.resume(scope)
    with job(pin_on_all()):
        assert routing.current() is scope


def test_a_thread_that_was_pinned_before_its_first_job_stays_so() -> None:
    pin_this_thread()
    outer = begin(None)
    assert views.answer()["reason"] == "forced"
    routing.resume(outer)


def test_what_a_job_leaves_behind_does_not_reach_the_next() -> None:
    begin(pin_on_all())
    pin_this_thread()
    outer = begin(None)
    assert views.answer()["reason"] == "replica"
    assert outer.routing is OUTSIDE


@pytest.mark.usefixtures("_replayed")
def test_a_pin_that_is_too_long_with_its_positions_is_sent_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {f"{number}": "0" * 20 for number in range(LONGEST_TEXT // 20)}
    with job(Pin.on({"default": streams}, time.time() + 10)):
        pin = pin_sent(pin_to_send())
    assert pin is not None
    assert pin.holds["default"].position is None


@pytest.mark.parametrize("text", ["y", "{}", "[" * 5000, 5, None, [], b'{"default": [9]}', "x" * (LONGEST_TEXT + 1)])
def test_what_is_no_pin_pins_nobody(text: Any) -> None:
    assert pin_sent(text) is None


def test_a_pin_holds_for_no_longer_than_a_new_one(settings: Any) -> None:
    settings.MULTIDB_PINNING_SECONDS = 5
    pin = pin_sent(Pin.on(["default"], time.time() + 3000).encode())
    assert pin is not None
    assert pin.seconds_left(time.time()) < 6


async def test_a_job_on_the_event_loop_keeps_to_itself() -> None:
    with job(pin_on_all()):
        assert (await sync_to_async(views.answer)())["reason"] == "pinned"
    assert await sync_to_async(pin_to_send)() is None
