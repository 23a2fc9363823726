"""The settings of a site of this library whose pins are in Redis."""

from collections.abc import Mapping
from typing import Any

from servers.redis import RedisServer

from costs.subjects import OURS

# For Redis to answer, in seconds: nothing that is late by chance is to fail.
PATIENCE = 30


def on_redis(databases: Mapping[str, Any], redis: RedisServer, **more: Any) -> dict[str, Any]:
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis.url}
    store = {"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {"timeout": PATIENCE}}
    return OURS.settings(databases, CACHES={"default": cache}, MULTIDB_PIN_STORE=store, **more)
