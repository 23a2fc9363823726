"""Routing: the state of one request or job, held in a ContextVar.

A ``Scope`` says what is in force at this point of the program: the routing of the request, and whether a block of code
around this point has forced a database. Scopes are never changed, only replaced, so that threads and tasks, which copy
the context, cannot see each other's.
"""

import enum
from collections.abc import Collection
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.db.transaction import Atomic
from django.http import HttpRequest

from multidb.pins import Pin
from multidb.replicas import choose


class Route(NamedTuple):
    """Where one read was sent, and by which rule."""

    alias: str
    reason: str
    model: Any
    primary: str


class Routing:
    """The routing outside a request: nothing is pinned, nothing is remembered, each query takes the next replica."""

    __slots__ = ()  # One object serves every place outside a request: nothing can be set on it.

    writes = False
    wrote = False
    reads_only = False
    written: Collection[str] = frozenset()
    ignored_tables: Collection[str] = frozenset()
    store_down = False
    pin: Pin | None = None
    routes: list[Route] | None = None
    is_rendering = False

    def declare_write(self) -> None:
        """This request writes, whatever its method."""

    def declare_read(self) -> None:
        """This request does not write, whatever its method."""

    def observe_write(self, alias: str, ignored_table: str | None) -> None:
        """A write to ``alias`` has been made: to ``ignored_table`` alone, whose writes do not pin, or to others."""

    def note_rendering(self) -> None:
        """The view has returned, and its response is rendered."""

    def is_pinned(self, primary: str) -> bool:
        """Does a pin of this client hold ``primary``, and no replica that can be asked has replayed its write?"""
        return False

    def replica(self, primary: str) -> str:
        """The replica of ``primary`` for the next read; ``primary`` itself where none can be asked."""
        return choose(primary)

    def is_of(self, request: HttpRequest) -> bool:
        """Is this the routing of ``request``?"""
        return False

    def is_request_block(self, block: Atomic) -> bool:
        """Is ``block`` the transaction that ``ATOMIC_REQUESTS`` opened around the view?"""
        return False


class Forced(enum.Enum):
    """Where a block of code has said that its reads go, or that nothing shall send them to the primary."""

    PRIMARY = enum.auto()
    REPLICA = enum.auto()
    UNPINNED = enum.auto()


class Scope(NamedTuple):
    """What is in force at one point of the program: a value, replaced and never changed."""

    routing: Routing
    forced: Forced | None = None
    outer: "Scope | None" = None
    block: object = None


def current() -> Scope:
    """The scope in force here."""
    return _scope.get()


def resume(scope: Scope) -> None:
    """Put ``scope`` in force, whatever was."""
    _scope.set(scope)


def push(forced: Forced, block: object) -> None:
    """Enter ``block``, which forces ``forced``."""
    outer = _scope.get()
    _scope.set(Scope(outer.routing, forced, outer, block))


def pop(block: object) -> None:
    """Leave ``block``, as it was entered last; blocks entered after it, which a generator may have left open, stay."""
    _scope.set(_without(_scope.get(), block))


def force(forced: Forced) -> None:
    """From here on, to the end of the block or of the request, force ``forced``."""
    _scope.set(_scope.get()._replace(forced=forced))


OUTSIDE = Routing()

_scope: ContextVar[Scope] = ContextVar("multidb_scope", default=Scope(OUTSIDE))  # noqa: B039  # a Scope is never changed


def _without(scope: Scope, block: object) -> Scope:
    if scope.outer is None:
        return scope
    return scope.outer if scope.block is block else scope._replace(outer=_without(scope.outer, block))
