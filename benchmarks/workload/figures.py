"""Figures: what a load has shown."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, Self

from workload.browsers import Load, Visit
from workload.project import PRIMARY


class Figures(NamedTuple):
    """What one load has shown. Times are seconds; ``lag`` is that of the nearest replica, ``response`` a median."""

    load: Load
    lag: float
    reads: int
    stale: int
    on_primary: int
    writes: int
    failed: int
    response: float

    @classmethod
    def of(cls, visits: Sequence[Visit], load: Load, lag: float) -> Self:
        answered = [visit for visit in visits if not visit.failed]
        reads = [visit for visit in answered if not visit.writes]
        return cls(
            load=load,
            lag=lag,
            reads=len(reads),
            stale=sum(visit.is_stale for visit in reads),
            on_primary=sum(any(alias == PRIMARY for alias, _ in visit.routes) for visit in reads),
            writes=len(answered) - len(reads),
            failed=len(visits) - len(answered),
            response=median([visit.seconds for visit in visits] or [math.nan]),
        )

    @property
    def share(self) -> float:
        """The share of the reads of which any query went to the primary."""
        return self.on_primary / self.reads if self.reads else math.nan

    @property
    def between_writes(self) -> float:
        """The mean time from a write of a browser to its next one, as it really was."""
        return self.load.browsers * self.load.seconds / self.writes if self.writes else math.inf

    @property
    def floor(self) -> float:
        """The share that no replica can serve: the nearest one's lag over the time between two writes of a browser."""
        return self.lag / self.between_writes

    @property
    def ratio(self) -> float:
        """The share as a multiple of the floor."""
        return self.share / self.floor if self.floor else math.nan

    @property
    def rate(self) -> float:
        """Requests a second of all browsers together, as it really was."""
        return (self.reads + self.writes + self.failed) / self.load.seconds
