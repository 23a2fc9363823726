"""Model: what clients do and what befalls the servers, in any order, and the check of each read."""

from collections import Counter
from typing import ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model.choices import CHOICES, Choice
from tests.model.promises import Promises
from tests.model.visits import Visit
from tests.model.world import STORE_FAULTS, Client, World

CLIENTS = ["laptop", "phone", "visitor", "script", "robot"]
METHODS = st.sampled_from(["GET", "POST"])
PRIMARIES = st.sampled_from(["default", "users"])
REPLICAS = ["replica-1", "replica-2", "users-replica"]
# A replica catches up, twice as often as it stops or starts; or the store suffers.
EVENTS = st.sampled_from(
    ["nothing", *REPLICAS, *REPLICAS, *(f"stop or start {each}" for each in REPLICAS), *STORE_FAULTS]
)
# Which of those that there are, counted round.
PLACES = st.integers(0, 3)


class Model(RuleBasedStateMachine):
    """``tally``: how many reads were checked; of those, on a replica; with a promise to keep; and both."""

    tally: ClassVar[Counter[str]] = Counter()

    @initialize(choice=CHOICES, cast=st.lists(st.sampled_from(CLIENTS), min_size=1, max_size=2, unique=True))
    def begin_world(self, choice: Choice, cast: list[str]) -> None:
        self.begin_with(choice, cast)

    def begin_with(self, choice: Choice, cast: list[str]) -> None:
        self.world = World(choice)
        self.cast = cast
        self.promises = Promises()
        self.open: list[Visit] = []
        self.ending: list[Visit] = []
        self.answered: list[Visit] = []

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.end()

    @precondition(lambda self: self.world.has_free_worker)
    @rule(place=PLACES, method=METHODS, has_outer_transaction=st.booleans())
    def begin(self, place: int, method: str, has_outer_transaction: bool) -> None:
        self.visit(self.client(place), method, has_outer_transaction)

    @precondition(lambda self: self.open)
    @rule(place=PLACES, primary=PRIMARIES)
    def read(self, place: int, primary: str) -> None:
        self.check_read(self.open[place % len(self.open)], self.world.known(primary))

    @precondition(lambda self: self.open)
    @rule(place=PLACES, primary=PRIMARIES)
    def write(self, place: int, primary: str) -> None:
        self.open[place % len(self.open)].write(self.world.known(primary))

    @precondition(lambda self: self.open)
    @rule(place=PLACES, primary=PRIMARIES, is_kept=st.booleans())
    def open_or_close_a_transaction(self, place: int, primary: str, is_kept: bool) -> None:
        visit, primary = self.open[place % len(self.open)], self.world.known(primary)
        if visit.in_block(primary):
            visit.close_block(primary, is_kept)
        else:
            visit.open_block(primary)

    @precondition(lambda self: any(each.client.name == "script" for each in self.open))
    @rule(place=PLACES)
    def authenticate(self, place: int) -> None:
        visits = [each for each in self.open if each.client.name == "script"]
        visits[place % len(visits)].authenticate()

    @precondition(lambda self: any(each.client.session for each in self.open))
    @rule(place=PLACES)
    def touch_session(self, place: int) -> None:
        visits = [each for each in self.open if each.client.session]
        visits[place % len(visits)].touch_session()

    @precondition(lambda self: self.open)
    @rule(place=PLACES, is_marked=st.booleans())
    def respond(self, place: int, is_marked: bool) -> None:
        visit = self.open[place % len(self.open)]
        visit.respond(is_marked)
        self.sort(visit)

    @precondition(lambda self: self.ending)
    @rule(place=PLACES)
    def end(self, place: int) -> None:
        visit = self.ending[place % len(self.ending)]
        visit.end()
        self.sort(visit)

    @precondition(lambda self: self.answered)
    @rule(place=PLACES)
    def arrive(self, place: int) -> None:
        self.tell(self.answered[place % len(self.answered)])

    @precondition(lambda self: self.world.has_free_worker)
    @rule(
        place=PLACES,
        primaries=st.lists(PRIMARIES, min_size=1, max_size=2),
        in_transaction=st.booleans(),
        then=EVENTS,
        looks=st.booleans(),
    )
    def write_and_be_told(self, place: int, primaries: list[str], in_transaction: bool, then: str, looks: bool) -> None:
        """Once or twice. Then something happens, and perhaps the client looks what has become of the first one."""
        client = self.client(place)
        for primary in primaries:
            self.write_as(client, primary, in_transaction)
        self.world.happen(then)
        if looks:
            self.look_as(client, primaries[0])

    @precondition(lambda self: self.world.has_free_worker)
    @rule(place=PLACES, primary=PRIMARIES)
    def look(self, place: int, primary: str) -> None:
        self.look_as(self.client(place), primary)

    @rule(replica=st.sampled_from(REPLICAS), commits=st.integers(1, 5))
    def replay(self, replica: str, commits: int) -> None:
        self.world.replay(replica, commits)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 16.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.now += seconds

    @rule(event=EVENTS)
    def event(self, event: str) -> None:
        self.world.happen(event)

    @rule()
    def restart(self) -> None:
        process = self.world.restart()
        self.open = [visit for visit in self.open if visit.process is not process]
        self.ending = [visit for visit in self.ending if visit.process is not process]

    @precondition(lambda self: self.open)
    @rule(place=PLACES)
    def fail(self, place: int) -> None:
        visit = self.open[place % len(self.open)]
        visit.fail()
        self.sort(visit)

    def client(self, place: int) -> Client:
        """One of the cast."""
        return self.world.clients[self.cast[place % len(self.cast)]]

    def visit(self, client: Client, method: str, has_outer_transaction: bool = False) -> Visit:
        """A request of ``client`` begins, in the next process."""
        told = self.promises.count()
        visit = Visit(self.world, self.world.next_process(), client, method, told, has_outer_transaction)
        note(f"{visit.name}: {method} of {client.name} to {visit.process.name}")
        self.open.append(visit)
        return visit

    def write_as(self, client: Client, primary: str, in_transaction: bool = False) -> None:
        visit, primary = self.visit(client, "POST"), self.world.known(primary)
        if in_transaction:
            visit.open_block(primary)
        visit.write(primary)
        self.finish(visit)

    def look_as(self, client: Client, primary: str) -> None:
        visit, primary = self.visit(client, "GET"), self.world.known(primary)
        for _ in range(2):
            if visit.is_open:
                self.check_read(visit, primary)
        if visit.is_open:
            self.finish(visit)

    def finish(self, visit: Visit) -> None:
        """The view returns, and the client is told at once."""
        visit.respond()
        self.sort(visit)
        self.tell(visit)

    def tell(self, visit: Visit) -> None:
        """The response goes out, and arrives."""
        self.answered.remove(visit)
        self.promises.tell(visit)
        visit.arrive()

    def sort(self, visit: Visit) -> None:
        """Put ``visit`` where its next step is looked for, and keep its promises if it is over."""
        for visits in (self.open, self.ending):
            if visit in visits:
                visits.remove(visit)
        if visit.is_ending:
            self.ending.append(visit)
        if visit.is_over:
            self.promises.make(visit)
        if visit.response is not None:
            self.answered.append(visit)

    def check_read(self, visit: Visit, primary: str) -> None:
        reading = visit.read(primary)
        if reading is None:
            if not visit.is_open:
                self.sort(visit)
            return
        note(f"{visit.name}: reads {primary} at {reading}")
        owed = self.promises.owed(visit, primary)
        on_replica = reading.alias != primary
        self.tally.update(reads=1, on_replica=on_replica, owed=owed > 0, owed_on_replica=on_replica and owed > 0)
        assert reading.position >= owed, f"an older state: {reading.position}, and {owed} was told"
        assert reading.alias == primary or primary not in visit.wrote, "a replica after its own write"
        earlier = visit.readings[primary]
        aliases = {each.alias for each in [*earlier, reading]} - {primary}
        assert len(aliases) < 2, f"two replicas in one request: {aliases}"
        assert not earlier or reading.position >= earlier[-1].position, f"back from {earlier[-1]} to {reading}"
        if primary in visit.wrote or not visit.in_block(primary):
            earlier.append(reading)
