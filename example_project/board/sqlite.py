"""SQLiteReplication: copies a primary SQLite database to its replicas, each with a lag of its own.

Knows nothing of Django: a project with a real primary has a database server that does this.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from board.replication import LEAST_SECONDS_BEHIND, Replication

logger = logging.getLogger("board")

POLL_SECONDS = 0.05
BUSY_SECONDS = 5

# 10 seconds of lag at 20 polls a second.
MOST_SNAPSHOTS = 200


class Snapshot(NamedTuple):
    """The whole primary as it was when a change of it was seen."""

    seen: float
    content: bytes


class SQLiteReplication(Replication):
    """Keeps each replica as the primary was ``lags[alias]`` seconds ago.

    Each change of the primary becomes a snapshot, which waits for each replica until it is as old as the replica's lag.
    All times are those of ``time.monotonic()``. Safe to use from several threads.
    """

    description = "SQLite files, of which this demo copies the primary to each replica as late as you set."

    def __init__(self, primary: Path, replicas: Mapping[str, Path], lags: Mapping[str, float]) -> None:
        self._lags = dict(lags)
        self._replicas = dict(replicas)
        self._waiting: dict[str, list[Snapshot]] = {alias: [] for alias in replicas}
        self._broken: set[str] = set()
        self._lock = threading.RLock()
        self._version: int | None = None
        self._primary = sqlite3.connect(primary, timeout=BUSY_SECONDS, check_same_thread=False)

    @property
    def lags(self) -> dict[str, float]:
        return dict(self._lags)

    def set_lag(self, alias: str, seconds: float) -> None:
        if alias not in self._replicas:
            raise KeyError(alias)
        self._lags[alias] = seconds

    @property
    def broken(self) -> set[str]:
        return set(self._broken)

    def break_replica(self, alias: str) -> None:
        """A directory takes the place of the file: no connection opens that."""
        file = self._replicas[alias]
        with self._lock:
            if alias not in self._broken:
                file.rename(_aside(file))
                file.mkdir()
                self._broken.add(alias)

    def mend_replica(self, alias: str) -> None:
        with self._lock:
            _put_back(self._replicas[alias])
            self._broken.discard(alias)

    def start(self) -> None:
        """Copy the primary to each replica at once, then go on in a thread that ends with the process."""
        with self._lock:
            for file in self._replicas.values():
                _put_back(file)  # From a process that ended while it was broken.
            self._see(time.monotonic())
            for alias in self._replicas:
                self._apply(alias, self._waiting[alias])
        threading.Thread(target=self._run, name="replication", daemon=True).start()

    def step(self, now: float) -> None:
        """Take a snapshot if the primary has changed, and apply those that are old enough at the time ``now``."""
        with self._lock:
            self._see(now)
            for alias, waiting in self._waiting.items():
                if alias not in self._broken:
                    self._apply(alias, [each for each in waiting if now - each.seen >= self._lags[alias]])

    def behind(self, alias: str, now: float | None = None) -> float | None:
        """For how many seconds the replica ``alias`` has lacked a change of the primary; 0 if it has all of them."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if alias in self._broken:
                return None
            self._see(now)
            waiting = self._waiting[alias]
            return max(LEAST_SECONDS_BEHIND, now - waiting[0].seen) if waiting else 0.0

    def close(self) -> None:
        """Let go of the primary. The replication is of no use afterwards."""
        with self._lock:
            self._primary.close()

    def _run(self) -> None:
        while True:
            try:
                self.step(time.monotonic())
            except sqlite3.Error:
                logger.exception("The replication failed, and is tried again.")
            time.sleep(POLL_SECONDS)

    def _see(self, now: float) -> None:
        """Queue a snapshot for every replica if another connection has changed the primary since the last look."""
        version = self._primary.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        snapshot = Snapshot(now, _without_wal(self._primary.serialize()))
        self._version = version
        for waiting in self._waiting.values():
            waiting.append(snapshot)
            if len(waiting) > MOST_SNAPSHOTS:
                del waiting[1:-1:2]  # What they hold is in the next one; the oldest says how far behind we are.

    def _apply(self, alias: str, due: list[Snapshot]) -> None:
        """Make the replica what the last of ``due`` holds; the ones before it are part of that."""
        if not due:
            return
        with (
            closing(sqlite3.connect(":memory:")) as content,
            closing(sqlite3.connect(self._replicas[alias], timeout=BUSY_SECONDS)) as replica,
        ):
            content.deserialize(due[-1].content)
            replica.execute("PRAGMA journal_mode=WAL")
            content.backup(replica, sleep=POLL_SECONDS)
        waiting = self._waiting[alias]
        del waiting[: waiting.index(due[-1]) + 1]


def _aside(file: Path) -> Path:
    """Where the file of a broken replica is kept."""
    return file.with_name(f"{file.name}.broken")


def _put_back(file: Path) -> None:
    if file.is_dir():
        file.rmdir()
        _aside(file).rename(file)


def _without_wal(content: bytes) -> bytes:
    """``content``, marked as not in WAL mode, in which SQLite cannot open a database in memory.

    https://www.sqlite.org/c3ref/deserialize.html
    """
    return content[:18] + b"\x01\x01" + content[20:]
