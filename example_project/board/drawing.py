"""The time line as the page draws it, and the same in words."""

import math
from collections import Counter
from typing import NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.template.loader import render_to_string

from board.timeline import WINDOW_SECONDS, Lack, Read, Seen

# Distances in pixels: from the top to the first line, and from one line to the next.
TOP = 46
ROW = 50

TICKS = (30, 20, 10, 0)

# What a number is as wide as, on the narrowest page.
LABEL_SECONDS = 2.5

MEANINGS = {
    "current": "it had every post",
    "stale": "it lacked a post",
    "needed": "every replica that was up lacked a post",
    "avoidable": "a replica had every post, too",
    "unpinned": "no replica was up",
}


class Mark(NamedTuple):
    """Something at ``x`` percent of the width and ``y`` pixels from the top; ``text`` says what it is."""

    x: str
    y: int
    text: str
    kind: str = ""
    width: str = ""


class Happening(NamedTuple):
    """One line of the table: what happened so many seconds ago."""

    age: float
    alias: str
    event: str
    meaning: str


def drawing(seen: Seen) -> str:
    """The picture, with a sentence that sums it up, as markup."""
    rows = {alias: TOP + ROW * number for number, alias in enumerate((DEFAULT_DB_ALIAS, *settings.REPLICA_DATABASES))}
    bottom = max(rows.values())
    shown = {
        "rows": rows.items(),
        "bottom": bottom,
        "height": bottom + ROW,
        "seconds": WINDOW_SECONDS,
        "ticks": [(_x(tick), f"{tick} s ago" if tick else "now") for tick in TICKS],
        "writes": _posts(seen, rows[DEFAULT_DB_ALIAS]),
        "lacks": [_band(seen, lack, rows[lack.alias]) for lack in seen.lacks],
        "arrivals": [
            Mark(_x(seen.age(lack.until)), rows[lack.alias], f"{lack.alias} has post #{lack.number} from now on")
            for lack in seen.lacks
            if lack.until is not None
        ],
        "reads": [_dot(seen, read, rows[read.alias]) for read in seen.reads],
        "summary": summary(seen),
    }
    return render_to_string("board/timeline.html", shown)


def table(seen: Seen) -> str:
    """The rows of a table that says the same, as markup."""
    return render_to_string("board/timeline_rows.html", {"happenings": happenings(seen)})


def summary(seen: Seen) -> str:
    """What was written and read, and what pinning cost and saved."""
    kinds = Counter(read.kind for read in seen.reads)
    replica = kinds["current"] + kinds["stale"]
    primary = len(seen.reads) - replica
    return (
        f"In the last {WINDOW_SECONDS:g} seconds: {_count(len(seen.writes), 'post')} and "
        f"{_count(len(seen.reads), 'read')}. Of {_count(primary, 'read')} from the primary, {kinds['avoidable']} "
        f"could have been a replica's. Of {_count(replica, 'read')} from replicas, {kinds['stale']} lacked a post."
    )


def happenings(seen: Seen) -> list[Happening]:
    """What happened, the last thing first."""
    writes = [Happening(seen.age(each.at), DEFAULT_DB_ALIAS, f"post #{each.number}", "written") for each in seen.writes]
    reads = [
        Happening(seen.age(each.at), each.alias, f"read, for the reason “{each.reason}”", MEANINGS[each.kind])
        for each in seen.reads
    ]
    arrivals = [
        Happening(
            seen.age(lack.until), lack.alias, f"post #{lack.number}", f"came {lack.until - lack.since:.1f} s late"
        )
        for lack in seen.lacks
        if lack.until is not None
    ]
    return sorted([*writes, *reads, *arrivals])


def _posts(seen: Seen, y: int) -> list[Mark]:
    """The posts, each with its number where there is room for that before the next one's."""
    marks: list[Mark] = []
    labelled = -math.inf
    for write in reversed(seen.writes):
        age = seen.age(write.at)
        has_room = age - labelled >= LABEL_SECONDS
        labelled = age if has_room else labelled
        marks.append(Mark(_x(age), y, f"#{write.number}" if has_room else ""))
    return marks[::-1]


def _band(seen: Seen, lack: Lack, y: int) -> Mark:
    begin = min(seen.age(lack.since), WINDOW_SECONDS)
    end = 0.0 if lack.until is None else seen.age(lack.until)
    verb = "lacks" if lack.until is None else "lacked"
    width = _percent((begin - end) / WINDOW_SECONDS)
    return Mark(_x(begin), y, f"{lack.alias} {verb} post #{lack.number}", width=width)


def _dot(seen: Seen, read: Read, y: int) -> Mark:
    return Mark(_x(seen.age(read.at)), y, f"{read.alias}, reason {read.reason}: {MEANINGS[read.kind]}", read.kind)


def _x(age: float) -> str:
    return _percent(1 - age / WINDOW_SECONDS)


def _percent(part: float) -> str:
    return f"{100 * part:.2f}%"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
