"""Lag: how far one replica is behind, asked no more often than it can matter."""

import math
from collections import deque
from time import monotonic

from django.db.backends.base.base import BaseDatabaseWrapper

from multidb import positions
from multidb.conf import conf

# A replica that comes close to ``MULTIDB_MAX_REPLICA_LAG`` is asked for its lag this often, and never more.
LEAST_LAG_SECONDS = 0.1

# How many answers of a replica that is behind are kept, to see when it has replayed what it had received by then.
MOST_REMEMBERED = 100


class Lag:
    """What is known of one replica's lag."""

    def __init__(self) -> None:
        self._ask_again_at = -math.inf
        self._lacked_nothing_at = -math.inf
        self._too_late: float | None = None
        self._received: deque[tuple[float, str]] = deque(maxlen=MOST_REMEMBERED)

    def seconds_too_late(self, connection: BaseDatabaseWrapper, longest: float) -> float | None:
        """How far the replica is behind, if that is more than ``longest``, in seconds.

        A replica falls behind by a second a second at most, so it is not asked before it can be too late. Raises
        ``PositionUnavailable`` if it is asked and cannot tell: say so by ``cannot_be_had``.
        """
        now = monotonic()
        if now < self._ask_again_at:
            return self._too_late
        if self._ask_again_at > -math.inf:
            # While this thread asks, the others go by the last answer.
            self._ask_again_at = now + LEAST_LAG_SECONDS
        seconds = self._asked(connection, now)
        self._too_late = seconds if seconds > longest else None
        if self._too_late is not None:
            return seconds
        # In half of the time that is left, so that there is an answer younger than ``longest`` to compare with.
        self._ask_again_at = now + min(max((longest - seconds) / 2, LEAST_LAG_SECONDS), conf.retry_seconds)
        return None

    def cannot_be_had(self) -> None:
        """The replica does not tell: it is not asked for ``MULTIDB_RETRY_SECONDS``, and does not count as late."""
        self._ask_again_at = monotonic() + conf.retry_seconds
        self._too_late = None

    def _asked(self, connection: BaseDatabaseWrapper, now: float) -> float:
        """What the replica tells, or the time since it had received what it has replayed by now, if that is less.

        A replica takes the age of its last transaction for its lag. That is wrong after a long silence of the primary,
        and in the middle of a long transaction.
        """
        seconds = positions.lag_seconds(connection)
        if seconds == 0:
            self._lacked_nothing_at = now
            self._received.clear()
            return seconds
        received, replayed = positions.progress(connection)
        while self._received and self._received[0][1] <= replayed:
            self._lacked_nothing_at, _ = self._received.popleft()
        if received:
            self._received.append((now, received))
        return min(seconds, now - self._lacked_nothing_at)
