"""Outages: the model, where Redis goes and comes back all the time, and clients without cookies write meanwhile."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.model.choices import OUTAGE_CHOICES, Choice
from tests.model.machine import PRIMARIES, Model

# What Redis did not take is brought 4 to 6 seconds after the failure at the soonest, and others wait for 6 seconds.
WAITS = st.sampled_from([2.0, 6.5])


class Outages(Model):
    @initialize(choice=OUTAGE_CHOICES)
    def begin_world(self, choice: Choice) -> None:
        self.begin_with(choice, ["script", "robot"])

    @rule(seconds=WAITS)
    def time_passes(self, seconds: float) -> None:
        self.world.clock.now += seconds

    @precondition(lambda self: self.world.has_free_worker)
    @rule(primary=PRIMARIES, waits=st.lists(WAITS, min_size=1, max_size=4))
    def write_while_redis_is_down(self, primary: str, waits: list[float]) -> None:
        """Each process that can notices. Then Redis is back, and the client looks again and again, here and there."""
        client = self.client(0)
        self.world.redis_is_up(False)
        for _ in self.world.processes:
            self.look_as(client, primary)
        self.write_as(client, primary)
        self.world.redis_is_up(True)
        for seconds in waits:
            self.world.clock.now += seconds
            self.look_as(client, primary)
