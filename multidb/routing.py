"""Routing: the state of one request or job, held in a ContextVar.

A ``Scope`` says what is in force at this point of the program: the routing of the request, and whether a block of code
around this point has forced a database. Scopes are never changed, only replaced, so that threads and tasks, which copy
the context, cannot see each other's.
"""

import enum
import time
from collections.abc import Collection, Set
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.db.transaction import Atomic
from django.http import HttpRequest
from django.utils.functional import LazyObject

from multidb.conf import conf
from multidb.pins import Pin, PinStoreUnavailable
from multidb.replicas import topology


class Route(NamedTuple):
    """Where one read was sent, and by which rule."""

    alias: str
    reason: str
    model: Any
    primary: str


class PinSource(Protocol):
    """What a routing needs of the pin store."""

    def load(self, request: HttpRequest) -> Pin | None: ...

    def client(self, request: HttpRequest) -> Collection[str]: ...

    @property
    def client_may_change(self) -> bool: ...


class Routing:
    """The routing outside a request: nothing is pinned, nothing is remembered, each query takes the next replica."""

    __slots__ = ()  # One object serves every place outside a request: nothing can be set on it.

    writes = False
    wrote = False
    store_down = False
    pin: Pin | None = None
    routes: list[Route] | None = None

    def declare_write(self) -> None:
        """This request writes, whatever its method."""

    def declare_read(self) -> None:
        """This request does not write, whatever its method."""

    def pinned(self) -> Set[str]:
        """The primaries that the pin of this client is on."""
        return frozenset()

    def replica(self, primary: str) -> str:
        """The replica of ``primary`` for the next read."""
        return topology().next_replica(primary)

    def homeless_pin(self) -> Pin | None:
        """The pin that was found under a key which the client no longer has: its session's key has changed."""
        return None

    def is_of(self, request: HttpRequest) -> bool:
        """Is this the routing of ``request``?"""
        return False

    def is_request_block(self, block: Atomic) -> bool:
        """Is ``block`` the transaction that ``ATOMIC_REQUESTS`` opened around the view?"""
        return False


class RequestRouting(Routing):
    """The routing of one request.

    ``writes``: the method is not read-only. ``wrote``: the code said that it writes (``db_write``). ``store_down``: the
    pin could not be looked up. ``pin``: what was found. ``routes``: set a list, and each routed read is noted there.
    """

    def __init__(self, request: HttpRequest, store: PinSource, writes: bool) -> None:
        self.writes = writes
        self._request = request
        self._store = store
        self._user: Any = _UNASKED
        self._client: Collection[str] | None = None
        self._client_may_change = store.client_may_change
        self._load_failed = False
        self._found_by: set[str] = set()
        self._replicas: dict[str, str] = {}
        self._request_blocks: dict[str | None, Atomic] = {}

    def declare_write(self) -> None:
        self.wrote = True

    def declare_read(self) -> None:
        self.writes = False

    def pinned(self) -> Set[str]:
        """The primaries that the pin of this client is on, looked up at the first call.

        Looked up again only when the client has become another for the store since, as by a user who is known by now.
        """
        is_other = _user_so_far(self._request) is not self._user
        if (is_other or self._client_may_change) and self._look_up():
            self._user = _user_so_far(self._request)
        return frozenset() if self.pin is None else self.pin.holds.keys()

    def replica(self, primary: str) -> str:
        """The replica of ``primary`` that this request keeps to its end."""
        replica = self._replicas.get(primary)
        if replica is None:
            replica = self._replicas.setdefault(primary, topology().next_replica(primary))
        return replica

    def homeless_pin(self) -> Pin | None:
        if self.pin is None:
            return None
        try:
            kept = self._found_by.issubset(self._store.client(self._request))
        except (PinStoreUnavailable, SynchronousOnlyOperation):
            return None
        return None if kept else self.pin.held(time.time(), conf.pinning_seconds)

    def is_of(self, request: HttpRequest) -> bool:
        return request is self._request

    def is_request_block(self, block: Atomic) -> bool:
        if block.using not in self._request_blocks and _is_view_atomic(self._request, block.using):
            self._request_blocks[block.using] = block
        return block is self._request_blocks.get(block.using)

    def _look_up(self) -> bool:
        """Ask the store, while its own reads go to the primary. Return whether that has settled the question."""
        push(Forced.PRIMARY, self)
        try:
            client = self._store.client(self._request)
            if client != self._client:
                self._load(client)
            self._client_may_change = self._store.client_may_change
            self.store_down = self._load_failed
        except SynchronousOnlyOperation:
            # On the event loop: unknown for this read, but a later one on a thread can ask.
            self.store_down = True
            return False
        except PinStoreUnavailable:
            self.store_down = True
            self._client_may_change = False
        finally:
            pop(self)
        return True

    def _load(self, client: Collection[str]) -> None:
        try:
            pin = self._store.load(self._request)
        except PinStoreUnavailable:
            self._load_failed = True
        else:
            self._load_failed = False
            if pin is not None:
                self.pin = pin.merge(self.pin)
                self._found_by |= set(client)
        # After the pin: another thread of this request that sees it asks no more.
        self._client = client


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

_UNASKED = object()
_scope: ContextVar[Scope] = ContextVar("multidb_scope", default=Scope(OUTSIDE))  # noqa: B039  # a Scope is never changed


def _without(scope: Scope, block: object) -> Scope:
    if scope.outer is None:
        return scope
    return scope.outer if scope.block is block else scope._replace(outer=_without(scope.outer, block))


def _user_so_far(request: HttpRequest) -> Any:
    """The user object as far as it is known, without loading a lazy one."""
    user = request.__dict__.get("user")
    return user._wrapped if isinstance(user, LazyObject) else user


def _is_view_atomic(request: HttpRequest, alias: str | None) -> bool:
    """Does Django run the view of ``request`` in a transaction on ``alias``? ``False`` before the view is known."""
    match = request.resolver_match
    return (
        match is not None
        and alias is not None
        and connections.settings[alias]["ATOMIC_REQUESTS"]
        and alias not in getattr(match.func, "_non_atomic_requests", ())
    )
