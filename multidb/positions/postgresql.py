"""PostgreSQL 13 and later: positions are places in the write-ahead log.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
"""

import math
from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from multidb.positions.unavailable import PositionUnavailable

STREAM = "lsn"

DISTANCE_UNIT = "bytes"

# Of a page that holds no record yet, the place for the next one is behind the page's header, which nobody replays:
# SizeOfXLogShortPHD and SizeOfXLogLongPHD of access/xlog_internal.h.
PAGE_HEADERS = (24, 40)

# The end of what has been inserted, not of what has been written: with synchronous_commit off, that comes later.
PRIMARY = "SELECT pg_current_wal_insert_lsn()::text, current_setting('wal_block_size')::int"

REPLAYED = "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text"

# Without a receiver, or with something received that is not replayed, nobody but the age of the last transaction tells.
# What was received is read first: it may grow meanwhile.
LAG = """
SELECT pg_is_in_recovery(), CASE
    WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
END
"""

# Without a receiver, what was received last says nothing of now.
PROGRESS = """
SELECT
    CASE WHEN EXISTS (SELECT FROM pg_stat_wal_receiver) THEN pg_last_wal_receive_lsn() END::text,
    pg_last_wal_replay_lsn()::text
"""

# A server that is not in recovery raises an error over the question whether it has paused.
REPLICATION = """
SELECT
    pg_is_in_recovery(),
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END,
    EXISTS (SELECT FROM pg_stat_wal_receiver)
"""


def primary_position(connection: BaseDatabaseWrapper) -> Mapping[str, str]:
    """The end of the write-ahead log. Fails on a standby."""
    text, page_size = _row(connection, PRIMARY)
    place = _place(text)
    header = place % page_size
    return _position(place - header if header in PAGE_HEADERS else place)


def replayed_position(connection: BaseDatabaseWrapper) -> Mapping[str, str]:
    """The end of what the standby has replayed."""
    in_recovery, text = _row(connection, REPLAYED)
    if not in_recovery or text is None:
        raise PositionUnavailable("it is not in recovery, so it is no standby")
    return _position(_place(text))


def progress(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """The ends of what the standby has received, empty if it receives nothing, and of what it has replayed."""
    received, replayed = _row(connection, PROGRESS)
    return _position(_place(received))[STREAM] if received else "", _position(_place(replayed or "0/0"))[STREAM]


def lag_seconds(connection: BaseDatabaseWrapper) -> float:
    """0 while all that was received is replayed, else the age of the last transaction that was."""
    in_recovery, seconds = _row(connection, LAG)
    if not in_recovery:
        raise PositionUnavailable("it is not in recovery, so it is no standby")
    return math.inf if seconds is None else max(0.0, float(seconds))


def replication(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """Paused, as ``pg_wal_replay_pause()`` does; stopped, without a receiver of the primary's log."""
    in_recovery, is_paused, has_receiver = _row(connection, REPLICATION)
    if not in_recovery:
        return "none", "it is not in recovery, so it is no standby"
    if is_paused:
        return "paused", "its replay is paused: SELECT pg_wal_replay_resume() goes on"
    if not has_receiver:
        return "stopped", "it receives nothing from its primary"
    return "running", ""


def distance(position: Mapping[str, str], reached: Mapping[str, str]) -> int:
    """The bytes of the write-ahead log between the two."""
    return max(0, int(position[STREAM], 16) - int(reached[STREAM], 16))


def as_text(position: Mapping[str, str]) -> str:
    """A ``pg_lsn``, such as ``16/B374D848``."""
    place = int(position[STREAM], 16)
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


def _row(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


def _place(text: str) -> int:
    """The byte that PostgreSQL writes as two hexadecimal numbers: ``16/B374D848``."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _position(place: int) -> Mapping[str, str]:
    return {STREAM: f"{place:016X}"}
