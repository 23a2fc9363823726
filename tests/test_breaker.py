"""What has failed is left alone for a while, then asked by one, and each change is told once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from multidb.breaker import JITTER, Breaker

RETRY_SECONDS = 10.0
SHORTEST = RETRY_SECONDS * (1 - JITTER)
LONGEST = RETRY_SECONDS * (1 + JITTER)
NAMES = [f"replica-{number}" for number in range(200)]


class Monotonic:
    """The time that the breaker reads, which a test can put forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Observed:
    """A breaker, and what it has told of each change."""

    def __init__(self) -> None:
        self.retry_seconds = RETRY_SECONDS
        self.told: list[Any] = []
        self.breaker = Breaker(
            lambda: self.retry_seconds,
            lambda name, why: self.told.append(("down", name, why)),
            lambda name: self.told.append(("up", name)),
        )

    def let_through(self, names: list[str] = NAMES) -> list[str]:
        return [name for name in names if self.breaker.may_ask(name)]


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    monotonic = Monotonic()
    monkeypatch.setattr("multidb.breaker.monotonic", monotonic)
    return monotonic


@pytest.fixture
def observed(monotonic: Monotonic) -> Observed:
    return Observed()


@pytest.fixture
def breaker(observed: Observed) -> Breaker:
    return observed.breaker


def test_what_has_not_failed_may_be_asked_by_all(observed: Observed) -> None:
    observed.breaker.succeeded("a")
    assert observed.let_through(["a", "a", "b"]) == ["a", "a", "b"]
    assert observed.told == []


def test_what_has_failed_is_left_alone_by_itself(observed: Observed) -> None:
    observed.breaker.failed("a", "refused")
    assert observed.let_through(["a", "b", "a"]) == ["b"]


def test_the_rest_is_the_seconds_give_or_take_a_fifth_and_not_the_same_for_all(
    observed: Observed, monotonic: Monotonic
) -> None:
    for name in NAMES:
        observed.breaker.failed(name, "refused")
    monotonic.now += SHORTEST - 0.001
    assert observed.let_through() == []
    monotonic.now += RETRY_SECONDS - SHORTEST
    early = observed.let_through()
    assert 0 < len(early) < len(NAMES)
    monotonic.now = 1000.0 + LONGEST + 0.001
    assert set(observed.let_through()) == set(NAMES) - set(early)


def test_the_seconds_are_read_at_each_failure(observed: Observed, monotonic: Monotonic) -> None:
    observed.breaker.failed("a", "refused")
    observed.retry_seconds = 1000.0
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == ["a"]
    observed.breaker.failed("a", "refused")
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == []


def test_after_the_rest_one_is_let_through_and_the_others_wait(observed: Observed, monotonic: Monotonic) -> None:
    observed.breaker.failed("a", "refused")
    monotonic.now += LONGEST
    assert observed.let_through(["a", "a", "a"]) == ["a"]


def test_one_who_never_tells_how_it_went_is_followed_by_another_after_a_further_rest(
    observed: Observed, monotonic: Monotonic
) -> None:
    observed.breaker.failed("a", "refused")
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == ["a"]
    monotonic.now += SHORTEST - 0.001
    assert observed.let_through(["a"]) == []
    monotonic.now += LONGEST
    assert observed.let_through(["a", "a"]) == ["a"]


def test_success_lets_all_through_again(observed: Observed, monotonic: Monotonic) -> None:
    observed.breaker.failed("a", "refused")
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == ["a"]
    observed.breaker.succeeded("a")
    assert observed.let_through(["a", "a"]) == ["a", "a"]


def test_a_failure_after_the_rest_begins_another(observed: Observed, monotonic: Monotonic) -> None:
    observed.breaker.failed("a", "refused")
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == ["a"]
    observed.breaker.failed("a", "refused")
    monotonic.now += SHORTEST - 0.001
    assert observed.let_through(["a"]) == []
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == ["a"]


def test_one_who_could_not_ask_is_followed_by_another_at_once(observed: Observed, monotonic: Monotonic) -> None:
    """Nothing is told, for nobody knows more than before."""
    observed.breaker.failed("a", "refused")
    monotonic.now += LONGEST
    assert observed.let_through(["a"]) == ["a"]
    observed.breaker.not_asked("a")
    assert observed.let_through(["a", "a"]) == ["a"]
    observed.breaker.succeeded("a")
    observed.breaker.not_asked("a")
    assert observed.let_through(["a", "a"]) == ["a", "a"]
    assert observed.told == [("down", "a", "refused"), ("up", "a")]


def test_each_change_is_told_once(observed: Observed) -> None:
    for why in ("refused", "refused again"):
        observed.breaker.failed("a", why)
    for _ in range(2):
        observed.breaker.succeeded("a")
    observed.breaker.failed("a", "gone")
    assert observed.told == [("down", "a", "refused"), ("up", "a"), ("down", "a", "gone")]


def test_what_is_forgotten_is_asked_again_without_a_word(observed: Observed) -> None:
    observed.breaker.failed("a", "refused")
    observed.breaker.failed("b", "refused")
    told = list(observed.told)
    observed.breaker.forget()
    observed.breaker.succeeded("a")
    assert observed.let_through(["a", "b"]) == ["a", "b"]
    assert observed.told == told


def test_a_callback_may_ask_the_breaker_itself(monotonic: Monotonic) -> None:
    """It is called when the change has been made, and no lock is held."""
    answers: list[bool] = []
    breaker = Breaker(
        lambda: RETRY_SECONDS,
        lambda name, why: answers.append(breaker.may_ask(name)),
        lambda name: answers.append(breaker.may_ask(name)),
    )
    breaker.failed("a", "refused")
    breaker.succeeded("a")
    assert answers == [False, True]


class TestThreads:
    THREADS = 16

    def at_once(self, action: Callable[[], Any]) -> list[Any]:
        """What ``action`` returns in each of many threads that begin together."""
        barrier = threading.Barrier(self.THREADS)

        def begin() -> Any:
            barrier.wait()
            return action()

        with ThreadPoolExecutor(self.THREADS) as threads:
            return [future.result() for future in [threads.submit(begin) for _ in range(self.THREADS)]]

    @pytest.mark.parametrize("_round", range(20))
    def test_after_the_rest_one_of_many_is_let_through(
        self, breaker: Breaker, monotonic: Monotonic, _round: int
    ) -> None:
        breaker.failed("a", "refused")
        monotonic.now += LONGEST
        assert sum(self.at_once(lambda: breaker.may_ask("a"))) == 1

    @pytest.mark.parametrize("_round", range(20))
    def test_many_who_see_one_change_tell_it_once(self, observed: Observed, _round: int) -> None:
        self.at_once(lambda: observed.breaker.failed("a", "refused"))
        self.at_once(lambda: observed.breaker.succeeded("a"))
        assert observed.told == [("down", "a", "refused"), ("up", "a")]

    @pytest.mark.parametrize("asked", [Breaker.may_ask, Breaker.not_asked, Breaker.succeeded])
    def test_one_who_is_overtaken_by_a_success_finds_it(
        self, observed: Observed, asked: Callable[[Breaker, str], object]
    ) -> None:
        """Between its look at the failures and its turn another thread has told that all is well."""
        breaker = observed.breaker
        breaker.failed("a", "refused")
        breaker._lock = Overtaken(breaker, breaker._lock)
        assert asked(breaker, "a") is not False
        assert observed.told == [("down", "a", "refused"), ("up", "a")]
        assert breaker.may_ask("a")


class Overtaken:
    """A lock that another thread gets first, which says that ``a`` has succeeded."""

    def __init__(self, breaker: Breaker, lock: Any) -> None:
        self._breaker = breaker
        self._lock = lock

    def __enter__(self) -> None:
        self._breaker._lock = self._lock
        faster = threading.Thread(target=self._breaker.succeeded, args=["a"])
        faster.start()
        faster.join()
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()
