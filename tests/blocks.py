"""The blocks of code in README.md, CONTRIBUTING.md and docs/, each with the ``<!-- marker -->`` before it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

FENCE = re.compile(r" *```([^\s`]*)( [^`]*)?$")
MARKER = re.compile(r"<!-- (.+) -->$")

# Code in a form that is not read here, so that no test would see it: other fences, those in lists and in quotations.
UNREAD = re.compile(r"```|~~~|<(pre|code)\b|^ *\t|^( *([>*+-]|\d+[.)]))+ {5}", re.IGNORECASE)


class Block(NamedTuple):
    """``page`` and ``line`` say where it is. ``marker`` is empty where it has none; so is ``language``."""

    page: str
    line: int
    marker: str
    language: str
    text: str


def pages() -> list[str]:
    """README.md, CONTRIBUTING.md and each page under docs/, as paths from the root."""
    docs = sorted(path for path in (ROOT / "docs").glob("**/*.md") if "_build" not in path.parts)
    return ["README.md", "CONTRIBUTING.md", *(path.relative_to(ROOT).as_posix() for path in docs)]


def block(page: str, marker: str) -> str:
    """The text of the one block of ``page`` that has this marker."""
    [found] = [each.text for each in blocks(page) if each.marker == marker]
    return found


def blocks(page: str) -> Iterator[Block]:
    """The blocks of ``page`` in their order: what is fenced, and what is indented by four spaces.

    Raises ``ValueError`` for code in any other form.
    """
    lines = (ROOT / page).read_text().splitlines()
    number, before = 0, ""
    while number < len(lines):
        line = lines[number]
        fence = FENCE.match(line)
        if fence:
            end = lines.index(line[: line.index("`")] + "```", number + 1)
            inside = lines[number + 1 : end]
        elif line.startswith("    ") and (number == 0 or not lines[number - 1] or MARKER.match(lines[number - 1])):
            end = next((at for at in range(number, len(lines)) if not lines[at].startswith("    ")), len(lines))
            inside = [each[4:] for each in lines[number:end]]
        elif UNREAD.search(line):
            raise ValueError(f"{page}:{number + 1}: code in a form that is not read: {line}")
        else:
            before = line or before
            number += 1
            continue
        marker = MARKER.match(before)
        text = "".join(f"{each}\n" for each in inside)
        yield Block(page, number + 1, marker[1] if marker else "", fence[1] if fence else "", text)
        number, before = end + 1, ""
