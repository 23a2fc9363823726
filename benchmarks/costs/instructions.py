"""How many instructions a call takes: a figure that no other load on the machine changes."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from costs.databases import sqlite
from costs.options import Options
from costs.report import Row, Table, Unavailable, times
from costs.subjects import OURS, PREDECESSOR, Subject
from costs.workers import surroundings

# So many calls are made in both runs: first calls are not like later ones.
FIRST = 200

# Each task, and how many times its calls are made: a read is short.
TASKS = {
    "`db_for_read`, not pinned": ("read", 10),
    "`db_for_read`, pinned": ("pinned read", 10),
    "reading request": ("routing of a reading request", 1),
    "pinned reading request": ("routing of a pinned request", 1),
    "writing request": ("routing of a writing request", 1),
}

NOTE = """\
Instructions a call, counted by callgrind: the difference of two runs, one with {calls} calls more, by their number.
Requests are routing alone, as in the table of routing. The ratio is that to django-multidb-router 0.11."""


def tables(options: Options) -> list[Table]:
    if shutil.which("valgrind") is None:
        raise Unavailable("there is no valgrind. Install it (Debian and Ubuntu: apt install valgrind).")
    subjects = [subject for subject in (OURS, PREDECESSOR) if not subject.peer or subject.peer.is_installed]
    with sqlite() as databases, ThreadPoolExecutor(os.cpu_count()) as threads:
        sites = {subject: subject.settings(databases) for subject in subjects}
        cells = list(product(TASKS, subjects))
        for subject, site in sites.items():
            _compile(subject, site)
        counts = threads.map(lambda cell: _a_call(*TASKS[cell[0]], cell[1], sites[cell[1]], options.calls), cells)
        counted = dict(zip(cells, counts, strict=True))
    rows = [_row(what, [counted[what, subject] for subject in subjects]) for what in TASKS]
    note = NOTE.format(calls=f"{options.calls:,}")
    return [Table("Instructions", [subject.name for subject in subjects], rows, [note])]


def total(report: str) -> int:
    """The instructions that a report of callgrind tells."""
    [count] = re.findall(r"^(?:summary|totals): (\d+)$", report, re.MULTILINE)[:1]
    return int(count)


def _row(what: str, counts: list[float]) -> Row:
    ratio = times(counts[0] / counts[1]) if len(counts) > 1 else ""
    return Row(what, [f"{count:,.0f}" for count in counts], ratio)


def _a_call(task: str, times_calls: int, subject: Subject, site: Mapping[str, Any], calls: int) -> float:
    more = calls * times_calls
    few, many = (_counted(task, number, FIRST + more, subject, site) for number in (FIRST, FIRST + more))
    return (many - few) / more


def _compile(subject: Subject, site: Mapping[str, Any]) -> None:
    """Run all once: else the first process that is counted compiles what is imported, and the next does not."""
    for task, _ in TASKS.values():
        command = [sys.executable, "-m", "costs.counting", task, "1", "1"]
        subprocess.run(command, env=surroundings(subject, site), check=True)


def _counted(task: str, calls: int, made: int, subject: Subject, site: Mapping[str, Any]) -> int:
    """How many instructions a process takes that makes ``calls`` of ``task``, with all that it does besides.

    That is the same for each number of calls: also the requests, of which so many are ``made``.
    """
    with tempfile.TemporaryDirectory(prefix="multidb-") as directory:
        report = Path(directory) / "callgrind.out"
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={report}"]
        subprocess.run(
            [*valgrind, sys.executable, "-m", "costs.counting", task, str(calls), str(made)],
            # Else the hashes of strings, and so the work of each dict, differ from run to run.
            env={**surroundings(subject, site), "PYTHONHASHSEED": "0"},
            check=True,
        )
        return total(report.read_text())
