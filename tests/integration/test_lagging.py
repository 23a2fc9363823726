"""Replicas that lag on purpose in a test, on one real PostgreSQL and one real MariaDB, of which they are mirrors."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connections
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

from multidb.pinning import use_primary_db
from multidb.test import lagging
from tests.conftest import REPLICAS
from tests.integration.conftest import connected_to
from tests.models import Post


@pytest.fixture(params=["postgres_cluster", "mariadb_cluster"])
def _mirrored(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """One server, without rows, to which the primary and both replicas lead, as in the tests of a project."""
    entry: dict[str, Any] = request.getfixturevalue(request.param).primary.django_settings()
    with (
        django_db_blocker.unblock(),
        connected_to({alias: {**entry, "TEST": {"MIRROR": "default"}} for alias in ("default", *REPLICAS)}),
        use_primary_db,
    ):
        call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
        call_command("flush", verbosity=0, interactive=False)
        yield


pytestmark = pytest.mark.usefixtures("_mirrored")


def texts(alias: str) -> list[str]:
    return sorted(Post.objects.using(alias).values_list("text", flat=True))


def names(what: str) -> list[Any]:
    """The schemas of PostgreSQL, or the databases of MariaDB."""
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SELECT {what} FROM information_schema.schemata ORDER BY 1")
        return cursor.fetchall()


def test_a_mirror_whose_own_server_has_no_such_database_lags_too(unused_tcp_port: int) -> None:
    """As with settings in which each replica has a host, of which Django's mirrors keep all but the name."""
    for alias in REPLICAS:
        connections[alias].close()
        connections.settings[alias]["PORT"] = unused_tcp_port
    Post.objects.using("default").create(text="old")
    with lagging() as lag:
        Post.objects.using("default").create(text="new")
        assert [texts(alias) for alias in REPLICAS] == [["old"], ["old"]]
        lag.catch_up("replica-2")
        assert texts("replica-2") == ["new", "old"]
    assert [connections.settings[alias]["PORT"] for alias in REPLICAS] == [unused_tcp_port] * 2
    with pytest.raises(OperationalError):
        texts("replica-1")


def test_they_have_what_was_committed_until_they_catch_up() -> None:
    before = names("schema_name")
    Post.objects.using("default").create(text="old")
    with lagging() as lag:
        Post.objects.using("default").create(text="new")
        assert [texts(alias) for alias in ("default", *REPLICAS)] == [["new", "old"], ["old"], ["old"]]
        lag.catch_up("replica-2")
        assert [texts(alias) for alias in REPLICAS] == [["old"], ["new", "old"]]
        Post.objects.using("default").all().delete()
        assert [texts(alias) for alias in REPLICAS] == [["old"], ["new", "old"]]
    assert [texts(alias) for alias in REPLICAS] == [[], []]
    assert names("schema_name") == before


def test_in_every_thread_and_for_every_query() -> None:
    """Joins, and queries that fail, change nothing about the state that is seen."""
    user = User.objects.create_user("ada")
    found: list[Any] = []

    def read() -> None:
        with pytest.raises(Exception, match=r"no_such_table"), connections["replica-1"].cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        found.append(User.objects.using("replica-1").filter(groups__isnull=True).get().username)
        connections.close_all()

    with lagging("replica-1"):
        User.objects.using("default").filter(pk=user.pk).update(username="grace")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert found == ["ada"]


def test_by_position_who_has_written_reads_from_the_primary_until_they_catch_up(client: Client, settings: Any) -> None:
    settings.MULTIDB_PINNING_UNTIL = "replayed"
    with lagging() as lag:
        client.post("/post", {"text": "new"})
        assert client.get("/read").json() == {"texts": ["new"], "alias": "default", "reason": "pinned"}
        assert Client().get("/read").json()["texts"] == []
        lag.catch_up()
        answer = client.get("/read").json()
        assert (answer["texts"], answer["reason"]) == (["new"], "replica")


def test_what_views_of_the_database_show_is_of_that_state_too() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("CREATE VIEW lag_view AS SELECT text FROM tests_post")
        try:
            with lagging("replica-1"):
                Post.objects.using("default").create(text="new")
                with connections["replica-1"].cursor() as on_replica:
                    on_replica.execute("SELECT count(*) FROM lag_view")
                    assert on_replica.fetchone() == (0,)
        finally:
            cursor.execute("DROP VIEW lag_view")


def test_a_copy_that_cannot_be_made_is_left_by_nobody() -> None:
    """A view that divides by zero on PostgreSQL, and on MariaDB one whose table has gone."""
    before = names("schema_name")
    with connections["default"].cursor() as cursor:
        cursor.execute("CREATE TABLE gone (number integer)")
        cursor.execute("CREATE VIEW broken AS SELECT 1 / number AS quotient FROM gone")
        if connections["default"].vendor == "mysql":
            cursor.execute("DROP TABLE gone")
        else:
            cursor.execute("INSERT INTO gone VALUES (0)")
        try:
            with pytest.raises(DatabaseError), lagging("replica-1"):
                pass
        finally:
            cursor.execute("DROP VIEW broken")
            cursor.execute("DROP TABLE IF EXISTS gone")
    assert names("schema_name") == before
