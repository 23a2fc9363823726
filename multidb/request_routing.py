"""RequestRouting: the routing of one request: what it wrote, and what its client's pin says of its reads."""

from django.core.exceptions import SynchronousOnlyOperation
from django.db.transaction import Atomic
from django.http import HttpRequest

from multidb import health
from multidb.atomic_requests import is_around_view
from multidb.backends.failures import asking
from multidb.explanation import Explanation, whole
from multidb.kept_replicas import KeptReplicas
from multidb.lookup import Lookup, PinSource
from multidb.pins import Pin
from multidb.rollout import Mode, constant_mode, mode_of
from multidb.routes import Answer, Notes, Route, Settled
from multidb.routing import Forced, Routing, pop, push
from multidb.settling import Condition, same_connection, same_user, until_a_transaction


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
        self._replicas = KeptReplicas()
        self._has_begun_again = False
        self._is_streamed = False
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
        if asking.get():
            return  # What a store writes to find a pin, as the database cache that deletes what is old.
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
            if position is None or is_down or not self._replicas.has_replayed(primary, position):
                return "pinned"
        return "store down" if is_down else None

    def replica(self, primary: str) -> str:
        return self._replicas.choose(primary)

    def settle(self, route: Route, alias: str, router: object, changes: object, primary: str | None) -> None:
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
                answer = until_a_transaction(route, router, alias, self.notes, self._conditions(route))
        if answer is not None:
            # That of a session is forced, and one of its tables may be ignored.
            is_of_any = route.reason != "forced" and not self._ignored_tables
            self.settled.keep(route.model, answer, changes, is_of_any, primary)

    def _conditions(self, route: Route) -> list[Condition]:
        """What ``route`` stands on besides, which nobody tells if it changes."""
        conditions = []
        if self._store.knows_clients:
            conditions.append(same_user(self._request, self._lookup.user, self._lookup.auser))
        if route.reason == "replica" and route.primary in self._lookup.positions:
            conditions.append(same_connection(*health.link_to(route.alias)))  # Which has replayed the position.
        return conditions

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
        if route.reason == "pinned":
            position = self._lookup.positions.get(route.primary, {})
            return position is None or self._replicas.is_known_behind(route.primary, position)
        if self._replicas.has_ended or route.primary not in self._replicas.kept:
            return False
        return route.reason in ("replica", "no replica") and not self._lookup.client_may_change

    def note_stream(self) -> None:
        self._is_streamed = True

    def end(self) -> None:
        if not self._is_streamed:
            self._replicas.has_ended = True
            if self._replicas.kept:
                self.settled.forget()

    def end_stream(self) -> None:
        self._is_streamed = False
        self.end()

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
        lost = self._replicas.lose(error)
        if lost is not None:
            self.settled.forget()
        return lost

    def begin_again(self) -> None:
        """The view is about to be run once more."""
        self._has_begun_again = True
        self._request_blocks = {}


# The reasons that come before that of a transaction, and stand for the rest of a request.
ENDURING = ("forced", "off", "method", "wrote")
