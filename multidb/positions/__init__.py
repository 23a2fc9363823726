"""How far a database has got, by its vendor.

A position is ``{stream: sortable text}``: the further of two is their ``max``, stream by stream, and what has replayed
one is not behind it in any stream.
"""

from collections.abc import Mapping
from typing import Any

from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from multidb.positions import mariadb, postgresql
from multidb.positions.unavailable import PositionUnavailable

__all__ = [
    "DJANGO_VENDORS",
    "VENDORS",
    "PositionUnavailable",
    "as_text",
    "distance",
    "is_replayed",
    "lag_seconds",
    "primary_position",
    "progress",
    "replayed_position",
    "replication",
]

# Those whose ``display_name`` may be one of these. Django asks the server whether it is MariaDB or MySQL.
DJANGO_VENDORS = frozenset(["postgresql", "mysql"])

# By Django's ``display_name``: what only speaks the protocol of PostgreSQL or MariaDB has another.
VENDORS: dict[str, Any] = {"PostgreSQL": postgresql, "MariaDB": mariadb}


def primary_position(connection: BaseDatabaseWrapper) -> Mapping[str, str]:
    """The position that holds all that has been committed on the primary by now. One query.

    Raises ``PositionUnavailable`` if it cannot be had.
    """
    position: Mapping[str, str] = _ask(connection, "primary_position")
    return position


def replayed_position(connection: BaseDatabaseWrapper) -> Mapping[str, str]:
    """The position up to which a query on the replica that starts now sees everything. One query.

    Raises ``PositionUnavailable`` if it cannot be had.
    """
    position: Mapping[str, str] = _ask(connection, "replayed_position")
    return position


def lag_seconds(connection: BaseDatabaseWrapper) -> float:
    """For how many seconds at most the replica has lacked a change of its primary; 0 if it lacks none that it knows of.

    ``math.inf`` if it does not replay at all. Raises ``PositionUnavailable`` if that cannot be had. One query.
    """
    return float(_ask(connection, "lag_seconds"))


def progress(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """What the replica has received, and what of that it has replayed, as texts that sort. One query.

    Both are empty where its vendor does not tell. Raises ``PositionUnavailable`` as the others do.
    """
    received, replayed = _ask(connection, "progress")
    return received, replayed


def replication(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """How the replica's replication goes, and why: ``"running"``, ``"paused"``, ``"stopped"``, or ``"none"`` where the
    server replicates nothing. One query.

    Raises ``PositionUnavailable`` if that cannot be had.
    """
    state, why = _ask(connection, "replication")
    return state, why


def distance(display_name: str, position: Mapping[str, str], reached: Mapping[str, str]) -> tuple[int, str]:
    """How far ``reached`` is behind ``position``, and in what: ``"bytes"`` or ``"transactions"``. No query.

    ``display_name`` is that of the databases which told both.
    """
    vendor = VENDORS[display_name]
    return vendor.distance(position, reached), vendor.DISTANCE_UNIT


def as_text(display_name: str, position: Mapping[str, str]) -> str:
    """``position`` as a database of that ``display_name``, which told it, writes it. No query."""
    return str(VENDORS[display_name].as_text(position))


def is_replayed(position: Mapping[str, str], reached: Mapping[str, str]) -> bool:
    """Has a replica that has ``reached`` so far replayed ``position``?"""
    return all(stream in reached and reached[stream] >= text for stream, text in position.items())


def _vendor(connection: BaseDatabaseWrapper) -> Any:
    try:
        return VENDORS[connection.display_name]
    except KeyError:
        known = " and ".join(VENDORS)
        raise PositionUnavailable(f"positions are those of {known}, and this is {connection.display_name}") from None


def _ask(connection: BaseDatabaseWrapper, question: str) -> Any:
    try:
        vendor = _vendor(connection)
        if not connection.in_atomic_block:
            return getattr(vendor, question)(connection)
        with transaction.atomic(using=connection.alias):  # What fails in it shall not break the transaction.
            return getattr(vendor, question)(connection)
    except (Error, KeyError, TypeError, ValueError) as error:  # The others: it answers what nobody expects.
        raise PositionUnavailable(f"{type(error).__name__}: {str(error).strip()}") from error
