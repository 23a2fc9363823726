"""One run: each request of the peak, and where its reads go by each way to pin."""

import random
from dataclasses import dataclass, field

from benchmarks.simulation.options import Options
from benchmarks.simulation.pins import Pins
from benchmarks.simulation.replication import Replicas
from benchmarks.simulation.visits import requests

TRIGGERS = ("method", "write")
UNTIL = ("elapsed", "replayed")


@dataclass
class Way:
    """What one ``MULTIDB_PINNING_TRIGGER`` and ``MULTIDB_PINNING_UNTIL`` come to, in requests."""

    trigger: str
    until: str
    pinned_reads: int = 0
    reads_on_primary: int = 0
    questions: int = 0
    reads_of: list[int] = field(default_factory=list)


@dataclass
class Load:
    """What was counted in the ``duration``: requests, and live pins by the trigger, looked at each second."""

    ways: list[Way]
    reads: int = 0
    writes: int = 0
    changes: int = 0
    live: dict[str, list[int]] = field(default_factory=lambda: {trigger: [] for trigger in TRIGGERS})
    checked: int = 0
    differing: int = 0

    def writes_that_pin(self, trigger: str) -> int:
        return self.writes if trigger == "method" else self.changes


def run(options: Options) -> Load:
    """Simulate the peak. Requests, lags and turns are drawn by generators of their own, all from the seed."""
    what, emptiness = random.Random(f"{options.seed} visits"), random.Random(f"{options.seed} empty")
    load = Load([Way(trigger, until, reads_of=[0] * options.replicas) for trigger in TRIGGERS for until in UNTIL])
    replicas = [Replicas(options, random.Random(f"{options.seed} lags")) for _ in load.ways]
    pins = {trigger: Pins(options) for trigger in TRIGGERS}
    begin, second = options.seconds, options.seconds
    end = begin + options.duration
    for now, user, writes in requests(options, what, end):
        while second <= now:
            for trigger, each in pins.items():
                each.drop_old(second)
                load.live[trigger].append(len(each))
            second += 1
        counts = now >= begin
        for each in pins.values():
            each.drop_old(now)
        if writes:
            changes = emptiness.random() >= options.empty
            load.writes += counts
            load.changes += counts and changes
            for trigger, each in pins.items():
                if trigger == "method" or changes:
                    each.add(user, now)
        else:
            load.reads += counts
            written = {trigger: each.written(user, now) for trigger, each in pins.items()}
            for way, of_way in zip(load.ways, replicas, strict=True):
                _route(way, of_way, now, written[way.trigger], counts)
    load.checked = sum(each.checked for each in pins.values())
    load.differing = sum(each.differing for each in pins.values())
    return load


def _route(way: Way, replicas: Replicas, now: float, written: float | None, counts: bool) -> None:
    """The rules of a read: the primary while the pin holds, else the replica whose turn it is."""
    if written is None:
        replica: int | None = replicas.choose()
    elif way.until == "elapsed":
        replica = None
    else:
        replica, asked = replicas.choose_replayed(now, written)
        way.questions += asked if counts else 0
    if not counts:
        return
    way.pinned_reads += written is not None
    if replica is None:
        way.reads_on_primary += 1
    else:
        way.reads_of[replica] += 1
