"""A task reads what was written by whoever sent it, and nothing of it leaks, in real workers on a real Redis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord
from django.db import connections
from django.test import AsyncClient, Client

from multidb.contrib.celery import HEADER
from multidb.pinning import use_primary_db, use_replica
from tests.conftest import REPLICAS, Replication
from tests.contrib import jobs
from tests.contrib.test_celery import NO_PINS
from tests.contrib.workers import result, use_broker, worker
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

POOLS = ["prefork", "threads"]


@pytest.fixture(scope="module")
def broker(redis_port: int) -> str:
    return use_broker(redis_port)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the replicas are for all these tests, so that one worker serves them."""
    return tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def databases(django_db_setup: None, directory: Path) -> dict[str, Any]:
    names = {alias: str(directory / f"{alias}.sqlite3") for alias in REPLICAS}
    names["default"] = connections["default"].settings_dict["NAME"]
    return {alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": name} for alias, name in names.items()}


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest, broker: str, databases: dict[str, Any]) -> Iterator[str]:
    """A worker with each kind of pool in turn."""
    with worker(request.param, broker, databases):
        yield request.param


@pytest.fixture(autouse=True)
def lag(transactional_db: None, directory: Path, settings: Any) -> Iterator[None]:
    """What is written in a test does not reach the replicas."""
    settings.ROOT_URLCONF = "tests.contrib.urls"
    settings.MULTIDB_PINNING_SECONDS = 600
    replication = Replication(directory)
    yield
    replication.end()


def test_a_task_reads_what_the_request_wrote_that_sent_it(pool: str) -> None:
    [task] = Client().post("/post-and-send").json()["ids"]
    assert result(task) == {"texts": ["posted"], "alias": "default", "reason": "pinned"}


def test_a_task_reads_what_an_earlier_request_of_the_client_wrote(pool: str) -> None:
    client = Client()
    client.post("/post-and-send")
    [task] = client.get("/send").json()["ids"]
    assert result(task)["reason"] == "pinned"


def test_a_task_of_another_client_is_not_pinned(pool: str) -> None:
    """Nor is one that runs in the same thread after one that is."""
    client = Client()
    tasks = [client.post("/post-and-send").json()["ids"][0], *Client().get("/send").json()["ids"]]
    pinned, other = map(result, tasks)
    assert (pinned["reason"], other["reason"], other["texts"]) == ("pinned", "replica", [])


@pytest.mark.parametrize("address", ["/send-in-transaction", "/send-on-commit"])
def test_a_task_sent_in_a_transaction_or_after_it_is_pinned(pool: str, address: str) -> None:
    [task] = Client().post(address).json()["ids"]
    assert result(task)["reason"] == "pinned"


@pytest.mark.parametrize("address", ["/apost-and-send", "/apost-and-send-in-thread"])
async def test_a_task_sent_by_an_async_view_is_pinned(pool: str, address: str) -> None:
    [task] = (await AsyncClient().post(address)).json()["ids"]
    assert result(task)["texts"] == ["posted"]


def test_each_task_of_a_group_is_pinned(pool: str) -> None:
    tasks = Client().post("/post-and-send-group").json()["ids"]
    assert [result(task)["texts"] for task in tasks] == [["posted"]] * 3


def test_a_task_that_nobody_pinned_keeps_one_replica_to_its_end(pool: str) -> None:
    [(alias, reason)] = {tuple(read) for read in result(jobs.read_often.delay().id)}
    assert alias in REPLICAS
    assert reason == "replica"


def test_a_block_pins_the_tasks_that_are_sent_outside_a_request(pool: str) -> None:
    Post.objects.create(text="by a command")
    with use_primary_db:
        task = jobs.read.delay()
    assert result(task.id)["texts"] == ["by a command"]


def test_a_task_sent_by_a_task_reads_what_that_wrote(pool: str) -> None:
    sender = jobs.write_and_send.delay("by a task")
    assert result(result(sender.id)) == {"texts": ["by a task"], "alias": "default", "reason": "pinned"}


def test_a_pin_is_carried_on_by_tasks_that_write_nothing(pool: str) -> None:
    Post.objects.create(text="by a command")
    with use_primary_db:
        task = chain(jobs.read.si(), jobs.read.si(), jobs.read.si()).delay()
    assert result(task.id)["texts"] == ["by a command"]


def test_the_next_task_of_a_chain_reads_what_the_one_before_wrote(pool: str) -> None:
    task = chain(jobs.write.si("in a chain"), jobs.read.si()).delay()
    assert result(task.id)["texts"] == ["in a chain"]


def test_a_linked_task_reads_what_the_task_wrote(pool: str) -> None:
    linked = jobs.read.si().set(task_id=f"linked in {pool}")
    jobs.write.apply_async(["before the link"], link=linked)
    assert result(f"linked in {pool}")["texts"] == ["before the link"]


def test_an_error_callback_reads_what_the_task_wrote(pool: str) -> None:
    callback = jobs.texts.si().set(task_id=f"after an error in {pool}")
    jobs.write_and_fail.apply_async(link_error=callback)
    assert result(f"after an error in {pool}") == ["before the failure"]


def test_a_retry_reads_what_the_first_attempt_wrote(pool: str) -> None:
    assert result(jobs.write_and_retry.delay().id)["texts"] == ["before the retry"]


def test_the_body_of_a_chord_reads_what_each_task_of_its_header_wrote(pool: str) -> None:
    """Though it is sent by the one that ends last, which has written nothing."""
    task = chord([jobs.write.si("in a chord"), jobs.read.si()], jobs.read.si()).delay()
    assert result(task.id)["texts"] == ["in a chord"]


def test_nothing_that_a_task_leaves_behind_reaches_the_next(pool: str) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="with blocks open"):
            result(jobs.leave_all_open.delay().id)
        assert result(jobs.read.delay().id)["reason"] == "replica"


@pytest.mark.parametrize("pool", ["prefork"], indirect=True)
def test_a_task_that_is_delivered_once_more_reads_what_it_wrote_before(pool: str) -> None:
    """Its process has died under it, as a thread cannot."""
    assert result(jobs.write_and_die.delay().id)["texts"] == ["before the death"]


def test_headers_that_are_no_pins_do_no_harm(pool: str) -> None:
    foreign = [*({HEADER: text} for text in NO_PINS), {"headers": "y"}]
    tasks = [jobs.read.apply_async(headers=headers) for headers in foreign]
    assert {result(task.id)["reason"] for task in tasks} == {"replica"}


def test_a_task_of_the_first_protocol_is_pinned(pool: str) -> None:
    jobs.app.conf.task_protocol = 1
    jobs.app.amqp.__dict__.pop("create_task_message", None)
    try:
        [task] = Client().post("/post-and-send").json()["ids"]
    finally:
        jobs.app.conf.task_protocol = 2
        jobs.app.amqp.__dict__.pop("create_task_message", None)
    assert result(task)["reason"] == "pinned"


def test_tasks_that_run_at_once_do_not_take_each_others_pins(broker: str, databases: dict[str, Any]) -> None:
    sent = []
    for number in range(20):
        with use_primary_db if number % 2 else use_replica:
            sent.append(jobs.read_often.delay().id)
    with worker("threads", broker, databases, concurrency=8):
        reasons = [{reason for _, reason in result(task)} for task in sent]
    assert reasons == [{"replica"}, {"pinned"}] * 10


def test_a_worker_without_pins_takes_no_notice_of_them(broker: str, databases: dict[str, Any]) -> None:
    with use_primary_db:
        task = jobs.texts.delay()
    with worker("prefork", broker, databases, WORKER_WITHOUT_PINS="yes"):
        assert result(task.id) == []
