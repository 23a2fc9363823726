"""The processes of the sites that are measured: one each, with its own package first on the path."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from costs.environment import BENCHMARKS
from costs.subjects import Subject


class WorkerFailed(Exception):
    """A process of a site has ended; what it had to say is on stderr."""


def surroundings(subject: Subject, settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables of a process of a site with ``settings``."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(subject.path), str(BENCHMARKS)]),
        # Not the working directory before it: there may be a multidb too.
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "DJANGO_SETTINGS_MODULE": "costs.site",
        "COSTS_SETTINGS": json.dumps(settings),
    }


class Worker:
    """A process of a site of ``subject`` with ``settings``, to its ``close()``."""

    def __init__(self, subject: Subject, settings: Mapping[str, Any]) -> None:
        self.name = subject.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "costs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=surroundings(subject, settings),
            # Ctrl-C is for the command, which closes it.
            start_new_session=True,
        )

    def ask(self, call: str, **arguments: Any) -> Any:
        """What the function with the dotted path ``call`` returns in the process. Raises ``WorkerFailed``."""
        try:
            self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise WorkerFailed(f"The process of {self.name} has ended with {self._process.wait()}.")
        return json.loads(answer)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def working(settings: Mapping[Subject, Mapping[str, Any]]) -> Iterator[dict[Subject, Worker]]:
    """A worker for each subject, to the end of the block."""
    with ExitStack() as stack:
        yield {subject: started(stack, subject, each) for subject, each in settings.items()}


def started(stack: ExitStack, subject: Subject, settings: Mapping[str, Any]) -> Worker:
    """A worker that is closed with ``stack``."""
    worker = Worker(subject, settings)
    stack.callback(worker.close)
    return worker
