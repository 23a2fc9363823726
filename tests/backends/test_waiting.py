"""What ``manage.py check`` says of caches that may keep a request waiting."""

from typing import Any

import pytest
from django.contrib.sessions.backends import cached_db
from django_redis.cache import RedisCache

from multidb.backends import get_pin_store
from multidb.backends.waiting import check_cache, check_sessions
from tests.conftest import CACHE, REDIS, SESSION

DJANGO_REDIS = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
DJANGO = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
MEMCACHED = {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": "127.0.0.1:1"}
SHORT = {"SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 0.5}
IN_ADDRESS = "redis://127.0.0.1:1/0?socket_timeout={}&db=0&socket_connect_timeout=0.5"
WAITING: dict[str, dict[str, Any]] = {
    "a long one": {**DJANGO_REDIS, "OPTIONS": {**SHORT, "SOCKET_TIMEOUT": 1.5}},
    "none of all": {**DJANGO_REDIS, "OPTIONS": {**SHORT, "SOCKET_TIMEOUT": None}},
    "none, Django's own": {**DJANGO, "OPTIONS": {"socket_connect_timeout": 1}},
    "a long one in the address": {**DJANGO_REDIS, "LOCATION": IN_ADDRESS.format(60), "OPTIONS": SHORT},
}
IMPATIENT: dict[str, dict[str, Any]] = {
    "short ones": {**DJANGO_REDIS, "OPTIONS": SHORT},
    "short ones, Django's own": {**DJANGO, "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 1}},
    "short ones of the pool": {
        **DJANGO_REDIS,
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"socket_timeout": 0.5, "socket_connect_timeout": 1}},
    },
    "short ones in the address": {**DJANGO_REDIS, "LOCATION": [IN_ADDRESS.format(0.5)]},
    "no server": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "short ones, Memcached": {**MEMCACHED, "OPTIONS": {"timeout": 0.5, "connect_timeout": 1}},
}


class OurRedisCache(RedisCache):
    """A cache of a project's own."""


class SessionStore(cached_db.SessionStore):
    """An engine of a project's own."""


def warnings(settings: Any, backend: str, cache: dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    """What is said of waiting. That nobody listens at these addresses is another warning."""
    settings.CACHES = {"default": cache, "pins": IMPATIENT["short ones"]}
    settings.MULTIDB_PIN_STORE = {"BACKEND": backend, "OPTIONS": options}
    said = [(message.id, f"{message.msg} {message.hint}") for message in get_pin_store().check()]
    return [(id, text) for id, text in said if id != "multidb.W039"]


@pytest.mark.parametrize("backend", [CACHE, REDIS, SESSION])
@pytest.mark.parametrize("engine", ["cache", "cached_db"])
@pytest.mark.parametrize("name", WAITING)
def test_sessions_in_a_redis_without_a_short_timeout_are_a_warning(
    settings: Any, name: str, engine: str, backend: str
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    options = {} if backend == SESSION else {"alias": "pins"}
    [(id, text)] = warnings(settings, backend, WAITING[name], **options)
    assert id == "multidb.W033"
    assert "CACHES['default'], which requests ask for sessions, is a Redis with no short" in text
    assert f"Set {'socket_timeout' if 'own' in name else 'SOCKET_TIMEOUT'} in its OPTIONS to 1 second" in text


@pytest.mark.parametrize("name", WAITING)
def test_pins_in_such_a_cache_are_one_too(settings: Any, name: str) -> None:
    [(id, text)] = warnings(settings, CACHE, WAITING[name])
    assert id == "multidb.W033"
    assert "CACHES['default'], which requests ask for pins" in text


def test_a_project_s_own_that_is_derived_from_such_a_cache_or_engine_is_one_too(settings: Any) -> None:
    settings.SESSION_ENGINE = __name__
    ours = {**WAITING["none of all"], "BACKEND": f"{__name__}.OurRedisCache"}
    [(_, of_pins), (_, of_sessions)] = sorted(warnings(settings, CACHE, ours))
    assert "which requests ask for pins" in of_pins
    assert "which requests ask for sessions" in of_sessions


@pytest.mark.parametrize("missing", ["no.such.module", "tests.backends.test_waiting.Nothing"])
def test_of_what_cannot_be_imported_django_tells(settings: Any, missing: str) -> None:
    settings.SESSION_ENGINE = "no.such.engine"
    settings.CACHES = {"default": WAITING["none of all"], "pins": {"BACKEND": missing}}
    assert [*check_cache("pins", "pins"), *check_sessions()] == []


@pytest.mark.parametrize("backend", [REDIS, SESSION])
@pytest.mark.parametrize("name", IMPATIENT)
def test_a_short_timeout_is_no_warning(settings: Any, name: str, backend: str) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    assert warnings(settings, backend, IMPATIENT[name], **({} if backend == SESSION else {"alias": "pins"})) == []


def test_a_memcached_without_a_short_timeout_is_a_warning_too(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    [(id, text)] = warnings(settings, REDIS, {**MEMCACHED, "OPTIONS": {"connect_timeout": 1}}, alias="pins")
    assert id == "multidb.W033"
    assert "is a Memcached with no short timeout: " in text
    assert "Set timeout in its OPTIONS" in text


def test_both_timeouts_are_asked_for(settings: Any) -> None:
    texts = [text for _, text in warnings(settings, CACHE, DJANGO_REDIS)]
    assert ["SOCKET_CONNECT_TIMEOUT" in text for text in texts] == [True, False]


@pytest.mark.parametrize("key", ["user", "session"])
def test_sessions_that_one_key_needs_are_a_warning(settings: Any, key: str) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    assert len(warnings(settings, REDIS, WAITING["a long one"], alias="pins", keys=[key])) == 1


def test_sessions_that_no_key_needs_are_no_warning(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    assert warnings(settings, REDIS, DJANGO_REDIS, alias="pins", keys=["authorization"]) == []


@pytest.mark.parametrize("backend", [REDIS, SESSION])
def test_sessions_elsewhere_are_no_warning(settings: Any, backend: str) -> None:
    assert warnings(settings, backend, DJANGO_REDIS, **({} if backend == SESSION else {"alias": "pins"})) == []


def test_sessions_in_a_cache_that_is_not_there_are_not_ours_to_warn_of(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    settings.SESSION_CACHE_ALIAS = "nowhere"
    assert warnings(settings, SESSION, DJANGO_REDIS) == []


@pytest.mark.parametrize("engine", ["nowhere", ".nowhere", ""])
def test_an_engine_that_is_not_there_is_not_ours_to_warn_of(settings: Any, engine: str) -> None:
    settings.SESSION_ENGINE = engine
    assert warnings(settings, SESSION, DJANGO_REDIS) == []
