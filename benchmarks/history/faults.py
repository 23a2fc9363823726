"""What is broken during a run, when, and for how long."""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from time import monotonic
from typing import Any, NamedTuple

from servers.base import Server
from servers.postgresql import PostgresCluster
from servers.redis import RedisServer

from history.workers import Worker


class Kind(NamedTuple):
    """How a server of the group ``group`` is broken, and how it is mended; ``None`` where that takes no time."""

    group: str
    begin: Callable[[Any], object]
    end: Callable[[Any], object] | None


KINDS: Mapping[str, Kind] = {
    "replica killed": Kind("replica", lambda standby: standby.kill(), lambda standby: standby.start()),
    "replay paused": Kind("replica", lambda standby: standby.pause(), lambda standby: standby.resume()),
    "Redis killed": Kind("Redis", lambda redis: redis.kill(), lambda redis: redis.start()),
    "Redis killed and empty": Kind("Redis", lambda redis: redis.kill(), lambda redis: _start_empty(redis)),
    "Redis frozen": Kind("Redis", lambda redis: redis.pause(), lambda redis: redis.resume()),
    "Redis flushed": Kind("Redis", lambda redis: redis.execute("FLUSHALL"), None),
    "worker killed": Kind("worker", lambda worker: worker.kill(), lambda worker: worker.start()),
}

# How Redis is started, so that what it has taken outlives a crash.
LASTING = {"appendonly": "yes", "appendfsync": "always"}

# A fault lasts so many seconds. Replay that is paused for the longest must be made up for before a pin ends.
SHORTEST, LONGEST = 0.2, 2.0


class Fault(NamedTuple):
    """A fault of the kind ``kind``: begun when the part ``at`` of the run is over, ended after ``seconds``.

    Of the servers that it may meet, it meets the one with the number ``target``, modulo how many there are.
    """

    at: float
    kind: str
    target: int
    seconds: float


class Done(NamedTuple):
    """A fault that was made, on which server, from ``begin`` to ``end`` (by ``time.monotonic()``)."""

    kind: str
    server: str
    begin: float
    end: float


def plan(count: int, chance: random.Random, kinds: Sequence[str] = tuple(KINDS)) -> list[Fault]:
    """So many faults, spread over the run, of each of ``kinds`` about as many. Of the same ``chance`` come the same."""
    shuffled = [kind for _ in range(0, count, len(kinds)) for kind in chance.sample(kinds, len(kinds))]
    return [
        Fault(
            at=(number + chance.random()) / (count + 1),
            kind=kind,
            target=chance.randrange(12),
            seconds=chance.uniform(SHORTEST, LONGEST),
        )
        for number, kind in enumerate(shuffled[:count])
    ]


class Injector:
    """Makes faults. Those of one server come one after another, and those of several at the same time.

    Leave the ``with`` block to wait until all is mended.
    """

    def __init__(self, cluster: PostgresCluster, redis: RedisServer, workers: Sequence[Worker]) -> None:
        self._groups: Mapping[str, Sequence[Server]] = {
            "replica": cluster.standbys,
            "Redis": [redis],
            "worker": workers,
        }
        self._stop = Event()
        self._making: list[Future[Done | None]] = []

    def make(self, fault: Fault) -> None:
        """Begin ``fault``, when the one before it on the same server has ended."""
        group = KINDS[fault.kind].group
        server = self._groups[group][fault.target % len(self._groups[group])]
        self._making.append(self._threads[server].submit(self._make, fault, server))

    def check(self) -> None:
        """Raises what a fault has raised, such as ``ServerFailed``."""
        for making in self._making:
            if making.done():
                making.result()

    def done(self) -> list[Done]:
        """The faults that were made, and have ended."""
        return [done for making in self._making if (done := making.result()) is not None]

    def __enter__(self) -> "Injector":
        self._stack = ExitStack()
        self._threads = {
            server: self._stack.enter_context(ThreadPoolExecutor(1))
            for servers in self._groups.values()
            for server in servers
        }
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._stack.close()

    def _make(self, fault: Fault, server: Server) -> Done | None:
        if self._stop.is_set():
            return None
        kind, begin = KINDS[fault.kind], monotonic()
        kind.begin(server)
        if kind.end is not None:
            self._stop.wait(fault.seconds)
            kind.end(server)
        return Done(fault.kind, server.directory.name, begin, monotonic())


def _start_empty(redis: RedisServer) -> None:
    redis.remove_files()
    redis.start()
