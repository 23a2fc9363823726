"""Worker threads that serve a request step by step, so that requests overlap in any order, one step at a time."""

import enum
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from django.db import connections

from tests.model.databases import Connection, Server


class Killed(BaseException):
    """The process is killed: what is open in it ends here."""


class Paused(enum.Enum):
    """Where a request waits for its next step."""

    IN_THE_VIEW = enum.auto()
    AFTER_THE_VIEW = enum.auto()


class Worker:
    """A thread with its own connections, that serves one request after another. Before each step ``take_over`` makes
    the process that it is a thread of the one that runs.

    Whoever gives it a step waits until that is done: of all threads only one runs at a time.
    """

    def __init__(self, servers: Mapping[str, Server], take_over: Callable[[], None]) -> None:
        self.is_free = True
        self._take_over = take_over
        self._steps: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=[servers], daemon=True)
        self._thread.start()

    def do(self, step: Callable[[], Any]) -> Any:
        """Run ``step`` on the worker. Return what it returns, or what ``pause`` was given in the middle of it."""
        self._take_over()
        self._steps.put(step)
        answer, error = self._answers.get(timeout=60)
        if error is not None:
            raise error
        return answer

    def kill(self) -> None:
        def die() -> None:
            raise Killed

        self._steps.put(die)
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def pause(self, answer: Any) -> Callable[[], Any]:
        """Called in a step: give ``answer`` to whoever waits for it, and return the step that is to be done next."""
        self._answers.put((answer, None))
        return self._steps.get()

    def _run(self, servers: Mapping[str, Server]) -> None:
        for alias, server in servers.items():
            connections[alias] = Connection(alias, server)
        try:
            while True:
                step = self._steps.get()
                try:
                    self._answers.put((step(), None))
                except Exception as error:
                    self._answers.put((None, error))
        except Killed:
            for alias in servers:
                connections[alias].connection = None
                del connections[alias]
