"""CachePinStore: pins in any Django cache."""

import math
import time
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from django.core.cache import BaseCache, InvalidCacheBackendError, caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.cache.backends.redis import RedisCache
from django.core.checks import CheckMessage, Warning
from django.db import connections, router

from multidb.backends.aliased import AliasedPinStore
from multidb.backends.inspection import Inspection
from multidb.backends.waiting import DJANGO_REDIS, check_cache
from multidb.conf import conf
from multidb.pins import latest_milliseconds

# A site with fewer entries than this in its cache, other things included, has few clients.
FEW_ENTRIES = 10_000

DATABASE = "django.core.cache.backends.db.DatabaseCache"

# A statement that has waited for longer than this was refused for a lock, or a server that is slow.
AT_ONCE_SECONDS = 0.1


class CacheTripped(Exception):
    """A cache has failed over what its server answers."""


class CachePinStore(AliasedPinStore):
    """Keeps pins in the Django cache ``alias``: Memcached, the database, Redis, whatever all workers share.

    One round trip to read. To write takes two, and since a cache cannot merge, of two responses that are written at
    the same moment the last one stands: use ``RedisPinStore`` where you have Redis. How long it may hang, and how many
    pins it can hold, is for the cache to say.
    """

    def declare_new(self) -> None:
        self._cache().set(self._marker, 0, timeout=None)

    def declare_gone(self) -> None:
        self._cache().delete(self._marker)

    def inspect(self) -> Inspection:
        cache = self._cache()
        begin = monotonic()
        _get_many(cache, [self._marker])
        return Inspection(monotonic() - begin)

    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        try:
            found = _get_many(self._cache(), [*keys, self._marker])
        except (AttributeError, LookupError, TypeError) as error:
            raise CacheTripped from error
        self._note(found.pop(self._marker, None))
        return found.values()

    def _note(self, missing_until: Any) -> None:
        """Take note of the marker: until when pins may be missing. Where there is none, they have been lost with it."""
        # What is later than any clock that is right can say is no word of ours.
        if type(missing_until) is int and missing_until <= latest_milliseconds(time.time(), conf.pinning_seconds):
            self.outage.miss_until(missing_until)
        else:
            missing_until = -1
            self.outage.lost_all()
        if missing_until < self.outage.missing_until:
            self._cache().set(self._marker, self.outage.missing_until, timeout=None)

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        cache = self._cache()
        # The pin itself says when it ends: what knows whole seconds only must not drop it up to one before.
        spare = isinstance(cache, DatabaseCache | BaseMemcachedCache)
        return _set_many(cache, dict.fromkeys(keys, text), math.ceil(seconds) + spare)

    def _check_cache(self) -> list[CheckMessage]:
        cache = self._cache()
        return [
            *self._check_others_see(cache),
            *self._check_room(cache),
            *self._check_transactions(cache),
            *self._check_replicas(cache),
            *check_cache(self._alias, "pins"),
        ]

    def _check_others_see(self, cache: BaseCache) -> Iterator[CheckMessage]:
        if isinstance(cache, LocMemCache | DummyCache):
            yield Warning(
                f"MULTIDB_PIN_STORE keeps pins in the cache {self._alias!r}, a {type(cache).__name__}: other processes "
                "do not see them.",
                hint="Name a cache that all workers share.",
                id="multidb.W024",
            )

    def _check_room(self, cache: Any) -> Iterator[CheckMessage]:
        # https://docs.djangoproject.com/en/stable/topics/cache/#cache-arguments
        if isinstance(cache, DatabaseCache | FileBasedCache) and cache._max_entries < FEW_ENTRIES:
            yield Warning(
                f"MULTIDB_PIN_STORE keeps pins in the cache {self._alias!r}, which drops entries beyond "
                f"{cache._max_entries}, among them pins that still hold.",
                hint=(
                    f"Set MAX_ENTRIES in its OPTIONS to {FEW_ENTRIES} or more: three for each client that may write "
                    "within MULTIDB_PINNING_SECONDS. Or use RedisPinStore."
                ),
                id="multidb.W032",
            )

    def _check_transactions(self, cache: Any) -> Iterator[CheckMessage]:
        # Django's deletes what has run out as it reads, and the row stays locked to the end of the transaction.
        if not isinstance(cache, DatabaseCache):
            return
        database = router.db_for_write(cache.cache_model_class)
        if connections[database].settings_dict["ATOMIC_REQUESTS"]:
            yield Warning(
                f"MULTIDB_PIN_STORE keeps pins in the cache {self._alias!r}, a table of the database {database!r}, "
                "which has ATOMIC_REQUESTS: the requests of one client wait for each other when a pin has run out.",
                hint="Name a cache that is no table, or use RedisPinStore or SignedCookiePinStore.",
                id="multidb.W042",
            )

    def _check_replicas(self, cache: Any) -> Iterator[CheckMessage]:
        # https://docs.djangoproject.com/en/stable/topics/cache/#redis: it writes to the first server only.
        if isinstance(cache, RedisCache) and len(vars(cache)["_servers"]) > 1:
            yield Warning(
                f"MULTIDB_PIN_STORE keeps pins in the cache {self._alias!r}, which reads from replicas of its Redis: a "
                "pin is missed until they have it.",
                hint="Name one server in its LOCATION, or use RedisPinStore.",
                id="multidb.W043",
            )

    def _cache(self) -> BaseCache:
        try:
            return caches[self._alias]
        except InvalidCacheBackendError as error:
            raise self._cache_error(error) from error


def _get_many(cache: Any, keys: list[str]) -> dict[str, Any]:
    if not _has_methods_of(DJANGO_REDIS, cache):
        return dict(cache.get_many(keys))
    # The cache reads from the replicas of its Redis, and may ignore exceptions: its client need do neither.
    client = cache.client
    if hasattr(client, "get_server"):  # A ShardClient: each key has a server of its own, without replicas.
        return dict(client.get_many(keys))
    return dict(client.get_many(keys, client=client.get_client(write=True)))


def _set_many(cache: Any, texts: dict[str, str], seconds: int) -> bool:
    """Did ``cache`` take all ``texts``?"""
    if _has_methods_of(DJANGO_REDIS, cache):
        cache.client.set_many(texts, timeout=seconds)
        return True
    if _has_methods_of(DATABASE, cache):
        # One that is refused, as by a lock, takes no other with it.
        return not [key for key, text in texts.items() if not _is_in_table(cache, key, text, seconds)]
    return not cache.set_many(texts, timeout=seconds)


def _has_methods_of(path: str, cache: BaseCache) -> bool:
    """Is ``cache`` of the class at ``path``, or of one of a project's own that gets and sets as that does?"""
    names = ("get_many", "set", "set_many")
    for base in type(cache).__mro__:
        if f"{base.__module__}.{base.__qualname__}" == path:
            return all(getattr(type(cache), name) is getattr(base, name) for name in names)
    return False


def _is_in_table(cache: Any, key: str, text: str, seconds: int) -> bool:
    """Has ``cache`` taken ``text``? Its own ``set_many`` does not say what the database has refused."""
    made, begin = cache.make_and_validate_key(key), monotonic()
    if cache._base_set("set", made, text, seconds):
        return True
    # Of two that insert a row at once, one is refused, at once. It finds that row at its second try.
    return monotonic() - begin < AT_ONCE_SECONDS and cache._base_set("set", made, text, seconds)
