"""Runs mutants of where reads go and where pins are kept: ``python -m tests.mutation``, at the root of the project.

``python -m tests.mutation pins backends/cookie`` runs those of two modules. Prints each mutant that no test kills, of
which there may be none for the exit status to be 0. Then, for each module, how many mutants there are, how many were
killed, how many survived, how many change only the wording of a message, and how many ``docs/testing.md`` lists with a
reason: these two kinds are not run.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.runner import Runner

PAGE = Path("docs/testing.md")

LIBRARY = Path("multidb")
NAMES = (
    "routers",
    "routes",
    "atomic_requests",
    "routing",
    "request_routing",
    "kept_replicas",
    "lookup",
    "users",
    "settling",
    "rollout",
    "pins",
    "middleware",
)

# What takes long, has servers of its own, or runs the library in other processes, where no mutant is.
LEFT_OUT = (
    "tests/contrib",
    "tests/integration",
    "tests/test_benchmarks.py",
    "tests/test_contributing.py",
    "tests/test_costs.py",
    "tests/test_docs.py",
    "tests/test_example_project.py",
    "tests/test_example_project_postgres.py",
    "tests/test_example_project_timeline.py",
    "tests/test_fuzz.py",
    "tests/test_interleaved.py",
    "tests/test_model.py",
    "tests/test_multidb_status.py",
    "tests/test_package.py",
    "tests/test_pytest_plugin.py",
    "tests/test_readme.py",
    "tests/test_scaling.py",
    "tests/test_slips.py",
    "tests/test_test.py",
    "tests/test_tutorial.py",
    "tests/third_parties",
)

ARGUMENTS = ["-q", "-s", "-p", "no:cacheprovider", "--no-migrations", *(f"--ignore={path}" for path in LEFT_OUT)]


class Report:
    """What became of the mutants. Tells of each survivor, and if ``is_verbose`` of the others, and who killed them."""

    def __init__(self, is_verbose: bool) -> None:
        self._is_verbose = is_verbose
        self._counts: dict[str, Counter[str]] = {}
        self.survivors = 0

    def note(self, mutant: Mutant, killer: str) -> None:
        """``mutant`` was killed by the test ``killer``, or survived if that is empty."""
        self.count(mutant, "killed" if killer else "survived")
        self.survivors += not killer
        if self._is_verbose or not killer:
            sys.stdout.write(f"{mutant.path}:{mutant.lines[0]} {mutant}{killer and f' killed by {killer}'}\n")
            sys.stdout.flush()

    def count(self, mutant: Mutant, outcome: str) -> None:
        self._counts.setdefault(str(mutant.path), Counter())[outcome] += 1

    def __str__(self) -> str:
        titles = ["| module | mutants | killed | survived | wording | listed |", "| --- |" + " ---: |" * 5]
        rows = [_row(f"`{path}`", counts) for path, counts in self._counts.items()]
        return "\n".join([*titles, *rows, _row("all", sum(self._counts.values(), Counter()))])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as pins or backends/cookie (all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="mutants at once (one each processor)")
    parser.add_argument("--seconds", type=float, default=30, help="of tests that a mutant meets at most (%(default)s)")
    parser.add_argument("--tests", nargs="+", default=[], help="files and folders of them, to be sooner done (all)")
    parser.add_argument("--survey", type=Path, help="a file to keep, and later find, which line which test reaches")
    parser.add_argument("--listed", action="store_true", help="run those that are listed too")
    parser.add_argument("--verbose", action="store_true", help="say which test kills which mutant")
    options = parser.parse_args()
    report = Report(options.verbose)
    page = "" if options.listed else PAGE.read_text()
    mutants = _to_run(options.modules, page, report)
    runner = Runner(mutants, options.processes, options.seconds, options.survey, report.note)
    status = pytest.main([*ARGUMENTS, *options.tests], plugins=[runner])
    sys.stdout.write(f"{report}\n")
    return int(status) or min(report.survivors, 1)


def paths() -> list[Path]:
    """The modules that are changed."""
    return [LIBRARY / f"{name}.py" for name in NAMES] + sorted((LIBRARY / "backends").glob("*.py"))


def _to_run(modules: list[str], page: str, report: Report) -> Iterator[Mutant]:
    """The mutants of ``modules``, but those of wording and those that ``page`` lists, which are only counted."""
    for path in paths():
        if modules and str(path.relative_to(LIBRARY).with_suffix("")) not in modules:
            continue
        for mutant in mutants_of(path):
            if mutant.is_wording:
                report.count(mutant, "wording")
            elif str(mutant) in page:
                report.count(mutant, "listed")
            else:
                yield mutant


def _row(name: str, counts: Counter[str]) -> str:
    columns = [counts[outcome] for outcome in ("killed", "survived", "wording", "listed")]
    return f"| {name} | {counts.total()} | {' | '.join(map(str, columns))} |"


if __name__ == "__main__":
    sys.exit(main())
