"""What MariaDB answers: global transaction ids of each domain, and how far behind each replication connection is."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from multidb.positions import (
    PositionUnavailable,
    is_replayed,
    lag_seconds,
    primary_position,
    progress,
    replayed_position,
)
from tests.positions import Scripted

STATUS = ["Connection_name", "Slave_SQL_State", "Seconds_Behind_Master", "Gtid_Slave_Pos"]


def position(text: str, question: Callable[..., Any] = primary_position) -> Any:
    return question(Scripted("MariaDB", [(text,)]))


def lag(*seconds: Any) -> float:
    rows = [(f"source-{number}", "reading", each, "0-1-1") for number, each in enumerate(seconds)]
    return lag_seconds(Scripted("MariaDB", rows, STATUS))


@pytest.mark.parametrize("question", [primary_position, replayed_position])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-1-1", {"0": "00000000000000000001"}),
        ("0-1-270", {"0": "00000000000000000270"}),
        ("1-4294967295-9", {"1": "00000000000000000009"}),
        ("0-1-18446744073709551615", {"0": "18446744073709551615"}),
        ("0-1-5,1-2-7,10-1-3", {"0": f"{5:020}", "1": f"{7:020}", "10": f"{3:020}"}),
        ("0-1-5,\n1-2-7", {"0": f"{5:020}", "1": f"{7:020}"}),
        (" 0-1-5 , 1-2-7 ,", {"0": f"{5:020}", "1": f"{7:020}"}),
    ],
)
def test_each_domain_is_a_stream_of_its_sequence_numbers(
    question: Callable[..., Any], text: str, expected: dict[str, str]
) -> None:
    assert position(text, question) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [("0-1-9", "0-1-10"), ("0-1-99", "0-1-100"), ("0-1-9999999999", "0-1-18446744073709551615"), ("0-9-1", "0-1-2")],
)
def test_sequence_numbers_sort_as_their_texts_do_whichever_server_wrote(before: str, after: str) -> None:
    assert is_replayed(position(before), position(after, replayed_position))
    assert not is_replayed(position(after), position(before, replayed_position))


@pytest.mark.parametrize(
    ("written", "reached", "expected"),
    [
        ("0-1-5", "0-1-5", True),
        ("0-1-5", "0-2-6,1-1-1", True),
        ("0-1-5,1-1-9", "0-1-7,1-1-9", True),
        ("0-1-5,1-1-9", "0-1-7,1-1-8", False),
        ("0-1-5,1-1-9", "0-1-7", False),
        ("1-1-1", "0-1-7", False),
    ],
)
def test_a_write_is_replayed_when_each_of_its_domains_is(written: str, reached: str, expected: bool) -> None:
    assert is_replayed(position(written), position(reached, replayed_position)) is expected


@pytest.mark.parametrize(
    ("question", "why"), [(primary_position, "no binary log"), (replayed_position, "no replica by GTID")]
)
@pytest.mark.parametrize("text", ["", " ", ","])
def test_without_a_gtid_there_is_no_position(question: Callable[..., Any], why: str, text: str) -> None:
    with pytest.raises(PositionUnavailable, match=why):
        position(text, question)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0], 0.0),
        ([7], 7.0),
        (["7"], 7.0),
        ([None], math.inf),
        ([0, 12, 3], 12.0),
        ([0, None, 3], math.inf),
    ],
)
def test_the_lag_is_that_of_the_slowest_connection_and_without_end_where_one_has_stopped(
    seconds: list[Any], expected: float
) -> None:
    assert lag(*seconds) == expected
    assert type(lag(*seconds)) is float


@pytest.mark.parametrize("columns", [STATUS, []])
def test_without_a_replication_connection_it_is_no_replica(columns: list[str]) -> None:
    with pytest.raises(PositionUnavailable, match="no replica"):
        lag_seconds(Scripted("MariaDB", [], columns))


def test_it_does_not_tell_what_it_has_received() -> None:
    assert progress(Scripted("MariaDB", [])) == ("", "")
