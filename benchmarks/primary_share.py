"""How many of a board's reads do pins send to the primary?

Starts a PostgreSQL primary and standbys that lag, loads a message board with browsers that read and now and then write,
and prints a table in Markdown. For each choice of lags and of pins it tells the reads; the stale ones, which showed
less than their browser had been told was written; the reads on the primary; their floor, which is the lag of the
nearest replica over the time between two writes of a browser; and the failed requests. Counts are those of all rounds,
shares and ratios are medians of the rounds. Without options, these are the rows that docs/pins.md quotes.

The exit status is 1 if a read was stale or a request failed, and 2 if the servers cannot be started.
"""

import argparse
import random
import signal
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(1, str(Path(__file__).parents[1]))
sys.path.insert(2, str(Path(__file__).parents[1] / "example_project"))

from servers import ServerFailed, ServersMissing
from servers.postgresql import PostgresCluster
from workload.browsers import Load, visit_board
from workload.figures import Figures
from workload.options import parser
from workload.project import pinning, set_up
from workload.report import conditions, table

TIME_PINS = ("elapsed", "method")
POSITION_PINS = ("replayed", "write")


class Choice(NamedTuple):
    """What a row of the table measures: the lag of each standby, in seconds, and the settings of pinning."""

    lags: tuple[float, ...]
    until: str
    trigger: str


def main() -> int:
    options = parser(str(__doc__)).parse_args()
    # The servers are stopped, as they are by Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with PostgresCluster(max(map(len, options.lags))) as cluster:
            set_up(cluster, options.pins, options.store, options.redis_url)
            measured = _measure(cluster, options)
            [(version,)] = cluster.primary.execute("SHOW server_version")
    except (ServersMissing, ServerFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    figures = [each for rounds in measured.values() for each in rounds]
    rows = [(*_labels(choice, options.pins), rounds) for choice, rounds in measured.items()]
    sys.stdout.write(f"{table(rows)}\n{conditions(figures, version)}")
    return int(any(each.stale or each.failed for each in figures))


def _measure(cluster: PostgresCluster, options: argparse.Namespace) -> dict[Choice, list[Figures]]:
    """The figures of each choice, one for each round. They take turns: a slow minute of the machine meets all."""
    load = Load(options.clients, options.seconds, options.rate, options.writes)
    measured = {Choice(lags, *pins): list[Figures]() for lags, pins in product(options.lags, _pins(options))}
    for number in range(options.rounds):
        for choice, rounds in measured.items():
            sys.stderr.write(f"Round {number + 1} of {options.rounds}: {', '.join(_labels(choice, options.pins))}\n")
            for standby, lag in zip(cluster.standbys, choice.lags, strict=False):
                standby.set_lag(lag)
            with pinning(choice.until, choice.trigger, count=len(choice.lags)):
                visits = visit_board(load, random.Random(f"{options.seed} {number}"))
            rounds.append(Figures.of(visits, load, min(choice.lags)))
    return measured


def _pins(options: argparse.Namespace) -> list[tuple[str, str]]:
    if options.until or options.trigger:
        return [(options.until or POSITION_PINS[0], options.trigger or POSITION_PINS[1])]
    return [TIME_PINS, POSITION_PINS]


def _labels(choice: Choice, pins: float) -> tuple[str, str]:
    lags = " and ".join(f"{lag * 1000:g}" for lag in choice.lags)
    return f"{lags} ms", f'{pins:g} s, `"{choice.until}"`, `"{choice.trigger}"`'


if __name__ == "__main__":
    sys.exit(main())
