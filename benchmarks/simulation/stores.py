"""What the library's own stores make of pins: bytes of a cookie, and keys, bytes and commands of a real Redis."""

import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.management.utils import get_random_secret_key
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from servers.programs import ServersMissing
from servers.redis import RedisServer

from benchmarks.simulation.options import Options
from benchmarks.simulation.pins import PRIMARY, position
from multidb.backends.cookie import SignedCookiePinStore
from multidb.backends.redis import RedisPinStore
from multidb.pins import Pin

# https://redis.io/docs/latest/commands/info/: used_memory grows in steps, which so many clients make small.
CLIENTS = 5000

# docs/security.md: what a key takes at most.
BOUND = 300


@dataclass(frozen=True)
class Redis:
    """What a real Redis was seen to take. ``bytes_a_key`` is the documented bound where there is none."""

    bytes_a_key: float
    commands_of_a_read: int
    commands_of_a_write: int
    is_measured: bool


def set_up() -> None:
    """Configure Django for the stores."""
    settings.configure(
        SECRET_KEY=get_random_secret_key(),
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        LOGGING_CONFIG=None,
    )


def cookie_bytes(options: Options, until: str) -> tuple[int, int]:
    """The bytes that a pin's cookie takes: of ``Set-Cookie`` in a response, and of ``Cookie`` in a request."""
    with override_settings(MULTIDB_PINNING_SECONDS=options.seconds):
        response = HttpResponse()
        SignedCookiePinStore().save(HttpRequest(), response, _pin(options, until))
    [morsel] = response.cookies.values()
    return len(morsel.output()) + len("\r\n"), len(f"; {morsel.key}={morsel.coded_value}")


def redis_figures(options: Options, until: str) -> Redis:
    """Save the pins of ``CLIENTS`` clients in a Redis that is started for it, and look at what that takes."""
    try:
        server = RedisServer()
    except ServersMissing:
        return Redis(BOUND, options.keys + 1, options.keys + 1, False)
    with server:
        pins = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": server.url}
        caches = {**settings.CACHES, "pins": pins}
        # Longer than the measurement takes.
        with override_settings(CACHES=caches, MULTIDB_PINNING_SECONDS=3600):
            return _measured(options, until, server)


def _measured(options: Options, until: str, server: RedisServer) -> Redis:
    store = RedisPinStore(alias="pins", keys=("user", "session")[-options.keys :], timeout=10)
    store.declare_new()
    pin = _pin(options, until, seconds=3600)
    for client in range(100):  # The first make room that is no pin's.
        store.save(_request(options, -client - 1), HttpResponse(), pin)
    with server.client() as client:
        before = client.info("memory")["used_memory"], client.dbsize()
        for number in range(CLIENTS):
            store.save(_request(options, number), HttpResponse(), pin)
        after = client.info("memory")["used_memory"], client.dbsize()
    request = _request(options, 0)
    if store.load(request) is None:
        raise AssertionError("Redis has not kept a pin that it was given.")
    keys = list(store.client(request))
    conversations = store._conversations(store._client())
    text = pin.encode()
    return Redis(
        round((after[0] - before[0]) / (after[1] - before[1]), -1),
        len(next(conversations.get(keys))),
        len(next(conversations.set(keys, text, 10))),
        True,
    )


def _pin(options: Options, until: str, seconds: float | None = None) -> Pin:
    now = time.time()
    where: Any = {PRIMARY: position(now)} if until == "replayed" else [PRIMARY]
    return Pin.on(where, now + (seconds or options.seconds))


def _request(options: Options, number: int) -> HttpRequest:
    """A request of the user ``number``, whose session the site knows."""
    request = HttpRequest()
    session = import_module(settings.SESSION_ENGINE).SessionStore(f"{number + CLIENTS:032}")
    session._session_cache = {SESSION_KEY: str(number + options.users)}
    request.session = session
    return request
