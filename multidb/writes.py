"""Observing real writes and guarding replicas, at the database connection."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import DataError, Error, IntegrityError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from multidb import health, positions, routing
from multidb.conf import conf
from multidb.log import say_once
from multidb.mirrors import heed_no_locks
from multidb.positions import PositionUnavailable
from multidb.replicas import topology
from multidb.routing import Routing
from multidb.setting_error import SettingError
from multidb.statements import ANYTHING, Write, write_of

# What makes a session read-only, by Django's ``vendor``.
# https://www.sqlite.org/pragma.html#pragma_query_only
# https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-DEFAULT-TRANSACTION-READ-ONLY
# https://mariadb.com/kb/en/set-transaction/#read-only
GUARDS = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}


def watch_connections() -> None:
    """From now on guard each connection to a replica, and observe the writes of every other.

    Those too that this thread has open already, as of an app which is listed before and asks when Django starts.
    """
    connection_created.connect(_watch, dispatch_uid="multidb")
    if not settings.configured:
        return  # And none is open.
    for connection in connections.all(initialized_only=True):
        is_open = connection.connection is not None and not connection.in_atomic_block
        if is_open and vars(connection).get(_WATCHED) is not connection.connection:
            with suppress(Error):  # Of one that has died, and is closed.
                _watch(connection)


def positions_after(primaries: Iterable[str]) -> dict[str, Mapping[str, str] | None]:
    """Of each of ``primaries`` the position that holds all that this thread has committed there by now.

    ``None`` where that cannot be had, or a transaction is still open: then only a pin's time can end it. One query for
    each, if ``MULTIDB_PINNING_UNTIL`` is ``"replayed"``, else none.
    """
    if conf.pinning_until != "replayed":
        return dict.fromkeys(primaries)
    return {primary: _position_after(connections[primary]) for primary in primaries}


def _position_after(connection: BaseDatabaseWrapper) -> Mapping[str, str] | None:
    if not topology().has_replicas(connection.alias):
        return None
    try:
        if not health.connects(connection.alias):
            raise PositionUnavailable("it does not answer")
        if not connection.autocommit:  # Nor is it in a block of atomic().
            return None
        return positions.primary_position(connection)
    except ImproperlyConfigured:
        raise
    except Exception as unavailable:  # Also that of a test which forbids this database.
        why = str(unavailable).strip()
        say_once(f"The position of {connection.alias} cannot be had ({why}): pins hold for their seconds.")
        return None


def _watch(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    try:
        is_replica = connection.alias in topology().primary_of
    except ImproperlyConfigured:
        return  # manage.py check says what is wrong.
    if not is_replica:
        if _observe not in connection.execute_wrappers:
            # Before all others: whoever has put one at the end takes the last one away.
            connection.execute_wrappers.insert(0, _observe)
        vars(connection)[_WATCHED] = connection.connection
        return
    heed_no_locks(connection)
    if conf.guard_replicas:
        _guard(connection)
    vars(connection)[_WATCHED] = connection.connection


_WATCHED = "_multidb_watched"


def _guard(connection: BaseDatabaseWrapper) -> None:
    guard = GUARDS.get(connection.vendor)
    if guard is None:
        say_once(
            f"Replica {connection.alias} is not guarded against writes: {connection.display_name} has no such mode."
        )
        return
    try:
        # Past Django's cursor: it is no query of the project's, which logs, counts and forbids those.
        with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
            cursor.execute(guard)
        if not connection.autocommit:
            connection.commit()
        if connection.vendor == "sqlite":
            # A transaction that begins with a lock for writing is one that writes.
            vars(connection)["transaction_mode"] = None
    except Error as error:
        if not connection.is_usable():
            connection.close()  # An open one would not be guarded again.
            raise
        say_once(f"Replica {connection.alias} is not guarded against writes: {str(error).strip()}")


def _observe(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Run a query, and tell the routing of the request if it wrote."""
    state = routing.current().routing
    connection = context["connection"]
    if state is routing.OUTSIDE or connection.alias in state.written:
        return execute(sql, params, many, context)
    try:
        result = execute(sql, params, many, context)
    except BaseException as error:
        write = _write_of(sql, connection)
        if write and (many or not _is_undone(error, write, connection)):
            _tell(state, connection.alias, write)
        raise
    write = _write_of(sql, connection)
    if write and not (write.tells_rows and context["cursor"].rowcount == 0):
        _tell(state, connection.alias, write)
    return result


def _is_undone(error: BaseException, write: Write, connection: BaseDatabaseWrapper) -> bool:
    """Has the database undone all that ``write`` did before ``error``?

    Not what a procedure or several statements did, and on MariaDB not what a table without transactions took.
    """
    refused = isinstance(error, DataError | IntegrityError | ProgrammingError)
    return refused and write.table is not None and connection.vendor != "mysql"


def _tell(state: Routing, alias: str, write: Write) -> None:
    is_ignored = write.table is not None and conf.pinning_trigger == "write" and ignored().contains(write)
    state.observe_write(alias, ignored_table=write.table if is_ignored else None)


def _write_of(sql: Any, connection: BaseDatabaseWrapper) -> Write | None:
    try:
        return write_of(_text(sql, connection))
    except Exception:  # What is composed needs a connection that lives.
        return ANYTHING


def _text(sql: Any, connection: BaseDatabaseWrapper) -> str:
    if hasattr(sql, "as_string"):  # What is composed with psycopg.sql.
        return str(sql.as_string(connection.connection))
    return sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)


class Ignored:
    """The tables and columns that ``MULTIDB_PINNING_IGNORE`` names."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._tables: set[str] = set()
        self._columns: dict[str, set[str]] = {}
        for label in labels:
            try:
                self._ignore(*label.split("."))
            except (LookupError, FieldDoesNotExist, TypeError, ValueError):
                raise SettingError(
                    "multidb.E018",
                    f"MULTIDB_PINNING_IGNORE names {label!r}, which is not installed.",
                    "Name the label of an app in INSTALLED_APPS, 'app.Model' or 'app.Model.field'.",
                ) from None

    def contains(self, write: Write) -> bool:
        """Does ``write`` touch nothing else?"""
        if write.table in self._tables:
            return True
        return bool(write.columns) and write.columns <= self._columns.get(write.table or "", set())

    def _ignore(self, app_label: str, *names: str) -> None:
        if not names:
            for each in apps.get_app_config(app_label).get_models(include_auto_created=True):
                self._tables.add(_table(each))
            return
        model = apps.get_model(app_label, names[0])
        if len(names) == 1:
            self._tables.add(_table(model))
            self._tables.update(_table(field.remote_field.through) for field in model._meta.local_many_to_many)
            return
        [_, field_name] = names
        field: Any = model._meta.get_field(field_name)
        if field.many_to_many and not field.auto_created:
            self._tables.add(_table(field.remote_field.through))
        elif field.concrete:
            self._columns.setdefault(_table(field.model), set()).add(field.column)
        else:
            raise FieldDoesNotExist


_built: tuple[Any, Ignored] | None = None


def ignored() -> Ignored:
    """What ``MULTIDB_PINNING_IGNORE`` names, built anew only when the setting is another object.

    Raises ``ImproperlyConfigured`` if the setting is impossible.
    """
    global _built
    setting = conf.raw_pinning_ignore
    if _built is None or _built[0] is not setting:
        _built = setting, Ignored(conf.pinning_ignore)
    return _built[1]


def _table(model: Any) -> str:
    return str(model._meta.db_table).replace('"', "")
