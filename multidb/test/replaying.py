"""Positions for tests: how far primaries and lagging replicas have got, by a count of the moments at which one asked.

Stands in for a module of ``multidb.positions``, with whatever database, since a test has no replication.
"""

import itertools
from collections.abc import Mapping
from typing import Any

STREAM = "test"

# A replica that does not lag has replayed whatever the primary has got to.
FURTHEST = "F" * 16


class Replaying:
    """The positions of one test. ``reached``: of each replica that lags, the position at which it was copied."""

    def __init__(self) -> None:
        self.reached: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self._moments = itertools.count(1)

    def now(self) -> str:
        """The position that is further than all that came before."""
        return f"{next(self._moments):016X}"

    def primary_position(self, connection: Any) -> Mapping[str, str]:
        return {STREAM: self.now()}

    def replayed_position(self, connection: Any) -> Mapping[str, str]:
        return {STREAM: self.reached.get(connection.alias, FURTHEST)}

    def lag_seconds(self, connection: Any) -> float:
        return self.seconds.get(connection.alias, 0)

    def progress(self, connection: Any) -> tuple[str, str]:
        return "", ""
