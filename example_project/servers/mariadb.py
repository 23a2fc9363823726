"""A MariaDB primary and its replica, by global transaction ids. MariaDB 10.6 or later."""

import math
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

from .base import Cluster, DatabaseServer
from .processes import HOST, Workspace
from .programs import directory_of, driver

PLACES = ("/usr/sbin", "/usr/libexec", "/usr/bin", "/usr/local/mysql/bin", "/usr/local/mysql/scripts")

INSTALL = "MariaDB 10.6 or later (Debian and Ubuntu: apt install mariadb-server)"

# How many seconds a replica has for what it is told.
PATIENCE = 10

OPTIONS = [
    f"--bind-address={HOST}",
    "--skip-name-resolve",
    "--skip-ssl",
    "--max-connections=200",
    "--character-set-server=utf8mb4",
    "--innodb-buffer-pool-size=32M",
    # The files are thrown away in the end, and survive the crash of a server: only that of the machine loses them.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--sync-binlog=0",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--relay-log=relay",
    "--relay-log-recovery=1",
    # A replica is back soon after its primary is.
    "--slave-net-timeout=4",
]

# What the files are made with, and then have to be opened with.
INNODB = ["--innodb-log-file-size=8M"]


class MariaDBCluster(Cluster):
    """A primary and one replica, with a database called ``database``."""

    primary: "MariaDBServer"
    replica: "MariaDBReplica"

    _accounts = ("mysql", "nobody")

    def __init__(self, database: str = "multidb") -> None:
        super().__init__()
        self._database = database

    def _look_up(self) -> None:
        self._mysqlclient = driver("MySQLdb", "mysqlclient")
        self._installer, self._program = (
            directory_of(name, places=PLACES, install=INSTALL) / name for name in ("mariadb-install-db", "mariadbd")
        )

    def _build(self, workspace: Workspace) -> None:
        common = self._mysqlclient, self._database, self._program
        self.primary = MariaDBServer(workspace, "primary", *common, number=1)
        self.replica = MariaDBReplica(workspace, "replica", *common, number=2)
        self.primary.install(self._installer)
        self.replica.copy(self.primary)
        self.primary.launch()
        self.replica.launch()
        self.primary.wait_until_ready()
        self.primary.create()
        self.replica.wait_until_ready()
        self.replica.follow(self.primary)


class MariaDBServer(DatabaseServer):
    """One MariaDB server, whose superuser ``user`` needs no password."""

    user = "root"

    _first_database = "mysql"
    _stop_by = signal.SIGTERM
    _kill_by = signal.SIGKILL

    def __init__(
        self, workspace: Workspace, name: str, driver: ModuleType, database: str, program: Path, number: int
    ) -> None:
        super().__init__(workspace, name, driver, database)
        self._program = program
        self._number = number

    def install(self, installer: Path) -> None:
        """Make the server's files, without a binary log: replication begins with the server's first statement."""
        # Forced, it does without a host name that can be resolved.
        options = ["--no-defaults", "--force", "--auth-root-authentication-method=normal", "--skip-test-db", *INNODB]
        self._workspace.spawn("install", installer, *options, f"--datadir={self.directory}").finish()

    def create(self) -> None:
        """Create the server's database, and the user as which a replica connects."""
        self.execute(f"CREATE DATABASE `{self.database}`", database=self._first_database)
        self.execute(f"CREATE USER replication@'{HOST}'")
        self.execute(f"GRANT REPLICATION SLAVE ON *.* TO replication@'{HOST}'")

    def django_settings(self) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": self.database,
            "USER": self.user,
            "PASSWORD": "",
            "HOST": self.host,
            "PORT": self.port,
            "OPTIONS": {"connect_timeout": 2, "charset": "utf8mb4"},
        }

    def _command(self) -> list[str | Path]:
        files = [f"--datadir={self.directory}", f"--socket={self.directory}.sock", f"--pid-file={self.directory}.pid"]
        numbers = [f"--port={self.port}", f"--server-id={self._number}"]
        return [self._program, "--no-defaults", *files, *numbers, *OPTIONS, *INNODB]

    def _connect(self, database: str) -> Any:
        return self._driver.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            database=database,
            connect_timeout=2,
            charset="utf8mb4",
            autocommit=True,
        )


class MariaDBReplica(MariaDBServer):
    """A replica, which replays what its primary has written, and can be told when. It takes writes of its own too."""

    def copy(self, primary: MariaDBServer) -> None:
        """Copy the files of ``primary``, which has not been started yet."""
        self._workspace.spawn(f"{self._name}-copy", "cp", "-R", primary.directory, self.directory).finish()

    def follow(self, primary: MariaDBServer) -> None:
        """Replicate all that ``primary`` has done since its first start."""
        self._order(
            f"CHANGE MASTER TO MASTER_HOST='{primary.host}', MASTER_PORT={primary.port},"
            " MASTER_USER='replication', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos",
            "START SLAVE",
        )
        self.wait_until_replayed(primary)

    def set_lag(self, seconds: float) -> None:
        """From now on replay each commit ``seconds`` after it was made, rounded up to whole seconds; 0 is at once.

        What waits to be replayed is held to it as well. MariaDB compares clocks that tell whole seconds: it can be
        up to one second more, or less.
        """
        start = "START SLAVE" if self._is_replaying() else "START SLAVE IO_THREAD"
        self._order("STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY={math.ceil(seconds)}", start)

    def pause(self) -> None:
        """Replay nothing from now on, until ``resume()`` or the next start."""
        self._order("STOP SLAVE SQL_THREAD")

    def resume(self) -> None:
        """Replay what has come in since ``pause()``, and go on."""
        self._order("START SLAVE SQL_THREAD")

    def wait_until_replayed(self, primary: MariaDBServer, seconds: float = PATIENCE) -> None:
        """Wait until all that is committed on ``primary`` now can be read here.

        Raises ``TimeoutError`` if that takes more than ``seconds``.
        """
        [(position,)] = primary.execute("SELECT @@gtid_binlog_pos")
        wait = "SELECT MASTER_GTID_WAIT(%s, %s)"
        if self.execute(wait, position, seconds, database=self._first_database) != [(0,)]:
            raise TimeoutError(f"{self._name} has not replayed {position} within {seconds} seconds")

    def _is_replaying(self) -> bool:
        replaying = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_SQL'"
        return self.execute(replaying) == [(1,)]

    def _order(self, *statements: str) -> None:
        # Not in the server's own database, which a new replica does not have yet.
        for statement in statements:
            self.execute(statement, database=self._first_database)
