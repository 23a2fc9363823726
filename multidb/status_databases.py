"""What one database tells of itself, and what follows from what its primary tells."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from multidb import positions
from multidb.conf import conf
from multidb.health import resting_since
from multidb.positions import PositionUnavailable
from multidb.status_asking import Outcome

Told = TypeVar("Told")

# Longer than a snapshot waits, so that a thread which waits for a connection ends. Less than 2 is 2 for PostgreSQL:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT
CONNECT_SECONDS: Final = 2

# The options of a driver by which a connection ends that hangs.
TIMEOUTS: Final[Mapping[str, Mapping[str, int]]] = {
    "postgresql": {"connect_timeout": CONNECT_SECONDS},
    "mysql": dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), CONNECT_SECONDS),
}


@dataclass(frozen=True)
class DatabaseStatus:
    """A primary or a replica."""

    alias: str
    role: str
    """``"primary"`` or ``"replica"``."""

    primary: str
    """The alias of its primary; of a primary, its own."""

    vendor: str
    """Django's word for it, such as ``"postgresql"``."""

    state: str
    """``"up"``, ``"down"`` or ``"hangs"``."""

    why: str
    """Why it is not up; or empty."""

    resting_since: str | None
    """Since when this process leaves the replica alone: ISO 8601, in UTC."""

    replication: str | None
    """``"running"``, ``"paused"``, ``"stopped"``, ``"unknown"``, or ``"none"``: it is no replica. ``None`` of a
    primary, and where it does not answer.
    """

    lag_seconds: float | None
    """``math.inf`` if it does not replay at all; ``None`` where that cannot be told."""

    lag_bytes: int | None
    """By how much it is behind its primary: PostgreSQL only."""

    lag_transactions: int | None
    """By how much it is behind its primary: MariaDB only."""

    weight: int | None
    """``None`` of a primary."""

    position: str | None
    """How far it has got, as its vendor writes it."""

    notes: list[str]
    """What else there is to know of it, in words."""


@dataclass
class DatabaseAnswer:
    """What a database told of itself."""

    display_name: str
    position: Mapping[str, str] | None = None
    lag_seconds: float | None = None
    replication: str | None = None
    notes: list[str] = field(default_factory=list)

    def ask(self, what: str, question: Callable[[BaseDatabaseWrapper], Told], connection: Any) -> Told | None:
        """What ``question`` returns; if that cannot be had, ``None``, and a note why."""
        try:
            return question(connection)
        except PositionUnavailable as unavailable:
            note = f"its {what} cannot be had ({unavailable})"
            self.notes.append(" ".join(note.split()))
            return None


def vendor_of(alias: str) -> str:
    """The vendor of the database ``alias``, which is not asked.

    Raises ``ImproperlyConfigured`` if its driver is not installed.
    """
    return str(load_backend(connections.settings[alias]["ENGINE"]).DatabaseWrapper.vendor)


def ask_database(alias: str, is_replica: bool) -> DatabaseAnswer:
    """Ask the database ``alias`` all that it may be asked, over a new connection. Raises what that raises."""
    connection = _own_connection(alias)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1" + connection.features.bare_select_suffix)
        answer = DatabaseAnswer(connection.display_name)
        if answer.display_name not in positions.VENDORS:
            answer.replication = "unknown" if is_replica else None
        elif is_replica:
            _ask_replica(answer, connection)
        else:
            answer.position = answer.ask("position", positions.primary_position, connection)
        return answer
    finally:
        # Past the method of SQLite, which leaves one to a database in memory open, lest that be lost.
        BaseDatabaseWrapper.close(connection)


def database_status(
    alias: str,
    primary: str,
    weight: int | None,
    outcome: Outcome[DatabaseAnswer],
    of_primary: Outcome[DatabaseAnswer],
) -> DatabaseStatus:
    """The status of ``alias``, from what came of asking it and its primary. Without a ``weight`` it is a primary."""
    told = outcome.answer or DatabaseAnswer("")
    lag = _distance(told, of_primary.answer) if weight is not None else {}
    since = resting_since(alias)
    return DatabaseStatus(
        alias=alias,
        role="primary" if weight is None else "replica",
        primary=primary,
        vendor=vendor_of(alias),
        state=outcome.state,
        why=outcome.why,
        resting_since=None if since is None else datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
        replication=told.replication,
        lag_seconds=told.lag_seconds,
        lag_bytes=lag.get("bytes"),
        lag_transactions=lag.get("transactions"),
        weight=weight,
        position=None if told.position is None else positions.as_text(told.display_name, told.position),
        notes=[*told.notes, *_late(told.lag_seconds)],
    )


def _own_connection(alias: str) -> BaseDatabaseWrapper:
    """A connection from no pool, which the site may need, and with timeouts."""
    connection: BaseDatabaseWrapper = connections.create_connection(alias)
    entry = connection.settings_dict
    options = {name: value for name, value in entry["OPTIONS"].items() if name != "pool"}
    connection.settings_dict = {**entry, "OPTIONS": {**options, **TIMEOUTS.get(connection.vendor, {})}}
    return connection


def _ask_replica(answer: DatabaseAnswer, connection: BaseDatabaseWrapper) -> None:
    state, why = answer.ask("replication", positions.replication, connection) or ("unknown", "")
    answer.replication = state
    if why:
        answer.notes.append(why)
    if state != "none":
        answer.position = answer.ask("position", positions.replayed_position, connection)
        answer.lag_seconds = answer.ask("lag", positions.lag_seconds, connection)


def _distance(replica: DatabaseAnswer, primary: DatabaseAnswer | None) -> dict[str, int]:
    """How far ``replica`` is behind, by unit; empty where one of them does not tell."""
    if primary is None or replica.position is None or primary.position is None:
        return {}
    if replica.display_name != primary.display_name:
        return {}
    number, unit = positions.distance(replica.display_name, primary.position, replica.position)
    return {unit: number}


def _late(lag_seconds: float | None) -> list[str]:
    longest = conf.max_replica_lag
    if longest is None or lag_seconds is None or lag_seconds <= longest:
        return []
    behind = "it does not replay" if lag_seconds == math.inf else f"it is {lag_seconds:.1f} s behind"
    return [f"{behind}, and MULTIDB_MAX_REPLICA_LAG is {longest:g} s"]
