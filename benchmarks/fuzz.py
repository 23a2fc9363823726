"""Can a client break a site by what it sends: cookies, session ids, Authorization headers, methods?

Sends hostile requests to a site in this process, over WSGI and one in ten over ASGI, for each pin store in turn. The
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
from pathlib import Path
from random import Random

sys.path.insert(1, str(Path(__file__).parents[1]))

from hostile.site import STORES, set_up

COLUMNS = ["store", "inputs", "a client's own", "writes", "log records", "most HMACs", "Redis commands", "queries"]


def main() -> int:
    options = _options()
    set_up()
    from hostile.attack import Attack

    began = time.monotonic()
    attacks: dict[str, Attack] = {}
    for name in options.store:
        sys.stderr.write(f"Store {name}\n")
        attacks[name] = Attack(name, Random(f"{options.seed} {name}"))
        attacks[name].run(options.inputs // len(options.store))
    sys.stdout.write(_row([*COLUMNS, "findings"]) + _row(["---", *["---:"] * len(COLUMNS)]))
    for name, attack in attacks.items():
        most = [attack.watch.most[work] for work in ("HMACs", "Redis commands", "queries")]
        counts = [attack.own, attack.writes, attack.watch.log_records, *most, attack.findings.total()]
        sys.stdout.write(_row([name, options.inputs // len(options.store), *counts]))
    sys.stdout.write(f"\nSeed {options.seed}, {time.monotonic() - began:.0f} seconds.\n")
    for name, attack in attacks.items():
        for what, count in attack.findings.items():
            sys.stdout.write(f"\n{name}: {what} ({count} times), as by {attack.examples[what]}\n")
    return int(any(attack.findings for attack in attacks.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all stores together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of choices, not of keys (default: %(default)s)")
    parser.add_argument("--store", nargs="+", choices=list(STORES), default=list(STORES), help="only these")
    options = parser.parse_args()
    if options.inputs < len(options.store):
        parser.error("--inputs is less than one for each store")
    return options


def _row(cells: list[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    sys.exit(main())
