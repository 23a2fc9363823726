"""Breaker: stop asking what is down, ask again later."""

import math
import random
import threading
import time
from collections.abc import Callable
from time import monotonic

# Workers that saw the same failure do not all come back at once.
JITTER = 0.2


class Breaker:
    """Leaves alone what has failed, each by its name, for ``retry_seconds()`` give or take a fifth.

    After that one caller may ask again, while the others leave it alone for as long once more, or until that one has
    told that it answers.
    ``on_down(name, why)`` and ``on_up(name)`` are called once at each change. Safe in threads.
    """

    def __init__(
        self,
        retry_seconds: Callable[[], float],
        on_down: Callable[[str, object], None],
        on_up: Callable[[str], None],
    ) -> None:
        self._retry_seconds = retry_seconds
        self._on_down = on_down
        self._on_up = on_up
        self._rests_until: dict[str, float] = {}
        self._rests_since: dict[str, float] = {}
        self._lock = threading.Lock()

    def may_ask(self, name: str) -> bool:
        """May the caller ask ``name``? Whoever is let through says ``failed``, ``succeeded`` or ``not_asked`` then.

        Who says nothing, as it was cancelled, has ``name`` left alone once more.
        """
        if name not in self._rests_until:
            return True
        with self._lock:
            until = self._rests_until.get(name)
            if until is not None and monotonic() < until:
                return False
            if until is not None:
                self._rests_until[name] = self._next_try()
            return True

    def is_resting(self, name: str) -> bool:
        """Is ``name`` left alone at this moment? Unlike ``may_ask``, this lets nobody through."""
        until = self._rests_until.get(name)
        return until is not None and monotonic() < until

    def resting_since(self, name: str) -> float | None:
        """Since when ``name`` is left alone, until somebody sees it answer: seconds since the epoch, or ``None``."""
        return self._rests_since.get(name)

    def failed(self, name: str, why: object, at_most: float = math.inf) -> None:
        """``name`` did not answer: leave it alone, for ``at_most`` so many seconds."""
        with self._lock:
            was_up = name not in self._rests_until
            self._rests_until[name] = self._next_try(at_most)
            self._rests_since.setdefault(name, time.time())
        if was_up:
            self._on_down(name, why)

    def succeeded(self, name: str) -> None:
        """``name`` has answered: it may be asked by all."""
        if name not in self._rests_until:
            return
        with self._lock:
            was_down = self._rests_until.pop(name, None) is not None
            self._rests_since.pop(name, None)
        if was_down:
            self._on_up(name)

    def not_asked(self, name: str) -> None:
        """Nobody has asked ``name``, for that could not be done here: the next caller may."""
        if name not in self._rests_until:
            return
        with self._lock:
            if name in self._rests_until:
                self._rests_until[name] = -math.inf

    def forget(self) -> None:
        """Forget all failures, without a word."""
        with self._lock:
            self._rests_until.clear()
            self._rests_since.clear()

    def _next_try(self, at_most: float = math.inf) -> float:
        return monotonic() + min(self._retry_seconds(), at_most) * random.uniform(1 - JITTER, 1 + JITTER)
