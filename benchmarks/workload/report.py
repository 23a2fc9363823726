"""The report: figures as a table in Markdown, and what they were measured on."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

import django

from workload.figures import Figures

# Counts are those of all rounds together; shares and the ratio are medians of the rounds.
COLUMNS: Mapping[str, Callable[[Sequence[Figures]], str]] = {
    "reads": lambda rounds: f"{sum(each.reads for each in rounds)}",
    "stale reads": lambda rounds: f"{sum(each.stale for each in rounds)}",
    "reads on the primary": lambda rounds: f"{median(each.share for each in rounds):.2%}",
    "floor": lambda rounds: f"{median(each.floor for each in rounds):.2%}",
    "ratio to the floor": lambda rounds: f"{median(each.ratio for each in rounds):.2f}",
    "failed requests": lambda rounds: f"{sum(each.failed for each in rounds)}",
}


def table(rows: Iterable[tuple[str, str, Sequence[Figures]]]) -> str:
    """A row for each choice of lags and pins, of the figures of all its rounds."""
    lines = [["lags", "pins", *COLUMNS], ["---", "---", *["---:"] * len(COLUMNS)]]
    lines += [[lags, pins, *(cell(rounds) for cell in COLUMNS.values())] for lags, pins, rounds in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def conditions(figures: Sequence[Figures], postgresql: str) -> str:
    """How much load there really was, on which machine, with which versions, and when."""
    load = figures[0].load
    return (
        f"{load.browsers} browsers, each of which wrote every {median(each.between_writes for each in figures):.1f} s;"
        f" {median(each.rate for each in figures):.0f} requests a second"
        f" ({load.browsers * load.rate:.0f} if responses took no time,"
        f" and they took {median(each.response for each in figures) * 1000:.1f} ms).\n"
        f"{surroundings(postgresql)}\n"
    )


def surroundings(postgresql: str) -> str:
    """The machine, the versions, with that which PostgreSQL says it has, and the date."""
    versions = f"Python {platform.python_version()}, Django {django.__version__}, PostgreSQL {postgresql.split()[0]}"
    return f"{os.cpu_count()} processors ({_processor()}), {versions}, {datetime.now().astimezone():%Y-%m-%d}."


def _processor() -> str:
    """The model, where the system tells it, or the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
