"""Does a request ever see the state of another, or leave its own behind?

Serves requests at the same time, over threads by Django's WSGI handler and over one event loop by its ASGI handler,
half of them of clients that are pinned. Their views read inside blocks, generators, tasks and threads, stream, raise,
and are cancelled or lose their client anywhere. Each request knows what each of its reads must see: which database, by
which rule, and its own replica. Whoever called the handler must find the scope that was in force before, and in the end
nothing may refer to a request. Prints a table in Markdown, of how the requests ended.

The exit status is 1 if a request took another's state or left its own behind: each case is told on stderr.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from benchmarks.interleaving.settings import set_up

MOST_TOLD = 20


def main() -> int:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory() as directory:
        set_up(Path(directory))
        # Models can be imported from here on.
        from benchmarks.interleaving.figures import Figures, table
        from benchmarks.interleaving.run import TASKS, THREADS, run

        figures = Figures()
        for mode, at_once in ((THREADS, options.threads), (TASKS, options.tasks)):
            if at_once:
                figures.add(mode.name, run(mode, options.requests, at_once, options.seed))
    sys.stdout.write(table(figures))
    sys.stderr.writelines(f"{words}\n" for words in figures.told[:MOST_TOLD])
    return int(bool(figures.told))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(option: str, default: int, help: str) -> None:
        parser.add_argument(option, type=int, default=default, help=f"{help} (default: %(default)s)")

    add("--requests", 100_000, "over threads, and as many over the event loop")
    add("--threads", 8, "at the same time; 0 leaves threads out")
    add("--tasks", 100, "at the same time; 0 leaves the event loop out")
    add("--seed", 1, "of what requests do, but not of when")
    return parser


if __name__ == "__main__":
    sys.exit(main())
