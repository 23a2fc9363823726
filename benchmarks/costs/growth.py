"""Whether routing costs more where there are more databases to choose from."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from costs.databases import sqlite
from costs.options import Options
from costs.report import Row, Table, microseconds, times
from costs.rounds import interleaved
from costs.sites import Site
from costs.subjects import OURS

ROUNDS = 51

MOST_REPLICAS = 64
MOST_PRIMARIES = 8

COLUMNS = ("with one", "with the most")

# By how much two measurements of the same may differ.
NOISE = 1.05

TASKS = {
    "`db_for_read`": "read",
    "reading request": "routing of a reading request",
    "pinned reading request": "routing of a pinned request",
    "writing request": "routing of a writing request",
}

NOTE = """\
CPU time, and the ratio of the most to the one. Requests are routing alone, as in the table of routing, with reads of
one model. Each primary has one replica, and a router that is listed after ours names the primary of the model. By its
method, a writing request pins to all primaries, and its cookie holds as many."""


def tables(options: Options) -> list[Table]:
    with sqlite(MOST_REPLICAS) as databases:
        replicas = [_with_replicas(databases, count) for count in (1, MOST_REPLICAS)]
        primaries = [_with_primaries(databases, count) for count in (1, MOST_PRIMARIES)]
        rows = _rows(f"1 to {MOST_REPLICAS} replicas", replicas, options)
        rows += _rows(f"1 to {MOST_PRIMARIES} primaries", primaries, options)
    note = f"{NOTE} Medians of {options.rounds or ROUNDS} interleaved rounds."
    return [Table("Growth", COLUMNS, rows, [note])]


def _rows(growth: str, sites: Sequence[Mapping[str, Any]], options: Options) -> list[Row]:
    """A row for each task, of the first and the last of ``sites``."""
    with ExitStack() as stack:
        by_column = {column: Site(stack, OURS, site, options) for column, site in zip(COLUMNS, sites, strict=True)}
        return [_row(f"{what}: {growth}", task, by_column, options) for what, task in TASKS.items()]


def _row(what: str, task: str, sites: Mapping[str, Site], options: Options) -> Row:
    figures = interleaved({column: site.measure(task) for column, site in sites.items()}, options.rounds or ROUNDS)
    one, most = COLUMNS
    ratio = figures.ratio(most, to=one)
    cells = [microseconds(figures.median(column)) for column in COLUMNS]
    return Row(what, cells, times(ratio), f"none that shows: at most {NOISE} x", round(ratio, 2) <= NOISE)


def _with_replicas(databases: Mapping[str, Any], count: int) -> dict[str, Any]:
    return OURS.settings(databases, REPLICA_DATABASES=[f"replica-{number}" for number in range(1, count + 1)])


def _with_primaries(databases: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The first primary has the first replica; each other one is, for what this measures, a replica of its own."""
    primaries = ["default", *(f"replica-{number}" for number in range(count + 1, 2 * count))]
    replicas = {primary: [f"replica-{number}"] for number, primary in enumerate(primaries, 1)}
    routers = [OURS.router, "costs.routers.PrimaryRouter"]
    return OURS.settings(databases, REPLICA_DATABASES=replicas, DATABASE_ROUTERS=routers)
