"""How often a request asks the pin store, and how many queries its pin takes."""

from contextlib import ExitStack

from servers.redis import RedisServer

from costs.databases import postgresql, sqlite
from costs.options import Options
from costs.redis_store import on_redis
from costs.report import Row, Table
from costs.subjects import OURS
from costs.workers import started

STANDBYS = 2

# Each request, by kind, and the most round trips to Redis that it may take.
MOST_ROUND_TRIPS = {"nothing": 0, "reading": 1, "pinned": 1, "writing": 1}

# What of a client's requests, by turns, may make as many queries more than its page.
MOST_QUERIES = {
    "writing request": 1,
    "pinned reading request, the first": 1,
    "pinned reading request, the second": 1,
    "pinned reading request, the third": 1,
    "reading request": 0,
}

CALLED = {
    "nothing": "request that reads nothing",
    "reading": "reading request",
    "pinned": "pinned reading request",
    "writing": "writing request",
}

NOTE = """\
Counted of one request, whose connections are open. Round trips are what is sent to a real Redis. Queries are those that
a request makes more than the page itself, with the cookie store, on a PostgreSQL primary with {standbys} standbys,
where pins hold until the write has been replayed: of pinned requests when it has been. Each is the turn of a replica,
which is asked once."""


def tables(options: Options) -> list[Table]:
    rows = [*_round_trips(), *_queries()]
    return [Table("Questions", ["multidb"], rows, [NOTE.format(standbys=STANDBYS)])]


def _round_trips() -> list[Row]:
    with sqlite() as databases, RedisServer() as redis, ExitStack() as stack:
        in_redis = started(stack, OURS, on_redis(databases, redis))
        in_redis.ask("costs.stored.declare_new")
        in_cookie = started(stack, OURS, OURS.settings(databases))
        rows = []
        for store, worker, target in (("Redis", in_redis, 1), ("cookie", in_cookie, 0)):
            for kind, most in MOST_ROUND_TRIPS.items():
                found = worker.ask("costs.asked.round_trips", kind=kind)
                rows.append(_row(f"round trips, {store} store: {CALLED[kind]}", found, min(most, target)))
    return rows


def _queries() -> list[Row]:
    with postgresql(STANDBYS) as databases, ExitStack() as stack:
        worker = started(stack, OURS, OURS.settings(databases, MULTIDB_PINNING_UNTIL="replayed"))
        found = worker.ask("costs.asked.queries")
    return [
        _row(f'queries more, `"replayed"`: {what}', count, most)
        for (what, most), count in zip(MOST_QUERIES.items(), found, strict=True)
    ]


def _row(what: str, found: int, most: int) -> Row:
    return Row(what, [str(found)], target=f"at most {most}" if most else "none", reached=found <= most)
