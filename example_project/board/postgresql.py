"""PostgresReplication: a real primary and its standbys, whose lag is PostgreSQL's own."""

from collections.abc import Mapping
from threading import Lock

import psycopg
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.utils import timezone
from servers import ServerFailed
from servers.postgresql import PostgresCluster

from board.models import Post
from board.replication import LEAST_SECONDS_BEHIND, Replication, ReplicaUnavailable


class PostgresReplication(Replication):
    """PostgreSQL servers of this process, new and with a new board each time, and gone with it.

    The lag of a standby is its ``recovery_min_apply_delay``. Safe to use from several threads.
    """

    def __init__(self, lags: Mapping[str, float]) -> None:
        self._lags = dict(lags)
        self._broken: set[str] = set()
        self._cluster = PostgresCluster(standbys=len(lags))
        self._lock = Lock()

    @property
    def lags(self) -> dict[str, float]:
        return dict(self._lags)

    def start(self) -> None:
        """Raises ``ServersMissing`` if something is not installed, and ``ServerFailed`` if something does not work."""
        self._cluster.start()
        self._standbys = dict(zip(self._lags, self._cluster.standbys, strict=True))
        for alias, server in {DEFAULT_DB_ALIAS: self._cluster.primary, **self._standbys}.items():
            connections.settings[alias].update(server.django_settings())
        # Before the lag: a standby holds the locks of a migration for as long as it lags.
        call_command("setup_board", verbosity=0)
        for alias, standby in self._standbys.items():
            standby.wait_until_replayed(self._cluster.primary)
            standby.set_lag(self._lags[alias])
        self.description = _description(self._cluster)

    def set_lag(self, alias: str, seconds: float) -> None:
        standby = self._standbys[alias]
        # One at a time: who waits for a standby to have one lag would wait in vain while another is set.
        with self._lock:
            try:
                standby.set_lag(seconds)
            except (TimeoutError, psycopg.Error) as error:
                raise ReplicaUnavailable(f"{alias} has not taken the lag: {error}") from error
            self._lags[alias] = seconds

    @property
    def broken(self) -> set[str]:
        return set(self._broken)

    def break_replica(self, alias: str) -> None:
        """The standby crashes."""
        standby = self._standbys[alias]
        with self._lock:
            standby.kill()
            self._broken.add(alias)

    def mend_replica(self, alias: str) -> None:
        standby = self._standbys[alias]
        with self._lock:
            try:
                standby.start()
            except ServerFailed as error:
                raise ReplicaUnavailable(f"{alias} does not start: {error}") from error
            self._broken.discard(alias)

    def behind(self, alias: str) -> float | None:
        return seconds_behind(alias)


def seconds_behind(alias: str) -> float | None:
    """The age of the oldest post that the standby ``alias`` lacks, or ``None`` if a server does not answer.

    The age of what it replayed last would grow while nobody posts.
    """
    try:
        # The standby first: what it replays while the primary is asked counts as lacking.
        newest = Post.newest_number(alias)
        lacking = Post.objects.using(DEFAULT_DB_ALIAS).filter(pk__gt=newest).last()
    except Error:
        return None
    if lacking is None:
        return 0.0
    return max(LEAST_SECONDS_BEHIND, (timezone.now() - lacking.created).total_seconds())


def _description(cluster: PostgresCluster) -> str:
    [(version,)] = cluster.primary.execute("SHOW server_version")
    standbys = " and ".join(str(standby.port) for standby in cluster.standbys)
    return (
        f"PostgreSQL {version.split()[0]}: a primary on port {cluster.primary.port}, and streaming standbys on ports "
        f"{standbys}. The lag that you set is their recovery_min_apply_delay."
    )
