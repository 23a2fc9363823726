"""The processes that serve the site."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from servers.base import Server
from servers.processes import Workspace


class Worker(Server):
    """One process that serves the site, until it is killed.

    ``name`` tells it from the others. ``starts`` counts how often it was started: connections are those of one start.
    """

    _stop_by = signal.SIGTERM
    _kill_by = signal.SIGKILL

    def __init__(self, workspace: Workspace, name: str, site: dict[str, Any]) -> None:
        super().__init__(workspace, name)
        self.name = name
        self.starts = 0
        self.is_serving = False
        self._site = json.dumps(site)
        self._kills: list[float] = []

    def launch(self) -> None:
        super().launch()
        self.starts += 1

    def wait_until_ready(self) -> None:
        super().wait_until_ready()
        self.is_serving = True

    def kill(self) -> None:
        """Send it no further requests, and kill it under those that it has."""
        self.is_serving = False
        self._kills.append(time.monotonic())
        super().kill()

    def was_killed_since(self, start: float) -> bool:
        """Was it killed after ``start`` (by ``time.monotonic()``)?"""
        return any(kill >= start for kill in self._kills)

    def _command(self) -> list[str | Path]:
        path = f"PYTHONPATH={os.pathsep.join(sys.path)}"
        return ["env", path, sys.executable, "-m", "history.serving", str(self.port), self._site]

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True
