"""``benchmarks/scaling.py`` counts what can be worked out by hand."""

import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(1, str(Path(__file__).parents[1]))

from benchmarks.simulation import stores
from benchmarks.simulation.options import Options, parse
from benchmarks.simulation.pins import Pins
from benchmarks.simulation.replication import Replicas
from benchmarks.simulation.report import little, tables
from benchmarks.simulation.run import UNTIL, Load, Way, run
from benchmarks.simulation.visits import poisson, requests

SMALL = Options(users=100_000, duration=30)


def way_of(load: Load, trigger: str, until: str) -> Way:
    return next(way for way in load.ways if (way.trigger, way.until) == (trigger, until))


def test_the_same_seed_gives_the_same_figures_and_another_does_not() -> None:
    assert run(SMALL) == run(SMALL)
    assert run(SMALL) != run(replace(SMALL, seed=2))


def test_where_nobody_writes_nobody_is_pinned() -> None:
    load = run(replace(SMALL, writes=0))
    assert load.writes == 0
    assert load.reads > 0
    assert set(load.live["method"] + load.live["write"]) == {0}
    assert {way.reads_on_primary for way in load.ways} == {0}


def test_requests_that_change_nothing_pin_by_their_method_only() -> None:
    load = run(replace(SMALL, empty=1))
    assert min(load.live["method"]) > 0
    assert set(load.live["write"]) == {0}


def test_live_pins_are_those_of_little_s_law_where_nobody_writes_twice() -> None:
    """Visits of one request."""
    options = replace(SMALL, users=1_000_000, visit=1)
    load = run(options)
    live = load.live["method"]
    assert sum(live) / len(live) == pytest.approx(little(options, load, "method"), rel=0.05)


def test_who_writes_again_has_one_pin_still() -> None:
    """Of users who write every second, pins are far fewer than Little's law says of their writes."""
    options = replace(SMALL, users=10_000, actions=1000, writes=1, think=1, visit=1000)
    load = run(options)
    live = load.live["method"]
    assert max(live) < little(options, load, "method") / 5


def test_requests_come_as_often_as_the_options_say() -> None:
    load = run(replace(SMALL, users=1_000_000))
    assert (load.reads + load.writes) / SMALL.duration == pytest.approx(SMALL.requests_a_second * 10, rel=0.05)
    assert load.writes / (load.reads + load.writes) == pytest.approx(SMALL.writes, rel=0.1)


def test_each_read_is_counted_once_for_each_way_to_pin() -> None:
    load = run(SMALL)
    assert {way.reads_on_primary + sum(way.reads_of) for way in load.ways} == {load.reads}


def test_with_elapsed_all_reads_of_who_is_pinned_are_on_the_primary() -> None:
    load = run(SMALL)
    way = way_of(load, "method", "elapsed")
    assert way.reads_on_primary == way.pinned_reads > 0
    assert way.questions == 0


def test_with_replayed_none_is_where_replicas_hardly_lag_and_all_are_where_they_lag_for_longer() -> None:
    assert way_of(run(replace(SMALL, lag=0.0001, lag_tail=0.0001)), "write", "replayed").reads_on_primary == 0
    late = way_of(run(replace(SMALL, lag=3600, lag_tail=3600)), "write", "replayed")
    assert late.reads_on_primary == late.pinned_reads > 0
    assert late.questions == 3 * late.pinned_reads


def test_the_library_s_own_pins_say_the_same() -> None:
    load = run(replace(SMALL, users=1000, actions=5000))
    assert load.checked > 100
    assert load.differing == 0


def test_a_pin_that_the_library_would_not_keep_is_counted_as_differing() -> None:
    pins = Pins(SMALL)
    pins.add(0, 1.0)
    pins._texts.clear()
    assert pins.written(0, 2.0) == 1.0
    assert pins.differing == 1


def test_pins_that_have_run_out_take_no_memory() -> None:
    pins = Pins(SMALL)
    for user in range(1000):
        pins.add(user, user / 1000)
    pins.add(1, 10)
    pins.drop_old(16)
    assert len(pins) == 1
    assert not pins._texts


def test_what_a_replica_has_replayed_it_keeps() -> None:
    replicas = Replicas(replace(SMALL, lag=0.5, lag_tail=30), random.Random(1))
    reached = [replicas.reached(0, now / 10) for now in range(1000)]
    assert reached == sorted(reached)
    assert all(place <= now / 10 for now, place in enumerate(reached))


def test_one_replica_that_lags_is_asked_once() -> None:
    replicas = Replicas(replace(SMALL, replicas=1, lag=10, lag_tail=10), random.Random(1))
    assert replicas.choose_replayed(5, 4) == (None, 1)
    assert replicas.choose_replayed(15, 4) == (0, 1)


@pytest.mark.parametrize("mean", [0, 3, 5000])
def test_counts_that_come_at_random_have_their_mean(mean: int) -> None:
    chance = random.Random(1)
    counts = [poisson(chance, mean) for _ in range(2000)]
    assert sum(counts) / len(counts) == pytest.approx(mean, rel=0.05)


def test_requests_are_in_the_order_of_time() -> None:
    times = [now for now, _, _ in requests(SMALL, random.Random(1), 10)]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--users", "0"], "argument --users: '0' is not a number from 1 to 1,000,000,000"),
        (["--users", "many"], "argument --users: 'many' is not a number from 1 to 1,000,000,000"),
        (["--writes", "1.5"], "argument --writes: '1.5' is not a number from 0 to 1"),
        (["--writes", "nan"], "argument --writes: 'nan' is not a number from 0 to 1"),
        (["--seconds", "0"], "argument --seconds: '0' is not a number from 1 to 3,600"),
        (["--replicas", "0"], "argument --replicas: '0' is not a number from 1 to 1,000"),
        (["--lag", "3", "--lag-tail", "2"], "argument --lag-tail: 2.0 is not from 3.0 (--lag) to 3600"),
        (["--duration", "3600"], "and at most 20,000,000 are simulated"),
    ],
)
def test_an_impossible_option_is_named_with_what_is_allowed(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, "")
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_the_tables_hold_for_a_site_without_writes() -> None:
    options = replace(SMALL, writes=0)
    redis = {until: stores.Redis(300, 3, 3, False) for until in UNTIL}
    cookies = {until: stores.cookie_bytes(options, until) for until in UNTIL}
    printed = tables(options, run(options), redis, cookies)
    assert "| reads on the primary | 0.00% | 0.00% | 0.00% | 0.00% |" in printed
    assert "| load of the primary, 1 without pins | none | none | none | none |" in printed
    assert "300 (bound)" in printed


def test_a_cookie_with_a_position_is_longer() -> None:
    by_time, by_position = (sum(stores.cookie_bytes(SMALL, until)) for until in UNTIL)
    assert 0 < by_time < by_position


def test_a_real_redis_holds_a_key_in_less_than_the_documented_bound() -> None:
    """Also what the library sends: a command for each key, and one for the marker."""
    figures = stores.redis_figures(SMALL, "replayed")
    assert 0 < figures.bytes_a_key <= stores.BOUND
    assert (figures.commands_of_a_read, figures.commands_of_a_write) == (3, 3)


def test_without_a_redis_the_documented_bound_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: Any) -> None:
        raise stores.ServersMissing

    monkeypatch.setattr(stores, "RedisServer", missing)
    assert stores.redis_figures(SMALL, "elapsed") == stores.Redis(300, 3, 3, False)
