"""The options of the command."""

import argparse
import random
from typing import Any

from workload.options import number

from history.faults import KINDS

OPERATIONS = 100_000


def parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(option: str, help: str, default: object = None, **rest: Any) -> None:
        shown = "" if default is None else " (default: %(default)s)"
        parser.add_argument(option, default=default, help=f"{help}{shown}", **rest)

    add("--operations", "of all clients together", OPERATIONS, type=number(int, 1, 10_000_000))
    add("--seconds", "end after these, though there were fewer operations", 3600, type=number(float, 1, 24 * 3600))
    add("--faults", "spread over the run", 48, type=number(int, 0, 10_000))
    add("--kinds", "only these kinds of faults", list(KINDS), choices=list(KINDS), nargs="+", metavar="KIND")
    add("--clients", "at the same time", 18, type=number(int, 1, 45))
    add("--workers", "processes that serve", 3, type=number(int, 1, 4))
    add("--pins", "seconds that a pin holds at most", 6, type=number(float, 0.001, 3600))
    add("--until", "MULTIDB_PINNING_UNTIL", "replayed", choices=["replayed", "elapsed"])
    add("--store-down", "MULTIDB_PIN_STORE_DOWN", "primary", choices=["primary", "replica"])
    add("--lose-pins", "break the store: it loses one pin in so many", 0, type=number(int, 0, 1_000_000))
    add("--seed", "of the faults, and of what the clients do", random.randrange(1_000_000), type=int)
    return parser
