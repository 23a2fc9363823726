"""What an async request costs beside a sync one."""

from contextlib import ExitStack

from servers.redis import RedisServer

from costs.databases import sqlite
from costs.options import Options
from costs.redis_store import on_redis
from costs.report import Row, Table, microseconds, times
from costs.rounds import Figures, interleaved
from costs.sites import Site
from costs.subjects import OURS, PLAIN
from costs.workers import started

ROUNDS = 51

MOST_TIMES = 1.2

KINDS = {"reading": "reading", "pinned reading": "pinned", "writing": "writing"}

NOTE = """\
CPU time that a request takes more, with this library, than on a site without routing, in Django's handler with its URL
resolver: the sync one with a sync view, and the async one with an async view. Views are those of the table of routing;
the reads of the async one are in a thread, as those of Django's async ORM are, also on the site without routing. Of the
Redis store, what the process does to ask a real Redis is counted, and not what it waits. The ratio is that of the
medians: those of the rounds are of small differences. Half of the rounds have one between the two of the third
column."""


def tables(options: Options) -> list[Table]:
    with sqlite() as databases, RedisServer() as redis, ExitStack() as stack:
        ours, plain = (Site(stack, subject, subject.settings(databases), options) for subject in (OURS, PLAIN))
        started(stack, OURS, on_redis(databases, redis)).ask("costs.stored.declare_new")
        with_redis = Site(stack, OURS, on_redis(databases, redis), options)
        rows = [
            _row(f"{what} request, {store} store", _added(kind, site, plain, options))
            for store, site in (("cookie", ours), ("Redis", with_redis))
            for what, kind in KINDS.items()
        ]
    note = f"{NOTE} Medians of {options.rounds or ROUNDS} interleaved rounds."
    return [Table("Async requests", ["sync", "async", "half of the rounds"], rows, [note])]


def _row(what: str, figures: Figures) -> Row:
    cells = [microseconds(figures.median(name)) for name in ("sync", "async")]
    cells.append(" to ".join(map(times, figures.middle_ratios("async", to="sync"))))
    ratio = figures.median("async") / figures.median("sync")
    return Row(what, cells, times(ratio), f"at most {MOST_TIMES} x sync", round(ratio, 2) <= MOST_TIMES)


def _added(kind: str, ours: Site, plain: Site, options: Options) -> Figures:
    task = f"{kind} request without queries"
    atask = f"async {task}"
    measures = {
        "sync": ours.measure(task),
        "sync without": plain.measure(task),
        "async": ours.measure(atask),
        "async without": plain.measure(atask),
    }
    figures = interleaved(measures, options.rounds or ROUNDS)
    return figures.map(lambda each: {name: each[name] - each[f"{name} without"] for name in ("sync", "async")})
