"""In tests, reads that are routed to a replica see what the test wrote, and ordinary suites pass unchanged."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, router

from multidb import get_replica
from multidb.mirrors import heed_no_locks, run_on
from multidb.routes import Route
from multidb.test import captured_routes
from tests.conftest import REPLICAS
from tests.models import Post, Shelf
from tests.ordinary import check_suite

ALIASES = ["default", *REPLICAS]


class TestOrdinarySuites:
    def test_of_startproject_in_memory(self, tmp_path: Path) -> None:
        """What ``startproject`` sets: SQLite, whose test database all connections share in memory."""
        engine = {"ENGINE": "django.db.backends.sqlite3"}
        databases = {alias: {**engine, "NAME": str(tmp_path / f"{alias}.sqlite3")} for alias in ALIASES}
        check_suite(tmp_path, databases, ["test", "test in parallel", "pytest"])

    def test_on_a_file(self, tmp_path: Path) -> None:
        engine = {"ENGINE": "django.db.backends.sqlite3"}
        databases: dict[str, Any] = {alias: {**engine, "NAME": str(tmp_path / alias)} for alias in ALIASES}
        databases["default"]["TEST"] = {"NAME": str(tmp_path / "test.sqlite3")}
        check_suite(tmp_path, databases, ["test in parallel", "pytest"])


ROUTE = Route("replica-1", "replica", Post, "default")


class TestWhereReadsRun:
    @pytest.mark.django_db
    def test_in_a_test_case_on_the_primary_and_the_route_says_where_it_would_have_been(self) -> None:
        Post.objects.create(text="not committed")
        with captured_routes() as routes:
            found = Post.objects.all()
            assert [post.text for post in found] == ["not committed"]
        assert found.db == "default"
        assert [(route.alias in REPLICAS, route.reason) for route in routes] == [(True, "replica")]

    @pytest.mark.django_db(databases="__all__")
    def test_in_one_with_all_databases_too(self) -> None:
        Post.objects.create(text="not committed")
        assert Post.objects.get().text == "not committed"

    @pytest.mark.django_db
    def test_of_a_model_with_a_replica_manager_too(self) -> None:
        Shelf.objects.create(name="poems")
        assert Shelf.objects.get().name == "poems"

    @pytest.mark.django_db(transaction=True)
    def test_in_a_test_that_forbids_the_replicas_on_the_primary(self) -> None:
        assert {router.db_for_read(Post) for _ in range(4)} == {"default"}

    @pytest.mark.django_db(transaction=True)
    def test_in_its_threads_too(self) -> None:
        """Django forbids databases to other threads when they connect."""
        found: list[str | None] = []
        thread = threading.Thread(target=lambda: found.append(router.db_for_read(Post)))
        thread.start()
        thread.join()
        assert found == ["default"]

    @pytest.mark.django_db(transaction=True, databases="__all__")
    def test_in_one_that_commits_and_names_them_on_the_replicas(self) -> None:
        Post.objects.create(text="committed")
        found = Post.objects.all()
        assert [post.text for post in found] == ["committed"]
        assert found.db in REPLICAS

    @pytest.mark.django_db
    def test_a_database_that_is_no_mirror_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(connections["replica-1"].settings_dict["TEST"], "MIRROR", None)
        assert run_on(ROUTE, ROUTE.alias) == "replica-1"

    @pytest.mark.django_db
    def test_outside_of_tests_so_is_every_replica(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nobody has imported Django's test cases."""
        monkeypatch.setattr("multidb.mirrors.TESTCASES", "no module")
        assert run_on(ROUTE, ROUTE.alias) == "replica-1"

    @pytest.mark.django_db(transaction=True, databases="__all__")
    def test_one_that_cannot_be_reached_is_told_by_its_query(self, refuse: Any) -> None:
        refuse("replica-1")
        assert run_on(ROUTE, ROUTE.alias) == "replica-1"

    def test_where_no_test_may_use_databases_the_query_tells(self) -> None:
        assert get_replica() in REPLICAS
        with pytest.raises(RuntimeError, match="Database access not allowed"):
            Post.objects.count()


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_mirror_in_shared_memory_reads_what_its_primary_has_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of each ``TestCase`` with all databases, where Django looks for broken references in each."""
    replica = connections["replica-1"]
    replica.close()
    monkeypatch.setitem(replica.settings_dict, "NAME", "file:shared?mode=memory&cache=shared")
    replica.ensure_connection()
    assert replica.connection.execute("PRAGMA read_uncommitted").fetchone() == (1,)
    monkeypatch.undo()
    replica.close()
    replica.ensure_connection()
    heed_no_locks(replica)
    assert replica.connection.execute("PRAGMA read_uncommitted").fetchone() == (0,)
