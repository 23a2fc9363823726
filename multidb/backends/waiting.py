"""For how long a cache in ``CACHES`` may keep a request waiting that asks it for pins or sessions."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import import_string

from multidb.setting_error import UNIMPORTABLE

# What a request may wait at most before a check complains.
LONGEST_SECONDS = 1

DJANGO_REDIS = "django_redis.cache.RedisCache"

# What each is told by, without which it waits for ever.
TIMEOUTS = {
    DJANGO_REDIS: ("socket_connect_timeout", "socket_timeout"),
    "django.core.cache.backends.redis.RedisCache": ("socket_connect_timeout", "socket_timeout"),
    "django.core.cache.backends.memcached.PyMemcacheCache": ("connect_timeout", "timeout"),
}

ENGINES = (
    "django.contrib.sessions.backends.cache.SessionStore",
    "django.contrib.sessions.backends.cached_db.SessionStore",
)


def check_cache(alias: str, what: str) -> Iterator[CheckMessage]:
    """Warn if the cache ``alias``, which is asked for ``what``, is a server without a short timeout."""
    setting = settings.CACHES.get(alias, {})
    backend = _one_of(TIMEOUTS, str(setting.get("BACKEND")))
    for name in TIMEOUTS.get(backend, ()):
        seconds = list(_named(setting, name))
        if not seconds or max(seconds) > LONGEST_SECONDS:
            option = name.upper() if backend == DJANGO_REDIS else name
            kind = "Memcached" if "memcached" in backend else "Redis"
            yield Warning(
                f"CACHES[{alias!r}], which requests ask for {what}, is a {kind} with no short {option}: each may wait "
                "for as long as it hangs.",
                hint=f"Set {option} in its OPTIONS to {LONGEST_SECONDS} second or less.",
                id="multidb.W033",
            )


def check_sessions() -> Iterator[CheckMessage]:
    """Warn if sessions are in such a cache: a look-up of a pin loads the session, also for views that do not use it."""
    if _one_of(ENGINES, f"{settings.SESSION_ENGINE}.SessionStore"):
        yield from check_cache(settings.SESSION_CACHE_ALIAS, "sessions")


def _one_of(known: Collection[str], path: str) -> str:
    """Which of the ``known`` classes the one at ``path`` is, or is derived from; empty if none."""
    try:
        bases = import_string(path).__mro__
    except (*UNIMPORTABLE, AttributeError):
        return ""  # Django says so where it is used.
    names = (f"{base.__module__}.{base.__qualname__}" for base in bases)
    return next((name for name in names if name in known), "")


def _named(setting: Mapping[str, Any], name: str) -> Iterator[float]:
    options = setting.get("OPTIONS", {})
    for each in (options, options.get("CONNECTION_POOL_KWARGS", {})):
        yield from (each[key] for key in (name, name.upper()) if isinstance(each.get(key), int | float))
    yield from map(float, re.findall(rf"[?&]{name}=([0-9]+(?:[.][0-9]+)?)", str(setting.get("LOCATION", ""))))
