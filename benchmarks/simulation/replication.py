"""How far the replicas have got."""

import math
import random

from benchmarks.simulation.options import Options
from multidb.replicas import MOST_ASKED

# Of the normal distribution, in standard deviations.
PERCENTILE_99 = 2.3263


class Replicas:
    """``options.replicas`` replicas, the lag of each drawn anew every second (log-normal).

    What is replayed stays so: where the lag that is drawn is more than a second longer than the last, the replica
    stands still, and is behind by less than was drawn.
    """

    def __init__(self, options: Options, chance: random.Random) -> None:
        self._chance = chance
        self._median = math.log(options.lag)
        self._spread = math.log(options.lag_tail / options.lag) / PERCENTILE_99
        self._lags = [self._draw() for _ in range(options.replicas)]
        self._reached = [-math.inf] * options.replicas
        self._second = 0
        self._turn = 0

    def choose(self) -> int:
        """The number of the replica whose turn it is."""
        self._turn = (self._turn + 1) % len(self._lags)
        return self._turn

    def choose_replayed(self, now: float, written: float) -> tuple[int | None, int]:
        """As ``multidb.replicas.choose_replayed``: a replica that has what was ``written`` then, if one of the first
        that are asked has; and how many were asked.
        """
        first = self.choose()
        if self.reached(first, now) >= written:
            return first, 1
        others = [each for each in range(len(self._lags)) if each != first]
        asked = self._chance.sample(others, min(MOST_ASKED - 1, len(others)))
        for count, each in enumerate(asked, start=2):
            if self.reached(each, now) >= written:
                return each, count
        return None, 1 + len(asked)

    def reached(self, replica: int, now: float) -> float:
        """Up to when ``replica`` has replayed at ``now``, in seconds."""
        while self._second + 1 <= now:
            self._second += 1
            for each, lag in enumerate(self._lags):
                self._reached[each] = max(self._reached[each], self._second - lag)
                self._lags[each] = self._draw()
        return max(self._reached[replica], now - self._lags[replica])

    def _draw(self) -> float:
        return math.exp(self._chance.gauss(self._median, self._spread))
