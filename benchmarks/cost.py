"""What do routing and pinning cost, beside others and beside Django without them?

Measures this library, django-multidb-router 0.11, django-replicated 2.7, a router that returns a constant, and plain
Django, by turns, and prints a table in Markdown for each question. It needs Python and its venv: what else is needed
from PyPI it installs at the first run, into folders beside this file. Tables that need servers start them on free
ports, and stop them; one that cannot be had says what is missing.

Figures are medians of interleaved rounds, and ratios medians of the rounds' ratios. The exit status is 1 if a table
could not be had.
"""

import signal
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))
sys.path.insert(2, str(Path(__file__).parents[1] / "example_project"))

from costs import environment, peers
from costs.options import parsed

TABLES = ("routing", "growth", "asynchronous", "asking", "throughput", "memory", "imports", "instructions")


def main() -> int:
    options = parsed(str(__doc__), TABLES)
    if options.shows_list:
        sys.stdout.write("".join(f"{name}\n" for name in TABLES))
        return 0
    environment.enter()
    peers.install()
    # What is imported from here on needs the environment.
    from costs.printing import print_tables

    # The servers are stopped, as they are by Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return print_tables(options.tables or TABLES, options)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
