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

from multidb import health, log, positions, replicas
from multidb.backends.keyed import KeyedPinStore
from tests.model.choices import REPLICAS, Choice, redis_server, settings_of
from tests.model.databases import VENDOR_OF_POSITIONS, Log, Server
from tests.model.processes import Process

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
        with ExitStack() as stack:
            self._enter(stack)
            self.processes = [self._process() for _ in range(choice.processes)]
            self._forget()
            self.handler = BaseHandler()
            self.handler.load_middleware()
            store = self.processes[0].store
            if isinstance(store, KeyedPinStore):
                store.declare_new()
            self._stack = stack.pop_all()

    def moment(self) -> int:
        """A number for this moment, larger than those before."""
        self._moment += 1
        return self._moment

    def end(self) -> None:
        for process in self.processes:
            process.kill()
        self._stack.close()

    def restart(self) -> Process:
        """A new process takes the place of one, which is returned: what that remembered and had open is gone."""
        process = self.processes.pop(0)
        process.kill()
        self.processes.append(self._process())
        self._forget()
        return process

    @property
    def has_free_worker(self) -> bool:
        return any(process.has_free_worker for process in self.processes)

    def next_process(self) -> Process:
        """The one whose turn it is, of those that can serve another request."""
        process = next(process for process in self.processes if process.has_free_worker)
        self.processes.remove(process)
        self.processes.append(process)
        return process

    def known(self, primary: str) -> str:
        """``primary``, or the only one that there is."""
        return primary if primary in self.choice.primaries else "default"

    def redis_is_up(self, is_up: bool) -> None:
        redis_server.connected = is_up

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
            self.redis_is_up(not redis_server.connected)
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

    def _process(self) -> Process:
        return Process(f"process-{self.moment()}", self.servers, self.clock, self.moment)

    def _forget(self) -> None:
        # What is known of replicas is the same for all processes.
        health.forget()
        replicas._built = None
        log.forget()

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
