"""What the figures were measured on."""

import os
import platform
import re
import shutil
import subprocess
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import django

from costs.environment import REPOSITORY
from costs.peers import GUNICORN

# Of these the library calls much, or a page's queries do.
PACKAGES = ("psycopg", "redis", "django-redis")

# Each program, and what to look for in what it says of its version.
PROGRAMS = {
    "PostgreSQL": ("postgres", r"\d+\.\d+"),
    "Redis": ("redis-server", r"\d+\.\d+\.\d+"),
    "wrk": ("wrk", r"\d+\.\d+\.\d+"),
    "valgrind": ("valgrind", r"\d+\.\d+\.\d+"),
}


def machine() -> str:
    """The processors, the versions, the commit and the date, in a line."""
    versions = [f"Python {platform.python_version()}", f"Django {django.__version__}"]
    versions += [f"{package} {version(package)}" for package in PACKAGES]
    versions += [f"{name} {_version(*program) or 'missing'}" for name, program in PROGRAMS.items()]
    versions.append(f"gunicorn {_gunicorn() or 'missing'}")
    versions.append(f"commit {_commit() or 'unknown'}")
    today = datetime.now().astimezone()
    return f"{os.cpu_count()} processors ({_processor()}), {', '.join(versions)}, {today:%Y-%m-%d}."


def _processor() -> str:
    """The model, where the system tells it, or the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else []
    return models[0] if models else platform.machine()


def _version(program: str, pattern: str) -> str | None:
    found = next(filter(None, (shutil.which(program, path=path) for path in [None, *_places()])), None)
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    versions = re.findall(pattern, said.stdout + said.stderr)
    return versions[0] if versions else None


def _commit() -> str | None:
    """What is measured, with ``-dirty`` where files differ from that."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # The files were copied here without their history.


def _places() -> list[str]:
    """Where Debian and Ubuntu have PostgreSQL, the newest first."""
    return sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


def _gunicorn() -> str | None:
    places = [path.name for path in GUNICORN.folder.glob("gunicorn-*.dist-info")]
    return places[0].removeprefix("gunicorn-").removesuffix(".dist-info") if places else None
