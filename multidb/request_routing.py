"""RequestRouting: the routing of one request: what it wrote, and the replica that it keeps."""

from collections.abc import Mapping

from django.core.exceptions import SynchronousOnlyOperation
from django.db.transaction import Atomic
from django.http import HttpRequest

from multidb import health
from multidb.atomic_requests import is_around_view
from multidb.explanation import Explanation, whole
from multidb.health import Link
from multidb.lookup import Lookup, PinSource
from multidb.pins import Pin
from multidb.replicas import choose, choose_replayed, topology
from multidb.rollout import Mode, constant_mode, mode_of
from multidb.routes import Answer, Notes, Route, Settled
from multidb.routing import Forced, Routing, pop, push
from multidb.settling import until_a_transaction


class RequestRouting(Routing):
    """The routing of one request.

    ``writes``: the method is not read-only. ``wrote``: the code said that it writes (``db_write``). ``reads_only``: the
    code said that it does not (``db_read``). ``written``: the primaries on which a write was observed.
    ``ignored_tables``: where one was observed that does not pin. ``notes``: what each routed read is noted in.
    """

    def __init__(self, request: HttpRequest, store: PinSource, writes: bool) -> None:
        self.writes = writes
        self._request = request
        self._store = store
        self._lookup = Lookup(request, store)
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
        self.notes: tuple[Notes, ...] = ()
        self._mode: Mode | None = None
        self.settled = Settled()

    @property
    def pin(self) -> Pin | None:
        return self._lookup.pin

    @property
    def store_down(self) -> bool:
        return self._lookup.is_down

    @property
    def mode(self) -> Mode:
        if self._mode is None:
            self._decide_mode()
        return self._mode or Mode.OFF

    @property
    def is_dry_run(self) -> bool:
        if self._mode is None and constant_mode() is Mode.DRY_RUN:
            self.declare_mode(Mode.DRY_RUN)  # A read that is forced to the primary has not asked for the mode.
        return self._mode is Mode.DRY_RUN

    def note_reads(self, notes: Notes) -> None:
        self.notes = (*self.notes, notes)
        self.settled.forget()

    def declare_mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.DRY_RUN and whole(self) is None:
            self.note_reads(Explanation())
        self.settled.forget()

    def declare_write(self) -> None:
        self.wrote = True
        self.settled.forget()

    def declare_read(self) -> None:
        self.writes = False
        self.reads_only = True
        self.settled.forget()

    def observe_write(self, alias: str, ignored_table: str | None) -> None:
        self._has_changed_something = True
        if ignored_table is None:
            self._written.add(alias)
        else:
            self._ignored_tables.add(ignored_table)
        self.settled.forget()

    def note_rendering(self) -> None:
        self.is_rendering = True

    def look_up(self) -> None:
        if self._lookup.refresh():
            self.settled.forget()

    def pin_reason(self, primary: str) -> str | None:
        """As in ``Routing``. The pin is looked up at the first call, and once more only when the client has become
        another for the store since, as by a user who is known by now.
        """
        self.look_up()
        # In this order: another thread of this request that looks it up says what it has found before it says so.
        is_down, positions = self._lookup.is_down, self._lookup.positions
        if primary in positions:
            position = positions[primary]
            # While the store is down, there may be a pin that is further than what is known.
            if position is None or is_down or not self._has_replayed(primary, position):
                return "pinned"
        return "store down" if is_down else None

    def replica(self, primary: str) -> str:
        """The replica of ``primary`` that this request keeps to its end."""
        replica = self._replicas.get(primary)
        if replica is None:
            replica = self._keep(primary, choose(primary, self._dead))
        return replica

    def settle(self, route: Route, alias: str, router: object, changes: object) -> None:
        if not isinstance(route.model, type):
            return
        answer: Answer | None = None
        if route.reason in ENDURING:
            answer = Answer(alias, router, route, self.notes)
        elif self._is_final(route):
            if alias == route.primary and not self.notes:
                # To which a transaction would send it too, for another reason that nobody wants to know.
                answer = Answer(alias, router, route)
            else:
                request = self._request if self._store.knows_clients else None
                answer = until_a_transaction(route, router, alias, self.notes, request, self._lookup.user)
        if answer is not None:
            self.settled.keep(answer, changes)

    def _decide_mode(self) -> None:
        mode = constant_mode()
        if mode is Mode.ON:
            self._mode = mode
            return
        try:
            self.declare_mode(mode or self._asked_mode())
        except SynchronousOnlyOperation:
            # On the event loop: unknown for this read, but a later one on a thread can ask.
            self._mode = None
            self.settled.forget()

    def _asked_mode(self) -> Mode:
        """What the function in ``MULTIDB_ROUTING`` says, whose own reads go to the primary."""
        self._mode = Mode.OFF
        push(Forced.PRIMARY, self)
        try:
            return mode_of(self._request)
        finally:
            pop(self)

    def _is_final(self, route: Route) -> bool:
        """Have the rules after that of the transaction said all that they can say about the primary of ``route``?"""
        positions = self._lookup.positions
        if route.primary in positions:
            return route.reason == "pinned" and positions[route.primary] is None
        return route.reason in ("replica", "no replica") and not self._lookup.client_may_change

    def is_of(self, request: HttpRequest) -> bool:
        return request is self._request

    def is_request_block(self, block: Atomic) -> bool:
        if block.using not in self._request_blocks and is_around_view(block, self._request):
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
        self.settled.forget()
        return connection.alias

    def begin_again(self) -> None:
        """The view is about to be run once more."""
        self._has_begun_again = True
        self._request_blocks = {}

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


# The reasons that come before that of a transaction, and stand for the rest of a request.
ENDURING = ("forced", "off", "method", "wrote")
