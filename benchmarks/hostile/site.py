"""The site that is attacked: Django's settings, a primary with a replica in this process, and one view."""

import warnings
from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings
from django.core.cache import CacheKeyWarning, caches
from django.core.management import call_command
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from fakeredis import FakeRedisConnection

from hostile import standstill
from multidb import positions, routing
from multidb.backends import get_pin_store
from multidb.backends.session import SessionPinStore
from multidb.backends.session_row import has_row
from multidb.middleware import READ_ONLY_METHODS

# So that no pin runs out while the inputs last.
PIN_SECONDS = 3600

SECRET_KEY = "a secret of this site that no log, key or message may hold"  # noqa: S105  # it is here to be looked for in logs and keys
OLD_SECRET_KEY = "the secret of this site before that one"  # noqa: S105  # it is here to be looked for in logs and keys
REDIS_PASSWORD = "correct-horse-battery-staple"  # noqa: S105  # that of a Redis in this process

STORES = {
    "cookie": {"BACKEND": "multidb.backends.cookie.SignedCookiePinStore"},
    "session": {"BACKEND": "multidb.backends.session.SessionPinStore"},
    "redis": {"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {"alias": "pins"}},
    "cache": {"BACKEND": "multidb.backends.cache.CachePinStore", "OPTIONS": {"alias": "default"}},
}

ENGINES = "django.contrib.sessions.backends."
ROTATED = {"SECRET_KEY_FALLBACKS": [OLD_SECRET_KEY]}

# Each store is attacked on each of them. On those with a rotated key, the clients were pinned before that.
SITES: Mapping[str, Mapping[str, Any]] = {
    "sessions in the database": {},
    "sessions in cache and database, rotated key": {"SESSION_ENGINE": f"{ENGINES}cached_db", **ROTATED},
    "sessions in the cache, replayed": {"SESSION_ENGINE": f"{ENGINES}cache", "MULTIDB_PINNING_UNTIL": "replayed"},
    "sessions in files, write": {"SESSION_ENGINE": f"{ENGINES}file", "MULTIDB_PINNING_TRIGGER": "write"},
    "sessions in cookies, rotated key, replayed, write": {
        "SESSION_ENGINE": f"{ENGINES}signed_cookies",
        **ROTATED,
        "MULTIDB_PINNING_UNTIL": "replayed",
        "MULTIDB_PINNING_TRIGGER": "write",
    },
}

seen: list[HttpRequest] = []


def set_up(session_files: str) -> None:
    """Configure Django, and make the tables. ``session_files`` is a directory."""
    # Of a session id that is too long for a key: docs/security.md tells of it.
    warnings.simplefilter("ignore", CacheKeyWarning)
    positions.VENDORS["SQLite"] = standstill
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        SECRET_KEY=SECRET_KEY,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "multidb"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "multidb.middleware.PinningRouterMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="hostile.site",
        DATABASES={"default": database, "replica": {**database, "TEST": {"MIRROR": "default"}}},
        DATABASE_ROUTERS=["multidb.PinningReplicaRouter"],
        REPLICA_DATABASES=["replica"],
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10**6}},
            "pins": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": f"redis://:{REDIS_PASSWORD}@in-this-process:6379/0",
                "OPTIONS": {"CONNECTION_POOL_KWARGS": {"connection_class": FakeRedisConnection}},
            },
        },
        SESSION_FILE_PATH=session_files,
        LOGGING_CONFIG=None,
        MULTIDB_PINNING_SECONDS=PIN_SECONDS,
        MULTIDB_PINNING_TRIGGER="method",
    )
    django.setup()
    call_command("migrate", verbosity=0)


def redis() -> Any:
    """A client of the Redis that the site uses."""
    return caches["pins"].client.get_client()


def read(request: HttpRequest) -> HttpResponse:
    """Write if the method does, tell why a read goes where it goes, and note what Django made of the request."""
    from django.contrib.auth.models import Permission

    seen[:] = [request]
    if request.method not in READ_ONLY_METHODS:
        if settings.MULTIDB_PINNING_TRIGGER == "write":
            Permission.objects.filter(pk=1).update(name="")
        keeps_pins = isinstance(get_pin_store(), SessionPinStore) and not has_row(request.session)
        if keeps_pins and "_auth_user_id" in request.session:
            request.session["visits"] = 1  # Else no pin is put into it.
    routes = []
    routing.current().routing.note_reads(routes)
    router.db_for_read(Permission)
    return HttpResponse(routes[-1].reason)


urlpatterns = [re_path("", read)]
