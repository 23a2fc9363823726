"""The site that is attacked: Django's settings, a primary with a replica in this process, and one view."""

from typing import Any

import django
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from fakeredis import FakeRedisConnection

from multidb import routing

# So that no pin runs out while the inputs last.
PIN_SECONDS = 3600

SECRET_KEY = "a secret of this site that no log, key or message may hold"  # noqa: S105  # it guards nothing
REDIS_PASSWORD = "correct-horse-battery-staple"  # noqa: S105  # that of a Redis in this process

STORES = {
    "cookie": {"BACKEND": "multidb.backends.cookie.SignedCookiePinStore"},
    "session": {"BACKEND": "multidb.backends.session.SessionPinStore"},
    "redis": {"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {"alias": "pins"}},
    "cache": {"BACKEND": "multidb.backends.cache.CachePinStore", "OPTIONS": {"alias": "default"}},
}

seen: list[HttpRequest] = []


def set_up() -> None:
    """Configure Django, and make the tables."""
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
        LOGGING_CONFIG=None,
        MULTIDB_PINNING_SECONDS=PIN_SECONDS,
    )
    django.setup()
    call_command("migrate", verbosity=0)


def redis() -> Any:
    """A client of the Redis that the site uses."""
    return caches["pins"].client.get_client()


def read(request: HttpRequest) -> HttpResponse:
    """Tell why a read goes where it goes, and note what Django made of the request."""
    from django.contrib.auth.models import Permission

    seen[:] = [request]
    routes = routing.current().routing.routes = []
    router.db_for_read(Permission)
    return HttpResponse(routes[-1].reason)


urlpatterns = [re_path("", read)]
