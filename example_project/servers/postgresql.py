"""A PostgreSQL primary and its hot standbys, by streaming replication. PostgreSQL 13 or later."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .base import Cluster, DatabaseServer
from .processes import HOST, Process, Workspace, wait_until
from .programs import directory_of, driver

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")

INSTALL = "PostgreSQL 13 or later (Debian and Ubuntu: apt install postgresql)"

# How many seconds a standby has for what it is told.
PATIENCE = 10

# A commit that is held back is not replayed before the standby has looked once more whether it is to pause.
DELAYED = "EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryApplyDelay')"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # The files are thrown away in the end, and survive the crash of a server: only that of the machine loses them.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "replica",
    # A standby that was down for long finds what it has missed.
    "wal_keep_size": "512MB",
    # A standby is back soon after its primary is.
    "wal_retrieve_retry_interval": "100ms",
    "hot_standby_feedback": "off",
}


class PostgresCluster(Cluster):
    """A primary and ``standbys`` hot standbys, with a database called ``database``."""

    primary: "PostgresServer"
    standbys: list["PostgresStandby"]

    _accounts = ("postgres", "nobody")

    def __init__(self, standbys: int = 2, database: str = "multidb") -> None:
        super().__init__()
        self._names = [f"standby-{number}" for number in range(1, standbys + 1)]
        self._database = database

    def _look_up(self) -> None:
        self._psycopg = driver("psycopg", "'psycopg[binary]'")
        self._programs = directory_of("postgres", "initdb", "pg_basebackup", places=PLACES, install=INSTALL)

    def _build(self, workspace: Workspace) -> None:
        common = self._psycopg, self._database, self._programs
        self.primary = PostgresServer(workspace, "primary", *common)
        self.standbys = [PostgresStandby(workspace, name, *common) for name in self._names]
        self.primary.create()
        for copying in [standby.copy(self.primary) for standby in self.standbys]:
            copying.finish()
        for standby in self.standbys:
            standby.launch()
        for standby in self.standbys:
            standby.wait_until_ready()
            standby.wait_until_streaming()


class PostgresServer(DatabaseServer):
    """One PostgreSQL server, whose superuser ``user`` needs no password."""

    user = "postgres"

    _first_database = "postgres"
    _stop_by = signal.SIGINT
    _kill_by = signal.SIGQUIT

    def __init__(self, workspace: Workspace, name: str, driver: ModuleType, database: str, programs: Path) -> None:
        super().__init__(workspace, name, driver, database)
        self._programs = programs

    def create(self) -> None:
        """Make the server's files, start it, and create its database."""
        options = ["--no-sync", "-A", "trust", "-U", self.user, "-E", "UTF8", "--locale=C"]
        self._workspace.spawn("initdb", self._programs / "initdb", "-D", self.directory, *options).finish()
        self.start()
        self.execute(f'CREATE DATABASE "{self.database}"', database=self._first_database)

    def django_settings(self) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.database,
            "USER": self.user,
            "HOST": self.host,
            "PORT": self.port,
            "OPTIONS": {"connect_timeout": 2},
        }

    def _command(self) -> list[str | Path]:
        settings = {**SETTINGS, "port": str(self.port), "cluster_name": self._name}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [self._programs / "postgres", "-D", self.directory, *options]

    def _connect(self, database: str) -> Any:
        return self._driver.connect(
            host=self.host, port=self.port, user=self.user, dbname=database, connect_timeout=2, autocommit=True
        )


class PostgresStandby(PostgresServer):
    """A hot standby, which replays what its primary has written, and can be told when."""

    def copy(self, primary: PostgresServer) -> Process:
        """Begin to copy the files of ``primary``, which runs, to be started as its standby when that has finished."""
        connection = ["-h", primary.host, "-p", str(primary.port), "-U", primary.user, "--no-password"]
        options = ["-D", str(self.directory), "-R", "--no-sync", "--no-manifest", "--checkpoint=fast"]
        command = self._programs / "pg_basebackup"
        return self._workspace.spawn(f"{self._name}-copy", command, *connection, *options)

    def wait_until_streaming(self) -> None:
        """Wait until what the primary writes comes in. Raises ``ServerFailed`` if it does not."""
        streaming = "EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')"
        if self._process is not None:
            self._process.wait_until(lambda: self._is_true(streaming))

    def set_lag(self, seconds: float) -> None:
        """From now on replay each commit ``seconds`` after it was made, to the millisecond; 0 is at once.

        What waits to be replayed is held to it as well. Locks are not delayed: from when a table is truncated or
        altered on the primary, until that commit is replayed, reading the table on the standby blocks.
        """
        milliseconds = str(round(seconds * 1000))
        self.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = {milliseconds}")
        self.execute("SELECT pg_reload_conf()")
        # A new connection has the settings of the postmaster, which tells the replaying process of new ones before
        # it accepts another connection.
        setting = "SELECT setting FROM pg_settings WHERE name = 'recovery_min_apply_delay'"
        self._wait_until(lambda: self.execute(setting) == [(milliseconds,)], "has not taken over the lag")

    def pause(self) -> None:
        """Replay nothing from now on, until ``resume()`` or the next start."""
        self.execute("SELECT pg_wal_replay_pause()")
        self._wait_until(lambda: self._is_true(f"{self._paused()} OR {DELAYED}"), "does not pause")

    def resume(self) -> None:
        """Replay what has come in since ``pause()``, and go on."""
        self.execute("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """Become a primary, which takes writes and follows no other. The other standbys go on following the old one."""
        self.execute("SELECT pg_promote(false)")
        self._wait_until(lambda: self._is_true("NOT pg_is_in_recovery()"), "was not promoted")

    def wait_until_replayed(self, primary: PostgresServer, seconds: float = PATIENCE) -> None:
        """Wait until all that is committed on ``primary`` now can be read here.

        Raises ``TimeoutError`` if that takes more than ``seconds``.
        """
        # What a primary writes of its own accord is sent later, or with the next commit, which this is.
        [(position,)] = primary.execute("SELECT pg_logical_emit_message(true, 'end', '')::text")
        replayed = f"pg_last_wal_replay_lsn() >= '{position}'"
        self._wait_until(lambda: self._is_true(replayed), f"has not replayed {position}", seconds)

    def _paused(self) -> str:
        """What is true when replay has stopped, for which PostgreSQL 13 has no more than that it was asked for."""
        [(version,)] = self.execute("SHOW server_version_num")
        return "pg_get_wal_replay_pause_state() = 'paused'" if int(version) >= 140000 else "pg_is_wal_replay_paused()"

    def _is_true(self, expression: str) -> bool:
        return self.execute(f"SELECT {expression}") == [(True,)]

    def _wait_until(self, condition: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
        wait_until(condition, seconds, f"{self._name} {otherwise} within {seconds} seconds")
