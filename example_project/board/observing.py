"""Which database answered each query of a request, and for which reason."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.conf import conf
from multidb.positions import postgresql
from multidb.routing import Route, current

LONGEST_SQL = 160

REASONS = {
    "replica": "no rule asks for the primary, so the replica of this request answers",
    "pinned": "you wrote a moment ago, here or on another device, as the pin store says",
    "forced": "the code asked for this database; Django's sessions are always read from the primary",
    "method": "the request's method is one that writes, such as POST",
    "wrote": "this request has written, or has declared that it writes",
    "transaction": "a transaction is open on the primary",
    "store down": "the pin store cannot tell who is pinned: it is down, new, or has been emptied",
    "no replica": "there is no replica that can be asked",
    "write": "a write: these always go to the primary",
    "by name": "the code named the database with using()",
}

# What is to be said besides, or in their place, where pins hold until a replica has replayed the write.
REASONS_UNTIL_REPLAYED = {
    "replica": "no rule asks for the primary, and no pin names a write that this replica has not replayed",
    "pinned": "you wrote a moment ago, here or on another device, and no replica has replayed that yet",
    "position": "multidb asks a replica how much it has replayed, as you wrote a moment ago",
}


def reasons() -> dict[str, str]:
    """What each reason means, by the settings in force."""
    return {**REASONS, **REASONS_UNTIL_REPLAYED} if conf.pinning_until == "replayed" else REASONS


class Query(NamedTuple):
    """One query, and where it went."""

    alias: str
    reason: str
    sql: str
    milliseconds: float


class Observed:
    """What was seen of one request: ``routes`` is filled by the library, ``queries`` by the connections."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.queries: list[Query] = []
        self._seen = 0
        self._is_aside = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Queries inside are made to watch the databases, and are not among ``queries``."""
        self._is_aside = True
        try:
            yield
        finally:
            self._is_aside = False

    def route_of(self, model: Any) -> Route | None:
        """Where the last read of ``model`` went."""
        return next((route for route in reversed(self.routes) if route.model is model), None)

    def wrapper(self, alias: str) -> Callable[..., Any]:
        """What notes each query that the connection ``alias`` runs."""

        def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
            began = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                milliseconds = (time.perf_counter() - began) * 1000
                if not self._is_aside:
                    self.queries.append(Query(alias, self._reason(alias, sql), shortened(sql), milliseconds))

        return note

    def _reason(self, alias: str, sql: str) -> str:
        if sql in (postgresql.PRIMARY, postgresql.REPLAYED):
            return "position"
        if not sql.startswith("SELECT"):
            return "write"
        since, self._seen = self.routes[self._seen :], len(self.routes)
        return next((route.reason for route in reversed(since) if route.alias == alias), "by name")


class ObservingMiddleware:
    """Sets ``request.observed``. Comes after PinningRouterMiddleware, which begins the routing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.observed = Observed()
        current().routing.note_reads(request.observed.routes)
        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(request.observed.wrapper(alias)))
            return self.get_response(request)


def shortened(sql: str) -> str:
    """``sql`` for people: without the list of columns and the quotes, and not too long."""
    text = re.sub(r"^SELECT .*? FROM ", "SELECT … FROM ", sql).replace('"', "")
    return text if len(text) <= LONGEST_SQL else text[:LONGEST_SQL] + "…"
