"""Random requests, lags, faults and restarts, in any order: nobody misses what they have been told.

After every read two properties are checked.

*Read your writes.* Whoever has been told that their write succeeded never reads an older state.
Told: the response has gone out, and by the documentation it pins. Whoever: the same browser; where the store files pins
under keys, everyone with the same user, session or ``Authorization`` header. Of theirs, the requests that begin after
the response went out; and for a user who becomes known only inside the view, the reads after that.
For how long: for the pin's seconds from the moment when the view returned. A replica that lags longer is read from.
What stores lose by design is promised to nobody, nor what a process cannot know of yet: see ``tests.model.promises``.

*One state.* All reads of a request that go to replicas of one primary go to the same one. A request that has written to
a primary reads from that. No read is older than the one before; but a transaction that only reads is a state of its
own, on the primary, and what is read after it may be older.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import mutants
from tests.model.machine import Model
from tests.model.outages import Outages

PROFILE = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,  # A slow machine is no failure.
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],  # Each example starts threads and Django's handler.
)


@pytest.fixture(autouse=True)
def _unblocked(django_db_blocker: Any) -> Iterator[None]:
    """The modelled connections are none that pytest-django guards."""
    with django_db_blocker.unblock():
        yield


def test_nobody_reads_an_older_state_than_they_have_been_told() -> None:
    run_state_machine_as_test(Model, settings=PROFILE)


def test_nor_do_clients_without_cookies_while_redis_goes_and_comes_back() -> None:
    run_state_machine_as_test(Outages, settings=settings(PROFILE, max_examples=40, stateful_step_count=20))


# Each, and the model that finds it.
BUGS = {
    mutants.no_merge: Model,
    mutants.pin_before_commit: Model,
    mutants.lookup_from_a_replica: Model,
    mutants.owed_pins_are_dropped: Outages,
    mutants.no_wait_for_what_others_owe: Outages,
}


@pytest.mark.parametrize(("mutant", "model"), BUGS.items(), ids=[mutant.__name__ for mutant in BUGS])
def test_it_finds_the_bug(mutant: Any, model: type[Model]) -> None:
    """Usually long before the most examples that it may try; which they are changes with every change of the model."""
    without_shrinking = settings(PROFILE, phases=[Phase.generate], max_examples=1000)
    with mutant(), pytest.raises(AssertionError, match="an older state"):
        run_state_machine_as_test(model, settings=without_shrinking)
