"""Owed: what a process still has to bring to its store."""

from threading import Thread

import pytest

from multidb.backends import owed as owed_module
from multidb.backends.owed import Debt, Owed
from multidb.pins import Hold, Pin


def debt(number: int, until: int = 100) -> Debt:
    return Debt(f"key {number}", Pin({"default": Hold(until)}).encode(), until)


def test_all_is_taken_once_in_its_order() -> None:
    owed = Owed()
    assert owed.add([debt(1), debt(2)]) == 0
    assert owed.add([debt(3)]) == 0
    assert owed.take(now=0, most=9) == [debt(1), debt(2), debt(3)]
    assert owed.take(now=0, most=9) == []


def test_of_one_key_there_is_one_debt() -> None:
    """A client that writes again and again while the store is down takes no room of others."""
    owed = Owed()
    users = Debt("key 1", Pin({"users": Hold(50)}).encode(), 50)
    owed.add([debt(1, until=70), debt(2), users])
    merged = Debt("key 1", Pin({"users": Hold(50), "default": Hold(70)}).encode(), 70)
    assert owed.take(now=0, most=9) == [merged, debt(2)]


def test_what_has_been_owed_the_longest_is_taken_first() -> None:
    owed = Owed()
    assert not owed
    owed.add([debt(1), debt(2, until=1), debt(3), debt(4)])
    assert owed.take(now=10, most=2) == [debt(1), debt(3)]
    assert owed
    assert owed.take(now=10, most=2) == [debt(4)]
    assert not owed


def test_what_has_run_out_is_not_brought() -> None:
    owed = Owed()
    owed.add([debt(1, until=9), debt(2, until=10), debt(3, until=11)])
    assert owed.take(now=10, most=9) == [debt(3, until=11)]


def test_beyond_the_most_the_oldest_are_dropped_and_it_says_until_when_they_would_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owed_module, "MOST_OWED", 3)
    owed = Owed()
    assert owed.add([debt(1, until=70), debt(2, until=50)]) == 0
    assert owed.add([debt(3), debt(4), debt(5)]) == 70
    assert [each.key for each in owed.take(now=0, most=9)] == ["key 3", "key 4", "key 5"]


def test_threads_that_add_and_take_lose_nothing_and_bring_nothing_twice() -> None:
    owed, taken = Owed(), []

    def work(thread: int) -> None:
        for number in range(100):
            owed.add([debt(thread * 100 + number)])
            taken.extend(owed.take(now=0, most=9))

    threads = [Thread(target=work, args=[thread]) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(debt(number) for number in range(800))
