"""Modelled databases: a primary is a list of commits, and a replica has applied the first of them."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.client import BaseDatabaseClient
from django.db.backends.base.creation import BaseDatabaseCreation
from django.db.backends.base.features import BaseDatabaseFeatures
from django.db.backends.base.introspection import BaseDatabaseIntrospection
from django.db.backends.base.operations import BaseDatabaseOperations

from multidb.positions import VENDORS

VENDOR = "Modelled"

POSITION = "SELECT position"
READ = "SELECT text FROM {} WHERE name = %s"
WRITE = "INSERT INTO {} VALUES (%s, %s)"

Rows = dict[tuple[str, str], str]


class Log:
    """What was committed on one primary, in its order: when, and which rows it set."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.commits: list[tuple[float, Rows]] = []

    def append(self, rows: Rows) -> None:
        self.commits.append((self._clock(), rows))

    def position_of(self, name: str) -> int | None:
        """The position that holds all that was committed to rows called ``name``."""
        positions = [place for place, (_, rows) in enumerate(self.commits, 1) if any(row[1] == name for row in rows)]
        return positions[-1] if positions else None

    def seconds_since(self, position: int) -> float:
        """For how many seconds what follows ``position`` has been there; 0 if nothing does."""
        return self._clock() - self.commits[position][0] if position < len(self.commits) else 0.0


class Server:
    """The server of one database; that of a replica has ``applied`` so many commits of the log."""

    def __init__(self, log: Log, is_replica: bool) -> None:
        self.log = log
        self.is_replica = is_replica
        self.applied = 0
        self.is_up = True
        self.stops = 0

    @property
    def position(self) -> int:
        return self.applied if self.is_replica else len(self.log.commits)

    def replay(self, commits: int) -> None:
        self.applied = min(self.applied + commits, len(self.log.commits))

    def stop_or_start(self) -> None:
        """Go down, or come back; the connections of before stay dead."""
        self.is_up = not self.is_up
        self.stops += 1

    def row(self, table: str, name: str) -> str | None:
        commits = self.log.commits[: self.position]
        return next((rows[table, name] for _, rows in reversed(commits) if (table, name) in rows), None)


class DriverConnection:
    """What a driver calls a connection. Reads see what is committed at that moment, and the transaction's own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.autocommit = True
        self.pending: Rows = {}
        self.savepoints: dict[str, Rows] = {}
        self._stops = server.stops
        self.check()

    @property
    def lives(self) -> bool:
        return self.server.is_up and self._stops == self.server.stops

    def check(self) -> None:
        if not self.lives:
            raise sqlite3.OperationalError("the server has closed the connection")

    def commit(self) -> None:
        self.check()
        if self.pending:
            self.server.log.append(self.pending)
        self.pending = {}

    def rollback(self) -> None:
        self.pending = {}

    close = rollback


class Cursor:
    """Knows ``POSITION``, ``READ`` and ``WRITE``."""

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        self._row: Any = None
        self.rowcount = 1

    def execute(self, sql: str, params: tuple[str, ...] = ()) -> None:
        connection = self._connection
        connection.check()
        words = sql.split()
        if words[0] == "INSERT":
            assert not connection.server.is_replica, "nothing writes to a replica"
            name, text = params
            connection.pending[words[2], name] = text
            if connection.autocommit:
                connection.commit()
        elif words[1] == "position":
            self._row = (connection.server.position,)
        else:
            row = (words[3], params[0])
            self._row = (connection.pending.get(row, connection.server.row(*row)),)

    def fetchone(self) -> Any:
        return self._row

    def close(self) -> None:
        """Nothing is held."""


class Connection(BaseDatabaseWrapper):
    """Django's connection to a modelled server."""

    vendor = "modelled"
    display_name = VENDOR
    Database = sqlite3  # Whose errors a modelled server raises.
    client_class = BaseDatabaseClient
    creation_class = BaseDatabaseCreation
    features_class = BaseDatabaseFeatures
    introspection_class = BaseDatabaseIntrospection
    ops_class = BaseDatabaseOperations

    def __init__(self, alias: str, server: Server) -> None:
        super().__init__({**connections.settings[alias], "CONN_MAX_AGE": None}, alias)
        self.server = server

    def get_connection_params(self) -> dict[str, Any]:
        return {}

    def get_new_connection(self, conn_params: dict[str, Any]) -> DriverConnection:
        return DriverConnection(self.server)

    def init_connection_state(self) -> None:
        """There is no version to check."""

    def create_cursor(self, name: str | None = None) -> Cursor:
        return Cursor(self.connection)

    def _set_autocommit(self, autocommit: bool) -> None:
        self.connection.autocommit = autocommit

    def _savepoint(self, sid: str) -> None:
        self.connection.savepoints[sid] = dict(self.connection.pending)

    def _savepoint_rollback(self, sid: str) -> None:
        self.connection.pending = self.connection.savepoints[sid]

    def _savepoint_commit(self, sid: str) -> None:
        """What was set since stays set."""

    def is_usable(self) -> bool:
        return bool(self.connection.lives)


class Positions:
    """The vendor's module for ``multidb.positions``: a position is how many commits there are."""

    def primary_position(self, connection: Connection) -> Mapping[str, str]:
        return {"commits": _sortable(query(connection, POSITION))}

    replayed_position = primary_position

    def lag_seconds(self, connection: Connection) -> float:
        return connection.server.log.seconds_since(query(connection, POSITION))

    def progress(self, connection: Connection) -> tuple[str, str]:
        position = query(connection, POSITION)
        return _sortable(len(connection.server.log.commits)), _sortable(position)


VENDOR_OF_POSITIONS = {**VENDORS, VENDOR: Positions()}


def query(connection: BaseDatabaseWrapper, sql: str, *params: str) -> Any:
    """The one value that ``sql`` gives."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
        return row and row[0]


def _sortable(position: int) -> str:
    return f"{position:016X}"
