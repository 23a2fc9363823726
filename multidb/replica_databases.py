"""REPLICA_DATABASES: its three forms, and everything that is impossible about it."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections

from multidb.setting_error import SettingError

LARGEST_WEIGHT: Final = 100


def by_primary(value: Any) -> Mapping[str, Any]:
    """``{primary: replicas}``, whichever of the three forms ``value`` has."""
    return value if isinstance(value, Mapping) and value else {DEFAULT_DB_ALIAS: value}


def weights(replicas: Any) -> dict[str, int]:
    """``{replica: weight}``; an alias given twice in a list has twice the weight."""
    if isinstance(replicas, Mapping):
        return dict(replicas)
    return dict(Counter(replicas))


def errors(name: str, value: Any) -> Iterator[SettingError]:
    """Everything that is impossible about ``value``, which the setting ``name`` has."""
    primaries = by_primary(value)
    seen: dict[str, str] = {}
    for primary, replicas in primaries.items():
        if not isinstance(replicas, Collection) or isinstance(replicas, str | bytes):
            yield SettingError(
                "multidb.E001",
                f"{name} is {value!r}.",
                "Set a list of aliases, {primary: [aliases]} or {primary: {alias: weight}}.",
            )
            continue
        for alias in [primary, *replicas]:
            yield from _alias_errors(name, alias)
        for replica in replicas:
            yield from _replica_errors(name, replica, primary, primaries, seen)
        if isinstance(replicas, Mapping):
            yield from _weight_errors(name, replicas)


def _alias_errors(name: str, alias: Any) -> Iterator[SettingError]:
    if alias not in list(connections.settings):
        yield SettingError(
            "multidb.E002",
            f"{name} names {alias!r}, which is not in DATABASES.",
            "Allowed: " + ", ".join(map(repr, connections.settings)) + ".",
        )


def _replica_errors(
    name: str, replica: Any, primary: str, primaries: Mapping[str, Any], seen: dict[str, str]
) -> Iterator[SettingError]:
    if replica in list(primaries):
        yield SettingError(
            "multidb.E003",
            f"{name} lists the primary {replica!r} as a replica.",
            "Take it out: reads that need the primary find it by themselves.",
        )
    elif isinstance(replica, str) and seen.setdefault(replica, primary) != primary:
        yield SettingError(
            "multidb.E004",
            f"{name} lists {replica!r} under {seen[replica]!r} and under {primary!r}.",
            "A replica is a copy of one primary: leave it under that one.",
        )


def _weight_errors(name: str, given: Mapping[str, Any]) -> Iterator[SettingError]:
    for replica, weight in given.items():
        if type(weight) is not int or not 1 <= weight <= LARGEST_WEIGHT:
            yield SettingError(
                "multidb.E005",
                f"{name} gives {replica!r} the weight {weight!r}.",
                f"Set a whole number from 1 to {LARGEST_WEIGHT}.",
            )
