"""Standstill: positions for the SQLite of the site, whose replica never replays what is written on the primary."""

from typing import Any


def primary_position(connection: Any) -> dict[str, str]:
    return {"writes": f"{2:016}"}


def replayed_position(connection: Any) -> dict[str, str]:
    return {"writes": f"{1:016}"}
