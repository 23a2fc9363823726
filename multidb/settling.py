"""Settling: the answer for the reads that follow one read, while nothing can send them elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from multidb import event_loop
from multidb.routes import Answer, Notes, Route, here

Condition = Callable[[], bool]


def until_a_transaction(
    route: Route, router: object, alias: str, notes: tuple[Notes, ...], conditions: Sequence[Condition]
) -> Answer | None:
    """The answer ``alias``, in this thread, while ``conditions`` hold, until a transaction is opened on the primary of
    ``route``. ``None`` if the reads that follow have to be decided each.
    """
    still = _all_of(conditions)
    if (still is not None and not still()) or (event_loop.is_running() and event_loop.may_use_databases()):
        return None
    primary = connections[route.primary]
    block = primary.atomic_blocks[-1] if primary.atomic_blocks else None
    return Answer(alias, router, route, notes, primary, here.thread, block, still)


def same_user(request: HttpRequest, known: Any, auser: Any) -> Condition:
    """The user of ``request`` is ``known``, as far as that is known, and its ``auser`` that one: as when the store was
    asked about it last.
    """
    attributes = vars(request)
    user = attributes.get("user")
    lazy = object.__getattribute__(user, "__dict__") if isinstance(user, LazyObject) else {"_wrapped": user}
    loaded = lazy["_wrapped"]
    is_loaded = loaded is not None and loaded is not empty
    if loaded is not known and (is_loaded or known is not auser):
        return lambda: False
    return lambda: attributes.get("user") is user and lazy["_wrapped"] is loaded and attributes.get("auser") is auser


def same_connection(connection: BaseDatabaseWrapper, driver_connection: Any) -> Condition:
    """``connection`` is still that over ``driver_connection``, which leads to one server."""
    return lambda: driver_connection is not None and connection.connection is driver_connection


def _all_of(conditions: Sequence[Condition]) -> Condition | None:
    if len(conditions) > 1:
        return lambda: all(holds() for holds in conditions)
    return conditions[0] if conditions else None
