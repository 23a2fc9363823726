"""RequestRouting: the routing of one request: its pin, what it wrote, and the replica that it keeps."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import connections
from django.db.transaction import Atomic
from django.http import HttpRequest
from django.utils.functional import LazyObject

from multidb import health
from multidb.conf import conf
from multidb.health import Link
from multidb.log import complain, say_once
from multidb.pins import Pin, PinStoreUnavailable
from multidb.replicas import choose, choose_replayed, topology
from multidb.routing import Forced, Routing, pop, push


class PinSource(Protocol):
    """What a routing needs of the pin store."""

    def load(self, request: HttpRequest) -> Pin | None: ...

    def client(self, request: HttpRequest) -> Collection[str]: ...

    @property
    def client_may_change(self) -> bool: ...


class RequestRouting(Routing):
    """The routing of one request.

    ``writes``: the method is not read-only. ``wrote``: the code said that it writes (``db_write``). ``reads_only``: the
    code said that it does not (``db_read``). ``written``: the primaries on which a write was observed.
    ``ignored_tables``: where one was observed that does not pin. ``store_down``: the store cannot tell, and reads go to
    the primary then. ``pin``: what was found. ``routes``: set a list, and each routed read goes into it.
    """

    def __init__(self, request: HttpRequest, store: PinSource, writes: bool) -> None:
        self.writes = writes
        self._request = request
        self._store = store
        self._user: Any = _UNASKED
        self._client: Collection[str] | None = None
        self._client_may_change = store.client_may_change
        self._load_failed = False
        # What of the pin a replica could end; ``None`` is what only its time ends.
        self._positions: dict[str, Mapping[str, str] | None] = {}
        self._replicas: dict[str, str] = {}
        # The primaries of whose replicas none has replayed the position.
        self._unreplayed: dict[str, Mapping[str, str]] = {}
        self._links: dict[str, Link] = {}
        self._dead: set[str] = set()
        self._has_begun_again = False
        self._has_changed_something = False
        self._written: set[str] = set()
        self.written = self._written
        self._ignored_tables: set[str] = set()
        self.ignored_tables = self._ignored_tables
        self._request_blocks: dict[str | None, Atomic] = {}

    def declare_write(self) -> None:
        self.wrote = True

    def declare_read(self) -> None:
        self.writes = False
        self.reads_only = True

    def observe_write(self, alias: str, ignored_table: str | None) -> None:
        self._has_changed_something = True
        if ignored_table is None:
            self._written.add(alias)
        else:
            self._ignored_tables.add(ignored_table)

    def note_rendering(self) -> None:
        self.is_rendering = True

    def is_pinned(self, primary: str) -> bool:
        """As in ``Routing``. The pin is looked up at the first call, and once more only when the client has become
        another for the store since, as by a user who is known by now.
        """
        is_other = _user_so_far(self._request) is not self._user
        if (is_other or self._client_may_change) and self._look_up():
            self._user = _user_so_far(self._request)
        if primary not in self._positions:
            return False
        position = self._positions[primary]
        # While the store is down, there may be a pin that is further than what is known.
        return position is None or self.store_down or not self._has_replayed(primary, position)

    def replica(self, primary: str) -> str:
        """The replica of ``primary`` that this request keeps to its end."""
        replica = self._replicas.get(primary)
        if replica is None:
            replica = self._keep(primary, choose(primary, self._dead))
        return replica

    def is_of(self, request: HttpRequest) -> bool:
        return request is self._request

    def is_request_block(self, block: Atomic) -> bool:
        if block.using not in self._request_blocks and _is_view_atomic(self._request, block.using):
            self._request_blocks[block.using] = block
        return block is self._request_blocks.get(block.using)

    def may_run_again(self) -> bool:
        """Is this a request that only reads, has written nothing, and has not begun again before?"""
        return not (self._has_begun_again or self._has_changed_something or self.writes or self.wrote)

    def lost_replica(self, error: Exception) -> str | None:
        """The replica that died under the query which ``error`` has ended: this request does not read from it again.

        ``None`` if ``error`` is not that of a replica's connection, or that lives.
        """
        connection = health.connection_of(error)
        if connection is None or connection.alias not in topology().primary_of:
            return None
        if not health.has_died(connection, self._links.get(connection.alias)):
            return None
        self._replicas = {primary: alias for primary, alias in self._replicas.items() if alias != connection.alias}
        self._dead.add(connection.alias)
        return connection.alias

    def begin_again(self) -> None:
        """The view is about to be run once more."""
        self._has_begun_again = True
        self._request_blocks = {}
        self.is_rendering = False

    def _has_replayed(self, primary: str, position: Mapping[str, str]) -> bool:
        """Has the replica that this request keeps, or is about to, replayed ``position``?"""
        if self._unreplayed.get(primary) == position:
            return False  # None had at an earlier read: the request sees one state of the data.
        kept = self._replicas.get(primary)
        try:
            if kept is None:
                kept = choose_replayed(primary, position, self._dead)
            elif kept == primary or not health.has_replayed(kept, position):
                kept = None
        except SynchronousOnlyOperation:
            return False  # On the event loop: unknown for this read, but a later one on a thread can ask.
        if kept is None:
            self._unreplayed[primary] = position
            return False
        return self._keep(primary, kept) == kept

    def _keep(self, primary: str, chosen: str) -> str:
        """Keep the replica ``chosen``, unless another thread of this request has kept another. Return which."""
        kept = self._replicas.setdefault(primary, chosen)
        if kept == chosen != primary:
            self._links[kept] = health.link_to(kept)
        return kept

    def _look_up(self) -> bool:
        """Ask the store, while its own reads go to the primary. Return whether that has settled the question."""
        push(Forced.PRIMARY, self)
        try:
            client = self._client_so_far()
            self._client_may_change = self._store.client_may_change and client is not _UNKNOWN_CLIENT
            if client != self._client:
                self._load(client)
            self.store_down = self._load_failed
        except SynchronousOnlyOperation:
            # On the event loop: unknown for this read, but a later one on a thread can ask.
            self.store_down = True
            return False
        finally:
            pop(self)
        return True

    def _client_so_far(self) -> Collection[str]:
        try:
            return self._store.client(self._request)
        except (SynchronousOnlyOperation, ImproperlyConfigured):
            raise
        except PinStoreUnavailable:
            return _UNKNOWN_CLIENT
        except Exception as error:
            complain("What pins of a client are filed under cannot be told:", error)
            return _UNKNOWN_CLIENT

    def _load(self, client: Collection[str]) -> None:
        try:
            pin, is_sure = self._store.load(self._request), client is not _UNKNOWN_CLIENT
        except PinStoreUnavailable as unavailable:
            pin, is_sure = unavailable.pin, False
        self._load_failed = not is_sure and conf.pin_store_down == "primary"
        if pin is not None:
            self.pin = pin.merge(self.pin)
            self._positions = _positions(self.pin)
        # After the pin: another thread of this request that sees it asks no more.
        self._client = client


_UNASKED = object()

_UNKNOWN_CLIENT = ("unknown",)


def _user_so_far(request: HttpRequest) -> Any:
    """The user object as far as it is known, without loading a lazy one."""
    user = request.__dict__.get("user")
    return user._wrapped if isinstance(user, LazyObject) else user


def _positions(pin: Pin) -> dict[str, Mapping[str, str] | None]:
    """What has to be replayed for each primary that ``pin`` holds; ``None`` where only the time ends the hold."""
    until_replayed = conf.pinning_until == "replayed"
    if pin.holds.keys() - topology().primaries:
        say_once("A pin names what is no primary in REPLICA_DATABASES: that part pins nobody.")
    return {primary: hold.position if until_replayed else None for primary, hold in pin.holds.items()}


def _is_view_atomic(request: HttpRequest, alias: str | None) -> bool:
    """Does Django run the view of ``request`` in a transaction on ``alias``? ``False`` before the view is known."""
    match = request.resolver_match
    return (
        match is not None
        and alias is not None
        and connections.settings[alias]["ATOMIC_REQUESTS"]
        and alias not in getattr(match.func, "_non_atomic_requests", ())
    )
