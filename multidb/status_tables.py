"""The tables of ``manage.py multidb_status``."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from multidb.status import PinStoreStatus, Status
from multidb.status_databases import DatabaseStatus
from multidb.status_settings import SettingStatus

DATABASE_COLUMNS: Final = (
    "DATABASE",
    "ROLE",
    "STATE",
    "RESTING SINCE",
    "REPLICATION",
    "LAG",
    "BEHIND",
    "WEIGHT",
    "POSITION",
)
PIN_STORE_COLUMNS: Final = ("PIN STORE", "STATE", "RESTING", "ROUND TRIP", "LIVE PINS")
SETTING_COLUMNS: Final = ("SETTING", "FROM", "VALUE")

NOTHING: Final = "-"

Style = Callable[[str], str]


def lines(status: Status, style: Any) -> Iterator[str]:
    """The tables of ``status``, coloured by ``style``, which is that of a command."""
    styles = {"up": style.SUCCESS, "down": style.ERROR, "hangs": style.ERROR, "unknown": style.WARNING}
    heading: Style = style.MIGRATE_HEADING
    yield from _table(DATABASE_COLUMNS, map(_database_cells, status.databases), heading, styles)
    for database in status.databases:
        for note in filter(None, [database.why, *database.notes]):
            yield f"{database.alias}: {note}"
    yield ""
    yield from _table(PIN_STORE_COLUMNS, [_pin_store_cells(status.pin_store)], heading, styles)
    if status.pin_store.why:
        yield f"pin store: {status.pin_store.why}"
    yield ""
    yield from _table(SETTING_COLUMNS, map(_setting_cells, status.settings), heading, {})


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], heading: Style, styles: dict[str, Style]
) -> Iterator[str]:
    """The lines of a table; a cell that is a key of ``styles`` is styled so."""
    rows = list(rows)
    widths = [max(len(row[number]) for row in [columns, *rows]) for number in range(len(columns))]
    yield heading("  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        # The blanks are counted without what colours a cell.
        cells = [
            styles[cell](cell) + text[len(cell) :] if cell in styles else text
            for cell, text in zip(row, padded, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _database_cells(database: DatabaseStatus) -> Sequence[str]:
    return (
        database.alias,
        database.role,
        database.state,
        database.resting_since or NOTHING,
        database.replication or NOTHING,
        _lag(database),
        _behind(database),
        NOTHING if database.weight is None else str(database.weight),
        database.position or NOTHING,
    )


def _lag(database: DatabaseStatus) -> str:
    if database.lag_seconds is None:
        return "unknown" if database.role == "replica" and database.state == "up" else NOTHING
    return "endless" if database.lag_seconds == math.inf else f"{database.lag_seconds:.1f} s"


def _behind(database: DatabaseStatus) -> str:
    if database.lag_bytes is not None:
        return f"{database.lag_bytes} bytes"
    return NOTHING if database.lag_transactions is None else f"{database.lag_transactions} transactions"


def _pin_store_cells(store: PinStoreStatus) -> Sequence[str]:
    pins = NOTHING if store.pins is None else str(store.pins)
    return (
        store.backend.rpartition(".")[2],
        store.state,
        "yes" if store.resting else "no",
        NOTHING if store.round_trip_ms is None else f"{store.round_trip_ms:.2f} ms",
        pins if store.counted_all_pins else f"{pins} or more",
    )


def _setting_cells(setting: SettingStatus) -> Sequence[str]:
    return setting.name, "default" if setting.default else "project", json.dumps(setting.value, ensure_ascii=False)
