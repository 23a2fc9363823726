"""Failures of a pin store: none fails a request."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pickle import PickleError
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation, SynchronousOnlyOperation
from django.db import DataError, IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from multidb.log import complain
from multidb.pins import PinStoreUnavailable
from multidb.savepoints import in_passing_on

# What a store raises because of one client or of a bug, and not because its server is down.
ERRORS_OF_ONE_REQUEST = (
    ArithmeticError,
    AttributeError,
    DataError,
    EOFError,
    ImportError,
    IntegrityError,
    LookupError,
    PickleError,
    SuspiciousOperation,
    TransactionManagementError,
    TypeError,
    ValueError,
)


asking: ContextVar[bool] = ContextVar("multidb_asking", default=False)
"""Is a store asking a cache or a database here? What it writes there is not written by the client."""


@contextmanager
def asking_in_transaction_of_view() -> Iterator[None]:
    """``in_transaction_of_view``, where it is the store itself that asks."""
    before = asking.set(True)
    try:
        with in_transaction_of_view():
            yield
    finally:
        asking.reset(before)


@contextmanager
def in_transaction_of_view() -> Iterator[None]:
    """Inside, a query that fails does not end the transaction of ``ATOMIC_REQUESTS`` on its database.

    That takes a savepoint where such a transaction is open and something is asked: two queries.
    """
    with in_passing_on(filter(_is_of_site, connections.all(initialized_only=True))):
        yield


@contextmanager
def saving() -> Iterator[None]:
    """Complain of whatever goes wrong inside: no request fails for it."""
    try:
        yield
    except ImproperlyConfigured:
        raise
    except PinStoreUnavailable:
        pass  # The breaker has said so.
    except Exception as error:
        complain("The pin of a client could not be saved:", error)


@contextmanager
def reading() -> Iterator[None]:
    """Complain of whatever goes wrong inside, and raise it as ``PinStoreUnavailable``."""
    try:
        yield
    except (PinStoreUnavailable, SynchronousOnlyOperation, ImproperlyConfigured):
        raise
    except Exception as error:
        complain("The pin of a client could not be looked up:", error)
        raise PinStoreUnavailable from error


def _is_of_site(connection: BaseDatabaseWrapper) -> bool:
    """Is a transaction open on ``connection`` besides that of a test, which may count queries?"""
    blocks: list[Any] = connection.atomic_blocks
    return any(not block._from_testcase for block in blocks)
