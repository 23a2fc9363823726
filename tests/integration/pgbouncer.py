"""PgBouncer before the servers of a PostgreSQL cluster."""

import signal
from pathlib import Path
from typing import Any, Self

import psycopg
from servers.base import Server
from servers.postgresql import PostgresCluster
from servers.processes import HOST, Workspace
from servers.programs import directory_of

PLACES = ("/usr/sbin",)

INSTALL = "PgBouncer 1.17 or later (Debian and Ubuntu: apt install pgbouncer)"

# A client waits so long for a server that does not come.
PATIENCE = 2


class PgBouncer(Server):
    """A pooler in ``mode``, with at most ``connections`` to each of ``primary``, ``first`` and ``second`` (the
    standbys), and ``both``, the port of what leads to either. Raises ``ServersMissing`` if it is not installed.
    """

    _stop_by = signal.SIGINT
    _kill_by = signal.SIGKILL

    def __init__(self, cluster: PostgresCluster, mode: str, connections: int, both: int) -> None:
        program = directory_of("pgbouncer", places=PLACES, install=INSTALL) / "pgbouncer"
        workspace = Workspace(("postgres", "nobody"))
        super().__init__(workspace, "pgbouncer")
        first, second = cluster.standbys
        common = f"user={cluster.primary.user}"
        name = cluster.primary.database
        lines = [
            "[databases]",
            f"primary = host={HOST} port={cluster.primary.port} dbname={name} {common}",
            f"first = host={HOST} port={first.port} dbname={name} {common}",
            f"second = host={HOST} port={second.port} dbname={name} {common}",
            f"both = host={HOST} port={both} dbname={name} {common}",
            "[pgbouncer]",
            f"listen_addr = {HOST}",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = any",
            f"pool_mode = {mode}",
            f"default_pool_size = {connections}",
            f"query_wait_timeout = {PATIENCE}",
            "server_login_retry = 1",
            "server_round_robin = 1",
            "ignore_startup_parameters = extra_float_digits,options",
        ]
        self._file = self.directory / "pgbouncer.ini"
        workspace.write(self._file, "\n".join(lines) + "\n")
        self._program = program
        self._user = cluster.primary.user

    def django_settings(self, name: str) -> dict[str, Any]:
        """An entry in ``DATABASES`` that leads to ``name``."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": self._user,
            "HOST": self.host,
            "PORT": self.port,
            "DISABLE_SERVER_SIDE_CURSORS": True,
            "OPTIONS": {"connect_timeout": 2},
        }

    def connect(self, name: str) -> Any:
        """A new connection to ``name``, past Django."""
        return psycopg.connect(host=self.host, port=self.port, user=self._user, dbname=name, connect_timeout=2)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._workspace.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._workspace.close()

    def _command(self) -> list[str | Path]:
        return [self._program, self._file]

    def _answers(self) -> bool:
        try:
            self.connect("primary").close()
        except psycopg.OperationalError:
            return False
        return True
