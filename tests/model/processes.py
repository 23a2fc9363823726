"""Process: one of those that serve the site, with a pin store of its own."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from multidb import backends
from multidb.backends.redis import RedisPinStore
from tests.model.choices import redis_server
from tests.model.databases import Server
from tests.model.workers import Worker

MOST_WORKERS = 4

# For how long after an outage a process waits for what others owe to Redis: MULTIDB_RETRY_SECONDS and a fifth more.
PATIENCE = 6.0


class Process:
    """``answered_at``: the moment when Redis last answered it, and got whatever the process owed to it."""

    def __init__(
        self, name: str, servers: Mapping[str, Server], clock: Callable[[], float], moment: Callable[[], int]
    ) -> None:
        self.name = name
        self._servers, self._clock, self._moment = servers, clock, moment
        self.workers: list[Worker] = []
        self.answered_at = 0
        self._sees_outage = False
        self._waits_until = -math.inf
        backends._built = None
        self.store = backends.get_pin_store()
        self._built = backends._built
        if isinstance(self.store, RedisPinStore):
            self._listen_to(self.store._client())

    @property
    def has_free_worker(self) -> bool:
        return len(self.workers) < MOST_WORKERS or any(worker.is_free for worker in self.workers)

    def free_worker(self) -> Worker:
        """A worker that serves no request: the first one, or a new one."""
        for worker in self.workers:
            if worker.is_free:
                return worker
        self.workers.append(Worker(self._servers, self._take_over))
        return self.workers[-1]

    def kill(self) -> None:
        for worker in self.workers:
            worker.kill()

    def owes_since(self, moment: int) -> bool:
        """Does it owe to Redis what it had to bring at ``moment``?"""
        return isinstance(self.store, RedisPinStore) and self.answered_at < moment

    def waits_for_others(self) -> bool:
        """Has Redis failed it, and has not answered it since, or not for long?"""
        return self._sees_outage or self._clock() < self._waits_until

    def _take_over(self) -> None:
        """What runs from now on runs in this process."""
        backends._built = self._built

    def _listen_to(self, client: Any) -> None:
        answers = client.answers

        def heard(commands: Any) -> Any:
            self._note(redis_server.connected)
            return answers(commands)

        client.answers = heard

    def _note(self, is_answered: bool) -> None:
        if is_answered:
            self.answered_at = self._moment()
            if self._sees_outage:
                self._waits_until = self._clock() + PATIENCE
        self._sees_outage = not is_answered
