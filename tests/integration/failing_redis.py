"""Clients without cookies that write and read while a Redis fails and comes back."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client
from servers.redis import RedisNode

from multidb.backends import get_pin_store
from tests.conftest import REDIS

ADA, GRACE, NOBODY = "ada", "grace", "nobody"

# How long a failover and the return of the old primary may take together: longer than the pins of these tests hold.
SECONDS = 60

# What makes a server fail, and what brings it back.
Fault = tuple[Callable[[RedisNode], None], Callable[[RedisNode], None]]

FAULTS: dict[str, Fault] = {
    "killed": (RedisNode.kill, RedisNode.start),
    "frozen": (RedisNode.pause, RedisNode.resume),
}

each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


def use(settings: Any, location: str, cluster: bool = False, **options: Any) -> None:
    """The store is on ``location``, and new; ``options`` are those of its cache."""
    settings.CACHES = {
        "pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options},
    }
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "cluster": cluster}}
    settings.MULTIDB_PINNING_SECONDS = SECONDS
    # The store is asked again at once, and so at each moment of its failure.
    settings.MULTIDB_RETRY_SECONDS = 0.01
    get_pin_store().declare_new()


def write(token: str) -> None:
    """As a client without cookies."""
    assert Client().post("/nothing", headers={"authorization": token}).status_code == 200


def reason(token: str) -> str:
    """Where a client without cookies reads, and why."""
    response = Client().get("/read", headers={"authorization": token})
    assert response.status_code == 200
    return str(response.json()["reason"])


def in_another_process(settings: Any) -> None:
    """From now on the store is that of a process which knows of nothing."""
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)


def meanwhile(work: Callable[[], None], step: Callable[[], None]) -> None:
    """Repeat ``step`` until ``work``, on a thread of its own, is done, and once more."""
    with ThreadPoolExecutor(1) as threads:
        done: Future[None] = threads.submit(work)
        while not done.done():
            step()
        done.result()
    step()


class Writers:
    """Clients without cookies, of whom each step makes one more that writes; then all that there are read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.tokens: list[str] = []
        self.reasons: set[str] = set()
        self._numbers = itertools.count()

    def step(self) -> None:
        token = f"writer {next(self._numbers)}"
        write(token)
        self.tokens = [*self.tokens, token][-self._most :]
        self.reasons.update(map(reason, self.tokens))
