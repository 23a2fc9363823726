"""Asking: one question each for a thread, for which nobody has to wait."""

import errno
import re
from collections.abc import Callable
from contextvars import Context
from threading import Thread
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, TypeVar

from django.core.cache import caches
from django.db import connections

from multidb.passwords import without_passwords

Answer = TypeVar("Answer")

# From when a question is asked: all are at the same moment.
DEADLINE_SECONDS: Final = 1.0

NO_ANSWER: Final = f"no answer within {DEADLINE_SECONDS:g} s"

# In the words of drivers; that of MariaDB tells a number.
TIMED_OUT: Final = re.compile(rf"time(d )?out|system error: {errno.ETIMEDOUT}\b", re.IGNORECASE)


class Outcome(NamedTuple, Generic[Answer]):
    """What came of a question."""

    state: str
    """``"up"``: it was answered; ``"down"``, ``"hangs"``."""

    why: str
    """Why it is not up; or empty."""

    answer: Answer | None
    error: Exception | None


class Asking(Thread, Generic[Answer]):
    """A question that is being asked, over what connections the thread opens for it, and closes after it."""

    def __init__(self, question: Callable[[], Answer]) -> None:
        # Python waits at its end for all threads but daemons; those of concurrent.futures it waits for in any case.
        super().__init__(name="multidb-status", daemon=True)
        self._question = question
        self._asked_at = monotonic()
        self._outcome: Outcome[Answer] | None = None

    def outcome(self) -> Outcome[Answer]:
        """What has come of it ``DEADLINE_SECONDS`` after it was asked, for which it waits."""
        self.join(max(0.0, self._asked_at + DEADLINE_SECONDS - monotonic()))
        return self._outcome or Outcome("hangs", NO_ANSWER, None, None)

    def run(self) -> None:
        # A context of its own: caches and routing are not those of the caller.
        Context().run(self._ask)

    def _ask(self) -> None:
        try:
            outcome = Outcome("up", "", self._question(), None)
        except Exception as error:
            outcome = _failed(error)
        self._outcome = outcome
        connections.close_all()
        caches.close_all()


def _failed(error: Exception) -> Outcome[Answer]:
    why = without_passwords(" ".join(f"{type(error).__name__}: {error}".split()))
    return Outcome("hangs" if TIMED_OUT.search(why) else "down", why, None, error)


def asked(name: str, question: Callable[[], Answer]) -> Asking[Answer]:
    """``question``, from now on being asked. While an earlier one of the same ``name`` hangs, that one."""
    pending: Asking[Answer] | None = _pending.get(name)
    if pending is None or not pending.is_alive():
        pending = _pending[name] = Asking(question)
        pending.start()
    return pending


# So that what hangs for hours holds one thread, however often it is asked about.
_pending: dict[str, Asking[Any]] = {}
