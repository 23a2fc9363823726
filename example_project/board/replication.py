"""Replication: what keeps the board's replicas behind its primary, be that this demo or PostgreSQL."""

from abc import ABC, abstractmethod
from collections.abc import Set

# A replica that lacks a change is behind, even in the moment in which the change is seen.
LEAST_SECONDS_BEHIND = 0.001


class ReplicaUnavailable(Exception):
    """A replica cannot be told what to do; says why."""


class Replication(ABC):
    """Keeps each replica a number of seconds behind the primary.

    ``description`` says how, when it is started, and ``breaks`` whether it can break a replica.
    """

    description: str
    breaks = True

    @property
    @abstractmethod
    def lags(self) -> dict[str, float]:
        """How many seconds each replica is kept behind the primary."""

    @abstractmethod
    def start(self) -> None:
        """Bring each replica up to date, then replicate until the process ends. Returns when that has begun."""

    @abstractmethod
    def set_lag(self, alias: str, seconds: float) -> None:
        """From now on keep the replica ``alias`` that far behind.

        Raises ``KeyError`` if there is no such replica, and ``ReplicaUnavailable`` if it does not take the lag.
        """

    @property
    @abstractmethod
    def broken(self) -> Set[str]:
        """The replicas that are broken."""

    @abstractmethod
    def break_replica(self, alias: str) -> None:
        """From now on the replica ``alias`` refuses every connection. Raises as ``set_lag`` does."""

    @abstractmethod
    def mend_replica(self, alias: str) -> None:
        """From now on the replica ``alias`` answers again, with what it had, and catches up. Raises as ``set_lag``."""

    @abstractmethod
    def behind(self, alias: str) -> float | None:
        """For how many seconds the replica ``alias`` has lacked a change of the primary; 0 if it lacks none.

        ``None`` if a database does not answer, so that nobody knows.
        """
