"""MariaDB 10.6 and later: positions are global transaction ids, one stream for each domain.

https://mariadb.com/kb/en/gtid/
"""

import math
from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from multidb.log import without_quotations
from multidb.positions.unavailable import PositionUnavailable

DISTANCE_UNIT = "transactions"

# A sequence number is an unsigned integer of 64 bits.
DIGITS = 20

# https://mariadb.com/kb/en/gtid/#gtid_binlog_pos
PRIMARY = "SELECT @@GLOBAL.gtid_binlog_pos"

# https://mariadb.com/kb/en/gtid/#gtid_slave_pos
REPLAYED = "SELECT @@GLOBAL.gtid_slave_pos"

# https://mariadb.com/kb/en/show-replica-status/
STATUS = "SHOW ALL SLAVES STATUS"

# The two threads of a replication connection, as the columns of its status begin.
THREADS = {"IO": "receives nothing from its primary", "SQL": "replays nothing"}


def primary_position(connection: BaseDatabaseWrapper) -> Mapping[str, str]:
    """The last transaction of each domain in the binary log."""
    with connection.cursor() as cursor:
        cursor.execute(PRIMARY)
        position = _position(cursor.fetchone()[0])
    if not position:
        raise PositionUnavailable("it has no binary log")
    return position


def replayed_position(connection: BaseDatabaseWrapper) -> Mapping[str, str]:
    """The last transaction of each domain that the replica has replayed."""
    with connection.cursor() as cursor:
        cursor.execute(REPLAYED)
        position = _position(cursor.fetchone()[0])
    if not position:
        raise PositionUnavailable("it has replayed no GTID, so it is no replica by GTID")
    return position


def progress(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """MariaDB's own lag is that of the event which is being replayed: there is nothing to compare."""
    return "", ""


def lag_seconds(connection: BaseDatabaseWrapper) -> float:
    """What the slowest of its replication connections tells. Needs the privilege ``SLAVE MONITOR``."""
    connections = _replication_connections(connection)
    if not connections:
        raise PositionUnavailable("it has no replication connection, so it is no replica")
    seconds = [each["Seconds_Behind_Master"] for each in connections]
    return max(math.inf if each is None else float(each) for each in seconds)


def replication(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """Stopped, if a thread of one of its replication connections is. Needs the privilege ``SLAVE MONITOR``."""
    connections = _replication_connections(connection)
    if not connections:
        return "none", "it has no replication connection, so it is no replica"
    for each in connections:
        for thread, so in THREADS.items():
            if each[f"Slave_{thread}_Running"] != "Yes":
                error = without_quotations(each[f"Last_{thread}_Error"] or "")
                return "stopped", f"it {so}" + (f": {error}" if error else "")
    return "running", ""


def distance(position: Mapping[str, str], reached: Mapping[str, str]) -> int:
    """The sequence numbers between the two, of all domains."""
    return sum(max(0, int(text) - int(reached.get(domain, 0))) for domain, text in position.items())


def as_text(position: Mapping[str, str]) -> str:
    """``domain:sequence``, separated by commas. The number of the server that wrote does not count."""
    return ",".join(f"{domain}:{int(sequence)}" for domain, sequence in sorted(position.items()))


def _replication_connections(connection: BaseDatabaseWrapper) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(STATUS)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _position(text: str | None) -> Mapping[str, str]:
    """Of ``domain-server-sequence``, separated by commas, what counts."""
    parts = [gtid.strip().split("-") for gtid in (text or "").split(",") if gtid.strip()]
    return {domain: sequence.zfill(DIGITS) for domain, _server, sequence in parts}
