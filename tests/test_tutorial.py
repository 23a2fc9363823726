"""The tutorial, followed to the letter in an empty folder with the built wheel, ends in a site with each store."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any, Self

import pytest
from servers.processes import Workspace

from tests.blocks import ROOT, Block, block, blocks
from tests.boards import READY_SECONDS, until

PAGE = "docs/tutorial.md"
STORES = ["cookie", "session", "redis", "cache"]
INSTALL_SECONDS = 600

# What the first terminal prints in a line of its own when all that was typed is done.
DONE = "Done, says the reader's shell."

# Who reads this stops what runs in the second terminal.
STOP = "Stop the site"


class Reader:
    """Somebody with two terminals who does what the page says, on ports that are free here."""

    def __init__(self, folder: Path, wheels: Path, redis_port: int | None = None) -> None:
        self._wheels = wheels
        self._workspace = Workspace()
        self._port = self._workspace.hold_port()
        self._redis_port = redis_port
        self._server: subprocess.Popen[bytes] | None = None
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._said = ""
        self.type("set -e")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._stop()
        finally:
            self._kill_shell()
            self._shell.communicate()
            self._workspace.close()

    def follow(self, found: Block) -> None:
        """Do what the marker of ``found`` says is to be done with it."""
        what, _, name = found.marker.partition(":")[0].partition(" ")
        if STOP in _said_before(found):
            self._stop()
        text = found.text.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        text = text.replace("127.0.0.1:6379", f"127.0.0.1:{self._redis_port}")
        if what == "run":
            self._said = self.type(text)
        elif what == "output":
            assert _any_replica(self._said) == _any_replica(text), f"{found.page}:{found.line}"
        elif what == "serve":
            assert self._server is None, f"{found.page}:{found.line}: nothing says to stop the site that runs."
            self._serve(text.replace("runserver", f"runserver 127.0.0.1:{self._port}"))
        else:
            assert what in ("write", "append"), found.marker
            with (self.working_folder / name).open("w" if what == "write" else "a") as file:
                file.write(f"\n{text}")

    def type(self, text: str) -> str:
        """Type ``text`` into the first terminal. Returns what is printed; fails if a line fails, or hangs."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{text}\nprintf '\\n%s\\n' \"{DONE}\"\n")
        self._shell.stdin.flush()
        said = ""
        patience = Timer(INSTALL_SECONDS, self._kill_shell)
        patience.start()
        try:
            for line in self._shell.stdout:
                if line == f"{DONE}\n":
                    return said.removesuffix("\n")
                said += line.replace("\r", "")
        finally:
            patience.cancel()
        raise AssertionError(f"A line failed, or took more than {INSTALL_SECONDS} s, of:\n{text}\nIt said:\n{said}")

    @property
    def working_folder(self) -> Path:
        return Path(self.type("pwd").strip())

    def _serve(self, text: str) -> None:
        """Start the site, in the second terminal."""
        activated = text if "activate" in text else f". .venv/bin/activate\n{text}"
        self._server = subprocess.Popen(
            ["bash", "-c", activated], cwd=self.working_folder, env=self._environment(), start_new_session=True
        )
        server = self._server
        until(lambda: server.poll() is not None or self._is_served())
        assert server.poll() is None, "The site does not start."

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            _signal_session(server, signal.SIGTERM)
            try:
                server.wait(READY_SECONDS)
                until(lambda: not self._is_served())
            finally:
                _signal_session(server, signal.SIGKILL)

    def _is_served(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _kill_shell(self) -> None:
        _signal_session(self._shell, signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COV_", "PYTEST", "DJANGO", "PYTHON", "VIRTUAL_ENV"))
        }
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIP_FIND_LINKS": str(self._wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this project, in which pip looks beside its index."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
        check=True,
        timeout=INSTALL_SECONDS,
    )
    [wheel] = folder.iterdir()
    # Of two wheels of one version pip takes that with the higher build number, and one in an index has none.
    wheel.rename(folder / wheel.name.replace("-py3-", "-1-py3-"))
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """The folder of somebody who has followed the page to where a store is chosen."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not on PATH")
    folder = tmp_path_factory.mktemp("tutorial")
    with Reader(folder, wheels) as reader:
        for found in _common():
            reader.follow(found)
    return folder


@pytest.mark.parametrize("store", STORES)
def test_it_ends_in_a_working_site_with_each_store(
    store: str, begun: Path, wheels: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every line is run, every file written, and what the page shows is what is printed."""
    shutil.copytree(begun, tmp_path, symlinks=True, dirs_exist_ok=True)
    activate = _environment_of(tmp_path) / "bin" / "activate"
    names_its_folder = activate.read_text()
    assert str(begun) in names_its_folder
    activate.write_text(names_its_folder.replace(str(begun), str(tmp_path)))
    with Reader(tmp_path, wheels, request.getfixturevalue("redis_port") if store == "redis" else None) as reader:
        reader.type(_left_behind())
        reader.follow(next(found for found in _common()[::-1] if found.marker == "serve"))
        for found in _of(store):
            reader.follow(found)


def test_the_wheel_is_what_is_tried(begun: Path) -> None:
    """Not this folder, nor another release, nor another wheel of this one: byte for byte it is what is here."""
    python = _environment_of(begun) / "bin" / "python"
    asked = "import multidb; print(multidb.__file__, multidb.__version__)"
    where, version = subprocess.run(
        [python, "-I", "-c", asked], cwd=begun, check=True, capture_output=True, text=True, timeout=READY_SECONDS
    ).stdout.split()
    assert where.startswith(str(begun))
    assert version == re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert _files(Path(where).parent) == _files(ROOT / "multidb")


def test_every_block_is_followed() -> None:
    """Each is one of those that all follow, or of one store that is tried."""
    followed = [*_common(), *(found for store in STORES for found in _of(store))]
    assert sorted(followed) == sorted(blocks(PAGE))


def test_its_settings_are_those_of_the_readme() -> None:
    written = [line for found in _common() if found.marker.startswith("append") for line in found.text.splitlines()]
    assert [line for line in block("README.md", "settings").splitlines() if line not in written] == []


def _common() -> list[Block]:
    return [found for found in blocks(PAGE) if ":" not in found.marker]


def _of(store: str) -> list[Block]:
    return [found for found in blocks(PAGE) if found.marker.endswith(f": {store}")]


def _said_before(found: Block) -> str:
    """The text between the block before ``found`` and that."""
    lines = (ROOT / found.page).read_text().splitlines()
    ends = [each.line + len(each.text.splitlines()) + 1 for each in blocks(found.page) if each.line < found.line]
    return "\n".join(lines[max(ends, default=0) : found.line - 1])


def _left_behind() -> str:
    """What the first terminal has of what was typed into it: its folder, its environment, its function."""
    return f"cd notes-site\n. .venv/bin/activate\n{replication()}"


def replication() -> str:
    """The line that makes the command ``replicate``."""
    return next(line for found in _common() for line in found.text.splitlines() if line.startswith("replicate()"))


def _any_replica(text: str) -> str:
    """``text`` with one name for both replicas, which take turns."""
    return text.replace("replica-2", "replica-1")


def _environment_of(folder: Path) -> Path:
    return folder / "notes-site" / ".venv"


def _files(package: Path) -> dict[str, bytes]:
    """The content of each file of ``package`` by its path there, but for what Python compiles."""
    found = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(package)): path.read_bytes() for path in found}


def _signal_session(leader: subprocess.Popen[Any], number: signal.Signals) -> None:
    """Signal all that runs in the session of ``leader``, if anything does."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)
