"""manage.py check: each impossible or doubtful configuration has an id, a hint and the setting's name."""

import math
import re
import sys
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import CommandError, call_command
from django.db import connections

from multidb.backends.session import SessionPinStore
from tests.blocks import ROOT
from tests.conftest import CACHE, COOKIE, REDIS, SESSION
from tests.test_conf import IMPOSSIBLE

LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
DUMMY = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
FILES = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "pins"}
TABLE = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "pins"}
DJANGO_REDIS = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
REPLICATED = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": ["redis://127.0.0.1:1/0", "redis://127.0.0.1:2/0"],
    "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
}
NO_LOCATION = {"BACKEND": "django_redis.cache.RedisCache"}
NO_SCHEME = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "localhost:6379"}
NO_BACKEND = {"BACKEND": "tests.nowhere.Cache"}


def messages(deploy: bool = False) -> list[CheckMessage]:
    return run_checks(tags=["multidb"], include_deployment_checks=deploy)


def assert_reported_alone(id: str, word: str, values: Iterable[str]) -> None:
    """There is one message, ``id``, with a hint, which has ``word`` in it and names one of the settings ``values``."""
    [message] = messages()
    assert message.id == id
    assert message.is_serious() is id.startswith("multidb.E")
    assert message.hint
    assert word in f"{message.msg} {message.hint}"
    assert any(name in f"{message.msg} {message.hint}" for name in values)


def holding(cache: dict[str, Any], entries: int) -> dict[str, Any]:
    return {**cache, "OPTIONS": {"MAX_ENTRIES": entries}}


def store(backend: str, **options: Any) -> dict[str, Any]:
    return {"BACKEND": backend, "OPTIONS": options}


def test_the_tests_own_project_passes() -> None:
    assert messages() == []


@pytest.mark.parametrize(("setting", "attribute", "value", "id", "words"), IMPOSSIBLE)
def test_an_impossible_value_is_an_error(
    settings, setting: str, attribute: str, value: object, id: str, words: list[str]
) -> None:
    setattr(settings, setting, value)
    [message] = [message for message in messages() if message.id == id]
    assert message.is_serious()
    assert [word for word in [setting, *words] if word not in f"{message.msg} {message.hint}"] == []


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize(("setting", "attribute", "value", "id", "words"), IMPOSSIBLE)
def test_an_error_stops_the_command(
    settings, setting: str, attribute: str, value: object, id: str, words: list[str]
) -> None:
    setattr(settings, setting, value)
    with pytest.raises(CommandError, match=id):
        call_command("check", databases=["default", "replica-1"])


def test_each_of_several_errors_is_reported(settings) -> None:
    settings.REPLICA_DATABASES = ["replica-3", "default", "replica-4"]
    assert [message.id for message in messages()] == ["multidb.E002", "multidb.E002", "multidb.E003"]


DOUBTFUL = [
    ("multidb.W001", "REPLICA_DATABASES", {"REPLICA_DATABASES": []}),
    ("multidb.W001", "REPLICA_DATABASES", {"REPLICA_DATABASES": {"default": []}}),
    ("multidb.W003", "'replica-1'", {"REPLICA_DATABASES": ["replica-1", "replica-1"]}),
    ("multidb.W003", "'replica-1'", {"REPLICA_DATABASES": {"default": ["replica-1", "replica-1"]}}),
    ("multidb.W003", "'replica-1'", {"REPLICA_DATABASES": MappingProxyType({"default": ["replica-1", "replica-1"]})}),
    ("multidb.W010", "MULTIDB_PINNING_SECONDS", {"MULTIDB_PINING_SECONDS": 15}),
    ("multidb.W010", "MULTIDB_PIN_STORE", {"MULTIDB_QQQQQQQQQQQQQQQQQQQQ": 15}),
    ("multidb.E016", "SESSION_COOKIE_NAME", {"MULTIDB_PINNING_COOKIE": "sessionid"}),
    ("multidb.E016", "CSRF_COOKIE_NAME", {"MULTIDB_PINNING_COOKIE": "csrftoken"}),
    ("multidb.E017", "MULTIDB_PINNING_COOKIE_SECURE", {"MULTIDB_PINNING_COOKIE_SAMESITE": "None"}),
    ("multidb.E017", "MULTIDB_PINNING_COOKIE_SECURE", {"MULTIDB_PINNING_COOKIE": "__Host-pin"}),
    ("multidb.E018", "'nowhere'", {"MULTIDB_PINNING_IGNORE": ["nowhere"]}),
    ("multidb.E018", "'auth.Nobody'", {"MULTIDB_PINNING_IGNORE": ["auth.Nobody"]}),
    ("multidb.E018", "'auth.User.nothing'", {"MULTIDB_PINNING_IGNORE": ["auth.User.nothing", "sessions"]}),
    *[
        ("multidb.E018", repr(label), {"MULTIDB_PINNING_IGNORE": [label], "MULTIDB_PINNING_TRIGGER": "write"})
        for label in ("auth..last_login", "auth.", "auth.User.", "auth.User.auth_token", "tests.Post.book")
    ],
    ("multidb.E018", "'auth.User.last_login.year'", {"MULTIDB_PINNING_IGNORE": ["auth.User.last_login.year"]}),
    ("multidb.E018", "'app.Model.field'", {"MULTIDB_PINNING_IGNORE": [""], "MULTIDB_PINNING_TRIGGER": "write"}),
    ("multidb.W018", "MULTIDB_PINNING_TRIGGER", {"MULTIDB_PINNING_IGNORE": ["sessions", "auth.User"]}),
    ("multidb.E021", "'tests.nowhere.Store'", {"MULTIDB_PIN_STORE": store("tests.nowhere.Store")}),
    ("multidb.E025", "alias is 5", {"MULTIDB_PIN_STORE": store(REDIS, alias=5)}),
    ("multidb.E025", "alias is None", {"MULTIDB_PIN_STORE": store(CACHE, alias=None)}),
    ("multidb.E025", "keys is [5]", {"MULTIDB_PIN_STORE": store(REDIS, keys=[5])}),
    ("multidb.E025", "KeyError: 'nowhere'", {"MULTIDB_PIN_STORE": store(f"{__name__}.Unmakeable")}),
    ("multidb.E022", "'default'", {"MULTIDB_PIN_STORE": store(REDIS), "CACHES": {"default": NO_LOCATION}}),
    ("multidb.E022", "scheme", {"MULTIDB_PIN_STORE": store(REDIS), "CACHES": {"default": NO_SCHEME}}),
    ("multidb.E021", "'.'", {"MULTIDB_PIN_STORE": store(".")}),
    ("multidb.E025", "prefix is None", {"MULTIDB_PIN_STORE": store(CACHE, prefix=None)}),
    ("multidb.E021", "'.stores.Store'", {"MULTIDB_PIN_STORE": store(".stores.Store")}),
    ("multidb.E021", "'Store'", {"MULTIDB_PIN_STORE": store("Store")}),
    ("multidb.E021", "subclass", {"MULTIDB_PIN_STORE": store("multidb.pins.Pin")}),
    ("multidb.E021", "subclass", {"MULTIDB_PIN_STORE": store("multidb.backends.get_pin_store")}),
    ("multidb.E025", "abstract", {"MULTIDB_PIN_STORE": store("multidb.backends.base.PinStore")}),
    ("multidb.E025", "It takes no OPTIONS.", {"MULTIDB_PIN_STORE": store(COOKIE, alias="default")}),
    ("multidb.E025", "alias, keys, prefix, timeout, cluster", {"MULTIDB_PIN_STORE": store(REDIS, cache="default")}),
    ("multidb.E025", "'usr'", {"MULTIDB_PIN_STORE": store(REDIS, keys=["usr"])}),
    *[
        ("multidb.E025", f"timeout is {timeout!r}", {"MULTIDB_PIN_STORE": store(REDIS, timeout=timeout)})
        for timeout in (0, -1, 60.1, math.nan, math.inf, None, "0.25", True, [1])
    ],
    *[
        ("multidb.E025", f"cluster is {cluster!r}", {"MULTIDB_PIN_STORE": store(REDIS, cluster=cluster)})
        for cluster in (None, 0, 1, "yes", [])
    ],
    ("multidb.E022", "'pins'", {"MULTIDB_PIN_STORE": store(REDIS, alias="pins"), "CACHES": {"default": LOCAL}}),
    ("multidb.E022", "'default'", {"MULTIDB_PIN_STORE": store(CACHE, alias="pins"), "CACHES": {"default": LOCAL}}),
    *[
        (
            "multidb.E022",
            "cannot be used: InvalidCacheBackendError: The connection",
            {"MULTIDB_PIN_STORE": store(backend, alias="pins"), "CACHES": {"default": LOCAL}},
        )
        for backend in (CACHE, REDIS)
    ],
    ("multidb.E022", "tests.nowhere", {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": NO_BACKEND}}),
    ("multidb.E023", "django_redis", {"MULTIDB_PIN_STORE": store(REDIS), "CACHES": {"default": LOCAL}}),
    ("multidb.W024", "LocMemCache", {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": LOCAL}}),
    ("multidb.W024", "DummyCache", {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": DUMMY}}),
    ("multidb.E022", "'nowhere'", {"MULTIDB_PIN_STORE": store(REDIS, alias="nowhere", cluster=True)}),
    ("multidb.E023", "django-redis", {"MULTIDB_PIN_STORE": store(REDIS, cluster=True), "CACHES": {"default": LOCAL}}),
    ("multidb.W032", "drops entries beyond 300", {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": FILES}}),
    (
        "multidb.W032",
        "drops entries beyond 9999",
        {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": holding(TABLE, 9999)}},
    ),
    ("multidb.W043", "replicas of its Redis", {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": REPLICATED}}),
    (
        "multidb.W025",
        "signed_cookies",
        {
            "MULTIDB_PIN_STORE": store(REDIS),
            "CACHES": {"default": DJANGO_REDIS},
            "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
        },
    ),
]


def set_all(request: pytest.FixtureRequest, settings: Any, values: dict[str, Any]) -> None:
    """Set all ``values``, and where one names ``DJANGO_REDIS``, the address of one that runs."""
    for name, value in values.items():
        setattr(settings, name, value)
    if values.get("CACHES") == {"default": DJANGO_REDIS}:
        location = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/0"
        settings.CACHES = {"default": {**DJANGO_REDIS, "LOCATION": location}}


@pytest.mark.parametrize(("id", "word", "values"), DOUBTFUL, ids=[f"{id} {word}" for id, word, _ in DOUBTFUL])
def test_what_is_impossible_or_doubtful_together_is_reported_alone(
    request, settings, id: str, word: str, values: dict[str, Any]
) -> None:
    set_all(request, settings, values)
    assert_reported_alone(id, word, values)


@pytest.mark.parametrize(
    "values",
    [
        {"MULTIDB_PIN_STORE": store(SESSION)},
        {"MULTIDB_PIN_STORE": store(CACHE), "CACHES": {"default": holding(FILES, 10_000)}},
        {"MULTIDB_PIN_STORE": store(REDIS), "CACHES": {"default": DJANGO_REDIS}},
        {"MULTIDB_PIN_STORE": store(REDIS, keys=["user"]), "CACHES": {"default": DJANGO_REDIS}},
        {"MULTIDB_PINNING_COOKIE_SAMESITE": "None", "MULTIDB_PINNING_COOKIE_SECURE": True},
        {"MULTIDB_PINNING_COOKIE": "__Host-pin", "MULTIDB_PINNING_COOKIE_SECURE": True},
        {"MULTIDB_PINNING_TRIGGER": "write"},
        {"MULTIDB_PINNING_TRIGGER": "write", "MULTIDB_PINNING_IGNORE": ["sessions", "auth.User.last_login"]},
        {"MULTIDB_PINNING_IGNORE": []},
        {"MULTIDB_RETRY_SECONDS": 0.5, "MULTIDB_MAX_REPLICA_LAG": None, "MULTIDB_GUARD_REPLICAS": False},
        {"REPLICA_DATABASES": {"default": {"replica-1": 1}, "users": ["users-replica"]}},
    ],
)
def test_what_is_right_passes(request, settings, values: dict[str, Any]) -> None:
    set_all(request, settings, values)
    assert messages() == []


def test_a_cache_in_a_database_with_atomic_requests_is_doubtful(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MULTIDB_PIN_STORE = store(CACHE)
    settings.CACHES = {"default": holding(TABLE, 10_000)}
    assert messages() == []
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert_reported_alone("multidb.W042", "the database 'default'", ["MULTIDB_PIN_STORE"])


class CacheTable:
    """A router that knows of the tables of caches only."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "users" if model._meta.app_label == "django_cache" else None


def test_that_is_asked_of_the_database_in_which_its_table_is(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MULTIDB_PIN_STORE = store(CACHE)
    settings.CACHES = {"default": holding(TABLE, 10_000)}
    settings.DATABASE_ROUTERS = [*settings.DATABASE_ROUTERS, CacheTable()]
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert messages() == []
    monkeypatch.setitem(connections["users"].settings_dict, "ATOMIC_REQUESTS", True)
    assert_reported_alone("multidb.W042", "the database 'users'", ["MULTIDB_PIN_STORE"])


class Unmakeable(SessionPinStore):
    def __init__(self) -> None:
        raise KeyError("nowhere")


def test_each_label_that_is_not_installed_is_an_error(settings) -> None:
    settings.MULTIDB_PINNING_IGNORE = ["nowhere", "sessions", "auth.Nobody", "auth.User.nothing"]
    assert [message.id for message in messages()] == ["multidb.E018"] * 3


def test_of_labels_that_an_impossible_trigger_may_need_only_the_trigger_is_reported(settings) -> None:
    settings.MULTIDB_PINNING_TRIGGER = "always"
    settings.MULTIDB_PINNING_IGNORE = ["sessions"]
    assert [message.id for message in messages()] == ["multidb.E015"]


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("MULTIDB_PINNING_TRIGER", "MULTIDB_PINNING_TRIGGER"),
        ("MULTIDB_PIN_UNTIL", "MULTIDB_PINNING_UNTIL"),
        ("MULTIDB_PINNING_IGNORED", "MULTIDB_PINNING_IGNORE"),
        ("MULTIDB_RETRY_SECOND", "MULTIDB_RETRY_SECONDS"),
        ("MULTIDB_REPLICA_LAG", "MULTIDB_MAX_REPLICA_LAG"),
        ("MULTIDB_GUARD_REPLICA", "MULTIDB_GUARD_REPLICAS"),
    ],
)
def test_the_name_that_was_meant_is_guessed(settings, misspelt: str, meant: str) -> None:
    setattr(settings, misspelt, 1)
    [message] = messages()
    assert message.hint == f"Did you mean {meant}?"


def test_slave_databases_in_use_is_a_warning(settings) -> None:
    settings.SLAVE_DATABASES = ["replica-1"]
    assert messages() == []
    del settings.REPLICA_DATABASES
    [message] = messages()
    assert message.id == "multidb.W002"
    assert "SLAVE_DATABASES" in message.msg
    assert "REPLICA_DATABASES" in message.hint


def test_redis_without_its_packages_says_what_to_install(settings, monkeypatch) -> None:
    settings.CACHES = {"default": DJANGO_REDIS}
    settings.MULTIDB_PIN_STORE = store(REDIS)
    monkeypatch.setitem(sys.modules, "django_redis", None)
    monkeypatch.delitem(sys.modules, "multidb.backends.redis_client", raising=False)
    [message] = messages()
    assert message.id == "multidb.E024"
    assert "django-multidb-pinning[redis]" in message.hint


@pytest.mark.parametrize("cluster", [False, True])
def test_a_redis_that_does_not_answer_is_a_warning_that_says_where_it_was_looked_for(settings, cluster: bool) -> None:
    settings.CACHES = {"default": DJANGO_REDIS}
    settings.MULTIDB_PIN_STORE = store(REDIS, cluster=cluster)
    [message] = messages()
    assert message.id == "multidb.W039"
    assert "ConnectionError" in message.msg or "RedisClusterException" in message.msg
    assert "LOCATION of the cache 'default'" in message.hint


@pytest.mark.parametrize(("secure", "ids"), [(False, ["multidb.W016"]), (True, []), ("bad", ["multidb.E012"])])
def test_a_cookie_without_secure_is_a_warning_of_deployments(settings, secure: Any, ids: list[str]) -> None:
    settings.MULTIDB_PINNING_COOKIE_SECURE = secure
    assert [message.id for message in messages(deploy=True)] == ids
    assert "multidb.W016" not in [message.id for message in messages()]


def test_each_message_is_in_the_table_of_checks() -> None:
    """And no other is."""
    code = "".join(path.read_text() for path in sorted((ROOT / "multidb").rglob("*.py")))
    page = (ROOT / "docs" / "reference" / "checks.md").read_text()
    given = re.findall(r'"(multidb\.[EW]\d{3})"', code)
    assert re.findall(r"^\| `(multidb\.[EW]\d{3})`", page, re.MULTILINE) == sorted(set(given))
