"""Owed: what a process still has to bring to its store."""

from threading import Thread

import pytest

from multidb.backends import owed as owed_module
from multidb.backends.owed import Debt, Owed
from multidb.pins import Hold, Pin


def debt(number: int, until: int = 100) -> Debt:
    return Debt(f"key {number}", Pin({"default": Hold(until)}).encode(), until)


def taken_of(owed: Owed, now: int = 0, most: int = 9) -> list[Debt]:
    """What is brought, all of which arrives."""
    debts = owed.oldest(now, most)
    owed.settle(debts)
    return debts


def test_a_debt_is_owed_until_it_has_been_brought() -> None:
    """Another thread, that looks for the pin meanwhile, is told that it may be missing."""
    owed = Owed()
    owed.add([debt(1), debt(2, until=70), debt(3, until=80)])
    debts = owed.oldest(now=0, most=2)
    assert owed.until(without=debts) == 80
    assert owed.oldest(now=0, most=2) == debts
    owed.settle(debts)
    assert owed.oldest(now=0, most=2) == [debt(3, until=80)]
    assert owed.until(without=owed.oldest(now=0, most=2)) == 0
    owed.settle(owed.oldest(now=0, most=2))
    assert (owed.oldest(now=0, most=2), owed.until(without=[])) == ([], 0)


def test_what_was_added_to_a_debt_on_its_way_is_still_owed() -> None:
    owed = Owed()
    owed.add([debt(1)])
    debts = owed.oldest(now=0, most=1)
    owed.add([debt(1, until=200)])
    owed.settle(debts)
    assert owed.oldest(now=0, most=1) == [debt(1, until=200)]


def test_all_is_taken_once_in_its_order() -> None:
    owed = Owed()
    assert owed.add([debt(1), debt(2)]) == 0
    assert owed.add([debt(3)]) == 0
    assert taken_of(owed) == [debt(1), debt(2), debt(3)]
    assert taken_of(owed) == []


def test_of_one_key_there_is_one_debt() -> None:
    """A client that writes again and again while the store is down takes no room of others."""
    owed = Owed()
    users = Debt("key 1", Pin({"users": Hold(50)}).encode(), 50)
    owed.add([debt(1, until=70), debt(2), users])
    merged = Debt("key 1", Pin({"users": Hold(50), "default": Hold(70)}).encode(), 70)
    assert taken_of(owed) == [merged, debt(2)]


def test_what_has_been_owed_the_longest_is_taken_first() -> None:
    owed = Owed()
    assert owed.until(without=[]) == 0
    owed.add([debt(1), debt(2, until=1), debt(3), debt(4)])
    assert taken_of(owed, now=10, most=2) == [debt(1), debt(3)]
    assert owed.until(without=[]) > 0
    assert taken_of(owed, now=10, most=2) == [debt(4)]
    assert owed.until(without=[]) == 0


def test_what_has_run_out_is_not_brought() -> None:
    owed = Owed()
    owed.add([debt(1, until=9), debt(2, until=10), debt(3, until=11)])
    assert taken_of(owed, now=10) == [debt(3, until=11)]


def test_beyond_the_most_the_oldest_are_dropped_and_it_says_until_when_they_would_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owed_module, "MOST_OWED", 3)
    owed = Owed()
    assert owed.add([debt(1, until=70), debt(2, until=50)]) == 0
    assert owed.add([debt(3), debt(4), debt(5)]) == 70
    assert [each.key for each in taken_of(owed)] == ["key 3", "key 4", "key 5"]


def test_threads_that_add_and_bring_lose_nothing() -> None:
    owed, brought = Owed(), []

    def work(thread: int) -> None:
        for number in range(100):
            owed.add([debt(thread * 100 + number)])
            brought.extend(taken_of(owed, most=3))

    threads = [Thread(target=work, args=[thread]) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    brought.extend(taken_of(owed, most=800))
    assert set(brought) == {debt(number) for number in range(800)}


def test_what_is_merged_with_one_that_is_on_its_way_is_owed_still() -> None:
    owed = Owed()
    owed.add([debt(1, until=10)])
    on_its_way = owed.oldest(now=0, most=50)
    assert owed.until(without=on_its_way) == 0
    owed.add([debt(1, until=20)])
    assert owed.until(without=on_its_way) == 20
    owed.settle(on_its_way)
    assert owed.until(without=[]) == 20
