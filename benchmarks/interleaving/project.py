"""The site: its chains of middleware, its stores, and clients as the pin store knows them."""

import gc
import logging
import secrets
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.cache import SessionStore
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django_redis import get_redis_connection
from fakeredis import FakeRedisConnection, FakeServer

from benchmarks.interleaving.visits import PRIMARY
from multidb.backends import get_pin_store
from multidb.backends.keyed import KeyedPinStore
from multidb.conf import conf
from multidb.pins import Pin

SITE = "benchmarks.interleaving.views"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
PINNING = "multidb.middleware.PinningRouterMiddleware"
WATCH = f"{SITE}.watch"
CHAINS = {
    "plain": [SESSIONS, PINNING, WATCH],
    "rewriting": [SESSIONS, PINNING, WATCH, f"{SITE}.rewrite"],
    "sync before": [f"{SITE}.sync_only", SESSIONS, PINNING, WATCH],
    "sync after": [SESSIONS, PINNING, WATCH, f"{SITE}.sync_only"],
    "sync between": [SESSIONS, PINNING, f"{SITE}.sync_only", WATCH],
    "async after": [SESSIONS, PINNING, WATCH, f"{SITE}.async_only"],
}

# Where a middleware after ours is not async, ours runs in a thread too.
IN_THREADS = ["sync after", "sync between"]

STORES: dict[str, dict[str, Any]] = {
    "cookie": {"BACKEND": "multidb.backends.cookie.SignedCookiePinStore"},
    "session": {"BACKEND": "multidb.backends.session.SessionPinStore"},
    # That this machine is busy is no failure of Redis.
    "redis": {"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {"alias": "pins", "timeout": 5}},
}

REDIS = FakeServer()

# None of its entries is culled during a run.
SESSIONS_CACHE = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 1_000_000},
}

_threads = ThreadPoolExecutor(1)

# No pin runs out during a run.
PINNING_SECONDS = 3600


@contextmanager
def site(store: str) -> Iterator[None]:
    """Inside, the site runs with pins in ``store``, and is silent about the errors that are planned."""
    levels = {name: logging.getLogger(name).level for name in ("django.request", "asyncio")}
    with (
        override_settings(
            ROOT_URLCONF=SITE,
            CACHES={"default": SESSIONS_CACHE, "pins": _redis()},
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            MULTIDB_PINNING_SECONDS=PINNING_SECONDS,
            MULTIDB_PIN_STORE=STORES[store],
        ),
        warnings.catch_warnings(),
    ):
        # Django says so where a stream is of the other kind than its handler, which is what is tried here.
        warnings.filterwarnings("ignore", "StreamingHttpResponse must consume")
        # Nor is a connection closed whose thread has ended, as the one of an async view under WSGI has.
        warnings.filterwarnings("ignore", "unclosed database", ResourceWarning)
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        ContentType.objects.get_or_create(app_label="multidb", model="interleaved")
        if isinstance(pin_store := get_pin_store(), KeyedPinStore):
            pin_store.declare_new()
        try:
            yield
        finally:
            _forget_errors()
            # While those warnings are ignored.
            gc.collect()
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def client(number: int, pinned: bool) -> dict[str, str]:
    """The headers of a client that is known to the store, and pinned by it, as by an earlier response."""
    headers = {"authorization": f"Token {secrets.token_hex(8)}"}
    cookies: dict[str, str] = {}
    request: Any = RequestFactory().get("/", headers=headers)
    if "session" in conf.pin_store.backend:
        session = SessionStore()
        session["number"] = number
        session.save()
        cookies["sessionid"] = str(session.session_key)
        request.session = SessionStore(session.session_key)
    response = HttpResponse()
    if pinned:
        pin = Pin.on([PRIMARY], time.time() + conf.pinning_seconds)
        # On a thread: a store keeps no event loop waiting.
        _threads.submit(get_pin_store().save, request, response, pin).result()
    cookies |= {name: morsel.value for name, morsel in response.cookies.items()}
    return headers | {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def keeps_pins_in_cookies() -> bool:
    return "cookie" in conf.pin_store.backend


def pinning_cookie() -> str:
    return conf.pinning_cookie


def _forget_errors() -> None:
    """fakeredis holds the exception under which a connection was made, and the last one that a script has met.

    So make another connection, of another store, and have its script meet another one.
    """
    pool = get_redis_connection("pins").connection_pool
    pool.disconnect()
    pool.reset()
    REDIS.sockets.clear()
    with override_settings(MULTIDB_PIN_STORE=dict(STORES["redis"])):
        pin_store: Any = get_pin_store()
        pin_store.declare_new()
        client(0, pinned=True)


def _redis() -> dict[str, Any]:
    """A cache on a Redis in this process."""
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://interleaved:6379/0",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"connection_class": FakeRedisConnection, "server": REDIS}},
    }
