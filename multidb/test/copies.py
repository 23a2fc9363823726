"""Copies of a test database, as it is at one moment, which connections of a replica then read.

By Django's ``vendor``. The copy holds the rows of all tables, and of views as they were, without their indexes.
"""

import sqlite3
import tempfile
import uuid
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connections, transaction


class Copy(ABC):
    """What has been committed on the primary ``primary`` when it is made."""

    def __init__(self, primary: str) -> None:
        self._primary: Any = connections[primary]
        self._name = f"multidb_lag_{uuid.uuid4().hex[:12]}"
        self._primary.ensure_connection()
        self._make()

    def settings(self) -> dict[str, Any]:
        """What has to be set in ``DATABASES`` for a connection that reads the copy."""
        return {}

    @abstractmethod
    def enter(self, connection: Any) -> None:
        """Let ``connection``, which was opened by ``settings``, read the copy from now on."""

    @abstractmethod
    def drop(self) -> None:
        """Drop the copy, which no connection reads any more."""

    @abstractmethod
    def _make(self) -> None:
        """Copy the primary."""


class SQLiteCopy(Copy):
    """A file of its own."""

    def settings(self) -> dict[str, Any]:
        return {"NAME": str(self._path)}

    def enter(self, connection: Any) -> None:
        pass  # Its settings lead there.

    def drop(self) -> None:
        self._directory.cleanup()

    def _make(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix=self._name, ignore_cleanup_errors=True)
        self._path = Path(self._directory.name) / "copy.sqlite3"
        with closing(sqlite3.connect(self._path)) as copy:
            self._primary.connection.backup(copy)


class PostgreSQLCopy(Copy):
    """A schema of the same database, which the search path names before the tables' own."""

    # What extensions bring is no data of the project's.
    RELATIONS = """
        SELECT format('%I.%I', nspname, relname), quote_ident(relname)
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relispopulated AND pg_table_is_visible(pg_class.oid)
            AND nspname NOT IN ('pg_catalog', 'information_schema') AND relpersistence <> 't'
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
            )
    """

    def enter(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), false)", [self._name]
            )

    def drop(self) -> None:
        with self._primary.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {self._name} CASCADE")

    def _make(self) -> None:
        with transaction.atomic(using=self._primary.alias), self._primary.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(f"CREATE SCHEMA {self._name}")
            cursor.execute(self.RELATIONS)
            for relation, name in cursor.fetchall():
                cursor.execute(f"CREATE UNLOGGED TABLE {self._name}.{name} AS TABLE {relation}")


class MariaDBCopy(Copy):
    """A database on the same server."""

    def enter(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"USE {self._name}")

    def drop(self) -> None:
        with self._primary.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {self._name}")

    def _make(self) -> None:
        quote = self._primary.ops.quote_name
        with self._primary.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
            names = [quote(name) for (name,) in cursor.fetchall()]
            source = quote(self._primary.settings_dict["NAME"])
            cursor.execute(f"CREATE DATABASE {self._name}")
            try:
                for name in names:
                    cursor.execute(
                        f"CREATE TABLE {self._name}.{name} AS SELECT * FROM {source}.{name}"  # noqa: S608  # all are quoted
                    )
            except BaseException:  # As of a view whose table has gone: no transaction takes the database back.
                self.drop()
                raise


VENDORS: dict[str, type[Copy]] = {"sqlite": SQLiteCopy, "postgresql": PostgreSQLCopy, "mysql": MariaDBCopy}
