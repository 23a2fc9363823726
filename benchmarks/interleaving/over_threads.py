"""Visits over threads: each through Django's WSGI handler, as a server with worker threads calls it."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults

from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from benchmarks.interleaving import project
from benchmarks.interleaving.visits import CLOSED_EARLY, RAISED, RETURNED, STREAMED, Visit
from multidb import routing
from multidb.pinning import use_primary_db, use_replica

ENDINGS = [RETURNED, RAISED, STREAMED, CLOSED_EARLY]
CHAINS = ["plain", "rewriting", "async after"]

SWITCH_SECONDS = 1e-4

LONGEST_CONTEXT = 50

# What may be in force around a server: nothing, or what the code that calls it has said.
AROUND: list[AbstractContextManager[None]] = [nullcontext(), use_primary_db, use_replica]


def serve(visits: Sequence[Visit], threads: int) -> None:
    """Serve ``visits`` by so many threads."""
    handlers = {name: _handler(name) for name in CHAINS}
    with _switching_often(), ThreadPoolExecutor(threads) as executor:
        serving = [executor.submit(_serve, visits[first::threads], first, handlers) for first in range(threads)]
        for each in serving:
            each.result()


def _serve(visits: Sequence[Visit], thread: int, handlers: dict[str, WSGIHandler]) -> None:
    # Each async view under WSGI leaves an entry of asgiref in its thread's context, which would grow without end.
    for first in range(0, len(visits), LONGEST_CONTEXT):
        copy_context().run(_serve_some, visits[first : first + LONGEST_CONTEXT], AROUND[thread % len(AROUND)], handlers)


def _serve_some(
    visits: Iterable[Visit], around: AbstractContextManager[None], handlers: dict[str, WSGIHandler]
) -> None:
    with around:
        outer = routing.current()
        for visit in visits:
            _answer(visit, handlers[visit.plan.chain], outer)
            visit.compare_scope(outer, "after the request")


def _answer(visit: Visit, handler: WSGIHandler, outer: routing.Scope) -> None:
    started: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        visit.compare_scope(outer, "as the response starts")
        started.update(status=status, cookies=[value for name, value in headers if name == "Set-Cookie"])

    response: Any = handler(_environ(visit), start_response)
    limit = visit.chance.randint(0, 3) if visit.plan.ending == CLOSED_EARLY else None
    for number, _ in enumerate(response):
        visit.compare_scope(outer, "between two chunks")
        if number == limit:
            break
    response.close()
    visit.ending = RAISED if started["status"].startswith("500") else visit.plan.ending
    pinned = any(cookie.lstrip().startswith(f"{project.pinning_cookie()}=") for cookie in started["cookies"])
    visit.compare_end(pinned if project.keeps_pins_in_cookies() else None)


def _environ(visit: Visit) -> dict[str, Any]:
    environ: dict[str, Any] = {"REQUEST_METHOD": visit.plan.method, "PATH_INFO": visit.path, "CONTENT_LENGTH": "0"}
    setup_testing_defaults(environ)
    headers = project.client(visit.plan.number, visit.plan.pinned)
    return environ | {f"HTTP_{name.upper()}": value for name, value in headers.items()} | {"wsgi.input": BytesIO()}


def _handler(chain: str) -> WSGIHandler:
    with override_settings(MIDDLEWARE=project.CHAINS[chain]):
        return WSGIHandler()


@contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
