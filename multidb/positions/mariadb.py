"""MariaDB 10.6 and later: positions are global transaction ids, one stream for each domain.

https://mariadb.com/kb/en/gtid/
"""

import math
from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from multidb.positions.unavailable import PositionUnavailable

# A sequence number is an unsigned integer of 64 bits.
DIGITS = 20

# https://mariadb.com/kb/en/gtid/#gtid_binlog_pos
PRIMARY = "SELECT @@GLOBAL.gtid_binlog_pos"

# https://mariadb.com/kb/en/gtid/#gtid_slave_pos
REPLAYED = "SELECT @@GLOBAL.gtid_slave_pos"

# https://mariadb.com/kb/en/show-replica-status/
LAG = "SHOW ALL SLAVES STATUS"


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
    with connection.cursor() as cursor:
        cursor.execute(LAG)
        names = [column[0] for column in cursor.description or ()]
        connections: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if not connections:
        raise PositionUnavailable("it has no replication connection, so it is no replica")
    seconds = [each["Seconds_Behind_Master"] for each in connections]
    return max(math.inf if each is None else float(each) for each in seconds)


def _position(text: str | None) -> Mapping[str, str]:
    """Of ``domain-server-sequence``, separated by commas, what counts."""
    parts = [gtid.strip().split("-") for gtid in (text or "").split(",") if gtid.strip()]
    return {domain: sequence.zfill(DIGITS) for domain, _server, sequence in parts}
