"""CachePinStore: pins in any Django cache."""

import math
import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, InvalidCacheBackendError, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured

from multidb.backends.keyed import DEFAULT_KEYS, DEFAULT_PREFIX, KeyedPinStore
from multidb.setting_error import SettingError

# What an error message quotes, which may be a part of an address with a password in it.
QUOTED = re.compile(r"'[^']*'")


class CachePinStore(KeyedPinStore):
    """Keeps pins in the Django cache ``alias``: Memcached, the database, Redis, whatever all workers share.

    One round trip to read. To write takes two, and since a cache cannot merge, of two responses that are written at
    the same moment the last one stands: use ``RedisPinStore`` where you have Redis. How long it may hang is for the
    cache to say.
    """

    def __init__(
        self,
        *,
        alias: str = "default",
        keys: Iterable[str] = DEFAULT_KEYS,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        super().__init__(keys=keys, prefix=prefix)
        if not isinstance(alias, str):
            raise ImproperlyConfigured(f"The option alias is {alias!r}. Name a cache in CACHES.")
        self._alias = alias

    def check(self) -> list[CheckMessage]:
        try:
            messages = self._check_cache()
        except SettingError as error:
            messages = [error.as_check()]
        except Exception as error:
            messages = [self._cache_error(error).as_check()]
        return [*super().check(), *messages]

    def declare_new(self) -> None:
        self._cache().set(self._marker, 0, timeout=None)

    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        found = self._cache().get_many([*keys, self._marker])
        self._note(found.pop(self._marker, None))
        return found.values()

    def _note(self, missing_until: Any) -> None:
        """Take note of the marker: until when pins may be missing. Where there is none, they have been lost with it."""
        if type(missing_until) is int:
            self.outage.miss_until(missing_until)
        else:
            missing_until = -1
            self.outage.lost_all()
        if missing_until < self.outage.missing_until:
            self._cache().set(self._marker, self.outage.missing_until, timeout=None)

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        # That of django-redis returns None.
        return not self._cache().set_many(dict.fromkeys(keys, text), timeout=math.ceil(seconds))

    def _check_cache(self) -> list[CheckMessage]:
        cache = self._cache()
        if not isinstance(cache, LocMemCache | DummyCache):
            return []
        return [
            Warning(
                f"MULTIDB_PIN_STORE keeps pins in the cache {self._alias!r}, a {type(cache).__name__}: other processes "
                "do not see them.",
                hint="Name a cache that all workers share.",
                id="multidb.W024",
            )
        ]

    def _cache(self) -> BaseCache:
        try:
            return caches[self._alias]
        except InvalidCacheBackendError as error:
            raise self._cache_error(error) from error

    def _cache_error(self, error: Exception) -> SettingError:
        what = str(error) if isinstance(error, ImproperlyConfigured) else QUOTED.sub("'...'", str(error))
        return SettingError(
            "multidb.E022",
            f"MULTIDB_PIN_STORE names the cache {self._alias!r}, which cannot be used: {type(error).__name__}: {what}",
            f"Allowed: {', '.join(map(repr, settings.CACHES))}.",
        )
