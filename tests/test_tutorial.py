"""The tutorial, followed to the letter in an empty folder with the built wheel, ends in a site with each store."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from tests.blocks import ROOT, Block, block, blocks

PAGE = "docs/tutorial.md"
STORES = ["cookie", "session", "redis", "cache"]
START_SECONDS = 60


class Reader:
    """Somebody with two terminals who does what the page says, on ports that are free here."""

    def __init__(self, folder: Path, wheels: Path, redis_port: int | None = None) -> None:
        self._folder = folder
        self._wheels = wheels
        self._port = _free_port()
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
        )
        self._said = ""
        self.type("set -e")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        self._shell.kill()
        self._shell.communicate()

    def follow(self, found: Block) -> None:
        """Do what the marker of ``found`` says is to be done with it."""
        what, _, name = found.marker.partition(":")[0].partition(" ")
        text = found.text.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        text = text.replace("127.0.0.1:6379", f"127.0.0.1:{self._redis_port}")
        if what == "run":
            self._said = self.type(text)
        elif what == "output":
            assert _any_replica(self._said) == _any_replica(text), f"{found.page}:{found.line}"
        elif what == "serve":
            self._serve(text.replace("runserver", f"runserver 127.0.0.1:{self._port}"))
        else:
            assert what in ("write", "append"), found.marker
            with (self.working_folder / name).open("w" if what == "write" else "a") as file:
                file.write(f"\n{text}")

    def type(self, text: str) -> str:
        """Type ``text`` into the first terminal. Returns what is printed; fails if a line fails."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{text}\necho END\n")
        self._shell.stdin.flush()
        said = ""
        for line in self._shell.stdout:
            if line == "END\n":
                return said
            said += line.replace("\r", "")
        raise AssertionError(f"A line failed of:\n{text}\nIt said:\n{said}")

    @property
    def working_folder(self) -> Path:
        return Path(self.type("pwd").strip())

    def _serve(self, text: str) -> None:
        """In the second terminal: stop what runs there, and start it anew."""
        self._stop()
        activated = text if "activate" in text else f". .venv/bin/activate\n{text}"
        self._server = subprocess.Popen(
            ["bash", "-c", activated], cwd=self.working_folder, env=self._environment(), start_new_session=True
        )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("The site does not start.")

    def _stop(self) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait()
            self._server = None

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
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True
    )
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
    with Reader(tmp_path, wheels, request.getfixturevalue("redis_port") if store == "redis" else None) as reader:
        reader.type(_left_behind())
        reader.follow(next(found for found in _common()[::-1] if found.marker == "serve"))
        for found in _of(store):
            reader.follow(found)


def test_the_wheel_is_what_is_tried(begun: Path) -> None:
    """Not this folder, nor another release."""
    python = begun / "notes-site" / ".venv" / "bin" / "python"
    asked = "import multidb; print(multidb.__file__, multidb.__version__)"
    where, version = subprocess.run(
        [python, "-c", asked], cwd=begun, check=True, capture_output=True, text=True
    ).stdout.split()
    assert where.startswith(str(begun))
    assert version == re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]


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


def _left_behind() -> str:
    """What the first terminal has of what was typed into it: its folder, its environment, its function."""
    replicate = next(line for found in _common() for line in found.text.splitlines() if line.startswith("replicate()"))
    return f"cd notes-site\n. .venv/bin/activate\n{replicate}"


def _any_replica(text: str) -> str:
    """``text`` with one name for both replicas, which take turns."""
    return text.replace("replica-2", "replica-1")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
