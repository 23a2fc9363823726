"""What CONTRIBUTING.md has a newcomer do works to the letter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.blocks import ROOT, block

PAGE = "CONTRIBUTING.md"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project with the store of the page, on which the contract of the stores runs."""
    for name in ("multidb", "tests", "example_project"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "var"))
    for name in ("pyproject.toml", "pytest_multidb.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "multidb" / "backends" / "files.py").write_text(block(PAGE, "store"))
    conftest = tmp_path / "tests" / "conftest.py"
    for change in block(PAGE, "contract").split("\n\n"):
        lines = change.splitlines()
        before, after = ("\n".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        if after not in conftest.read_text():  # As it is where somebody has followed the page.
            assert conftest.read_text().count(f"\n{before}\n") == 1
            conftest.write_text(conftest.read_text().replace(f"\n{before}\n", f"\n{after}\n"))
    return tmp_path


def run_in(clone: Path) -> tuple[int, str]:
    """The exit status of the command of the page, and the end of what it prints."""
    command = block(PAGE, "run").replace(".venv/bin/python", sys.executable).split()
    ended = subprocess.run([*command, "-p", "no:cacheprovider"], cwd=clone, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.splitlines()[-1]


def test_the_store_of_the_page_does_what_every_store_does(clone: Path) -> None:
    status, end = run_in(clone)
    passed = re.search(r"(\d+) passed", end)
    assert (status, passed is not None and int(passed[1]) > 20) == (0, True), end


def test_the_contract_finds_a_store_that_keeps_nothing(clone: Path) -> None:
    store = clone / "multidb" / "backends" / "files.py"
    line = "            Path(path).replace(self._path(key))\n"
    assert line in store.read_text()
    store.write_text(store.read_text().replace(line, ""))
    status, end = run_in(clone)
    assert (status, "failed" in end) == (1, True), end


# In place of Python: it writes down what it is to run, and leaves the rest to the machine.
NOTING = '#!/bin/sh\nif [ "$1" = -m ]; then echo "$@" >> "$(dirname "$0")/noted"; fi\n'


def test_what_each_line_runs_is_installed_before_it(tmp_path: Path) -> None:
    """In a clone that is new: those that fail where a server is missing need the drivers of all."""
    for name in ("run.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(NOTING)
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["bash", "-e"], input=block(PAGE, "tests"), cwd=tmp_path, env=environment, text=True, check=True)
    noted = (python.parent / "noted").read_text()
    words = re.findall(r"(\.\[\w+\]|-m pytest|--services|tests/\S+)", noted)
    assert words == [
        *(".[test]", "-m pytest"),
        *("-m pytest", "tests/test_pins.py"),
        *(".[services]", "-m pytest", "--services", "tests/integration/test_failover.py"),
    ]
