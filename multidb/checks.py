"""manage.py check: every impossible or doubtful configuration, with an id, a hint and the setting's name."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from multidb.backends import get_pin_store
from multidb.conf import conf
from multidb.setting_error import SettingError, if_possible
from multidb.writes import Ignored

SETTINGS = (
    "MULTIDB_EXPLAIN",
    "MULTIDB_GUARD_REPLICAS",
    "MULTIDB_MAX_REPLICA_LAG",
    "MULTIDB_PINNING_COOKIE",
    "MULTIDB_PINNING_COOKIE_HTTPONLY",
    "MULTIDB_PINNING_COOKIE_SAMESITE",
    "MULTIDB_PINNING_COOKIE_SECURE",
    "MULTIDB_PINNING_IGNORE",
    "MULTIDB_PINNING_SECONDS",
    "MULTIDB_PINNING_TRIGGER",
    "MULTIDB_PINNING_UNTIL",
    "MULTIDB_PIN_STORE",
    "MULTIDB_PIN_STORE_DOWN",
    "MULTIDB_RETRY_SECONDS",
    "MULTIDB_ROUTING",
)


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """What is wrong with the settings."""
    return [message for check in (_replicas, _values, _names, _cookie, _ignored, _pin_store) for message in check()]


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """What is wrong with the settings of a site in production."""
    if if_possible(lambda: conf.pinning_cookie_secure) is not False:
        return []
    return [
        Warning(
            "MULTIDB_PINNING_COOKIE_SECURE is not True, so the pinning cookie travels over plain HTTP as well.",
            hint="Set it to True if the site is served over HTTPS.",
            id="multidb.W016",
        )
    ]


def _replicas() -> Iterator[CheckMessage]:
    name = conf.replica_databases_name
    errors = list(conf.replica_database_errors())
    if name == "SLAVE_DATABASES":
        yield Warning(
            "The setting SLAVE_DATABASES is deprecated.",
            hint="Rename it to REPLICA_DATABASES.",
            id="multidb.W002",
        )
    if errors:
        yield from (error.as_check() for error in errors)
        return
    by_primary = conf.replica_databases
    if not any(by_primary.values()):
        yield Warning(
            f"{name} names no replicas, so every read goes to the primary.",
            hint="Name the aliases of the replicas.",
            id="multidb.W001",
        )
    raw = conf.raw_replica_databases
    lists = raw.values() if isinstance(raw, Mapping) else [raw]
    for aliases in lists:
        for alias in dict.fromkeys(alias for alias in aliases if list(aliases).count(alias) > 1):
            yield Warning(
                f"{name} lists {alias!r} more than once, so it takes that many times the reads.",
                hint="Take it out, or say so with weights: {primary: {alias: weight}}.",
                id="multidb.W003",
            )


def _values() -> Iterator[CheckMessage]:
    for name in (
        "pinning_seconds",
        "pinning_cookie",
        "pinning_cookie_secure",
        "pinning_cookie_httponly",
        "pinning_cookie_samesite",
        "pinning_until",
        "pinning_trigger",
        "pin_store_down",
        "retry_seconds",
        "max_replica_lag",
        "guard_replicas",
        "routing",
        "explain",
    ):
        try:
            getattr(conf, name)
        except SettingError as error:
            yield error.as_check()


def _names() -> Iterator[CheckMessage]:
    for name in dir(settings):
        if name.startswith("MULTIDB_") and name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, n=1) or SETTINGS
            yield Warning(
                f"{name} is not a setting of multidb and has no effect.",
                hint=f"Did you mean {' or '.join(close)}?",
                id="multidb.W010",
            )


def _cookie() -> Iterator[CheckMessage]:
    name = if_possible(lambda: conf.pinning_cookie)
    others = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "LANGUAGE_COOKIE_NAME")
    for setting in others:
        if name == getattr(settings, setting):
            yield Error(
                f"MULTIDB_PINNING_COOKIE is {name!r}, as is {setting}: they would overwrite each other.",
                hint="Give one of them another name.",
                id="multidb.E016",
            )
    if if_possible(lambda: conf.pinning_cookie_secure) is not False:
        return
    samesite = if_possible(lambda: conf.pinning_cookie_samesite)
    if isinstance(samesite, str) and samesite.lower() == "none":
        yield Error(
            f"MULTIDB_PINNING_COOKIE_SAMESITE is {samesite!r} and MULTIDB_PINNING_COOKIE_SECURE is not True: browsers "
            "refuse such a cookie.",
            hint="Set MULTIDB_PINNING_COOKIE_SECURE to True, or SAMESITE to 'Lax'.",
            id="multidb.E017",
        )
    if name is not None and name.startswith(("__Secure-", "__Host-")):
        yield Error(
            f"MULTIDB_PINNING_COOKIE is {name!r} and MULTIDB_PINNING_COOKIE_SECURE is not True: browsers refuse such a "
            "cookie.",
            hint="Set MULTIDB_PINNING_COOKIE_SECURE to True, or choose a name without the prefix.",
            id="multidb.E017",
        )


def _ignored() -> Iterator[CheckMessage]:
    try:
        labels = conf.pinning_ignore
    except SettingError as error:
        yield error.as_check()
        return
    errors = [error for error in map(_ignoring_error, labels) if error]
    yield from errors
    if labels and not errors and if_possible(lambda: conf.pinning_trigger) == "method":
        yield Warning(
            "MULTIDB_PINNING_IGNORE has no effect while MULTIDB_PINNING_TRIGGER is 'method'.",
            hint="Take it out.",
            id="multidb.W018",
        )


def _pin_store() -> Iterator[CheckMessage]:
    try:
        store = get_pin_store()
    except SettingError as error:
        yield error.as_check()
        return
    yield from store.check()


def _ignoring_error(label: str) -> CheckMessage | None:
    try:
        Ignored([label])
    except SettingError as error:
        return error.as_check()
    return None
