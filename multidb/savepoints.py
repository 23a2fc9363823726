"""Savepoints: what is asked in passing, inside a transaction of somebody else's, cannot end that transaction."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError


@contextmanager
def in_passing_on(connections: Iterable[BaseDatabaseWrapper]) -> Iterator[None]:
    """``in_passing`` on each of ``connections`` on which a transaction is open."""
    with ExitStack() as savepoints:
        for connection in dict.fromkeys(connections):  # Of which two aliases may share one.
            if connection.in_atomic_block:
                savepoints.enter_context(in_passing(connection))
        yield


@contextmanager
def in_passing(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Inside, what fails on ``connection`` is undone, and the transaction that is open there goes on.

    The savepoint is made by the first query: whoever makes none costs nothing. What does not pass through ``execute()``
    makes none. Raises what is raised inside, and an error where a block inside has failed in secret. A transaction that
    cannot be brought back to where it was is broken, and ends as any of Django's that is.
    """
    made: list[str | None] = []
    was_broken, hooks = connection.needs_rollback, len(connection.run_on_commit)

    def in_savepoint(execute: Callable[..., Any], *query: Any) -> Any:
        if not made:
            made.append(None)  # Before the savepoint, which is a query too.
            made[0] = connection.savepoint()
        return execute(*query)

    # The first is the innermost block: its savepoint, which is a query of the blocks around it, is made after theirs.
    connection.execute_wrappers.insert(0, in_savepoint)
    try:
        yield
        if connection.needs_rollback and not was_broken:
            raise TransactionManagementError("A block inside has failed, or the connection was closed.")
        if made and made[0]:
            connection.savepoint_commit(made[0])
    except BaseException:
        del connection.run_on_commit[hooks:]
        connection.needs_rollback = was_broken or connection.closed_in_transaction
        if made:
            _undo(connection, made[0])
        raise
    finally:
        connection.execute_wrappers.remove(in_savepoint)


def _undo(connection: BaseDatabaseWrapper, savepoint: str | None) -> None:
    """Go back to ``savepoint``. Where there is none, or it has gone, as with a deadlock, the transaction is broken."""
    if savepoint is not None:
        with suppress(Error):
            connection.savepoint_rollback(savepoint)
            connection.savepoint_commit(savepoint)
            return
    connection.needs_rollback = True
