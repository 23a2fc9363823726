"""Failures of a pin store: none fails a request."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation, SynchronousOnlyOperation
from django.db import DataError
from django.db.transaction import TransactionManagementError

from multidb.log import complain
from multidb.pins import PinStoreUnavailable

# What a store raises because of one client or of a bug, and not because its server is down.
ERRORS_OF_ONE_REQUEST = (
    ArithmeticError,
    AttributeError,
    DataError,
    LookupError,
    SuspiciousOperation,
    TransactionManagementError,
    TypeError,
    ValueError,
)


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
