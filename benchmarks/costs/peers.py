"""Packages from outside that the tables need, each in a folder of its own: 0.11 has the import name of this library."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / ".peers"


class Peer(NamedTuple):
    """A package from PyPI. ``requirements``: it and what it needs to be imported, beside Django."""

    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / self.requirements[0]

    @property
    def is_installed(self) -> bool:
        return self.folder.exists()


MULTIDB_ROUTER = Peer(("django-multidb-router==0.11",))
REPLICATED = Peer(("django-replicated==2.7", "six"))
GUNICORN = Peer(("gunicorn", "packaging"))

PEERS = (MULTIDB_ROUTER, REPLICATED, GUNICORN)


def install(peers: Iterable[Peer] = PEERS) -> None:
    """Install those of ``peers`` that are not. One that cannot be is told on stderr, and left out."""
    for peer in peers:
        if not peer.is_installed:
            _install(peer)


def _install(peer: Peer) -> None:
    sys.stderr.write(f"Installing {' and '.join(peer.requirements)} ...\n")
    # Not at its place before it is whole.
    unfinished = peer.folder.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run = subprocess.run(
        [*pip, "--no-deps", "--target", unfinished, *peer.requirements], capture_output=True, text=True, check=False
    )
    if run.returncode:
        sys.stderr.write(run.stderr)
        return
    unfinished.rename(peer.folder)
