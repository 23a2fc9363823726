"""manage.py check: what the databases named in ``REPLICA_DATABASES`` cannot do for the settings that are in force."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage, Warning
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from multidb import positions
from multidb.conf import conf
from multidb.positions import PositionUnavailable
from multidb.setting_error import SettingError
from multidb.writes import GUARDS


def check_vendors(**kwargs: Any) -> list[CheckMessage]:
    """What cannot work, as far as the ``ENGINE`` of each database tells. Asks no database."""
    by_primary = _usable(lambda: conf.replica_databases) or {}
    replicas = [alias for weights in by_primary.values() for alias in weights]
    messages = [message for alias in replicas for message in (*_unguarded(alias), *_atomic(alias))]
    return [*messages, *(message for alias, what, _ in _questions(by_primary) for message in _unknown(alias, what))]


def check_databases(databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """What the databases answer: those that ``manage.py check --database`` names are asked."""
    named = set(databases or ())
    by_primary = _usable(lambda: conf.replica_databases) or {}
    return [
        message
        for alias, what, question in _questions(by_primary)
        if alias in named and connections[alias].vendor in positions.DJANGO_VENDORS
        for message in _unanswered(alias, what, question)
    ]


def check_timeouts(**kwargs: Any) -> list[CheckMessage]:
    """Which replicas a request could wait for without end, in production."""
    by_primary = _usable(lambda: conf.replica_databases) or {}
    return [
        Warning(
            f"Replica {alias!r} has no connect_timeout: while its host does not answer, requests wait for it.",
            hint='Set DATABASES[...]["OPTIONS"]["connect_timeout"], or ["pool"]["timeout"], to a few seconds.',
            id="multidb.W030",
        )
        for replicas in by_primary.values()
        for alias in replicas
        if connections[alias].vendor in positions.DJANGO_VENDORS and not _has_timeout(connections.settings[alias])
    ]


def _has_timeout(entry: Mapping[str, Any]) -> bool:
    """Has a database a timeout, as far as its settings tell, or needs none since it is on this machine?"""
    pool = entry["OPTIONS"].get("pool")
    if pool:
        return isinstance(pool, Mapping) and "timeout" in pool
    elsewhere = "service" in entry["OPTIONS"] or "PGCONNECT_TIMEOUT" in os.environ
    local = not entry["HOST"] or entry["HOST"].startswith("/")
    return "connect_timeout" in entry["OPTIONS"] or elsewhere or local


Question = Callable[[BaseDatabaseWrapper], Any]

_USES = {
    "position": ("MULTIDB_PINNING_UNTIL is 'replayed'", "pins hold for their seconds", "multidb.W014"),
    "lag": ("MULTIDB_MAX_REPLICA_LAG is set", "its lag does not count", "multidb.W028"),
}


def _questions(by_primary: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str, Question]]:
    """What the settings make the library ask of each database: its alias, what of it, and the question."""
    until_replayed = _usable(lambda: conf.pinning_until) == "replayed"
    has_limit = _usable(lambda: conf.max_replica_lag) is not None
    for primary, replicas in by_primary.items():
        if until_replayed:
            yield primary, "position", positions.primary_position
        for alias in replicas:
            if until_replayed:
                yield alias, "position", positions.replayed_position
            if has_limit:
                yield alias, "lag", positions.lag_seconds


def _unguarded(alias: str) -> Iterator[CheckMessage]:
    vendor = connections[alias].vendor
    if vendor not in GUARDS and _usable(lambda: conf.guard_replicas):
        yield Warning(
            f"MULTIDB_GUARD_REPLICAS is True, but {alias!r} is a database of the vendor {vendor!r}, which has no mode "
            "that refuses writes.",
            hint="Set it to False, and give the user of the replica no right to write.",
            id="multidb.W029",
        )


def _atomic(alias: str) -> Iterator[CheckMessage]:
    if connections.settings[alias]["ATOMIC_REQUESTS"]:
        yield Warning(
            f"Replica {alias!r} has ATOMIC_REQUESTS: every request opens a transaction on it, which fails while it is "
            "down.",
            hint="Take it out: a transaction on a replica protects nothing.",
            id="multidb.W031",
        )


def _unknown(alias: str, what: str) -> Iterator[CheckMessage]:
    vendor = connections[alias].vendor
    if vendor not in positions.DJANGO_VENDORS:
        setting, so, id = _USES[what]
        yield Warning(
            f"{setting}, but {alias!r} is a database of the vendor {vendor!r}, whose positions multidb does not know: "
            f"{so}.",
            hint="PostgreSQL and MariaDB have positions that it knows.",
            id=id,
        )


def _unanswered(alias: str, what: str, question: Question) -> Iterator[CheckMessage]:
    try:
        question(connections[alias])
    except PositionUnavailable as unavailable:
        setting, so, id = _USES[what]
        yield Warning(
            f"{setting}, but the {what} of {alias!r} cannot be had ({unavailable}): {so}.",
            hint="Name the replicas of this primary, and give their users the rights that the documentation lists.",
            id=id,
        )


def _usable(read: Callable[[], Any]) -> Any:
    """What ``read`` returns, or ``None`` where the setting is impossible, which another check reports."""
    try:
        return read()
    except SettingError:
        return None
