"""A write that is sent to a replica fails before it can make the replica differ."""

from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.test import Client

from tests.integration.conftest import connected_to, databases_of
from tests.models import Post


@pytest.fixture
def writable(cluster: Any) -> Any:
    """``replica-1`` is a server that takes writes, as a logical replica of PostgreSQL and one of MariaDB do."""
    with connected_to({"replica-1": databases_of(cluster)["default"]}):
        yield


@pytest.mark.usefixtures("writable")
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO tests_post (text) VALUES ('mine')",
        "DELETE FROM tests_post",
        "CREATE TABLE another (id integer)",
        "WITH one AS (SELECT 1) SELECT 1; INSERT INTO tests_post (text) VALUES ('mine')",
    ],
)
def test_raw_sql(cluster: Any, sql: str) -> None:
    refused = pytest.raises(DatabaseError, match=r"read-only transaction|READ ONLY transaction")
    with refused, connections["replica-1"].cursor() as cursor:
        cursor.execute(sql)
        cursor.nextset()  # MariaDB's driver tells of a second statement here.
    assert not Post.objects.using("default").exists()


@pytest.mark.usefixtures("writable")
def test_the_orm(cluster: Any) -> None:
    with pytest.raises(DatabaseError):
        Post.objects.using("replica-1").create(text="mine")
    with pytest.raises(DatabaseError), transaction.atomic(using="replica-1"):
        Post.objects.using("replica-1").bulk_create([Post(text="mine")])
    assert not Post.objects.using("default").exists()


@pytest.mark.usefixtures("writable")
def test_it_reads_as_before(cluster: Any) -> None:
    Post.objects.using("default").create(text="mine")
    with transaction.atomic(using="replica-1"):
        assert Post.objects.using("replica-1").get().text == "mine"
    assert Client().get("/read").status_code == 200


@pytest.mark.usefixtures("writable")
def test_without_the_guard_it_is_written_to(cluster: Any, settings: Any) -> None:
    settings.MULTIDB_GUARD_REPLICAS = False
    Post.objects.using("replica-1").create(text="mine")
    assert Post.objects.using("default").exists()


def test_without_autocommit(cluster: Any) -> None:
    """The mode of the session outlives the transaction that Django has open all the time."""
    with connected_to({"replica-1": {**databases_of(cluster)["default"], "AUTOCOMMIT": False}}):
        connections["replica-1"].ensure_connection()
        connections["replica-1"].rollback()
        with pytest.raises(DatabaseError):
            Post.objects.using("replica-1").create(text="mine")
        connections["replica-1"].rollback()
