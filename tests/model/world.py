"""The world of one example: settings, servers, clients, workers, the clock, and what befalls them."""

import logging
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest import mock

from django.core.cache import caches
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.test import override_settings

from multidb import backends, health, log, positions, replicas
from multidb.backends.keyed import KeyedPinStore
from tests.model.choices import REPLICAS, Choice, redis_server, settings_of
from tests.model.databases import VENDOR_OF_POSITIONS, Log, Server
from tests.model.workers import Worker

MOST_WORKERS = 4
# Take them out to see the model without.
STORE_FAULTS = ["break or mend redis", "empty the store"]


class Clock:
    """The time, which stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Client:
    """Who sends requests: a browser that keeps cookies, or a program that sends an ``Authorization`` header."""

    name: str
    user: str | None = None
    session: str | None = None
    header: str | None = None
    jar: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def jar_name(self) -> str | None:
        """By what its cookies are known; ``None`` if it keeps none."""
        return f"jar of {self.name}" if self.header is None else None

    @property
    def user_name(self) -> str:
        return f"user {self.user}"

    def headers(self, now: float) -> dict[str, str]:
        """What it sends at the time ``now``."""
        if self.header is not None:
            return {"Authorization": self.header}
        kept = {name: value for name, (value, until) in self.jar.items() if now < until}
        if self.session is not None:
            kept["sessionid"] = self.session
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in kept.items())}


def clients() -> dict[str, Client]:
    """A user on two devices and by a program of theirs, a visitor without a session, and a program without a user."""
    each = [
        Client("laptop", user="1", session="session-of-laptop"),
        Client("phone", user="1", session="session-of-phone"),
        Client("visitor"),
        Client("script", user="1", header="Token script"),
        Client("robot", header="Token robot"),
    ]
    return {client.name: client for client in each}


class World:
    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.clock = Clock()
        self.clients = clients()
        self._moment = 0
        self.replicas: dict[str, str] = {}
        self.servers: dict[str, Server] = {}
        self._add_servers()
        self.workers: list[Worker] = []
        with ExitStack() as stack:
            self._enter(stack)
            self.start_process()
            store = backends.get_pin_store()
            if isinstance(store, KeyedPinStore):
                store.declare_new()
            self._stack = stack.pop_all()

    def moment(self) -> int:
        """A number for this moment, larger than those before."""
        self._moment += 1
        return self._moment

    def end(self) -> None:
        self._kill_workers()
        self._stack.close()

    def start_process(self) -> None:
        """A new process: nothing is remembered, and what was open in the last one is gone."""
        self._kill_workers()
        health.forget()
        log.forget()
        backends._built = None
        replicas._built = None
        self.handler = BaseHandler()
        self.handler.load_middleware()

    @property
    def has_free_worker(self) -> bool:
        return len(self.workers) < MOST_WORKERS or any(worker.is_free for worker in self.workers)

    def free_worker(self) -> Worker:
        """A worker that serves no request: the first one, or a new one."""
        for worker in self.workers:
            if worker.is_free:
                return worker
        self.workers.append(Worker(self.servers))
        return self.workers[-1]

    def known(self, primary: str) -> str:
        """``primary``, or the only one that there is."""
        return primary if primary in self.choice.primaries else "default"

    def break_or_mend_redis(self) -> None:
        redis_server.connected = not redis_server.connected

    def replay(self, replica: str, commits: int) -> None:
        if replica in self.replicas:
            self.servers[replica].replay(commits)

    def happen(self, event: str) -> None:
        """Replica ``event`` catches up; or as that says. What is not in this world does nothing."""
        if event in self.replicas:
            self.replay(event, len(self.servers[event].log.commits))
        elif event.removeprefix("stop or start ") in self.replicas:
            self.servers[event.removeprefix("stop or start ")].stop_or_start()
        elif event == "break or mend redis":
            self.break_or_mend_redis()
        elif event == "empty the store":
            self.empty_store()

    def empty_store(self) -> None:
        """The cache is empty, and Redis is as new: that it has lost the scripts too is how a restart differs."""
        if self.choice.store != "redis":
            caches["pins"].clear()
            return
        with redis_server.lock:
            redis_server.script_cache.clear()
            for database in redis_server.dbs.values():
                database.clear()

    def _add_servers(self) -> None:
        sessions = {
            ("django_session", each.session): f'{{"_auth_user_id": "{each.user}"}}'
            for each in self.clients.values()
            if each.session is not None
        }
        for primary in self.choice.primaries:
            log = Log(self.clock)
            log.append(dict(sessions))
            self.servers[primary] = Server(log, is_replica=False)
            for alias in REPLICAS[primary]:
                self.servers[alias] = Server(log, is_replica=True)
                self.servers[alias].replay(1)
                self.replicas[alias] = primary

    def _kill_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers = []

    def _enter(self, stack: ExitStack) -> None:
        redis_server.connected = True
        enter = stack.enter_context
        enter(override_settings(**settings_of(self.choice)))
        enter(mock.patch("time.time", self.clock))
        for name, module in list(sys.modules.items()):
            if name.startswith("multidb.") and vars(module).get("monotonic") is time.monotonic:
                enter(mock.patch.object(module, "monotonic", self.clock))
        enter(mock.patch.object(positions, "VENDORS", VENDOR_OF_POSITIONS))
        enter(mock.patch.dict(connections.settings["default"], ATOMIC_REQUESTS=self.choice.atomic_requests))
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        self.empty_store()
