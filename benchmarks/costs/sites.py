"""A site that is measured, in several processes: each has its own layout in memory, which makes per cents."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import cycle
from typing import Any

from costs.options import Options
from costs.subjects import Subject
from costs.workers import started


class Site:
    """The site of ``subject`` with ``settings``, until ``stack`` is closed. Raises ``WorkerFailed``."""

    def __init__(self, stack: ExitStack, subject: Subject, settings: Mapping[str, Any], options: Options) -> None:
        self._workers = [started(stack, subject, settings) for _ in range(options.processes)]
        self._seconds = options.slice_seconds
        for worker in self._workers:
            worker.ask("costs.tasks.connect")
        self.failure: str | None = self._workers[0].ask("costs.tasks.failure")

    def measure(self, task: str) -> Callable[[], float]:
        """Measures ``task``, each time in the next process: returns the seconds of a call."""
        workers = cycle(self._workers)
        return lambda: next(workers).ask("costs.tasks.measure", task=task, seconds=self._seconds)
