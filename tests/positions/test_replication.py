"""How a replica says that its replication goes, and how far apart two positions are."""

from typing import Any

import pytest

from multidb.positions import PositionUnavailable, as_text, distance, replication
from tests.positions import Scripted

STATUS = ["Slave_IO_Running", "Slave_SQL_Running", "Last_IO_Error", "Last_SQL_Error"]
RUNS = ("Yes", "Yes", "", "")


@pytest.mark.parametrize(
    ("row", "state", "why"),
    [
        ((True, False, True), "running", ""),
        ((True, True, True), "paused", "pg_wal_replay_resume()"),
        ((True, True, False), "paused", "pg_wal_replay_resume()"),
        ((True, False, False), "stopped", "receives nothing"),
        ((False, None, False), "none", "not in recovery"),
        ((False, None, True), "none", "not in recovery"),
    ],
)
def test_a_standby_says_whether_it_receives_and_replays(row: tuple[Any, ...], state: str, why: str) -> None:
    told = replication(Scripted("PostgreSQL", [row]))
    assert told[0] == state
    assert why in told[1]
    assert bool(told[1]) == bool(why)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([RUNS], ("running", "")),
        ([RUNS, RUNS], ("running", "")),
        ([("Yes", "No", "", "")], ("stopped", "it replays nothing")),
        ([("Yes", "No", "", None)], ("stopped", "it replays nothing")),
        ([RUNS, ("No", "Yes", "", "")], ("stopped", "it receives nothing from its primary")),
        (
            [("Connecting", "Yes", "error connecting to master 'me@host' - retry", "")],
            ("stopped", "it receives nothing from its primary: error connecting to master '...' - retry"),
        ),
        ([("Yes", "No", "", "Duplicate entry 'ada'")], ("stopped", "it replays nothing: Duplicate entry '...'")),
        ([], ("none", "it has no replication connection, so it is no replica")),
    ],
)
def test_a_replica_of_mariadb_says_which_thread_has_stopped_and_quotes_no_row(
    rows: list[tuple[Any, ...]], told: tuple[str, str]
) -> None:
    assert replication(Scripted("MariaDB", rows, STATUS)) == told


def test_what_has_no_positions_does_not_say() -> None:
    with pytest.raises(PositionUnavailable, match="this is SQLite"):
        replication(Scripted("SQLite", []))


@pytest.mark.parametrize(
    ("name", "position", "reached", "expected"),
    [
        ("PostgreSQL", {"lsn": f"{0x1_0000_0010:016X}"}, {"lsn": f"{0xFFFF_FFF0:016X}"}, (32, "bytes")),
        ("PostgreSQL", {"lsn": f"{16:016X}"}, {"lsn": f"{16:016X}"}, (0, "bytes")),
        ("PostgreSQL", {"lsn": f"{16:016X}"}, {"lsn": f"{17:016X}"}, (0, "bytes")),
        ("MariaDB", {"0": f"{12:020}"}, {"0": f"{9:020}"}, (3, "transactions")),
        ("MariaDB", {"0": f"{12:020}", "1": f"{4:020}"}, {"0": f"{13:020}"}, (4, "transactions")),
    ],
)
def test_a_distance_is_what_the_replica_lacks(
    name: str, position: dict[str, str], reached: dict[str, str], expected: tuple[int, str]
) -> None:
    assert distance(name, position, reached) == expected


@pytest.mark.parametrize(
    ("name", "position", "text"),
    [
        ("PostgreSQL", {"lsn": "00000016B374D848"}, "16/B374D848"),
        ("PostgreSQL", {"lsn": "0000000003000018"}, "0/3000018"),
        ("MariaDB", {"1": f"{7:020}", "0": f"{270:020}"}, "0:270,1:7"),
    ],
)
def test_a_position_is_written_as_its_vendor_writes_it(name: str, position: dict[str, str], text: str) -> None:
    assert as_text(name, position) == text
