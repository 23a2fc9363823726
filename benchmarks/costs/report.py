"""Tables in Markdown: what, the figures side by side, the ratio, the target, and whether it is reached."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Unavailable(Exception):
    """A table cannot be had here; says why, and what to install."""


class Row(NamedTuple):
    """``cells``: one for each column. ``reached`` is ``None`` where there is no target."""

    what: str
    cells: Sequence[str]
    ratio: str = ""
    target: str = ""
    reached: bool | None = None


class Table(NamedTuple):
    """``notes`` say what the figures are, one paragraph each."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [
            ["what", *self.columns, "ratio", "target", "reached"],
            ["---", *["---:"] * (len(self.columns) + 1), "---", "---"],
            *([row.what, *row.cells, row.ratio, row.target, _said(row.reached)] for row in self.rows),
        ]
        notes = "".join(f"\n{note}\n" for note in self.notes)
        return f"## {self.title}\n\n{_markdown(lines)}{notes}"


def microseconds(seconds: float) -> str:
    microseconds = seconds * 1e6
    return f"{microseconds:.3f} us" if microseconds < 10 else f"{microseconds:.1f} us"


def times(ratio: float) -> str:
    return f"{ratio:.2f}"


def _said(reached: bool | None) -> str:
    return "" if reached is None else "yes" if reached else "no"


def _markdown(lines: Iterable[Iterable[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
