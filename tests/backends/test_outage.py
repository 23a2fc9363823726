"""Outage: what a process knows of the failures of its pin store."""

import time
from typing import Any

import pytest

from multidb import signals
from multidb.backends.outage import Outage
from multidb.pins import DEPLOYED_SECONDS
from tests.conftest import Ahead, Clock, lines


@pytest.fixture
def outage() -> Outage:
    return Outage("Store")


def test_nothing_is_missing_from_a_store_that_has_not_failed(outage: Outage) -> None:
    assert not outage.may_miss_pins()


def test_pins_are_missed_until_the_longest_has_run_out(outage: Outage, clock: Clock) -> None:
    outage.miss_for(10)
    outage.miss_for(5)
    clock.advance(9.9)
    assert outage.may_miss_pins()
    clock.advance(0.2)
    assert not outage.may_miss_pins()


def test_a_store_that_has_lost_all_may_lack_what_was_written_a_moment_ago(
    outage: Outage, clock: Clock, settings: Any
) -> None:
    settings.MULTIDB_PINNING_SECONDS = 7
    outage.lost_all()
    clock.advance(6.9)
    assert outage.may_miss_pins()
    clock.advance(0.2)
    assert not outage.may_miss_pins()


def test_what_a_clock_that_has_jumped_says_does_not_count(outage: Outage) -> None:
    outage.miss_until(round((time.time() + 15 + DEPLOYED_SECONDS + 1) * 1000))
    assert not outage.may_miss_pins()
    assert outage.missing_until == 0


def test_a_store_that_has_failed_is_left_alone_for_its_time(outage: Outage, monotonic: Ahead) -> None:
    assert not outage.is_resting()
    outage.failed(OSError())
    assert outage.is_resting()
    monotonic.now += 6.1
    assert not outage.is_resting()


@pytest.mark.parametrize(
    ("retry", "seconds"), [(5, 6), (60, 15)], ids=["the retry and a fifth", "no longer than a pin"]
)
def test_after_a_failure_the_others_have_time_to_bring_what_they_owe(
    outage: Outage, monotonic: Ahead, settings: Any, retry: float, seconds: float
) -> None:
    settings.MULTIDB_RETRY_SECONDS = retry
    outage.failed(OSError())
    assert not outage.may_ask()
    monotonic.now += retry * 1.2
    assert outage.may_ask()
    outage.succeeded()
    assert outage.may_ask()
    monotonic.now += seconds - 0.1
    assert outage.may_miss_pins()
    monotonic.now += 0.2
    assert not outage.may_miss_pins()


def test_the_log_and_the_signals_say_what_became_of_the_store(
    outage: Outage, monotonic: Ahead, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def note(**told_of: Any) -> None:
        told.append((told_of["signal"], told_of["sender"], told_of["store"], told_of.get("why")))

    error = OSError(" it is gone\nDETAIL: Key (client)=(Token x)")
    for signal in (signals.pin_store_down, signals.pin_store_up):
        monkeypatch.setattr(signal, "receivers", [])
        signal.connect(note)
    outage.failed(error)
    monotonic.now += 100
    assert outage.may_ask()
    outage.succeeded()
    assert told == [(signals.pin_store_down, None, "Store", error), (signals.pin_store_up, None, "Store", None)]
    assert lines(caplog) == [
        "The pin store Store is left alone: OSError: it is gone",
        "The pin store Store is used again.",
    ]


def test_that_pins_are_lost_is_said_once_while_they_may_hold(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    said = (
        "The pin store Store is new, or may have lost pins: until those have run out, for 15 seconds, reads go by "
        "MULTIDB_PIN_STORE_DOWN."
    )
    outage.lost_all()
    clock.advance(14)
    outage.lost_all()
    assert lines(caplog) == [said]
    clock.advance(16)
    outage.lost_all()
    assert lines(caplog) == [said, said]


def test_pins_that_end_at_this_very_moment_are_not_missed(
    outage: Outage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    outage.miss_until(1_000_000)
    assert not outage.may_miss_pins()
    outage.lost_all()
    assert len(lines(caplog)) == 1
