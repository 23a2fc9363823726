"""Print the tables, each when it is there."""

import importlib
import sys
import time
from collections.abc import Sequence
from subprocess import CalledProcessError

from servers import ServerFailed, ServersMissing

from costs.machine import machine
from costs.options import Options
from costs.report import Unavailable
from costs.workers import WorkerFailed


def print_tables(names: Sequence[str], options: Options) -> int:
    """Print those called ``names``. Returns 1 if one could not be had, and else 0."""
    status = 0
    sys.stdout.write(f"{machine()}\n")
    for name in names:
        begin = time.monotonic()
        try:
            tables = importlib.import_module(f"costs.{name}").tables(options)
        except (Unavailable, ServersMissing, ServerFailed, WorkerFailed, CalledProcessError) as reason:
            sys.stdout.write(f"\nThe table {name} cannot be had: {reason}\n")
            status = 1
            continue
        for table in tables:
            sys.stdout.write(f"\n{table}")
        sys.stdout.flush()
        sys.stderr.write(f"{name}: {time.monotonic() - begin:.0f} s\n")
    return status
