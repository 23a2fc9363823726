"""lagging: replicas that lag on purpose, in a test, without a second server."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest import mock

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import _TestState

from multidb import health, positions
from multidb.mirrors import is_forbidden
from multidb.replicas import topology
from multidb.test.copies import VENDORS, Copy
from multidb.test.replaying import Replaying


class lagging:  # noqa: N801  # a context manager, like override_settings
    """Inside, the replicas ``aliases``, or all, have what had been committed when the block began, in every thread.

    Until ``catch_up()`` they have not replayed what is written inside: with ``MULTIDB_PINNING_UNTIL = "replayed"`` a
    pin sends its client to the primary, or to a replica that does not lag. To ``MULTIDB_MAX_REPLICA_LAG`` they are
    ``seconds`` behind. A context manager for sync and async tests. On SQLite, PostgreSQL and MariaDB.

    Needs a test that commits, and whose ``databases`` name the replicas: a ``TransactionTestCase`` with ``databases =
    "__all__"``, or ``django_db(transaction=True, databases="__all__")``. Raises ``RuntimeError`` in another, outside of
    tests, on another database, and for a replica that is no mirror of its primary, and ``ValueError`` for what is no
    replica.
    """

    def __init__(self, *aliases: str, seconds: float = 0) -> None:
        self._asked = aliases
        self._seconds = seconds
        self._ends = ExitStack()
        self._replaying = Replaying()
        self._copies: dict[str, Copy] = {}
        self._opened: list[BaseDatabaseWrapper] = []

    def __enter__(self) -> Self:
        primary_of = _replicas(self._asked)
        for alias, primary in primary_of.items():
            _check(alias, primary)
        with ExitStack() as stack:
            names = {connections[primary].display_name for primary in primary_of.values()}
            stack.enter_context(mock.patch.dict(positions.VENDORS, dict.fromkeys(names, self._replaying)))
            stack.callback(health.forget)
            ensure = self._ensuring(BaseDatabaseWrapper.ensure_connection)
            stack.enter_context(mock.patch.object(BaseDatabaseWrapper, "ensure_connection", ensure))
            before = {alias: {name: connections.settings[alias][name] for name in SERVER} for alias in primary_of}
            stack.callback(self._end, before)
            for alias, primary in primary_of.items():
                self._copy(alias, primary)
            self._ends = stack.pop_all()
        health.forget()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ends.close()

    async def __aenter__(self) -> Self:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await sync_to_async(self.__exit__)(exc_type, exc_value, traceback)

    def catch_up(self, *aliases: str) -> None:
        """Let the replicas ``aliases``, or all that lag, have what has been committed by now, and lag on from here.

        Raises ``ValueError`` for one that does not lag.
        """
        for alias in aliases or tuple(self._copies):
            if alias not in self._copies:
                raise ValueError(f"{alias!r} does not lag. Those that do: {', '.join(map(repr, self._copies))}.")
            before = self._copies[alias]
            self._copy(alias, topology().primary_of[alias])
            self._close(alias)
            before.drop()
        health.forget()

    async def acatch_up(self, *aliases: str) -> None:
        """The async twin of ``catch_up``."""
        await sync_to_async(self.catch_up)(*aliases)

    def _copy(self, alias: str, primary: str) -> None:
        reached = self._replaying.now()
        self._copies[alias] = VENDORS[connections[primary].vendor](primary)
        self._replaying.reached[alias] = reached
        self._replaying.seconds[alias] = self._seconds
        # A mirror has the name of its primary's test database, but its own server, where there is no such database.
        of_primary = {name: connections.settings[primary][name] for name in SERVER}
        connections.settings[alias].update({**of_primary, **self._copies[alias].settings()})

    def _ensuring(self, ensure_connection: Callable[..., None]) -> Callable[..., None]:
        """``ensure_connection``, by which every query goes, for connections that must not lead to another state."""

        def ensure(connection: Any, *args: Any, **kwargs: Any) -> None:
            copy = self._copies.get(connection.alias)
            if copy is None or connections.settings.get(connection.alias) is not connection.settings_dict:
                ensure_connection(connection, *args, **kwargs)
                return
            if connection.connection is not None and vars(connection).get(_READS) is not copy:
                connection.close()
            is_new = connection.connection is None
            vars(connection)[_READS] = copy  # Before it connects, on the way of which it ensures that it has.
            ensure_connection(connection, *args, **kwargs)
            if is_new:
                self._opened.append(connection)
                copy.enter(connection)

        return ensure

    def _close(self, alias: str) -> None:
        """Close every connection to the replica ``alias`` that was opened inside, in whichever thread."""
        for connection in [each for each in self._opened if each.alias == alias]:
            self._opened.remove(connection)
            connection.inc_thread_sharing()
            connection.close()
            connection.dec_thread_sharing()

    def _end(self, before: dict[str, dict[str, Any]]) -> None:
        for alias, copy in self._copies.items():
            self._close(alias)
            connections.settings[alias].update(before[alias])
            copy.drop()
        self._copies.clear()


# What leads to a database.
SERVER = ("NAME", "HOST", "PORT", "USER", "PASSWORD", "OPTIONS")

_READS = "_multidb_lagging"


def _replicas(aliases: tuple[str, ...]) -> dict[str, str]:
    """The primary of each of ``aliases``, or of every replica."""
    primary_of = topology().primary_of
    for alias in aliases:
        if alias not in primary_of:
            known = ", ".join(map(repr, primary_of)) or "none"
            raise ValueError(f"lagging() names {alias!r}, which is no replica in REPLICA_DATABASES: {known}.")
    if not primary_of:
        raise ValueError("lagging() needs a replica, and REPLICA_DATABASES names none.")
    return {alias: primary_of[alias] for alias in aliases or primary_of}


def _check(alias: str, primary: str) -> None:
    """Raise ``RuntimeError`` unless the replica ``alias`` can lag in this test."""
    source, replica = connections[primary], connections[alias]
    how = "Use a TransactionTestCase, or pytest.mark.django_db(transaction=True), with databases='__all__'."
    if not hasattr(_TestState, "saved_data"):
        raise RuntimeError(
            "lagging() is for tests, and none is running: Django's setup_test_environment() was not called."
        )
    if source.vendor not in VENDORS:
        raise RuntimeError(f"lagging() does not know how to copy {source.display_name}: it knows {', '.join(VENDORS)}.")
    if (
        replica.settings_dict["TEST"]["MIRROR"] != primary
        or replica.settings_dict["NAME"] != source.settings_dict["NAME"]
    ):
        raise RuntimeError(
            f"lagging() needs {alias!r} to be a mirror of {primary!r} in tests, and it is another database. "
            f"Leave DATABASES[{alias!r}]['TEST']['MIRROR'] out, or set {primary!r}."
        )
    if source.in_atomic_block:
        raise RuntimeError(f"lagging() copies what is committed on {primary!r}, where a transaction is open. {how}")
    if is_forbidden(replica):
        raise RuntimeError(f"lagging() needs a connection to {alias!r}, which this test forbids. {how}")
    if replica.in_atomic_block:
        raise RuntimeError(f"lagging() cannot begin in a transaction on the replica {alias!r}.")
