"""A site for uvicorn, in a process of its own: async views that read, write and wait, on SQLite and a real Redis."""

import asyncio
import gc
import os
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.http import HttpRequest, JsonResponse
from django.urls import path

DATABASE = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "multidb"],
    MIDDLEWARE=["multidb.middleware.PinningRouterMiddleware"],
    DATABASES={"default": DATABASE, "replica-1": DATABASE, "replica-2": DATABASE},
    DATABASE_ROUTERS=["multidb.PinningReplicaRouter"],
    REPLICA_DATABASES=["replica-1", "replica-2"],
    CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": os.environ["SITE_REDIS"]}},
    MULTIDB_PIN_STORE={
        "BACKEND": "multidb.backends.redis.RedisPinStore",
        # That this machine is busy is no failure of Redis.
        "OPTIONS": {"keys": ["authorization"], "timeout": 10},
    },
    MULTIDB_PINNING_SECONDS=600,
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth.models import Group  # noqa: E402  # a model needs the settings

from multidb import routing  # noqa: E402  # likewise
from multidb.backends import get_pin_store  # noqa: E402  # likewise
from multidb.request_routing import RequestRouting  # noqa: E402  # likewise

get_pin_store().declare_new()


async def read(request: HttpRequest) -> JsonResponse:
    """Reads one after the other and at once, with the loop given to others between them."""
    routes = []
    routing.current().routing.note_reads(routes)
    await Group.objects.acount()
    await asyncio.sleep(0)
    await asyncio.gather(*(sync_to_async(Group.objects.count)() for _ in range(3)))
    await asyncio.sleep(0.001)
    await Group.objects.acount()
    return answer(request, routes)


async def write(request: HttpRequest) -> JsonResponse:
    routes = []
    routing.current().routing.note_reads(routes)
    await asyncio.sleep(0)
    await Group.objects.acount()
    return answer(request, routes)


async def wait(request: HttpRequest) -> JsonResponse:
    """Longer than its client does."""
    await Group.objects.acount()
    await asyncio.sleep(30)
    return answer(request, [])


def left(request: HttpRequest) -> JsonResponse:
    """How many routings of requests there are: that of this one, and those that others have left behind."""
    gc.collect()
    return JsonResponse({"routings": sum(isinstance(each, RequestRouting) for each in gc.get_objects())})


def answer(request: HttpRequest, routes: list[Any]) -> JsonResponse:
    is_own = routing.current().routing.is_of(request)
    reasons = sorted({route.reason for route in routes})
    aliases = sorted({route.alias for route in routes})
    return JsonResponse(
        {"token": request.headers["authorization"], "is_own": is_own, "reasons": reasons, "aliases": aliases}
    )


urlpatterns = [path("read", read), path("write", write), path("wait", wait), path("left", left)]

application = get_asgi_application()
