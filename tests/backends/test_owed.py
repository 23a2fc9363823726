"""Owed: what a process still has to bring to its store."""

from threading import Thread

import pytest

from multidb.backends import owed as owed_module
from multidb.backends.owed import Debt, Owed


def debt(number: int, until: int = 100) -> Debt:
    return Debt(f"key {number}", "text", until)


def test_all_is_taken_once_in_its_order() -> None:
    owed = Owed()
    assert owed.add([debt(1), debt(2)]) == 0
    assert owed.add([debt(3)]) == 0
    assert owed.take(now=0) == [debt(1), debt(2), debt(3)]
    assert owed.take(now=0) == []


def test_what_has_run_out_is_not_brought() -> None:
    owed = Owed()
    owed.add([debt(1, until=9), debt(2, until=10), debt(3, until=11)])
    assert owed.take(now=10) == [debt(3, until=11)]


def test_beyond_the_most_the_oldest_are_dropped_and_it_says_until_when_they_would_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owed_module, "MOST_OWED", 3)
    owed = Owed()
    assert owed.add([debt(1, until=70), debt(2, until=50)]) == 0
    assert owed.add([debt(3), debt(4), debt(5)]) == 70
    assert [each.key for each in owed.take(now=0)] == ["key 3", "key 4", "key 5"]


def test_threads_that_add_and_take_lose_nothing_and_bring_nothing_twice() -> None:
    owed, taken = Owed(), []

    def work(thread: int) -> None:
        for number in range(100):
            owed.add([debt(thread * 100 + number)])
            taken.extend(owed.take(now=0))

    threads = [Thread(target=work, args=[thread]) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(debt(number) for number in range(800))
