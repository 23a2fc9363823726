"""Browsers, each in a thread of its own, that read the board and now and then write on it."""

import random
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import Any, NamedTuple

from django.db import connections
from django.test import Client

# At first connections are made, and each browser writes, so that each has a pin before anything counts.
WARM_UP_SECONDS = 2


class Load(NamedTuple):
    """So many browsers for so many seconds, after those to warm up.

    Each makes ``rate`` requests a second, if responses took no time, of which the share ``writes`` writes.
    """

    browsers: int
    seconds: float
    rate: float
    writes: float


class Visit(NamedTuple):
    """One request of a browser: when it was sent (by ``time.monotonic()``), how long it took, and what came of it.

    ``told`` and ``shown`` are the newest number of the browser's own posts: as the responses to its writes have told,
    and as a read shows it. ``routes`` are the alias and the reason of each query of a read.
    """

    author: str
    at: float
    seconds: float
    writes: bool
    failed: bool
    told: int
    shown: int
    routes: list[tuple[str, str]]

    @property
    def is_stale(self) -> bool:
        """Does a read show less than what its browser has been told was written?"""
        return not self.writes and not self.failed and self.shown < self.told


class Step(NamedTuple):
    """What a browser does next: a request that writes or reads, after a pause in seconds."""

    pause: float
    writes: bool


def visit_board(load: Load, chance: random.Random) -> list[Visit]:
    """The visits that count. Of the same ``chance`` come the same steps."""
    plans = [_plan(load, chance) for _ in range(load.browsers)]
    stop = Event()
    begin = time.monotonic() + WARM_UP_SECONDS
    with ThreadPoolExecutor(load.browsers) as threads:
        browsing = [threads.submit(Browser().browse, plan, stop) for plan in plans]
        try:
            wait(browsing, WARM_UP_SECONDS + load.seconds, FIRST_EXCEPTION)
        finally:
            stop.set()
    return [visit for each in browsing for visit in each.result() if visit.at >= begin]


class Browser:
    """One visitor of the board, who keeps cookies."""

    def __init__(self) -> None:
        self._author = uuid.uuid4().hex
        # Otherwise it would raise what goes wrong in any browser's request: it is told by a signal, which tells all.
        self._client = Client(raise_request_exception=False)
        self._told = 0

    def browse(self, plan: Iterable[Step], stop: Event) -> list[Visit]:
        """Enter the board and take the steps of ``plan``, until ``stop``."""
        visits: list[Visit] = []
        try:
            self._client.post("/enter", {"author": self._author})
            for pause, writes in plan:
                if stop.wait(pause):
                    break
                visits.append(self._visit(writes))
        finally:
            connections.close_all()
        return visits

    def _visit(self, writes: bool) -> Visit:
        told, at = self._told, time.monotonic()
        response: Any = self._client.post("/write", {"number": told + 1}) if writes else self._client.get("/read")
        seconds = time.monotonic() - at
        failed = response.status_code >= 400
        if writes and not failed:
            self._told += 1
        board = {} if writes or failed else response.json()
        routes = [(alias, reason) for alias, reason in board.get("routes", [])]
        return Visit(self._author, at, seconds, writes, failed, told, board.get("newest", 0), routes)


def _plan(load: Load, chance: random.Random) -> list[Step]:
    """A write, and then as many steps as there is time for.

    The pauses are exponentially distributed, so that reads fall evenly over the time since a write.
    """
    steps: list[Step] = []
    seconds = WARM_UP_SECONDS + load.seconds
    while seconds > 0:
        steps.append(Step(chance.expovariate(load.rate), not steps or chance.random() < load.writes))
        seconds -= steps[-1].pause
    return steps
