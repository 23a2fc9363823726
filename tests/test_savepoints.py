"""What is asked in passing costs no savepoint unless it makes a query, and never ends the transaction around it."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from multidb.savepoints import in_passing, in_passing_on
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queries(django_assert_num_queries: Any) -> Any:
    return django_assert_num_queries


def texts() -> list[str]:
    return list(Post.objects.using("default").values_list("text", flat=True))


def write(text: str) -> None:
    Post.objects.using("default").create(text=text)


def write_and_fail() -> None:
    write("inside")
    raise RuntimeError


def write_in_another_and_fail() -> None:
    with in_passing(connection):
        write("undone")
    raise RuntimeError


def write_and_break() -> None:
    write("inside")
    transaction.set_rollback(True)


def test_whoever_asks_nothing_makes_no_query(queries: Any) -> None:
    with transaction.atomic(), queries(0), in_passing(connection):
        pass


def test_one_savepoint_is_made_for_all_queries(queries: Any) -> None:
    with transaction.atomic(), queries(4), in_passing(connection):
        texts()
        texts()


def test_what_fails_is_undone_and_the_transaction_goes_on() -> None:
    with transaction.atomic():
        write("before")
        with pytest.raises(RuntimeError), in_passing(connection):
            write_and_fail()
        write("after")
    assert texts() == ["before", "after"]


def test_what_succeeds_stays() -> None:
    with transaction.atomic(), in_passing(connection):
        write("inside")
    assert texts() == ["inside"]


@pytest.mark.parametrize("savepoint", [True, False])
def test_a_block_inside_that_fails_does_not_break_the_transaction(savepoint: bool) -> None:
    with transaction.atomic():
        write("before")
        with pytest.raises(RuntimeError), in_passing(connection), transaction.atomic(savepoint=savepoint):
            write_and_fail()
        write("after")
    assert texts() == ["before", "after"]


def test_a_block_inside_that_is_broken_in_secret_is_told_of() -> None:
    with transaction.atomic():
        write("before")
        with pytest.raises(transaction.TransactionManagementError), in_passing(connection):
            write_and_break()
        write("after")
    assert texts() == ["before", "after"]


def test_a_failure_without_a_query_does_not_break_the_transaction() -> None:
    """Django marks it as broken by itself, as where an object cannot be saved."""
    with transaction.atomic():
        write("before")
        with pytest.raises(ValueError, match="number"), in_passing(connection):
            Post.objects.using("default").create(pk="no number", text="inside")
        with pytest.raises(transaction.TransactionManagementError), in_passing(connection):
            transaction.set_rollback(True)
        write("after")
    assert texts() == ["before", "after"]


def test_what_was_to_run_on_commit_is_undone_too() -> None:
    ran: list[str] = []

    def fail() -> None:
        transaction.on_commit(lambda: ran.append("inside"))
        write_and_fail()

    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("before"))
        with pytest.raises(RuntimeError), in_passing(connection):
            fail()
        transaction.on_commit(lambda: ran.append("after"))
    assert ran == ["before", "after"]


def test_a_transaction_that_the_database_has_ended_is_not_gone_on_with() -> None:
    """Else what was written before would be lost, and what is written after be committed."""
    with transaction.atomic():
        write("before")
        with pytest.raises(DatabaseError), in_passing(connection), connection.cursor() as cursor:
            cursor.execute("INSERT OR ROLLBACK INTO tests_post (id, text) SELECT id, 'again' FROM tests_post")
        assert transaction.get_rollback()
        with pytest.raises(transaction.TransactionManagementError):
            write("after")
    assert texts() == []


def test_a_connection_that_is_closed_inside_breaks_the_transaction() -> None:
    with transaction.atomic():
        write("before")
        with pytest.raises(transaction.TransactionManagementError), in_passing(connection):
            connection.close()
        assert transaction.get_rollback()
    assert texts() == []


def test_no_savepoint_is_left_open(queries: Any) -> None:
    with transaction.atomic(), queries(4), pytest.raises(RuntimeError), in_passing(connection):
        write_and_fail()


def test_a_wrapper_that_is_installed_inside_stays() -> None:
    def other(execute: Any, *query: Any) -> Any:
        return execute(*query)

    before = list(connection.execute_wrappers)
    with transaction.atomic(), in_passing(connection):
        connection.execute_wrappers.append(other)
    assert connection.execute_wrappers == [*before, other]
    connection.execute_wrappers.remove(other)


def test_a_transaction_that_is_broken_already_stays_so() -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(transaction.TransactionManagementError), in_passing(connection):
            texts()
        assert transaction.get_rollback()
    assert texts() == []


def test_on_a_database_without_savepoints_what_fails_breaks_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "_savepoint_allowed", lambda: False)
    with transaction.atomic(), in_passing(connection):
        write("inside")
    with transaction.atomic():
        with pytest.raises(RuntimeError), in_passing(connection):
            write_and_fail()
        assert transaction.get_rollback()
    assert texts() == ["inside"]


def test_one_in_another_that_has_asked_nothing_before_is_undone_alone() -> None:
    """So is the outer one then, and each is released in its turn."""
    with transaction.atomic():
        write("before")
        with in_passing(connection):
            with pytest.raises(RuntimeError), in_passing(connection):
                write_and_fail()
            write("between")
        with pytest.raises(RuntimeError), in_passing(connection):
            write_in_another_and_fail()
        write("after")
    assert texts() == ["before", "between", "after"]


def test_a_connection_of_two_aliases_has_one_savepoint(queries: Any) -> None:
    with transaction.atomic(), queries(3), in_passing_on([connections["default"], connections["default"]]):
        texts()
