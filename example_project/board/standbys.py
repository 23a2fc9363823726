"""GivenStandbys: PostgreSQL servers that others have started, as ``compose.yaml`` does."""

from collections.abc import Mapping, Set
from functools import partial

import psycopg
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from servers.processes import wait_until

from board.postgresql import seconds_behind
from board.replication import Replication, ReplicaUnavailable
from multidb.positions import PositionUnavailable, is_replayed, primary_position, replayed_position

CONNECT_SECONDS = 2
REPLAY_SECONDS = 60


class GivenStandbys(Replication):
    """The standbys at ``urls``. Their lag is their ``recovery_min_apply_delay``, which takes a superuser to set."""

    description = (
        "PostgreSQL: a primary and two streaming standbys. The lag that you set is their recovery_min_apply_delay. "
        "To break one, stop its server."
    )
    breaks = False

    def __init__(self, urls: Mapping[str, str], lags: Mapping[str, float]) -> None:
        self._urls = dict(urls)
        self._lags = dict(lags)

    @property
    def lags(self) -> dict[str, float]:
        return dict(self._lags)

    def start(self) -> None:
        """Make the board if it is not there, and have the standbys lag from then on."""
        # No lag until then: a standby holds the locks of a migration for as long as it lags.
        for alias in self._lags:
            self._tell(alias, 0)
        call_command("setup_board", verbosity=0)
        position = primary_position(connections[DEFAULT_DB_ALIAS])
        for alias, seconds in self._lags.items():
            wait_until(partial(_has, alias, position), REPLAY_SECONDS, f"{alias} does not follow the primary.")
            self._tell(alias, seconds)
        connections.close_all()

    def set_lag(self, alias: str, seconds: float) -> None:
        try:
            self._tell(alias, seconds)
        except psycopg.Error as error:
            raise ReplicaUnavailable(f"{alias} has not taken the lag: {error}") from error
        self._lags[alias] = seconds

    @property
    def broken(self) -> Set[str]:
        """Those that others have stopped are not known here."""
        return frozenset()

    def break_replica(self, alias: str) -> None:
        raise ReplicaUnavailable(f"{alias} is not this board's to break: stop its server.")

    def mend_replica(self, alias: str) -> None:
        raise ReplicaUnavailable(f"{alias} is not this board's to mend: start its server.")

    def behind(self, alias: str) -> float | None:
        return seconds_behind(alias)

    def _tell(self, alias: str, seconds: float) -> None:
        with psycopg.connect(self._urls[alias], autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            connection.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = {round(seconds * 1000)}")
            connection.execute("SELECT pg_reload_conf()")


def _has(alias: str, position: Mapping[str, str]) -> bool:
    try:
        return is_replayed(position, replayed_position(connections[alias]))
    except PositionUnavailable:
        return False
