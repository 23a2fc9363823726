"""The environment of the benchmarks: a venv in their folder, with this library, its Django and the drivers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
REPOSITORY = BENCHMARKS.parent

FOLDER = BENCHMARKS / ".venv"
PYTHON = FOLDER / "bin" / "python"


def enter() -> None:
    """Run this command from its begin in the environment, which is made first if need be, unless it runs there."""
    if Path(sys.prefix).resolve() == FOLDER.resolve():
        return
    _install()
    os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606  # itself once more, by the Python that has what it needs


def _install() -> None:
    project, installed = REPOSITORY / "pyproject.toml", FOLDER / "installed"
    if installed.exists() and installed.read_text() == project.read_text():
        return
    sys.stderr.write(f"Installing into {FOLDER.relative_to(REPOSITORY)} ...\n")
    subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--editable", f"{REPOSITORY}[redis,postgres]"], check=True)
    shutil.copyfile(project, installed)
