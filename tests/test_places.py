"""From which line of the project's code a query was made."""

import asyncio
import inspect
import sys
import sysconfig
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from multidb.places import Served, place


def here() -> str:
    return place(sys._getframe(1))


def test_it_is_the_innermost_code_of_the_project() -> None:
    assert here() == f"{__name__}:{_line_of(test_it_is_the_innermost_code_of_the_project) + 1}"


@pytest.mark.parametrize(
    ("modules", "line"),
    [
        (["gunicorn.workers.sync", "django.contrib.sessions.backends.db", "django.db.models.query"], 1),
        (["gunicorn.workers.sync", "django.db.models.query", "multidb.routers"], 0),
        (["django.db.models.query"], None),
    ],
)
def test_where_no_code_of_the_project_reads_the_place_is_around_the_database(
    modules: list[str], line: int | None
) -> None:
    """As of a session that a middleware loads: not in the server that runs all."""
    places: list[str] = []
    inner: Any = lambda: places.append(place(sys._getframe(1)))  # noqa: E731  # no frame of its own counts
    for module in reversed(modules):
        inner = _installed(module, inner)
    thread = threading.Thread(target=inner)
    thread.start()
    thread.join()
    assert places == [f"{modules[line]}:2" if line is not None else f"threading:{_line_of_run()}"]


def _installed(module: str, inner: Any) -> Any:
    """A function of an installed module of that name, which calls ``inner`` in its second line."""
    names = {"__name__": module, "inner": inner}
    exec(compile("def call():\n    return inner()", f"{sysconfig.get_path('purelib')}/{module}.py", "exec"), names)
    return names["call"]


def _line_of_run() -> int:
    lines, first = inspect.getsourcelines(threading.Thread.run)
    return first + next(number for number, line in enumerate(lines) if "self._target(" in line)


def _line_of(function: Any) -> int:
    return function.__code__.co_firstlineno  # type: ignore[no-any-return]


async def test_of_a_thread_that_serves_async_code_it_is_where_that_waits() -> None:
    task = Served.here()

    async def waits() -> str:
        return await sync_to_async(_in_a_thread(task))()

    assert await waits() == f"{__name__}:{_line_of(waits) + 1}"


async def test_while_the_task_has_not_begun_to_wait_it_is_where_that_runs() -> None:
    """A thread may be faster than the task that has started it."""
    task = Served.here()
    found: list[str] = []

    async def runs() -> None:
        thread = threading.Thread(
            target=_installed("django.db.models.query", lambda: found.append(place(sys._getframe(1), task)))
        )
        thread.start()
        thread.join()

    await runs()
    assert found[0] in [f"{__name__}:{_line_of(runs) + line}" for line in (4, 5)]


async def test_of_an_async_generator_it_is_where_that_is_iterated() -> None:
    task = Served.here()

    async def generates() -> AsyncIterator[str]:
        yield await sync_to_async(_in_a_thread(task))()

    async def iterates() -> list[str]:
        return [each async for each in generates()]

    assert await iterates() == [f"{__name__}:{_line_of(iterates) + 1}"]


async def test_where_tasks_are_gathered_it_is_where_all_are_waited_for() -> None:
    task = Served.here()

    async def gathers() -> list[str]:
        return await asyncio.gather(sync_to_async(_in_a_thread(task))())

    assert await gathers() == [f"{__name__}:{_line_of(gathers) + 1}"]


async def test_a_task_that_has_ended_waits_nowhere() -> None:
    """While a thread that it has left behind still reads."""
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    thread: list[str] = []
    runs = threading.Thread(target=lambda: thread.append(_in_a_thread(Served(task))()))
    runs.start()
    runs.join()
    assert thread[0].startswith(f"{__name__}:")


def test_without_an_event_loop_there_is_no_task() -> None:
    assert Served.here() is None


def _in_a_thread(task: Any) -> Any:
    """A function that returns the place of its call, in a thread that has no code of the project in it."""
    return _installed("django.db.models.query", lambda: place(sys._getframe(1), task))


def async_to_sync_in_a_function(view: Any) -> Any:
    """As a middleware under WSGI, in which an async view runs, calls it."""
    return async_to_sync(view)()


def test_of_async_code_under_wsgi_it_is_not_what_that_was_called_by() -> None:
    """Its database is asked in this thread, on top of a stack with which it has nothing to do."""

    async def view() -> str:
        return await sync_to_async(_in_a_thread(None))()

    assert async_to_sync_in_a_function(view) == ""
