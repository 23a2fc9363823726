"""Timeline: what was written and read in the last seconds, and when each replica caught up.

Knows nothing of Django, and keeps what it holds in this process.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from typing import NamedTuple

# A pin of 15 seconds and all that it was good for.
WINDOW_SECONDS = 30.0

# The reasons for which pinning sends a read to the primary. It has no part in the others, such as "no replica".
PINNING = ("method", "wrote", "pinned", "store down")

# However many posts and pages there are, the page stays small.
MOST_EVENTS = 200


class Write(NamedTuple):
    """The post ``number`` was written to the primary."""

    at: float
    number: int


class Read(NamedTuple):
    """Posts were read from ``alias``, for a ``reason`` of the router's.

    ``kind`` says what became of it. Of a replica: ``"current"``, or ``"stale"`` if it lacked a post. Of the primary:
    ``"unpinned"`` if pinning has not sent it there, or no replica was up; ``"needed"`` if every replica that was up
    lacked a post, or else ``"avoidable"``.
    """

    at: float
    alias: str
    reason: str
    kind: str


class Lack(NamedTuple):
    """The replica ``alias`` lacked the post ``number`` from ``since`` until ``until``: ``None`` if it does so still."""

    alias: str
    number: int
    since: float
    until: float | None


class Seen(NamedTuple):
    """What happened in the window that ends ``now``."""

    now: float
    writes: list[Write]
    reads: list[Read]
    lacks: list[Lack]

    def age(self, at: float) -> float:
        """How many seconds ago ``at`` was."""
        return self.now - at


class Timeline:
    """All times are those of ``time.monotonic()``. Safe to use from several threads."""

    def __init__(self, replicas: Iterable[str]) -> None:
        self._replicas = tuple(replicas)
        self._writes: deque[Write] = deque(maxlen=MOST_EVENTS)
        self._reads: deque[Read] = deque(maxlen=MOST_EVENTS)
        self._arrivals: dict[str, dict[int, float]] = defaultdict(dict)
        self._lock = threading.Lock()

    def note_write(self, number: int, at: float | None = None) -> None:
        """The post ``number`` has been written."""
        with self._lock:
            self._writes.append(Write(_or_now(at), number))

    def note_read(
        self, alias: str, reason: str, newest: int, at: float | None = None, down: Collection[str] = ()
    ) -> None:
        """Posts were read from ``alias`` from the time ``at`` on, the newest of which was number ``newest``, while the
        replicas ``down`` could not be asked.
        """
        at = _or_now(at)
        with self._lock:
            before = [write.number for write in self._writes if write.at <= at]
            if alias in self._replicas:
                self._arrive(alias, newest, at)
                kind = "stale" if any(number > newest for number in before) else "current"
            elif reason not in PINNING or not (up := [each for each in self._replicas if each not in down]):
                kind = "unpinned"
            else:
                needed = all(any(number not in self._arrivals[each] for number in before) for each in up)
                kind = "needed" if needed else "avoidable"
            self._reads.append(Read(at, alias, reason, kind))

    def note_newest(self, alias: str, newest: int, at: float | None = None) -> None:
        """The replica ``alias`` has the post number ``newest``, and all before it."""
        with self._lock:
            self._arrive(alias, newest, _or_now(at))

    def late(self) -> list[str]:
        """The replicas that lack a post, as far as is known."""
        with self._lock:
            return [
                alias
                for alias in self._replicas
                if any(write.number not in self._arrivals[alias] for write in self._writes)
            ]

    def seen(self, now: float | None = None) -> Seen:
        """What happened in the last ``WINDOW_SECONDS``, each kind in the order of time."""
        now = _or_now(now)
        since = now - WINDOW_SECONDS
        with self._lock:
            lacks = [
                Lack(alias, write.number, write.at, self._arrivals[alias].get(write.number))
                for alias in self._replicas
                for write in self._writes
            ]
            return Seen(
                now,
                [write for write in self._writes if write.at >= since],
                [read for read in self._reads if read.at >= since],
                [lack for lack in lacks if lack.until is None or lack.until >= since],
            )

    def _arrive(self, alias: str, newest: int, at: float) -> None:
        known = self._arrivals[alias]
        self._arrivals[alias] = {
            write.number: known.get(write.number, at)
            for write in self._writes
            if write.number in known or write.number <= newest
        }


def _or_now(now: float | None) -> float:
    return time.monotonic() if now is None else now
