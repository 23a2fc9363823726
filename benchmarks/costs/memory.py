"""What pins take in Redis, and whether a worker grows by what it serves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from servers.redis import RedisServer

from costs.databases import sqlite
from costs.options import Options
from costs.redis_store import on_redis
from costs.report import Row, Table, Unavailable
from costs.subjects import OURS
from costs.workers import Worker, started

MOST_BYTES = 200
MOST_MEGABYTES = 200

# After so many requests all is made that is made once. A heap is never quite at rest.
SETTLED = 10_000
MOST_GROWTH = 1.02

# Pins of all clients are there at the same time.
PINNING_SECONDS = 3600

# Redis doubles its table of keys when it is full, which it is with 2^20 of them: so many pins more are measured too.
# https://github.com/redis/redis/blob/7.0/src/dict.c
MORE_TIMES = 1.1
MORE = "a tenth more pins"

# What a pin is filed under, the longest name first, and whether it has a position.
PINS = {
    "filed under a header or session": (["authorization"], False),
    f"filed under a header or session, {MORE}": (["authorization"], False),
    "filed under a header or session, with a position": (["authorization"], True),
    "filed under a user": (["user"], False),
    "filed under a user, with a position": (["user"], True),
    "filed under a user, and a header or session": (["authorization", "user"], False),
    "filed under a user, and a header or session, with a position": (["authorization", "user"], True),
}

PINS_NOTE = """\
Differences of `used_memory` of a real Redis, which is emptied before each row. Pins are saved by the commands of
RedisPinStore's own write path, of many clients in one round trip, and hold one primary; with a position they do as
with `MULTIDB_PINNING_UNTIL = "replayed"`. A client's pin is filed under each of its keys, by default its user, its
session and its header: that of somebody who has signed in in a browser under two. Redis doubles its table of keys
when that is full: pins take most just after, as with 1,100,000 of them, and least just before, as with 1,000,000.
1 MB is 1,000,000 bytes."""

WORKERS_NOTE = """\
Resident memory of a process after so many requests, when the garbage is collected. Routing alone: of each client a
`POST`, and a `GET` with the cookies that the response set. Each client has an `Authorization` header of its own, under
which the Redis store files its pin; its pins are of 15 seconds, on a real Redis. Flat is at most {more:.0%} more than
after {begin:,} requests, when all is made that is made once."""


def tables(options: Options) -> list[Table]:
    with RedisServer() as redis, sqlite() as databases, ExitStack() as stack:
        pins = started(stack, OURS, on_redis(databases, redis, MULTIDB_PINNING_SECONDS=PINNING_SECONDS))
        rows = [_pins(what, redis, pins, options.pins) for what in PINS]
        in_redis = Table("Memory of Redis", ["bytes a pin", f"{options.pins:,} pins"], rows, [PINS_NOTE])
        redis.execute("FLUSHALL")
        sites = {"cookie": OURS.settings(databases), "Redis": on_redis(databases, redis)}
        return [in_redis, _of_workers(sites, options)]


def _pins(what: str, redis: RedisServer, worker: Worker, count: int) -> Row:
    keys, has_position = PINS[what]
    count = round(count * MORE_TIMES) if what.endswith(MORE) else count
    redis.execute("FLUSHALL")
    begin = _used_memory(redis)
    worker.ask("costs.stored.save_pins", first=10_000_000, count=count, keys=keys, has_position=has_position)
    if (there := redis.execute("DBSIZE")) != count * len(keys):
        raise Unavailable(f"Redis has {there} keys, and not {count * len(keys)}.")
    taken = _used_memory(redis) - begin
    cells = [f"{taken / count:.0f}", f"{taken / 1e6:.0f} MB"]
    is_reached = taken / count <= MOST_BYTES and taken <= MOST_MEGABYTES * 1e6
    return Row(what, cells, target=f"at most {MOST_BYTES} bytes, {MOST_MEGABYTES} MB", reached=is_reached)


def _used_memory(redis: RedisServer) -> int:
    return int(redis.execute("INFO", "memory")["used_memory"])


def _of_workers(sites: dict[str, dict[str, Any]], options: Options) -> Table:
    if not Path("/proc/self/statm").exists():
        raise Unavailable("this system does not tell a process how much memory it has (/proc, on Linux).")
    steps = list(_steps(options.requests))
    with ExitStack() as stack, ThreadPoolExecutor(len(sites)) as threads:
        workers = [started(stack, OURS, settings) for settings in sites.values()]
        grown = threads.map(lambda worker: _grown(worker, steps), workers)
        rows = [_worker(f"worker, {name} store", each) for name, each in zip(sites, grown, strict=True)]
    note = WORKERS_NOTE.format(more=MOST_GROWTH - 1, begin=_begin(steps))
    return Table("Memory of a worker", [f"{step:,} requests" for step in steps], rows, [note])


def _steps(requests: int) -> Iterator[int]:
    """After how many requests the memory is looked at."""
    step = 1000
    while step < requests:
        yield step
        step *= 10
    yield requests


def _begin(steps: Iterable[int]) -> int:
    """The step from which on nothing should grow."""
    return [step for step in steps if step <= SETTLED][-1]


def _grown(worker: Worker, steps: Sequence[int]) -> dict[int, int]:
    """The memory of ``worker``, in bytes, after each of ``steps``."""
    grown = {}
    for before, step in pairwise([0, *steps]):
        worker.ask("costs.serving.serve", first=before, count=step - before)
        grown[step] = worker.ask("costs.serving.resident_bytes")
    return grown


def _worker(what: str, grown: Mapping[int, int]) -> Row:
    *_, last = grown.values()
    ratio = last / grown[_begin(grown)]
    return Row(what, [f"{each / 1e6:.1f} MB" for each in grown.values()], f"{ratio:.3f}", "flat", ratio <= MOST_GROWTH)
