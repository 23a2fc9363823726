"""Status: one snapshot of the databases, the pin store and the settings, for ``multidb_status`` and for panels.

It asks over connections of its own, takes no replica's turn, and leaves every breaker as it is.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from multidb.backends import get_pin_store
from multidb.backends.base import PinStore
from multidb.backends.inspection import Inspection
from multidb.conf import conf
from multidb.log import without_quotations
from multidb.pinning import use_primary_db
from multidb.status_asking import Asking, Outcome, asked
from multidb.status_databases import DatabaseAnswer, DatabaseStatus, ask_database, database_status, vendor_of
from multidb.status_settings import SettingStatus, settings_in_force


@dataclass(frozen=True)
class PinStoreStatus:
    """The store of ``MULTIDB_PIN_STORE``."""

    backend: str
    """Its dotted path."""

    state: str
    """``"up"``, ``"down"``, ``"hangs"``, or ``"unknown"`` where the store cannot tell."""

    why: str
    """Why it is not up; or empty."""

    resting: bool
    """Whether this process leaves it alone at this moment."""

    round_trip_ms: float | None
    """How many milliseconds one question took; ``None`` where there is no server, or none that answers."""

    pins: int | None
    """How many pins it holds, one for each key of a client; ``None`` where that cannot be told."""

    counted_all_pins: bool
    """Whether it holds no more than ``pins``."""


@dataclass(frozen=True)
class Status:
    """What was seen at one moment."""

    time: str
    """When: ISO 8601, in UTC."""

    ok: bool
    """Whether nothing is down or hangs."""

    databases: list[DatabaseStatus]
    """Each primary, followed by its replicas."""

    pin_store: PinStoreStatus
    settings: list[SettingStatus]

    def as_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes, by the names of the attributes. A lag without end is ``None``."""
        found = asdict(self)
        for database in found["databases"]:
            if database["lag_seconds"] == math.inf:
                database["lag_seconds"] = None
        return found


def snapshot() -> Status:
    """Ask all databases and the store at the same moment, and wait for a second at the most.

    Raises ``ImproperlyConfigured`` if a setting is impossible.
    """
    settings = settings_in_force()
    store = get_pin_store()
    by_primary = conf.replica_databases
    of_databases = _ask_databases(by_primary)
    store.prepare()
    of_store = asked("the pin store", partial(_inspect, store))
    outcomes = {alias: asking.outcome() for alias, asking in of_databases.items()}
    pin_store = _pin_store(store, of_store.outcome())
    databases = [
        database_status(alias, primary, weight, outcomes[alias], outcomes[primary])
        for primary, replicas in by_primary.items()
        for alias, weight in [(primary, None), *replicas.items()]
    ]
    states = {pin_store.state, *(each.state for each in databases)}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Status(now, states.isdisjoint({"down", "hangs"}), databases, pin_store, settings)


def _ask_databases(by_primary: Mapping[str, Mapping[str, int]]) -> dict[str, Asking[DatabaseAnswer]]:
    is_replica = dict.fromkeys(by_primary, False)
    for replicas in by_primary.values():
        is_replica |= dict.fromkeys(replicas, True)
    for alias in is_replica:
        vendor_of(alias)  # To import a driver takes time that is not the database's.
    return {alias: asked(f"database {alias}", partial(ask_database, alias, is_)) for alias, is_ in is_replica.items()}


def _inspect(store: PinStore) -> Inspection | None:
    # A cache or session in a database would take a replica's turn.
    with use_primary_db:
        return store.inspect()


def _pin_store(store: PinStore, outcome: Outcome[Inspection | None]) -> PinStoreStatus:
    """Raises ``ImproperlyConfigured`` if that is what came of asking the store."""
    if isinstance(outcome.error, ImproperlyConfigured):
        raise outcome.error
    inspection = outcome.answer
    seconds = inspection and inspection.round_trip
    cannot_tell = outcome.state == "up" and inspection is None
    return PinStoreStatus(
        backend=conf.pin_store.backend,
        state="unknown" if cannot_tell else outcome.state,
        why="it does not tell" if cannot_tell else without_quotations(outcome.why),
        resting=store.outage.is_resting(),
        round_trip_ms=None if seconds is None else round(seconds * 1000, 3),
        pins=inspection and inspection.pins,
        counted_all_pins=inspection is None or inspection.counted_all,
    )
