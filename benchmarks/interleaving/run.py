"""A run: all visits of one mode, in rounds, each with another pin store."""

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.interleaving import over_tasks, over_threads, plans, project
from benchmarks.interleaving.visits import Visit, under_way

# Most visits keep their pins in the default store.
SHARES = {"cookie": 0.8, "session": 0.1, "redis": 0.1}

# So many at most are kept in memory.
LONGEST_ROUND = 5000


class Mode(NamedTuple):
    """How requests run at the same time. ``serve`` serves visits, so many at the same time."""

    name: str
    serve: Callable[[Sequence[Visit], int], None]
    endings: Sequence[str]
    chains: Sequence[str]


THREADS = Mode("threads", over_threads.serve, over_threads.ENDINGS, over_threads.CHAINS)
TASKS = Mode("event loop", over_tasks.serve, over_tasks.ENDINGS, over_tasks.CHAINS)


def run(mode: Mode, requests: int, at_once: int, seed: int) -> Iterator[Visit]:
    """Serve so many requests, ``at_once`` at the same time, and give back each visit when it has been examined."""
    first = 0
    for store, share in SHARES.items():
        end = first + round(requests * share)
        while first < end:
            numbers = range(first, min(first + LONGEST_ROUND, end))
            yield from _round(mode, store, at_once, list(plans.visits(numbers, mode.endings, mode.chains, seed)))
            first = numbers.stop


def _round(mode: Mode, store: str, at_once: int, visits: list[Visit]) -> list[Visit]:
    under_way.update({visit.plan.number: visit for visit in visits})
    try:
        with project.site(store):
            mode.serve(visits, at_once)
    finally:
        under_way.clear()
    # The site's store is gone only now.
    gc.collect()
    for visit in visits:
        visit.compare_life()
    return visits
