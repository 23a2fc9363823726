"""Can a client break a site by what it sends: cookies, session ids, Authorization headers, methods?

Sends hostile requests to sites in this process, over WSGI and one in ten over ASGI, for each pin store in turn. The
sites differ in the engine of sessions, in what pins and what ends a pin, and some have rotated their secret key. The
inputs are valid cookies and headers of pinned clients with random changes, values that were signed for another purpose
or with garbage in them, and garbage. Of each request it is checked: no exception; a read goes to the replica unless
cookie, session id or header are to the letter those of a client that wrote; the work is bounded; nothing that was sent
is in the log. Now and then: who was pinned is, and who was not is not; each key in Redis is a hash or a user's primary
key, and ends with the seconds; nothing that was sent and nothing secret is in Redis.

Prints a table in Markdown: for each store the requests, those that happened to be a pinned client's own, those that
wrote, the records in the log, the most work that one request was, and the findings. The exit status is 1 if there is
one.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(1, str(Path(__file__).parents[1]))

from hostile.site import SITES, STORES, set_up

COLUMNS = [
    *["store", "inputs", "a client's own", "writes", "log records"],
    *["most HMACs", "with a rotated key", "Redis commands", "queries"],
]


def main() -> int:
    options = _options()
    began = time.monotonic()
    with TemporaryDirectory() as session_files:
        set_up(session_files)
        attacks = {name: _attacks(name, options) for name in options.store}
    sys.stdout.write(_row([*COLUMNS, "findings"]) + _row(["---", *["---:"] * len(COLUMNS)]))
    for name, of_store in attacks.items():
        sys.stdout.write(_row([name, *_counts(of_store)]))
    sys.stdout.write(f"\nSeed {options.seed}, {time.monotonic() - began:.0f} seconds.\n")
    for name, of_store in attacks.items():
        for site, attack in of_store.items():
            for what, count in attack.findings.items():
                sys.stdout.write(f"\n{name}, {site}: {what} ({count} times), as by {attack.examples[what]}\n")
    return int(any(attack.findings for of_store in attacks.values() for attack in of_store.values()))


def _attacks(store: str, options: argparse.Namespace) -> dict[str, Any]:
    """The attacks on each site with that store, when they are over."""
    from hostile.attack import Attack

    attacks = {}
    for site in SITES:
        sys.stderr.write(f"Store {store}, {site}\n")
        attacks[site] = Attack(store, site, Random(f"{options.seed} {store} {site}"))
        attacks[site].run(options.inputs // len(options.store) // len(SITES))
    return attacks


def _counts(attacks: Mapping[str, Any]) -> list[object]:
    """A cell for each of ``COLUMNS`` but the first, and that of the findings."""

    def total(count: Callable[[Any], int]) -> int:
        return sum(map(count, attacks.values()))

    def most(work: str, *rotated: bool) -> int:
        return max(each.watch.most[work] for each in attacks.values() if each.is_rotated in rotated)

    return [
        total(lambda each: each.visits),
        total(lambda each: each.own),
        total(lambda each: each.writes),
        total(lambda each: each.watch.log_records),
        *(most("HMACs", False), most("HMACs", True)),
        *(most(work, False, True) for work in ("Redis commands", "queries")),
        total(lambda each: each.findings.total()),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all stores together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of choices, not of keys (default: %(default)s)")
    parser.add_argument("--store", nargs="+", choices=list(STORES), default=list(STORES), help="only these")
    options = parser.parse_args()
    if options.inputs < len(options.store) * len(SITES):
        parser.error("--inputs is less than one for each store and site")
    return options


def _row(cells: list[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    sys.exit(main())
