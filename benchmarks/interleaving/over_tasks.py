"""Visits over one event loop: each through Django's ASGI handler, in a task of its own, as a server calls it."""

import asyncio
import gc
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings

from benchmarks.interleaving import project
from benchmarks.interleaving.acts import MEETING_SECONDS
from benchmarks.interleaving.plans import STREAMS, SYNC_STREAM
from benchmarks.interleaving.visits import (
    CANCELLED,
    CLIENT_GONE,
    CLOSED_EARLY,
    CUT_SHORT,
    HANDLER_FAILED,
    RAISED,
    RETURNED,
    STREAMED,
    Visit,
)
from multidb import routing
from multidb.pinning import use_primary_db, use_replica

ENDINGS = [RETURNED, RAISED, STREAMED, CLOSED_EARLY, CANCELLED, CLIENT_GONE]
CHAINS = ["plain", "rewriting", "sync before", "sync after", "sync between"]

# What may be in force around a server: nothing, or what the code that calls it has said.
AROUND: list[AbstractContextManager[None]] = [nullcontext(), use_primary_db, use_replica]


def serve(visits: Sequence[Visit], tasks: int) -> None:
    """Serve ``visits`` on one event loop, so many at the same time."""
    asyncio.run(_serve_all(visits, tasks))


async def _serve_all(visits: Sequence[Visit], tasks: int) -> None:
    handlers = {name: _handler(name) for name in CHAINS}
    shared_thread = SyncToAsync.single_thread_executor
    shared_thread.submit(routing.current).result()
    threads = set(threading.enumerate())
    await asyncio.gather(*(_serve(visits[first::tasks], first, handlers) for first in range(tasks)))
    await _end_what_was_cancelled(threads)
    if shared_thread.submit(routing.current).result().routing is not routing.OUTSIDE:
        visits[-1].left.append("the thread of sync_to_async is left in the scope of a request")


async def _end_what_was_cancelled(threads: Collection[threading.Thread]) -> None:
    """Wait for tasks, and for threads other than ``threads``, which may need this loop; then close generators."""
    while asyncio.all_tasks() - {asyncio.current_task()} or _others(threads):
        await asyncio.sleep(MEETING_SECONDS)
    gc.collect()
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _others(threads: Collection[threading.Thread]) -> list[threading.Thread]:
    """The threads that run now, but for ``threads`` and those that the loop keeps for later."""
    return [each for each in threading.enumerate() if each not in threads and not each.name.startswith("asyncio_")]


async def _serve(visits: Sequence[Visit], number: int, handlers: dict[str, ASGIHandler]) -> None:
    with AROUND[number % len(AROUND)]:
        outer = routing.current()
        for visit in visits:
            await asyncio.create_task(_answer(visit, handlers[visit.plan.chain]))
            visit.compare_scope(outer, "in the server")


async def _answer(visit: Visit, handler: ASGIHandler) -> None:
    outer = routing.current()
    connection = Connection(visit, outer)
    try:
        if visit.plan.ending == CANCELLED:
            await connection.cancel(handler)
        else:
            await handler(connection.scope(), connection.receive, connection.send)
    except RuntimeError:
        if visit.plan.ending not in CUT_SHORT:
            raise
        connection.has_failed = True
    connection.compare_task("after the request")
    connection.compare_end()


class Connection:
    """A client's connection, as a server under ASGI keeps it."""

    def __init__(self, visit: Visit, outer: routing.Scope) -> None:
        self._visit = visit
        self._outer = outer
        self._requests = [{"type": "http.request", "body": b"", "more_body": False}]
        self._gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._limit = visit.chance.randint(1, 3) if visit.plan.ending == CLOSED_EARLY else None
        self._status: int | None = None
        self._pinned = False
        self._has_ended = False
        self.has_failed = False
        self._was_cancelled = False
        self._has_patience = True

    def scope(self) -> dict[str, Any]:
        plan = self._visit.plan
        headers = project.client(plan.number, plan.pinned)
        if plan.ending == CLIENT_GONE:
            self._lose_patience(self._gone.set)
        return {
            "type": "http",
            "method": plan.method,
            "path": self._visit.path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }

    async def receive(self) -> dict[str, Any]:
        if self._requests:
            return self._requests.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self._visit.compare_scope(self._outer, f"at {message['type']}")
        if message["type"] == "http.response.start":
            self._status = message["status"]
            name = f"{project.pinning_cookie()}=".encode()
            self._pinned = any(
                value.startswith(name) for header, value in message["headers"] if header == b"Set-Cookie"
            )
        elif not message.get("more_body"):
            self._has_ended = True
        elif self._limit is not None:
            self._limit -= 1
            if self._limit == 0:
                self._gone.set()
        await asyncio.sleep(0)

    async def cancel(self, handler: ASGIHandler) -> None:
        """Have ``handler`` answer in a task that is cancelled while it waits, wherever that is."""
        request, _ = handler.create_request(self.scope(), BytesIO())
        task = asyncio.create_task(self._answer(handler, request))
        self._lose_patience(task.cancel)
        await asyncio.wait([task])
        self._was_cancelled = task.cancelled()

    async def _answer(self, handler: ASGIHandler, request: Any) -> None:
        alone = ThreadSensitiveContext() if self._visit.chance.random() < 0.5 else nullcontext()
        try:
            async with alone:
                response = await handler.run_get_response(request)
                try:
                    await handler.send_response(response, self.send)
                finally:
                    await sync_to_async(response.close)()
        finally:
            self.compare_task("as the request ends or is cancelled")

    def _lose_patience(self, hang_up: Callable[[], object]) -> None:
        """Have the view call ``hang_up`` while it waits, and at times the loop, wherever the request is by then."""

        def once() -> None:
            if self._has_patience:
                self._has_patience = False
                hang_up()

        self._visit.hang_up = lambda: self._loop.call_soon_threadsafe(once)
        if self._visit.chance.random() < 0.5:
            self._tick(self._visit.chance.randint(0, 4 * self._visit.plan.patience), once)

    def _tick(self, turns: int, hang_up: Callable[[], object]) -> None:
        if turns:
            self._loop.call_soon(self._tick, turns - 1, hang_up)
        else:
            hang_up()

    def compare_task(self, where: str) -> None:
        """The request's own task must be back in the outer scope.

        But where a thread runs in the request's scope, our middleware or a stream that is not async: of a task that is
        cancelled meanwhile asgiref replaces the context by that of the thread, as it is then. The task ends with its
        request, and its server's is not touched.
        """
        plan = self._visit.plan
        in_thread = plan.chain in project.IN_THREADS or plan.view == SYNC_STREAM
        if plan.ending not in CUT_SHORT or not in_thread:
            self._visit.compare_scope(self._outer, where)

    def compare_end(self) -> None:
        self._visit.hang_up = lambda: None
        self._visit.ending = self._ending()
        known = self._status is not None and project.keeps_pins_in_cookies()
        self._visit.compare_end(self._pinned if known else None)

    def _ending(self) -> str:
        planned = self._visit.plan.ending
        if self.has_failed:
            return HANDLER_FAILED
        if self._was_cancelled or (planned in (CLIENT_GONE, CLOSED_EARLY) and not self._has_ended):
            return planned
        if self._status == 500:
            return RAISED
        return STREAMED if self._visit.plan.view in STREAMS else RETURNED


def _handler(chain: str) -> ASGIHandler:
    with override_settings(MIDDLEWARE=project.CHAINS[chain]):
        return ASGIHandler()
