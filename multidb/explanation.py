"""Explanation: where the reads of one request went, by which rule, and from which place in the code."""

import logging
import sys
import threading
from collections import Counter
from typing import NamedTuple

from django.http import HttpRequest

from multidb.conf import conf
from multidb.places import Served, place
from multidb.routes import Route
from multidb.routing import Routing, current
from multidb.signals import request_routed

logger = logging.getLogger("multidb.routing")


class Read(NamedTuple):
    """A kind of read: of ``model``, sent to ``alias`` for ``reason``, made at ``place``, such as ``shop.views:12``.

    In a dry run ``alias`` is where the read would have gone. ``place`` is empty where it was not asked for.
    """

    model: str
    alias: str
    reason: str
    place: str
    is_dry_run: bool = False


class Explanation:
    """The reads of one request: ``reads`` counts each kind, in the order in which they first came. Safe in threads.

    ``routing``: the routing of the request; ``None`` until ``PinningRouterMiddleware`` has seen it. ``is_told``: it has
    been told at the end of the request. ``with_places``: each read has its place. ``logs``: each is a line in the log.
    """

    def __init__(self, with_places: bool = False, logs: bool = False) -> None:
        self.reads: Counter[Read] = Counter()
        self.routing: Routing | None = None
        self.is_told = False
        self._with_places = with_places
        self._logs = logs
        self._served: Served | None = None
        self._lock = threading.Lock()

    def begin(self, state: Routing) -> None:
        """Note the reads that ``state`` routes, from here on."""
        self.routing = state
        self._served = Served.here()
        state.note_reads(self)

    def append(self, route: Route, /) -> None:
        """Note a read that goes along ``route``, asked for by whoever calls."""
        logs = self._logs and logger.isEnabledFor(logging.DEBUG)
        made_at = place(sys._getframe(1), self._served) if logs or self._with_places else ""
        read = Read(route.label, route.alias, route.reason, made_at, route.is_dry_run)
        with self._lock:
            self.reads[read] += 1
        if logs:
            line = "%s: %s (%s), in a dry run, at %s" if read.is_dry_run else "%s: %s (%s) at %s"
            logger.debug(line, *read[:4])

    def counts(self, is_dry_run: bool = False) -> Counter[tuple[str, str]]:
        """How many reads went to each alias for each reason; or, in a dry run, would have gone."""
        counts: Counter[tuple[str, str]] = Counter()
        with self._lock:
            for read, count in self.reads.items():
                if read.is_dry_run is is_dry_run:
                    counts[read.alias, read.reason] += count
        return counts


def explain(request: HttpRequest) -> Explanation:
    """The explanation of ``request``, with places, of its reads from here on.

    Can be asked for before ``PinningRouterMiddleware`` has seen ``request``, as by a middleware that stands before it,
    and as often as one likes. ``request`` may be one of Django REST framework's.
    """
    explanation = Explanation(with_places=True)
    of_django: HttpRequest = getattr(request, "_request", request)
    state = current().routing
    if state.is_of(of_django):
        explanation.begin(state)
    else:
        vars(of_django).setdefault(_ASKED_FOR, []).append(explanation)
    return explanation


def begin(request: HttpRequest, state: Routing) -> None:
    """Note the reads of ``request``, which ``state`` routes, if ``MULTIDB_EXPLAIN``, a receiver or ``explain`` asks."""
    explains = conf.explain
    if request_routed.receivers or explains:
        Explanation(logs=explains).begin(state)
    if _ASKED_FOR in vars(request):
        for explanation in vars(request)[_ASKED_FOR]:
            explanation.begin(state)


def whole(state: Routing) -> Explanation | None:
    """The first explanation that was asked for of the reads which ``state`` routes; ``None`` if nobody has asked."""
    return next((notes for notes in state.notes if isinstance(notes, Explanation)), None)


_ASKED_FOR = "_multidb_explanations"
