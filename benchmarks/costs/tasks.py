"""What a worker measures: a routed read, and whole requests, each of as many kinds as matter.

Times are CPU time of the process: what the code costs, whatever else the machine does meanwhile. Requests are made
beforehand.
"""

import asyncio
import gc
from collections.abc import Callable
from functools import lru_cache
from time import process_time
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections, router
from django.http import HttpResponse

from costs import pages
from costs.models import Page
from costs.requests import METHODS, asgi_request, environ, headers_of, in_middleware, wsgi_request

# Makes as many requests as its second argument says, serves as many as the first one does, and returns how many seconds
# these took.
Task = Callable[[int, int], float]


def connect() -> None:
    """Open the connections, which stay open: no measurement finds one to be opened."""
    for connection in connections.all():
        connection.ensure_connection()


def failure() -> str | None:
    """Why this site cannot serve requests, or ``None``."""
    try:
        for method in ("GET", "POST"):
            in_middleware(pages.page)(wsgi_request(method))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def database_of_a_read(kind: str) -> str:
    """Where a read goes in a request of ``kind``."""
    aliases: list[str] = []

    def view(request: Any) -> HttpResponse:
        aliases.append(router.db_for_read(Page))
        return HttpResponse()

    in_middleware(view)(wsgi_request(METHODS[kind], **headers_of(kind)))
    return aliases[0]


def measure(task: str, seconds: float) -> float:
    """How many seconds one call of ``task`` takes: the mean of as many as take about ``seconds``."""
    run = TASKS[task]
    if task not in _calls:
        run(1, 1)  # Else what is made once, such as an import, would make the calls look dear, and so few.
        _calls[task] = _enough(run, seconds)
    calls = _calls[task]
    return run(calls, calls) / calls


_calls: dict[str, int] = {}


def _enough(run: Task, seconds: float) -> int:
    calls = 1
    while (taken := run(calls, calls)) < seconds / 2:
        calls *= 8
    return max(1, round(calls * seconds / taken))


def _reads(kind: str) -> Task:
    """Reads of one request, whose way is asked for of Django's router."""

    def run(calls: int, made: int) -> float:
        taken = 0.0

        def view(request: Any) -> HttpResponse:
            nonlocal taken
            taken = _timed(lambda: _read(calls))
            return HttpResponse()

        in_middleware(view)(wsgi_request(METHODS[kind], **headers_of(kind)))
        return taken

    return run


def _read(calls: int) -> None:
    for _ in range(calls):
        router.db_for_read(Page)


def _routing(kind: str, view: Callable[[Any], HttpResponse] = pages.routed) -> Task:
    """Requests as far as routing has a part in them: the middleware, and a view that makes no query."""

    def run(calls: int, made: int) -> float:
        return _served(in_middleware(view), _wsgi_requests(kind, "routed", made)[:calls])

    return run


def _handled(kind: str) -> Task:
    """The same through Django's handler, all its middleware and the URL resolver."""

    def run(calls: int, made: int) -> float:
        return _served(_wsgi_handler().get_response, _wsgi_requests(kind, "routed", made)[:calls])

    return run


def _ahandled(kind: str) -> Task:
    """The async twin of ``_handled``."""

    def run(calls: int, made: int) -> float:
        headers = headers_of(kind)
        requests = [asgi_request(METHODS[kind], "arouted", **headers) for _ in range(made)][:calls]
        return _event_loop().run_until_complete(_aserved(_asgi_handler().get_response_async, requests))

    return run


def _all(kind: str) -> Task:
    """Requests with queries through all that Django does for a WSGI server."""

    def run(calls: int, made: int) -> float:
        headers = headers_of(kind)
        environs = [environ(METHODS[kind], "page", **headers) for _ in range(made)][:calls]
        handler = _wsgi_handler()

        def serve(environ: dict[str, Any]) -> None:
            response = handler(environ, _start_response)
            b"".join(response)
            response.close()

        return _served(serve, environs)

    return run


TASKS: dict[str, Task] = {"read": _reads("reading"), "pinned read": _reads("pinned")}
for _kind in METHODS:
    TASKS |= {
        f"routing of a {_kind} request": _routing(_kind),
        f"routing of a {_kind} request for many models": _routing(_kind, pages.routed_many),
        f"{_kind} request": _all(_kind),
        f"{_kind} request without queries": _handled(_kind),
        f"async {_kind} request without queries": _ahandled(_kind),
    }


def _wsgi_requests(kind: str, path: str, count: int) -> list[Any]:
    headers = headers_of(kind)
    return [wsgi_request(METHODS[kind], path, **headers) for _ in range(count)]


def _served(handler: Callable[[Any], object], requests: list[Any]) -> float:
    def serve() -> None:
        for request in requests:
            handler(request)

    return _timed(serve)


async def _aserved(handler: Callable[[Any], Any], requests: list[Any]) -> float:
    begin = _begin()
    for request in requests:
        await handler(request)
    return process_time() - begin


def _timed(run: Callable[[], object]) -> float:
    begin = _begin()
    run()
    return process_time() - begin


def _begin() -> float:
    """The time, after the garbage is collected, and what is there is put out of the way of the next collections."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    return process_time()


@lru_cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """One for all runs, as a server has: connections of the pin store stay open."""
    return asyncio.new_event_loop()


@lru_cache
def _wsgi_handler() -> WSGIHandler:
    return WSGIHandler()


@lru_cache
def _asgi_handler() -> ASGIHandler:
    return ASGIHandler()


def _start_response(status: str, headers: list[tuple[str, str]]) -> None:
    pass
