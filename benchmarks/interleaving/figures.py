"""Figures: how many requests ended how, and how many of them were wrong or left something behind."""

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import django

from benchmarks.interleaving.visits import Visit

# What is counted of each visit.
COLUMNS: Mapping[str, Callable[[Visit], int]] = {
    "requests": lambda visit: bool(visit.plan),
    "of pinned clients": lambda visit: visit.plan.pinned,
    "reads": lambda visit: visit.reads,
    "took another's state": lambda visit: bool(visit.wrong),
    "left state behind": lambda visit: bool(visit.left),
}


class Figures:
    """What has been counted: ``counts`` by mode, ending and column. ``told``: in words, all that must not be."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.told: list[str] = []

    def add(self, mode: str, visits: Iterable[Visit]) -> None:
        """Count ``visits``, of which none is kept."""
        for visit in visits:
            for column, count in COLUMNS.items():
                self.counts[mode, visit.ending, column] += count(visit)
            self.told += [f"{mode}: {words}: {visit.plan}" for words in (*visit.wrong, *visit.left)]


def table(figures: Figures) -> str:
    """A row for each mode and ending, a row of all, and what they were counted on."""
    rows = list(dict.fromkeys((mode, ending) for mode, ending, _ in sorted(figures.counts)))
    lines = [["requests over", "ended", *COLUMNS], ["---", "---", *["---:"] * len(COLUMNS)]]
    lines += [[*row, *(str(figures.counts[*row, column]) for column in COLUMNS)] for row in rows]
    totals = (sum(figures.counts[*row, column] for row in rows) for column in COLUMNS)
    lines.append(["both", "in any way", *map(str, totals)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + _conditions()


def _conditions() -> str:
    versions = f"Python {platform.python_version()}, Django {django.__version__}"
    return f"{os.cpu_count()} processors, {versions}, {datetime.now().astimezone():%Y-%m-%d}.\n"
