"""What PostgreSQL answers, and for every vendor: errors, transactions, and those without positions."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction

from multidb import positions
from multidb.positions import (
    PositionUnavailable,
    is_replayed,
    lag_seconds,
    primary_position,
    progress,
    replayed_position,
)
from tests.models import Post
from tests.positions import Scripted

PAGE = 8192


def primary(text: str, page_size: int = PAGE) -> Any:
    return primary_position(Scripted("PostgreSQL", [(text, page_size)]))


def replayed(in_recovery: bool, text: str | None) -> Any:
    return replayed_position(Scripted("PostgreSQL", [(in_recovery, text)]))


def lag(in_recovery: bool, seconds: Any) -> float:
    return lag_seconds(Scripted("PostgreSQL", [(in_recovery, seconds)]))


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("0/0", "0000000000000000"),
        ("0/16B3748", "00000000016B3748"),
        ("16/B374D848", "00000016B374D848"),
        ("1/0", "0000000100000000"),
        ("1/A", "000000010000000A"),
        ("FFFFFFFF/FFFFFFFF", "FFFFFFFFFFFFFFFF"),
        ("ab/cdef", "000000AB0000CDEF"),
    ],
)
def test_a_place_in_the_log_is_16_hexadecimal_digits(text: str, digits: str) -> None:
    assert primary(text) == replayed(True, text) == {"lsn": digits}


@pytest.mark.parametrize(
    ("before", "after"),
    [("0/9", "0/A"), ("0/FFFFFFFF", "1/0"), ("9/FFFFFFFF", "10/0"), ("A/0", "10/0"), ("2/30", "2/100")],
)
def test_places_sort_as_their_texts_do(before: str, after: str) -> None:
    assert primary(before)["lsn"] < primary(after)["lsn"]
    assert is_replayed(primary(before), replayed(True, after))
    assert not is_replayed(primary(after), replayed(True, before))


@pytest.mark.parametrize("page_size", [PAGE, 65536])
@pytest.mark.parametrize(
    ("behind", "counts_as"), [(0, 0), (8, 8), (23, 23), (24, 0), (25, 25), (32, 32), (40, 0), (41, 41), (64, 64)]
)
@pytest.mark.parametrize("page", [0, 3, 2**19])
def test_behind_the_header_of_a_page_without_a_record_is_where_the_page_begins(
    page: int, page_size: int, behind: int, counts_as: int
) -> None:
    """Nobody replays a header: a replica that has replayed all stands before it."""
    start = page * page_size
    text = f"{(start + behind) >> 32:X}/{(start + behind) & 0xFFFFFFFF:X}"
    assert primary(text, page_size) == {"lsn": f"{start + counts_as:016X}"}


def test_what_a_replica_has_replayed_is_not_set_back() -> None:
    assert replayed(True, "0/3000018") == {"lsn": "0000000003000018"}


@pytest.mark.parametrize(("in_recovery", "text"), [(False, None), (False, "0/1"), (True, None)])
def test_what_is_not_in_recovery_or_has_replayed_nothing_is_no_standby(in_recovery: bool, text: str | None) -> None:
    with pytest.raises(PositionUnavailable, match="no standby"):
        replayed(in_recovery, text)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 0.0), (Decimal("3.25"), 3.25), (1.5, 1.5), (Decimal("-0.004"), 0.0), (None, math.inf)],
)
def test_the_lag_is_what_it_says_and_without_end_where_it_cannot_say(seconds: Any, expected: float) -> None:
    """Clocks that are not alike may say that a transaction is of the future."""
    assert lag(True, seconds) == expected
    assert type(lag(True, seconds)) is float


@pytest.mark.parametrize("seconds", [None, 0])
def test_what_is_not_in_recovery_has_no_lag(seconds: int | None) -> None:
    with pytest.raises(PositionUnavailable, match="no standby"):
        lag(False, seconds)


@pytest.mark.parametrize(
    ("question", "display_name", "row"),
    [
        (primary_position, "PostgreSQL", ("0/1", PAGE)),
        (replayed_position, "PostgreSQL", (True, "0/1")),
        (lag_seconds, "PostgreSQL", (True, 0)),
        (primary_position, "MariaDB", ("0-1-1",)),
        (replayed_position, "MariaDB", ("0-1-1",)),
        (lag_seconds, "MariaDB", (0,)),
    ],
)
def test_each_question_is_one_query(question: Callable[..., Any], display_name: str, row: tuple[Any, ...]) -> None:
    connection = Scripted(display_name, [row], ["Seconds_Behind_Master"])
    question(connection)
    assert len(connection.asked) == 1


@pytest.mark.parametrize("question", [primary_position, replayed_position, lag_seconds])
class TestEveryVendor:
    @pytest.mark.parametrize("display_name", ["SQLite", "CockroachDB", "MySQL", "Oracle"])
    def test_one_without_positions_is_named_and_not_asked(
        self, question: Callable[..., Any], display_name: str
    ) -> None:
        connection = Scripted(display_name, [])
        with pytest.raises(PositionUnavailable, match=f"PostgreSQL and MariaDB, and this is {display_name}"):
            question(connection)
        assert connection.asked == []

    @pytest.mark.parametrize("display_name", ["PostgreSQL", "MariaDB"])
    @pytest.mark.parametrize("error", [OperationalError, InterfaceError, DatabaseError])
    def test_an_error_of_the_database_is_told_as_one_line_and_kept_as_the_cause(
        self, question: Callable[..., Any], error: type[Exception], display_name: str
    ) -> None:
        failure = error("permission denied\n")
        with pytest.raises(PositionUnavailable) as raised:
            question(Scripted(display_name, failure))
        assert str(raised.value) == f"{error.__name__}: permission denied"
        assert raised.value.__cause__ is failure

    def test_one_that_only_its_server_could_tell_is_an_error_of_the_database_too(
        self, question: Callable[..., Any]
    ) -> None:
        with pytest.raises(PositionUnavailable, match="OperationalError: server has gone away"):
            question(Unreachable())

    def test_an_error_of_the_program_is_not_the_database_s(self, question: Callable[..., Any]) -> None:
        with pytest.raises(ZeroDivisionError):
            question(Scripted("PostgreSQL", ZeroDivisionError()))


class Unreachable:
    """A connection whose server is asked whether it is MariaDB or MySQL, and does not answer."""

    @property
    def display_name(self) -> str:
        raise OperationalError("server has gone away")


@pytest.mark.parametrize(
    ("position", "reached", "expected"),
    [
        ({}, {}, True),
        ({}, {"lsn": "1"}, True),
        ({"lsn": "1"}, {}, False),
        ({"lsn": "1"}, {"lsn": "0"}, False),
        ({"lsn": "1"}, {"lsn": "1"}, True),
        ({"lsn": "1"}, {"lsn": "2"}, True),
        ({"0": "1", "1": "1"}, {"0": "1", "1": "2", "2": "0"}, True),
        ({"0": "1", "1": "1"}, {"0": "2", "1": "0"}, False),
        ({"0": "1", "1": "1"}, {"0": "2"}, False),
        ({"lsn": "1"}, {"0": "2"}, False),
    ],
)
def test_a_position_is_replayed_by_who_is_not_behind_it_in_any_stream(
    position: dict[str, str], reached: dict[str, str], expected: bool
) -> None:
    assert is_replayed(position, reached) is expected


class FailsLast:
    """A vendor whose question writes a post, and then fails."""

    @staticmethod
    def replayed_position(connection: Any) -> dict[str, str]:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO tests_post (text) VALUES ('by the question')")
            cursor.execute("SELECT * FROM nowhere")
        return {}


@pytest.mark.django_db(transaction=True, databases="__all__")
class TestTransactions:
    """A question on a real connection, inside a transaction and outside one."""

    @pytest.fixture
    def connection(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setitem(positions.VENDORS, "SQLite", FailsLast)
        return connections["default"]

    def test_a_question_that_fails_does_not_break_the_transaction_that_is_open(self, connection: Any) -> None:
        with transaction.atomic():
            Post.objects.create(text="before")
            with pytest.raises(PositionUnavailable, match="nowhere"):
                replayed_position(connection)
            assert not connection.needs_rollback
            Post.objects.create(text="after")
        assert self._texts() == ["before", "after"]

    def test_outside_a_transaction_none_is_begun(self, connection: Any) -> None:
        with pytest.raises(PositionUnavailable, match="nowhere"):
            replayed_position(connection)
        assert self._texts() == ["by the question"]

    def test_in_a_transaction_that_is_broken_already_there_is_none(self, connection: Any) -> None:
        with transaction.atomic():
            transaction.set_rollback(True)
            with pytest.raises(PositionUnavailable, match="TransactionManagementError"):
                replayed_position(connection)
            assert connection.needs_rollback
        assert self._texts() == []

    def _texts(self) -> list[str]:
        return list(Post.objects.using("default").order_by("pk").values_list("text", flat=True))


@pytest.mark.parametrize(("received", "text"), [("0/3000060", "0000000003000060"), (None, "")])
def test_what_is_received_and_what_is_replayed_sort_as_texts(received: str | None, text: str) -> None:
    assert progress(Scripted("PostgreSQL", [(received, "0/3000000")])) == (text, "0000000003000000")
