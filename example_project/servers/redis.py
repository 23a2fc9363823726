"""A Redis server that keeps nothing on disk, and the node that it is made of, as are Sentinel and Redis Cluster."""

import shutil
import signal
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self

from .base import Server
from .processes import HOST, Workspace
from .programs import directory_of, driver

PLACES = ("/usr/local/bin", "/opt/redis/bin")

INSTALL = "Redis 7 or later (Debian and Ubuntu: apt install redis-server)"

ACCOUNTS = ("redis", "nobody")

# Where a server with "appendonly yes" keeps its keys, in its own directory.
APPEND_ONLY_DIRECTORY = "appendonlydir"

# How many seconds a client waits, unless it is told otherwise: a frozen server answers never.
PATIENCE = 2

OPTIONS = {
    "bind": HOST,
    "save": '""',
    "appendonly": "no",
    "appenddirname": APPEND_ONLY_DIRECTORY,
    # A replica gets its copy at once.
    "repl-diskless-sync-delay": "0",
}


class Installation(NamedTuple):
    """What a Redis needs: the Python client, and the program."""

    module: ModuleType
    program: Path


def find() -> Installation:
    """Raises ``ServersMissing`` if the client or the program is not installed."""
    directory = directory_of("redis-server", places=PLACES, install=INSTALL)
    return Installation(driver("redis", "redis"), directory / "redis-server")


class RedisNode(Server):
    """One process of ``redis-server``.

    ``arguments`` are those of the command line, and ``options`` are lines of its configuration file, where a name has
    ``_`` for ``-``. The server may rewrite the file, and then goes by that when it is started again.
    """

    _stop_by = signal.SIGTERM
    _kill_by = signal.SIGKILL

    def __init__(
        self, workspace: Workspace, name: str, installation: Installation, *arguments: str, **options: object
    ) -> None:
        super().__init__(workspace, name)
        self._installation = installation
        self._arguments = arguments
        self._file = self.directory / "redis.conf"
        given = {name.replace("_", "-"): value for name, value in options.items()}
        lines = {"port": self.port, "dir": self.directory, **OPTIONS, **given}
        workspace.write(self._file, "".join(f"{name} {value}\n" for name, value in lines.items()))

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def client(self, **options: Any) -> Any:
        """A new client, to be closed by the caller, which tries once; ``options`` are those of ``redis.Redis``."""
        patience = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE, "retry": None}
        return self._installation.module.Redis(self.host, self.port, **{**patience, **options})

    def execute(self, *command: object) -> Any:
        """What the server answers to ``command``, over a new connection. Raises what ``redis.Redis`` raises."""
        with self.client(decode_responses=True) as client:
            return client.execute_command(*command)

    def pause(self) -> None:
        """Freeze the server: connections are accepted and kept, and nothing is answered."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let the frozen server go on: it answers what it was asked meanwhile."""
        if self._process is not None:
            self._process.resume()

    def remove_files(self) -> None:
        """Remove what the server keeps on disk, if it does: it is empty when it is started. It must not run."""
        shutil.rmtree(self.directory / APPEND_ONLY_DIRECTORY, ignore_errors=True)

    def _command(self) -> list[str | Path]:
        return [self._installation.program, self._file, *self._arguments]

    def _answers(self) -> bool:
        try:
            return bool(self.execute("PING"))
        except (self._installation.module.ConnectionError, self._installation.module.TimeoutError):
            return False


class RedisServer(RedisNode):
    """A server of its own, which a ``with`` block starts, and of which nothing is left at its end.

    ``arguments`` and ``options`` as for ``RedisNode``. Without ``appendonly="yes"`` it is empty whenever it is started.
    Raises ``ServersMissing`` if it cannot be had.
    """

    def __init__(self, *arguments: str, **options: object) -> None:
        installation = find()
        super().__init__(Workspace(ACCOUNTS), "redis", installation, *arguments, **options)

    def close(self) -> None:
        """End the server, frozen or not, and remove its files: it cannot be started again."""
        self._workspace.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
