"""Requests per second of a site on real servers: gunicorn, PostgreSQL with two standbys, and wrk for the load."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from servers.processes import HOST, Workspace

from costs.databases import postgresql
from costs.options import Options
from costs.peers import GUNICORN
from costs.report import Row, Table, Unavailable
from costs.rounds import Figures, interleaved
from costs.subjects import OURS, PLAIN, SUBJECTS, Subject
from costs.workers import surroundings

# Many short ones: what else the machine does changes from second to second.
ROUNDS = 15

LEAST_TIMES = 0.98

# A standby may answer slower or faster than its primary does.
ON_STANDBY = Subject("no routing, on a standby")

STANDBYS = 2
WORKERS = 2
CONNECTIONS = 8

NOTE = """\
Requests per second. gunicorn with {workers} sync workers for each site; a page makes ten queries; a PostgreSQL primary
with {standbys} standbys, from which plain Django reads nothing; persistent connections (`CONN_MAX_AGE`). All is on one
machine, load and servers included: what standbys on machines of their own would add does not show, and what routing
costs does. The last column is plain Django to which a standby is its only database. wrk with {connections} connections,
whose requests are not pinned. The ratio is that of multidb to no routing."""


def tables(options: Options) -> list[Table]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Unavailable("there is no wrk. Install it (Debian and Ubuntu: apt install wrk).")
    if not GUNICORN.is_installed:
        raise Unavailable("gunicorn is not installed.")
    subjects = [subject for subject in SUBJECTS if not subject.peer or subject.peer.is_installed]
    with postgresql(STANDBYS) as databases, closing(Workspace()) as workspace:
        sites = {subject: subject.settings(databases) for subject in subjects}
        sites[ON_STANDBY] = ON_STANDBY.settings({"default": databases["replica-1"]})
        pages = {subject.name: _serve(workspace, subject, settings) for subject, settings in sites.items()}
        measures = {name: partial(_load, wrk, page, options.load_seconds) for name, page in pages.items()}
        figures = interleaved(measures, options.rounds or ROUNDS)
    note = NOTE.format(workers=WORKERS, standbys=STANDBYS, connections=CONNECTIONS)
    rounds = f"Medians of {options.rounds or ROUNDS} interleaved rounds of {options.load_seconds} seconds each."
    return [Table("Throughput", list(pages), [_row(figures, list(pages))], [f"{note} {rounds}"])]


def requests_a_second(report: str) -> float:
    """What a report of wrk says. Raises ``Unavailable`` if requests have failed."""
    if failed := re.findall(r"^ *(Non-2xx or 3xx responses: .*|Socket errors: .*)$", report, re.MULTILINE):
        raise Unavailable(f"requests have failed ({failed[0]}).")
    [rate] = re.findall(r"^Requests/sec: +([\d.]+)$", report, re.MULTILINE)
    return float(rate)


def _row(figures: Figures, names: list[str]) -> Row:
    ratio = figures.ratio(OURS.name, to=PLAIN.name)
    cells = [f"{figures.median(name):.0f}" for name in names]
    target = f"at least {LEAST_TIMES} x no routing"
    return Row("requests per second", cells, f"{ratio:.3f}", target, round(ratio, 3) >= LEAST_TIMES)


def _serve(workspace: Workspace, subject: Subject, settings: Mapping[str, Any]) -> str:
    """The address of the page of a site, which serves until ``workspace`` is closed."""
    port = workspace.hold_port()
    variables = surroundings(subject, settings)
    variables["PYTHONPATH"] += os.pathsep + str(GUNICORN.folder)
    changed = [f"{name}={value}" for name, value in variables.items() if os.environ.get(name) != value]
    options = ["--workers", str(WORKERS), "--bind", f"{HOST}:{port}", "--log-level", "warning"]
    command = [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"]
    process = workspace.spawn(f"gunicorn-{port}", "env", *changed, *command, end_by=signal.SIGTERM)
    page = f"http://{HOST}:{port}/page"
    process.wait_until(lambda: _answers(page))
    return page


def _answers(page: str) -> bool:
    try:
        with urlopen(page, timeout=2):  # noqa: S310  # the address is the one of the server that this has just started
            return True
    except (URLError, OSError):
        return False


def _load(wrk: str, page: str, seconds: int) -> float:
    command = [wrk, "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", page]
    return requests_a_second(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
