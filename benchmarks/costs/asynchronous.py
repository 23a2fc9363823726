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
CPU time. Routing alone is the middleware and the view of the table of routing, called as they are or awaited. Added to
Django is what a request takes more, with this library, than on a site without routing, in Django's handler with its
URL resolver: the sync one with a sync view, and the async one with an async view. With the Redis store, the reads of
the async view are in a thread, as those of Django's async ORM are, also on the site without routing; what the process
does to ask a real Redis is counted, and not what it waits."""


def tables(options: Options) -> list[Table]:
    with sqlite() as databases, RedisServer() as redis, ExitStack() as stack:
        ours, plain = (Site(stack, subject, subject.settings(databases), options) for subject in (OURS, PLAIN))
        rows = []
        for what, kind in KINDS.items():
            rows.append(_row(f"{what} request: routing alone", _routing(kind, ours, options)))
            rows.append(_row(f"{what} request: added to Django", _added(kind, "without queries", ours, plain, options)))
        started(stack, OURS, on_redis(databases, redis)).ask("costs.stored.declare_new")
        ours = Site(stack, OURS, on_redis(databases, redis), options)
        for what, kind in KINDS.items():
            figures = _added(kind, "that reads in a thread", ours, plain, options)
            rows.append(_row(f"{what} request, Redis store: added to Django", figures))
    note = f"{NOTE} Medians of {options.rounds or ROUNDS} interleaved rounds."
    return [Table("Async requests", ["sync", "async"], rows, [note])]


def _row(what: str, figures: Figures) -> Row:
    cells = [microseconds(figures.median(name)) for name in ("sync", "async")]
    ratio = figures.ratio("async", to="sync")
    return Row(what, cells, times(ratio), f"at most {MOST_TIMES} x sync", round(ratio, 2) <= MOST_TIMES)


def _routing(kind: str, ours: Site, options: Options) -> Figures:
    task = f"routing of a {kind} request"
    return interleaved({"sync": ours.measure(task), "async": ours.measure(f"async {task}")}, options.rounds or ROUNDS)


def _added(kind: str, how: str, ours: Site, plain: Site, options: Options) -> Figures:
    task, atask = f"{kind} request without queries", f"async {kind} request {how}"
    measures = {
        "sync": ours.measure(task),
        "sync without": plain.measure(task),
        "async": ours.measure(atask),
        "async without": plain.measure(atask),
    }
    figures = interleaved(measures, options.rounds or ROUNDS)
    return figures.map(lambda each: {name: each[name] - each[f"{name} without"] for name in ("sync", "async")})
