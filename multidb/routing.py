"""Routing: the state of one request or job, held in a ContextVar.

A ``Scope`` says what is in force at this point of the program: the routing of the request, and whether a block of code
around this point has forced a database. Scopes are never changed, only replaced, so that threads and tasks, which copy
the context, cannot see each other's.
"""

import enum
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Final

from django.db.transaction import Atomic
from django.http import HttpRequest

from multidb.pins import Pin
from multidb.replicas import choose
from multidb.rollout import Mode, constant_mode
from multidb.routes import Notes, Route, Settled


class Routing:
    """The routing outside a request: nothing is pinned, nothing is remembered, each query takes the next replica."""

    __slots__ = ()  # One object serves every place outside a request: nothing can be set on it.

    writes = False
    wrote = False
    reads_only = False
    written: Collection[str] = frozenset()
    ignored_tables: Collection[str] = frozenset()
    notes: tuple[Notes, ...] = ()
    settled: Settled = Settled()
    is_rendering = False

    @property
    def pin(self) -> Pin | None:
        """The pin that this client was found to have."""
        return None

    @property
    def mode(self) -> Mode:
        """Are the reads of this request routed, or is that only tried? Asked once a request, when a read needs it.

        Outside a request nobody asks a function in ``MULTIDB_ROUTING``, and reads go to the primary.
        """
        return constant_mode() or Mode.OFF

    @property
    def is_dry_run(self) -> bool:
        """Are the rules only tried, as far as is known, and reads go to the primary whatever they say?"""
        return self.mode is Mode.DRY_RUN

    @property
    def store_down(self) -> bool:
        """Do reads go to the primary because the store cannot tell whether this client has a pin? As far as it has been
        asked; never where ``MULTIDB_PIN_STORE_DOWN`` is ``"replica"``.
        """
        return False

    def note_reads(self, notes: Notes) -> None:
        """Note each routed read in ``notes`` too, from here on."""

    def declare_mode(self, mode: Mode) -> None:
        """From here on the reads of this request are routed, or not, whatever ``MULTIDB_ROUTING`` says."""

    def declare_write(self) -> None:
        """This request writes, whatever its method."""

    def declare_read(self) -> None:
        """This request does not write, whatever its method."""

    def observe_write(self, alias: str, ignored_table: str | None) -> None:
        """A write to ``alias`` has been made: to ``ignored_table`` alone, whose writes do not pin, or to others."""

    def note_rendering(self) -> None:
        """The view has returned, and its response is rendered."""

    def look_up(self) -> None:
        """Look the pin of this client up, if that has not been done, or the client has become another since."""

    def pin_reason(self, primary: str) -> str | None:
        """Why reads of this client go to ``primary``: ``"pinned"``, a pin holds, and no replica that can be asked has
        replayed the write; ``"store down"``, the store cannot tell; ``None``, they do not.
        """
        return None

    def replica(self, primary: str) -> str:
        """The replica of ``primary`` for the next read; ``primary`` itself where none can be asked."""
        return choose(primary)

    def settle(self, route: Route, alias: str, router: object, changes: object, primary: str | None) -> None:
        """Let the reads that follow ``route`` go to ``alias`` too, as far as nothing can send them elsewhere.

        ``changes`` is what ``settled.changes`` was before ``router`` decided; ``primary`` that of ``route``, where each
        read is asked for it.
        """

    def note_stream(self) -> None:
        """The response goes on to read after the middleware has returned it."""

    def end_stream(self) -> None:
        """The response has been read, or closed."""

    def end(self) -> None:
        """The response has gone out. A task that goes on reads as before, but keeps no replica that is down."""

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


class Scope:
    """What is in force at one point of the program: a value, replaced and never changed."""

    __slots__ = ("answers", "block", "forced", "outer", "routing")

    def __init__(
        self, routing: Routing, forced: Forced | None = None, outer: "Scope | None" = None, block: object = None
    ) -> None:
        self.routing = routing
        self.forced = forced
        self.outer = outer
        self.block = block
        self.answers = routing.settled.answers if forced is None else {}


OUTSIDE: Final = Routing()

in_force: ContextVar[Scope] = ContextVar("multidb_scope", default=Scope(OUTSIDE))  # noqa: B039  # a Scope is never changed


current: Callable[[], Scope] = in_force.get
"""The scope in force here."""


resume: Callable[[Scope], object] = in_force.set
"""Puts a scope in force, whatever was."""


def end(outer: Scope) -> None:
    """End the request that is routed here, and put ``outer`` in force again, in which it began."""
    state = in_force.get().routing
    if state is not outer.routing:
        state.end()
    in_force.set(outer)


def push(forced: Forced, block: object) -> None:
    """Enter ``block``, which forces ``forced``."""
    outer = in_force.get()
    in_force.set(Scope(outer.routing, forced, outer, block))


def pop(block: object) -> None:
    """Leave ``block``, as it was entered last; blocks entered after it, which a generator may have left open, stay."""
    scope = in_force.get()
    in_force.set(scope.outer if scope.outer is not None and scope.block is block else _without(scope, block))


def force(forced: Forced) -> None:
    """From here on, to the end of the block or of the request, force ``forced``."""
    scope = in_force.get()
    in_force.set(Scope(scope.routing, forced, scope.outer, scope.block))


def _without(scope: Scope, block: object) -> Scope:
    if scope.outer is None:
        return scope
    if scope.block is block:
        return scope.outer
    return Scope(scope.routing, scope.forced, _without(scope.outer, block), scope.block)
