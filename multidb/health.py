"""Which replicas can be asked: those that are up, not too late, and (when pinned) far enough."""

import math
import select
import threading
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper

from multidb import positions, signals
from multidb.announcing import announce
from multidb.breaker import Breaker
from multidb.conf import conf
from multidb.lag import Lag
from multidb.log import logger, say_once
from multidb.positions import PositionUnavailable

# On the event loop, or in a test that forbids this database, as Django's and pytest-django's do: the query will tell.
CANNOT_TELL = (SynchronousOnlyOperation, AssertionError, RuntimeError)


def is_usable(alias: str) -> bool:
    """Can the replica ``alias`` be asked? Opens its connection, if there is none that lives."""
    if not _breaker.may_ask(alias):
        return False
    connection = connections[alias]
    try:
        _connect(connection)
        seconds = _seconds_too_late(connection)
    except Error as error:
        _late.discard(alias)
        _breaker.failed(alias, error)
        return False
    except CANNOT_TELL:
        _breaker.not_asked(alias)
        return True
    if seconds is not None:
        _late.add(alias)
        # Asked again in time to see how far it has come by then.
        _breaker.failed(alias, f"{seconds:.1f} s behind", at_most=(conf.max_replica_lag or math.inf) / 2)
        return False
    _late.discard(alias)
    _breaker.succeeded(alias)
    return True


def is_late(alias: str) -> bool:
    """Is the replica ``alias`` left alone for its lag, though it was up when it was asked?"""
    return alias in _late


def connects(alias: str) -> bool:
    """Does the database ``alias``, of which nothing is announced, take a connection?"""
    if not _quiet_breaker.may_ask(alias):
        return False
    try:
        _connect(connections[alias])
    except Error as error:
        _quiet_breaker.failed(alias, error)
        return False
    except CANNOT_TELL:
        _quiet_breaker.not_asked(alias)
        return True
    _quiet_breaker.succeeded(alias)
    return True


def has_replayed(alias: str, position: Mapping[str, str]) -> bool:
    """Has the replica ``alias``, as far as this thread's connection to it tells, replayed ``position``?

    Asks it at most one question, and none if the connection is known to be far enough. Raises
    ``SynchronousOnlyOperation`` on the event loop, if it would have to ask.
    """
    connection = connections[alias]
    reached = _remembered(connection)
    if reached is None or not positions.is_replayed(position, reached):
        reached = _ask_and_remember(connection, position)
    return positions.is_replayed(position, reached)


class Link(NamedTuple):
    """The connection over which a request reads from a replica, as it was when the replica was chosen."""

    connection: BaseDatabaseWrapper
    driver_connection: Any


def link_to(alias: str) -> Link:
    """This thread's link to ``alias``."""
    connection = connections[alias]
    return Link(connection, connection.connection)


def connection_of(error: Exception) -> BaseDatabaseWrapper | None:
    """The connection whose database raised ``error``: Django wraps what drivers raise, and knows it there."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is DatabaseErrorWrapper.__exit__.__code__:
            connection: BaseDatabaseWrapper = frame.f_locals["self"].wrapper
            return connection
    return None


def has_died(connection: BaseDatabaseWrapper, link: Link | None) -> bool:
    """Has ``connection``, on which a query has failed, been lost? What is left of it is closed. One round trip at most.

    ``link`` is how the request was linked to the same replica when it chose that.
    """
    if connection.connection is None:
        return True
    is_other = (
        link is not None and link.connection is connection and link.driver_connection is not connection.connection
    )
    if is_other and not connection.errors_occurred:
        return True  # Opened since the error: Django could not roll back on the one that it came from.
    return _close_if_dead(connection)


def resting_since(alias: str) -> float | None:
    """Since when this process leaves the replica ``alias`` alone: seconds since the epoch, or ``None``.

    Until a read has found that it can be asked again.
    """
    return _breaker.resting_since(alias)


def forget() -> None:
    """Forget what is down and late, as at the start of the process."""
    _breaker.forget()
    _quiet_breaker.forget()
    _late.clear()
    _lags.clear()


def _announce_down(alias: str, why: object) -> None:
    logger.warning("Replica %s is left alone: %s", alias, str(why).strip())
    announce(signals.replica_down, alias=alias, why=why)


def _announce_up(alias: str) -> None:
    logger.warning("Replica %s is used again.", alias)
    announce(signals.replica_up, alias=alias)


_breaker = Breaker(lambda: conf.retry_seconds, _announce_down, _announce_up)
_quiet_breaker = Breaker(lambda: conf.retry_seconds, lambda *_: None, lambda *_: None)
_late: set[str] = set()
_lags: dict[str, Lag] = {}


def _connect(connection: BaseDatabaseWrapper) -> None:
    connection.ensure_connection()  # Which may be an old one, from a pool.
    if not connection.in_atomic_block and _has_spoken(connection.connection) and _close_if_dead(connection):
        connection.ensure_connection()


def _close_if_dead(connection: BaseDatabaseWrapper) -> bool:
    """Close what is left of ``connection`` if it does not answer, and return whether it did not. One round trip."""
    if connection.connection is not None and connection.is_usable():
        return False
    if connection._thread_ident == threading.get_ident():  # type: ignore[attr-defined]  # missing in the stubs
        connection.close()
    return True


def _has_spoken(driver_connection: Any) -> bool:
    """Has the server sent what nobody asked for? That is how one that has gone, or was restarted, says goodbye."""
    if not hasattr(driver_connection, "fileno"):
        return False
    try:
        if not hasattr(select, "poll"):  # On Windows, and where gevent or eventlet have taken it away.
            return bool(select.select([driver_connection.fileno()], [], [], 0)[0])
        poll = select.poll()
        poll.register(driver_connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except Exception:  # The driver's own error: the connection is closed.
        return True


def _seconds_too_late(connection: BaseDatabaseWrapper) -> float | None:
    longest = conf.max_replica_lag
    if longest is None:
        return None
    lag = _lags.setdefault(connection.alias, Lag())
    try:
        return lag.seconds_too_late(connection, longest)
    except PositionUnavailable as unavailable:
        if isinstance(unavailable.__cause__, Error) and _close_if_dead(connection):
            raise unavailable.__cause__ from None
        _say_why(connection, "lag", unavailable, "MULTIDB_MAX_REPLICA_LAG does not count for it")
        lag.cannot_be_had()
        return None


def _remembered(connection: BaseDatabaseWrapper) -> Mapping[str, str] | None:
    """The position last seen on this very connection to the server: a new one may lead to another server."""
    seen_on, reached = vars(connection).get(_REACHED, (None, None))
    return reached if seen_on is not None and seen_on is connection.connection else None


def _ask_and_remember(connection: BaseDatabaseWrapper, position: Mapping[str, str]) -> Mapping[str, str]:
    try:
        reached = positions.replayed_position(connection)
    except PositionUnavailable as unavailable:
        if not (isinstance(unavailable.__cause__, Error) and _close_if_dead(connection)):
            _say_why(connection, "position", unavailable, "pins hold for their seconds")
        return {}
    except AssertionError:
        return {}  # Of a test that forbids this database.
    vars(connection)[_REACHED] = connection.connection, reached
    if not reached.keys() >= position.keys():
        say_once(f"A pin names a position that replica {connection.alias} cannot reach: it holds for its seconds.")
    return reached


def _say_why(connection: BaseDatabaseWrapper, what: str, unavailable: PositionUnavailable, so: str) -> None:
    say_once(f"The {what} of {connection.alias} cannot be had ({unavailable}): {so}.")


_REACHED = "_multidb_reached"
