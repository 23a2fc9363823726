"""What one client did and saw, one operation at a time."""

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How an operation ended, for its client.

    ``DONE``: answered with success. ``FAILED``: answered with an error. ``UNANSWERED``: not answered at all.
    ``KILLED``: not answered, because the worker was killed that served it. But for ``DONE``, nobody knows whether a
    write took effect.
    """

    DONE = "done"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    KILLED = "killed"


class Operation(NamedTuple):
    """One write or read of a client's register, from ``start`` to ``end`` (by ``time.monotonic()``).

    A client writes 1, 2, 3 and so on, whatever comes of each. ``value`` is what was written, or what was read: the
    largest that was found, and 0 if none was. ``routes`` are the alias and the reason of each query of a read.
    ``detail`` says of an operation that was not done what the client was told.
    """

    client: str
    kind: str
    worker: str
    writes: bool
    value: int
    start: float
    end: float
    outcome: Outcome
    routes: tuple[tuple[str, str], ...] = ()
    detail: str = ""

    @property
    def is_done(self) -> bool:
        return self.outcome is Outcome.DONE
