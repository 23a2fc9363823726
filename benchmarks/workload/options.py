"""The options of the command."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from workload.browsers import WARM_UP_SECONDS
from workload.project import STORES

LAGS = [(0.02, 0.05), (0.3, 0.8)]
LONGEST_LAG = 60

Number = TypeVar("Number", int, float)


def parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(option: str, help: str, default: object = None, **rest: Any) -> None:
        shown = "" if default is None else " (default: %(default)s)"
        parser.add_argument(option, default=default, help=f"{help}{shown}", **rest)

    # Each browser has a connection to each server, which takes 200.
    add("--clients", "browsers at the same time", 12, type=number(int, 1, 150))
    add("--writes", "share of a browser's requests that write", 0.03, type=number(float, 0, 1))
    add("--rate", "requests a second of each, if responses took no time", 10, type=number(float, 0.1, 100))
    add("--lags", "seconds, one for each standby, with commas between", LAGS, type=_lags, nargs="+")
    add("--pins", "seconds that a pin holds at most", 15, type=number(float, 0.001, 3600))
    add("--until", "only this MULTIDB_PINNING_UNTIL", choices=["elapsed", "replayed"])
    add("--trigger", "only this MULTIDB_PINNING_TRIGGER", choices=["method", "write"])
    add("--store", "where pins are kept", "cookie", choices=list(STORES))
    add("--redis-url", "of the Redis for --store redis; without it, one in this process")
    add("--seconds", f"of each load, after {WARM_UP_SECONDS} that do not count", 18, type=number(float, 1, 3600))
    add("--rounds", "loads of each row", 3, type=number(int, 1, 100))
    add("--seed", "of pauses and writes, which are the same in all rows", 1, type=int)
    return parser


def number(kind: Callable[[str], Number], least: float, most: float) -> Callable[[str], Number]:
    """The type of an option that is a number from ``least`` to ``most``."""

    def checked(text: str) -> Number:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least} to {most}")
        return value

    return checked


def _lags(text: str) -> tuple[float, ...]:
    lag = number(float, 0, LONGEST_LAG)
    return tuple(lag(each) for each in text.split(","))
