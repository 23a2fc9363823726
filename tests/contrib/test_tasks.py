"""A task of Django's tasks framework reads what was written by whoever enqueued it."""

import pickle
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.test import AsyncClient, Client, override_settings

from multidb import routing
from multidb.job_routing import job
from multidb.pinning import use_primary_db
from multidb.pins import Pin
from tests.views import answer

pytest.importorskip("django.tasks", reason="Django's tasks framework came with Django 6.0")

from django.tasks import task_backends

from multidb.contrib import tasks
from multidb.contrib.tasks import ARGUMENT

BACKENDS = "tests.contrib.task_backends"

with override_settings(TASKS={"default": {"BACKEND": f"{BACKENDS}.PinnedDummyBackend"}}):
    from tests.contrib import django_jobs  # The class of a task is that of the backend that there is when it is made.

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls("tests.contrib.django_jobs"),
]


@pytest.fixture
def use(settings: Any) -> Callable[[str], None]:
    """Has tasks go to the backend of this name."""

    def use(name: str) -> None:
        settings.TASKS = {"default": {"BACKEND": f"{BACKENDS}.{name}"}}

    settings.MULTIDB_PINNING_SECONDS = 600
    return use


@pytest.fixture
def work(use: Callable[[str], None], settings: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Runs all tasks that are in the table of the queue, one after the other, as ``manage.py db_worker --batch``."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_tasks_db"]
    settings.DATABASE_ROUTERS = [f"{BACKENDS}.QueueRouter", *settings.DATABASE_ROUTERS]
    use("PinnedDatabaseBackend")
    from django_tasks_db.management.commands.db_worker import Worker  # Its models need the app to be installed.
    from django_tasks_db.models import DBTaskResult

    with connections["default"].schema_editor() as editor:
        editor.create_model(DBTaskResult)
    request.getfixturevalue("replication")

    def work() -> None:
        Worker(
            queue_names=["*"],
            interval=0,
            batch=True,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id="the worker",
            excluded_queue_names=[],
        ).run()

    yield work
    with connections["default"].schema_editor() as editor:
        editor.delete_model(DBTaskResult)


def result(task_id: str) -> Any:
    return django_jobs.read.get_backend().get_result(task_id).return_value


PINNED = {"texts": ["posted"], "alias": "default", "reason": "pinned"}


def test_a_task_reads_what_the_request_wrote_that_enqueued_it(work: Callable[[], None]) -> None:
    """And nothing of it reaches the next task, or its function."""
    sync, async_, arguments = Client().post("/post").json()["ids"]
    [other] = Client().get("/get").json()["ids"]
    work()
    assert (result(sync), result(async_)) == (PINNED, PINNED)
    assert result(arguments) == [[1], {"two": 2}]
    assert result(other)["reason"] == "replica"


async def test_a_task_is_enqueued_by_an_async_view(work: Callable[[], None]) -> None:
    [task] = (await AsyncClient().post("/apost")).json()["ids"]
    await sync_to_async(work)()
    assert await sync_to_async(result)(task) == PINNED


def test_a_task_enqueued_by_a_task_reads_what_that_wrote(work: Callable[[], None]) -> None:
    task = django_jobs.write_and_enqueue.enqueue("posted")
    work()
    assert result(result(task.id)) == PINNED


def test_a_task_that_runs_in_the_request_is_part_of_it(use: Callable[[str], None]) -> None:
    """It reads as the request does and disturbs nothing: what it writes, the request has written."""
    use("PinnedImmediateBackend")
    said = Client().get("/run").json()
    before, failed, *after = said["tasks"]
    assert (before["reason"], failed) == ("replica", None)
    wrote = {"texts": ["before the failure"], "alias": "default", "reason": "wrote"}
    assert [*after, said["own"]] == [wrote] * 3


def test_a_pin_is_one_more_argument_and_there_is_none_without_a_pin(use: Callable[[str], None]) -> None:
    use("PinnedDummyBackend")
    Client().post("/post")
    Client().get("/get")
    pinned, other = task_backends["default"].results[0], task_backends["default"].results[-1]
    assert (list(pinned.kwargs), list(other.kwargs)) == ([ARGUMENT], [])


@pytest.mark.parametrize("foreign", ["y", "{", 5, None, ["default"], {"default": [2**60]}])
def test_an_argument_that_is_no_pin_does_no_harm(use: Callable[[str], None], foreign: Any) -> None:
    assert django_jobs.read.call(**{ARGUMENT: foreign})["reason"] == "replica"


async def test_a_task_is_run_by_an_async_worker(use: Callable[[str], None]) -> None:
    before = routing.current()
    pin = Pin.on(["default"], time.time() + 60).encode()
    for task in (django_jobs.read, django_jobs.aread):
        assert (await task.acall(**{ARGUMENT: pin}))["reason"] == "pinned"
        assert (await task.acall())["reason"] == "replica"
    with pytest.raises(RuntimeError, match="after the write"):
        await django_jobs.fail.acall()
    assert routing.current() is before


def changed() -> Any:
    return django_jobs.read.using(priority=5)


def unpickled() -> Any:
    if django.VERSION < (6, 1):
        pytest.skip("a task can be pickled with Django 6.1 and later")
    return pickle.loads(pickle.dumps(django_jobs.read))


@pytest.mark.parametrize("other", [changed, unpickled])
def test_a_task_that_is_another_object_is_pinned_too(use: Callable[[str], None], other: Callable[[], Any]) -> None:
    use("PinnedDummyBackend")
    task = other()
    with use_primary_db:
        assert ARGUMENT in task.enqueue().kwargs


@pytest.mark.parametrize("enqueue", ["enqueue", "aenqueue"])
def test_a_task_is_enqueued_again_with_its_own_arguments(use: Callable[[str], None], enqueue: str) -> None:
    """As by a button that runs it once more, whose request is pinned too."""
    use("PinnedDummyBackend")
    task = async_to_sync(django_jobs.read.aenqueue) if enqueue == "aenqueue" else django_jobs.read.enqueue
    with use_primary_db:
        first = task()
        again = task(*first.args, **first.kwargs)
    assert again.kwargs.keys() == first.kwargs.keys() == {ARGUMENT}


def test_a_task_that_is_called_by_a_job_is_part_of_it() -> None:
    with job(None):
        alias = answer()["alias"]
        assert {django_jobs.read.call()["alias"] for _ in range(4)} == {alias}


def test_without_the_framework_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "django.tasks", None)
    with pytest.raises(ImportError, match=r"Django 6\.0 or later"):
        runpy.run_path(tasks.__file__)
