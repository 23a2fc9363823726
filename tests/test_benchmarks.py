"""The checker of ``benchmarks/consistency.py`` finds every broken promise, and no other; and so does a run of it."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parents[1] / "benchmarks"))

from history.checker import Promise, violations
from history.faults import KINDS, LASTING, plan
from history.operations import Operation, Outcome
from history.report import Run, table
from servers.redis import RedisServer

from tests.servers import started

COMMAND = Path(__file__).parents[1] / "benchmarks" / "consistency.py"

DONE, FAILED, UNANSWERED, KILLED = Outcome


def wrote(value: int, start: float, end: float, outcome: Outcome = DONE, client: str = "ada") -> Operation:
    return Operation(client, "session", "worker-1", True, value, start, end, outcome)


def read(value: int, start: float, end: float, outcome: Outcome = DONE, client: str = "ada") -> Operation:
    return Operation(client, "session", "worker-1", False, value, start, end, outcome)


KEPT = {
    "a read after a write shows it": ([wrote(1, 0, 1), read(1, 1, 2)], [1]),
    "a read shows a later write": ([wrote(1, 0, 1), wrote(2, 1, 2), read(2, 2, 3)], [1, 2]),
    "a read that overlaps a write shows it": ([wrote(1, 0, 2), read(1, 1, 3)], [1]),
    "a read that overlaps a write does not show it": ([wrote(1, 0, 2), read(0, 1, 3)], [1]),
    "a read that failed shows nothing": ([wrote(1, 0, 1), read(0, 1, 2, FAILED)], [1]),
    "a failed write has no effect": ([wrote(1, 0, 1, FAILED), read(0, 1, 2)], []),
    "a failed write has an effect": ([wrote(1, 0, 1, FAILED), read(1, 1, 2)], [1]),
    "an unanswered write is seen once": ([wrote(1, 0, 1, UNANSWERED), read(1, 1, 2), read(0, 2, 3)], [1]),
    "a write of a killed worker has an effect after a later one": (
        [wrote(1, 0, 1, KILLED), wrote(2, 1, 2), read(2, 2, 3)],
        [2, 1],
    ),
    "writes that overlap take effect in any order": ([wrote(1, 0, 2), wrote(2, 1, 3), read(2, 3, 4)], [2, 1]),
    "what another client wrote need not be shown": ([wrote(1, 0, 1), read(0, 1, 2, client="grace")], [1]),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_history_that_keeps_its_promises_is_not_blamed(case: str) -> None:
    history, register = KEPT[case]
    assert violations(history, {"ada": register}) == []


STALE, INVENTED, LOST, ORDER = (
    Promise.READ_YOUR_WRITES,
    Promise.NOTHING_INVENTED,
    Promise.NOTHING_LOST,
    Promise.MONOTONIC_WRITES,
)

# The history, its client's register on the primary, and what it breaks: the promise, which operation, what is expected.
BROKEN = {
    "a read after a write does not show it": ([wrote(1, 0, 1), read(0, 1, 2)], [1], [(STALE, 1, 1)]),
    "a read shows the write before the last": (
        [wrote(1, 0, 1), wrote(2, 1, 2), read(1, 3, 4)],
        [1, 2],
        [(STALE, 2, 2)],
    ),
    "a write was seen, and then not": (
        [wrote(1, 0, 1), read(1, 1, 2), read(0, 2, 3), read(1, 3, 4)],
        [1],
        [(STALE, 2, 1)],
    ),
    "a write that failed does not excuse the one before it": (
        [wrote(1, 0, 1), wrote(2, 1, 2, FAILED), read(0, 2, 3)],
        [1],
        [(STALE, 2, 1)],
    ),
    "a write that overlaps the read does not excuse the one before it": (
        [wrote(1, 0, 1), wrote(2, 2, 5), read(0, 3, 4)],
        [1, 2],
        [(STALE, 2, 1)],
    ),
    "the order of the records is not that of the time": ([read(0, 2, 3), wrote(1, 0, 1)], [1], [(STALE, 0, 1)]),
    "a read shows what nobody wrote": ([wrote(1, 0, 1), read(2, 1, 2)], [1], [(INVENTED, 1, 1)]),
    "a read shows what is written after it": ([read(1, 0, 1), wrote(1, 1, 2)], [1], [(INVENTED, 0, 0)]),
    "a write is not on the primary": ([wrote(1, 0, 1), wrote(2, 1, 2), read(2, 2, 3)], [2], [(LOST, 0, 1)]),
    "no write is on the primary": ([wrote(1, 0, 1)], [], [(LOST, 0, 1)]),
    "two writes took effect the other way round": ([wrote(1, 0, 1), wrote(2, 1, 2)], [2, 1], [(ORDER, 1, 1)]),
    "the first of three writes took effect last": (
        [wrote(1, 0, 1), wrote(2, 1, 2), wrote(3, 2, 3)],
        [2, 3, 1],
        [(ORDER, 1, 1), (ORDER, 2, 1)],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_found_with_the_operation_that_breaks_it(case: str) -> None:
    history, register, expected = BROKEN[case]
    found = violations(history, {"ada": register})
    assert [(each.promise, history.index(each.operation), each.expected) for each in found] == expected


def test_each_client_has_a_history_of_its_own() -> None:
    history = [wrote(1, 0, 1), wrote(1, 0, 1, client="grace"), read(0, 1, 2, client="grace")]
    [found] = violations(history, {"ada": [1], "grace": [1]})
    assert found == (STALE, history[2], 1)


def test_it_finds_what_the_definition_of_read_your_writes_finds() -> None:
    """In histories made at random, of operations that overlap and fail."""
    broken = 0
    for seed in range(300):
        chance = random.Random(seed)
        history = [_at_random(value, chance) for value in range(1, 40)]
        found = {each.operation for each in violations(history, {}) if each.promise is STALE}
        assert found == {each for each in history if _is_stale(each, history)}
        broken += len(found)
    assert broken > 1000


def _at_random(value: int, chance: random.Random) -> Operation:
    start = chance.random()
    outcome = chance.choice([DONE, DONE, FAILED, UNANSWERED])
    make = chance.choice([wrote, read])
    return make(value if make is wrote else chance.randrange(40), start, start + chance.random() / 4, outcome)


def _is_stale(read: Operation, history: list[Operation]) -> bool:
    told = [each.value for each in history if each.writes and each.is_done and each.end <= read.start]
    return not read.writes and read.is_done and read.value < max(told, default=0)


def test_a_seed_repeats_the_faults_and_they_are_of_every_kind() -> None:
    faults = plan(24, random.Random(7))
    assert faults == plan(24, random.Random(7)) != plan(24, random.Random(8))
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert 0 < faults[0].at < faults[-1].at < 1
    assert min([fault.kind for fault in faults].count(kind) for kind in KINDS) >= 3


@pytest.mark.parametrize(("kind", "kept"), [("Redis killed", "pin"), ("Redis killed and empty", None)])
def test_a_redis_that_was_killed_has_its_pins_or_has_lost_them(
    request: pytest.FixtureRequest, kind: str, kept: str | None
) -> None:
    for redis in started(request, lambda: RedisServer(**LASTING)):
        redis.execute("SET", "key", "pin")
        KINDS[kind].begin(redis)
        assert not redis.is_running
        KINDS[kind].end(redis)
        assert redis.execute("GET", "key") == kept


def test_the_report_tells_the_share_of_reads_on_the_primary_by_kind_of_client() -> None:
    on_primary, on_replica = (("default", "pinned"),), (("replica-1", "replica"),)
    reads = [("session", on_primary), ("session", on_replica), ("visitor", on_replica), ("token", on_primary)]
    history = [read(0, 0, 1)._replace(kind=kind, routes=routes) for kind, routes in reads]
    lines = table(Run(0, 1, history, [], []), ["session", "visitor", "token"]).splitlines()
    names, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    shares = {row[0]: row[names.index("reads on the primary")] for row in rows}
    assert shares == {"session": "50.0%", "visitor": "0.0%", "token": "100.0%", "all": "50.0%"}


def test_a_run_with_a_store_that_loses_pins_finds_stale_reads(request: pytest.FixtureRequest) -> None:
    """Nothing else breaks: the clients that such a store pins miss what they wrote, and the others do not."""
    # Short pins: for so long a store that is new, or was late once, sends reads to the primary, and misses nothing.
    # The operations end the run, not the seconds: a busy machine that makes few of them in a while has to go on.
    options = ["--seconds", "90", "--operations", "4000", "--pins", "2", "--faults", "0", "--clients", "9"]
    options += ["--lose-pins", "2", "--seed", "1"]
    run = subprocess.run([sys.executable, COMMAND, *options], capture_output=True, text=True, check=False)
    if run.returncode == 2 and not request.config.getoption("--services"):
        pytest.skip(run.stderr)
    assert run.returncode == 1, run.stderr
    rows = re.findall(r"\| (\w+) (\|.*)", run.stdout)
    counts = {name: [int(count) for count in re.findall(r" (\d+) \|", cells)] for name, cells in rows}
    stale, failures = 2, slice(3, None)
    assert counts["session"][stale] > 0, run.stdout
    assert counts["token"][stale] > 0, run.stdout
    assert counts["visitor"][stale] == 0
    assert not any(counts["all"][failures]), run.stderr
