"""How long the import takes, over what Django has imported by itself."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from costs.options import Options
from costs.report import Row, Table
from costs.rounds import interleaved
from costs.subjects import OTHER, OURS, PLAIN, PREDECESSOR, Subject
from costs.workers import surroundings

ROUNDS = 21

MOST_SECONDS = 0.005


class Import(NamedTuple):
    """One row: what Django is ready for when the ``modules`` of each subject are imported."""

    what: str
    surroundings: str
    modules: Mapping[Subject, Sequence[str]]
    most_seconds: float | None = None


ROUTER = {OURS: ["multidb"], PREDECESSOR: ["multidb"], OTHER: ["django_replicated.router"]}
ALL = {
    OURS: ["multidb.apps", "multidb", "multidb.middleware", "multidb.backends.cookie"],
    PREDECESSOR: ["multidb", "multidb.middleware"],
    OTHER: ["django_replicated.router", "django_replicated.middleware"],
}

IMPORTS = (
    Import("router, in a process that serves", "serving", ROUTER, MOST_SECONDS),
    Import("router, after `django.setup()` alone", "set-up", ROUTER, MOST_SECONDS),
    Import("router, app, middleware and pin store, in a process that serves", "serving", ALL),
)

NOTE = """\
CPU time of `import multidb`, and of django-replicated of the module of its router, in new processes that have
`django.setup()` behind them, of a project that has a model, and those that serve Django's WSGI application too. What
a process does not have of Django by then, and the import needs, is part of it. The ratio is that to
django-multidb-router 0.11."""


def tables(options: Options, subjects: Sequence[Subject] = (OURS, PREDECESSOR, OTHER)) -> list[Table]:
    there = [subject for subject in subjects if not subject.peer or subject.peer.is_installed]
    rows = [_row(each, there, options) for each in IMPORTS]
    rounds = f"Medians of {options.rounds or ROUNDS} interleaved processes each."
    missing = [f"{subject.name} is left out: it is not installed." for subject in subjects if subject not in there]
    return [Table("Import", [subject.name for subject in there], rows, [f"{NOTE} {rounds}", *missing])]


def _row(each: Import, subjects: Sequence[Subject], options: Options) -> Row:
    measures = {subject.name: partial(_seconds, subject, each) for subject in subjects}
    figures = interleaved(measures, options.rounds or ROUNDS)
    cells = [f"{figures.median(subject.name) * 1000:.2f} ms" for subject in subjects]
    ratio = f"{figures.ratio(OURS.name, PREDECESSOR.name):.1f}" if PREDECESSOR in subjects else ""
    if each.most_seconds is None:
        return Row(each.what, cells, ratio)
    is_reached = figures.median(OURS.name) <= each.most_seconds
    return Row(each.what, cells, ratio, f"at most {each.most_seconds * 1000:g} ms", is_reached)


def _seconds(subject: Subject, each: Import) -> float:
    """How long the import takes in a new process, whose site does not use what is imported."""
    settings = {**PLAIN.settings({}), **({"DEFAULTS": subject.defaults} if subject.defaults else {})}
    run = subprocess.run(
        [sys.executable, "-m", "costs.importing", each.surroundings, *each.modules[subject]],
        env=surroundings(subject, settings),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(run.stdout)
