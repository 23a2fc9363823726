"""What a cluster and its servers are, whatever the database."""

import signal
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Self

from .processes import HOST, Process, Workspace


class Server(ABC):
    """One server. It can be stopped or killed, and then started again, on the same port and in the same directory."""

    host = HOST

    # The signals that shut the server down, and that make it crash.
    _stop_by: ClassVar[signal.Signals]
    _kill_by: ClassVar[signal.Signals]

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.port = workspace.hold_port()
        self.directory = workspace.directory / name
        self._workspace = workspace
        self._name = name
        self._process: Process | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Start the server and wait until it answers. Raises ``ServerFailed`` if it does not."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the server, unless it runs, without waiting until it answers."""
        if not self.is_running:
            self._process = self._workspace.spawn(self._name, *self._command(), end_by=self._kill_by)

    def wait_until_ready(self) -> None:
        """Wait until the server that was launched answers. Raises ``ServerFailed`` if it does not."""
        if self._process is not None:
            self._process.wait_until(self._answers)

    def stop(self) -> None:
        """Shut the server down: its clients lose their connections, and nothing else is lost."""
        self._end(self._stop_by)

    def kill(self) -> None:
        """Make the server crash. What it keeps in files is there when it is started again."""
        self._end(self._kill_by)

    @abstractmethod
    def _command(self) -> list[str | Path]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(by)


class DatabaseServer(Server):
    """One server of a SQL database, whose ``driver`` is a DB-API module."""

    # The database that a new server has.
    _first_database: ClassVar[str]

    def __init__(self, workspace: Workspace, name: str, driver: ModuleType, database: str) -> None:
        super().__init__(workspace, name)
        self.database = database
        self._driver = driver

    def execute(self, sql: str, *parameters: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """The rows that ``sql`` returns, if any, over a new connection that commits at once.

        ``database`` is another one than the server's own. Raises what the driver raises, which is its
        ``OperationalError`` if the server does not answer.
        """
        with closing(self._connect(database or self.database)) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    @abstractmethod
    def django_settings(self) -> dict[str, Any]:
        """The server's entry in Django's ``DATABASES``."""

    @abstractmethod
    def _connect(self, database: str) -> Any: ...

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1", database=self._first_database)
        except self._driver.OperationalError:
            return False
        return True


class Cluster(ABC):
    """Servers that belong together, from ``start()`` to ``stop()``; in a ``with`` block, from its begin to its end.

    Started anew, it is empty, and on other ports.
    """

    # The users, of whom the first that exists has the servers where we are root.
    _accounts: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self._workspace: Workspace | None = None

    def start(self) -> None:
        """Start all servers, unless they are started, and wait until each of them answers.

        Raises ``ServersMissing`` if something is not installed, and ``ServerFailed`` if something does not work.
        """
        if self._workspace is not None:
            return
        self._look_up()
        self._workspace = Workspace(self._accounts)
        try:
            self._build(self._workspace)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all servers and remove their files. Does nothing if they are not started."""
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def _look_up(self) -> None:
        """Find the programs and the driver. Raises ``ServersMissing``."""

    @abstractmethod
    def _build(self, workspace: Workspace) -> None:
        """Make the servers, start them, and join them."""
