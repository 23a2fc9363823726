"""A visit: one request, what it must see of its own state, and what it has seen that was wrong."""

import asyncio
import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import router
from django.http import HttpRequest

from multidb import routing
from multidb.conf import conf
from multidb.routing import Forced, Route, Scope

PRIMARY = "default"

RETURNED = "returned"
RAISED = "raised"
STREAMED = "streamed"
CLOSED_EARLY = "stream closed early"
CANCELLED = "cancelled"
CLIENT_GONE = "client gone"
CUT_SHORT = [CLOSED_EARLY, CANCELLED, CLIENT_GONE]

# What the handler itself does at times to a request that is cut short while it runs in a thread (asgiref).
HANDLER_FAILED = "failed in the handler"


class Plan(NamedTuple):
    """Who visits, what the view is, and how the request shall end.

    ``pinned``: the client has written before. ``method`` and ``declared``: how this request writes, if it does.
    ``chain``: which handler serves it. ``patience``: after so many points at which it waits, the client loses it.
    """

    number: int
    pinned: bool
    method: str
    declared: bool
    view: str
    chain: str
    ending: str
    patience: int


# A read on the event loop, which does not wait for a Redis or a session, until a thread has looked the pin up.
IN_DOUBT = (PRIMARY, "store down")


class Mark:
    """Stands for the model of one read, so that the route which was noted for it can be found."""


@dataclass(eq=False)
class Visit:
    """One request under way, or ended. ``wrong`` and ``left`` tell in words what must not be."""

    plan: Plan
    chance: random.Random
    ending: str = ""
    reads: int = 0
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    replicas: set[str] = field(default_factory=set)
    routes: list[Route] = field(default_factory=list)
    watched: list[weakref.ref[Any]] = field(default_factory=list)
    is_sure: bool = False
    hang_up: Callable[[], object] = lambda: None

    def begin(self, request: HttpRequest) -> None:
        """The middleware has begun the routing of ``request``: note its reads here, and see that both die later."""
        state = routing.current().routing
        if not state.is_of(request):
            self.wrong.append("the routing in force is not that of the request")
            return
        state.note_reads(self.routes)
        self.watched += [weakref.ref(request), weakref.ref(state)]

    def read(self, forced: Forced | None) -> None:
        """Route a read, and compare where it went, and why, with what this request must see inside ``forced``."""
        mark: Any = Mark()
        alias = router.db_for_read(mark)
        reason = next((route.reason for route in reversed(self.routes) if route.model is mark), "not noted here")
        if (
            _is_on_loop()
            and not self.is_sure
            and (alias, reason) == IN_DOUBT
            and "cookie" not in conf.pin_store.backend
        ):
            self.reads += 1
            return
        self.compare(alias, reason, forced)
        # Of a model that has been read before, the answer is there already.
        self.compare(router.db_for_read(Mark), None, forced)
        self.is_sure = self.is_sure or (not _is_on_loop() and reason in ("pinned", "replica") and forced is None)

    def compare(self, alias: str, reason: str | None, forced: Forced | None) -> None:
        """Compare ``alias`` and ``reason`` of one read, if that is known, with what this request must see."""
        self.reads += 1
        on_primary, expected = self._expected(forced)
        if (alias == PRIMARY) is not on_primary or reason not in (expected, None):
            where = PRIMARY if on_primary else "its replica"
            self.wrong.append(f"a read went to {alias} ({reason}) and not to {where} ({expected})")
        elif not on_primary:
            self.replicas.add(alias)

    def compare_scope(self, outer: Scope, where: str) -> None:
        """The scope of the request must not be in force here, but ``outer``."""
        if routing.current() is not outer:
            self.left.append(f"{where}, the scope in force is {routing.current()} and not {outer}")

    def compare_end(self, was_pinned: bool | None) -> None:
        """Compare the ended request as a whole; ``was_pinned``: by its response, if that is known."""
        if len(self.replicas) > 1:
            self.wrong.append(f"it read from {' and '.join(sorted(self.replicas))}")
        if was_pinned not in (self.writes, None):
            self.wrong.append(f"its client was {'' if was_pinned else 'not '}pinned by its response")

    def compare_life(self) -> None:
        """Nothing must refer to the request or its routing any more."""
        alive = [type(each()).__name__ for each in self.watched if each() is not None]
        if alive:
            self.left.append(f"{' and '.join(alive)} outlived the request")

    @property
    def path(self) -> str:
        return f"/{self.plan.view}/{'writing/' if self.plan.declared else ''}{self.plan.number}"

    @property
    def writes(self) -> bool:
        return self.plan.method == "POST" or self.plan.declared

    def _expected(self, forced: Forced | None) -> tuple[bool, str]:
        """Must a read go to the primary, and by which rule?"""
        if forced in (Forced.PRIMARY, Forced.REPLICA):
            return forced is Forced.PRIMARY, "forced"
        if forced is Forced.UNPINNED:
            return False, "replica"
        if self.plan.method == "POST":
            return True, "method"
        if self.plan.declared:
            return True, "wrote"
        return (True, "pinned") if self.plan.pinned else (False, "replica")


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


under_way: dict[int, Visit] = {}


def visit_of(request: HttpRequest) -> Visit:
    """The visit that ``request``, whose path ends with its number, belongs to."""
    return under_way[int(request.path.rpartition("/")[2])]
