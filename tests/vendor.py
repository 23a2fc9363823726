"""A vendor of positions for the tests' SQLite: how far a database has got is how many posts it has.

The replicas of the fixture ``replication`` are files that hold what the last ``catch_up()`` copied.
"""

from typing import Any

import pytest

from multidb import positions
from multidb.positions import PositionUnavailable

asked: list[tuple[str, str]] = []
lags: dict[str, float] = {}
silent: set[str] = set()
progresses: dict[str, tuple[str, str]] = {}


def primary_position(connection: Any) -> dict[str, str]:
    return _count(connection, "primary_position")


def replayed_position(connection: Any) -> dict[str, str]:
    return _count(connection, "replayed_position")


def lag_seconds(connection: Any) -> float:
    _note(connection, "lag_seconds")
    return lags.get(connection.alias, 0.0)


def progress(connection: Any) -> tuple[str, str]:
    return progresses.get(connection.alias, ("", ""))


def _note(connection: Any, question: str) -> None:
    asked.append((connection.alias, question))
    if connection.alias in silent:
        raise PositionUnavailable("it is told to be silent")


def _count(connection: Any, question: str) -> dict[str, str]:
    _note(connection, question)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tests_post")
        return {"posts": f"{cursor.fetchone()[0]:016}"}


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on SQLite has positions, and nothing has been asked."""
    import sys

    monkeypatch.setitem(positions.VENDORS, "SQLite", sys.modules[__name__])
    asked.clear()
    lags.clear()
    silent.clear()
    progresses.clear()
