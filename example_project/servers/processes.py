"""Processes of an unprivileged user, with ports and files of their own, of which nothing is left in the end."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import ServerFailed, ServersMissing

HOST = "127.0.0.1"

POLL_SECONDS = 0.01
READY_SECONDS = 30
END_SECONDS = 10
LOG_LINES = 20

Result = TypeVar("Result")


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until ``condition()``. Raises ``TimeoutError(otherwise)`` if it is not so after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(POLL_SECONDS)


class Process:
    """A program that was started in a session of its own, so that Ctrl-C in the terminal does not reach it."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until ``ready()``. Raises ``ServerFailed`` if the process ends before that, or it takes too long."""
        try:
            wait_until(lambda: ready() or not self.is_running, READY_SECONDS, "")
        except TimeoutError as error:
            raise self._failure(f"was not ready after {READY_SECONDS} seconds") from error
        if not self.is_running:
            raise self._failure(f"ended with {self._popen.returncode}")

    def finish(self) -> None:
        """Wait for the process to end by itself. Raises ``ServerFailed`` if it fails, or takes too long."""
        try:
            status = self._popen.wait(READY_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self._failure(f"had not ended after {READY_SECONDS} seconds") from error
        if status != 0:
            raise self._failure(f"ended with {status}")

    def pause(self) -> None:
        """Freeze the process: it keeps its connections, and answers none of them."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the process go on, if it is frozen."""
        self._send(signal.SIGCONT)

    def end(self, by: signal.Signals | None) -> None:
        """Send the signal ``by``, if any, and wait until the process is gone; kill it if that takes too long."""
        try:
            if by is not None:
                self._send(by)
                self.resume()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(END_SECONDS)
        finally:
            self._send(signal.SIGKILL)
            self._popen.wait()

    def _send(self, number: signal.Signals) -> None:
        """Signal the whole session: a script that is ended must not leave the program that it called."""
        if self.is_running:
            os.killpg(self._popen.pid, number)

    def _failure(self, what: str) -> ServerFailed:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return ServerFailed("\n".join([f"{self._log.stem} {what}. The last lines of its log:", *lines]))


class Workspace:
    """A temporary directory, ports, and the processes that use them; ``close()`` ends all of it.

    So do the garbage collector and the end of the interpreter, but not the end of a forked child. Where we are root,
    the directory and the processes belong to the first of ``accounts`` that exists: PostgreSQL refuses to run as root.
    Raises ``ServersMissing`` if none exists. Without ``accounts`` they are ours, whoever we are.
    """

    def __init__(self, accounts: Sequence[str] = ()) -> None:
        self._account = _first_of(accounts) if accounts and os.geteuid() == 0 else None
        self._endings: list[Callable[[], object]] = []
        self._end = partial(_end, os.getpid(), self._endings)
        self._finalizer = weakref.finalize(self, self._end)
        self.directory = _uninterrupted(self._make_directory)

    def close(self) -> None:
        """End the processes, the last one first, and remove the directory. Does nothing the second time."""
        self._end()
        # Only now: what Ctrl-C interrupts here, the end of the interpreter completes.
        self._finalizer.detach()

    def hold_port(self) -> int:
        """A free port, which until the end only a process that sets SO_REUSEADDR can listen on, as servers do."""
        holder = socket.socket()
        self._endings.append(holder.close)
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        if sys.platform == "linux":
            # Set after bind(), it lets our server in but does not let bind() to port 0 find the port once more.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            holder.close()  # elsewhere it would keep our server out as well
        return port

    def write(self, path: Path, text: str) -> None:
        """Make a file that the processes may change, in a directory, made if need be, of which that is true as well."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if self._account:
            for each in (path.parent, path):
                os.chown(each, self._account.pw_uid, self._account.pw_gid)

    def spawn(self, name: str, *command: str | Path, end_by: signal.Signals | None = None) -> Process:
        """Start ``command``, which adds to the log ``name``.

        ``close()`` ends it with the signal ``end_by``. A program without one ends by itself soon: interrupted, it
        might leave shared memory, or a child that still writes.
        """

        def start() -> Process:
            log = self.directory / f"{name}.log"
            with log.open("ab") as output:
                process = Process(subprocess.Popen(command, stdout=output, **self._surroundings()), log)
            self._endings.append(partial(process.end, end_by))
            return process

        return _uninterrupted(start)

    def _surroundings(self) -> dict[str, Any]:
        """The arguments of ``Popen`` with which nothing of the caller's terminal, rights or settings is passed on."""
        settings = {
            name: value for name, value in os.environ.items() if not name.startswith(("PG", "MYSQL", "MARIADB"))
        }
        account = self._account
        return {
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "cwd": self.directory,
            "env": {**settings, "HOME": str(self.directory), "TMPDIR": str(self.directory), "LC_ALL": "C"},
            "start_new_session": True,
            **({"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}),
        }

    def _make_directory(self) -> Path:
        directory = Path(tempfile.mkdtemp(prefix="multidb-"))
        self._endings.append(partial(shutil.rmtree, directory, ignore_errors=True))
        if self._account:
            os.chown(directory, self._account.pw_uid, self._account.pw_gid)
        return directory


def _end(owner: int, endings: list[Callable[[], object]]) -> None:
    """Do all ``endings``, each of which may have been done before, unless we are a fork of the process ``owner``."""
    if os.getpid() == owner:
        for ending in reversed(endings):
            ending()


def _uninterrupted(job: Callable[[], Result]) -> Result:
    """Do ``job`` in another thread: Ctrl-C, which only the main one notices, finds it done or not begun."""
    with ThreadPoolExecutor(1) as thread:
        # Only a thread that has been seen to run is waited for in any case.
        thread.submit(int).result()
        return thread.submit(job).result()


def _first_of(accounts: Sequence[str]) -> pwd.struct_passwd:
    for account in accounts:
        with suppress(KeyError):
            return pwd.getpwnam(account)
    raise ServersMissing(f"Servers do not run as root, and there is no user {' or '.join(accounts)}: add one.")
