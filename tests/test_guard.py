"""At each connection that is opened: replicas refuse writes, others are observed, and positions are asked for."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path

from multidb import routing, writes
from multidb.backends import get_pin_store
from multidb.request_routing import RequestRouting
from multidb.routing import Scope
from multidb.writes import positions_after
from tests import vendor
from tests.conftest import REPLICAS, Replication
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

INSERT = "INSERT INTO tests_post (text) VALUES ('new')"


def execute(connection: Any, sql: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def forbid(*query: Any) -> Any:
    """Put around the queries of a connection, it lets none through."""
    pytest.fail(f"a query: {query}")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the library has logged as a warning."""
    return [
        record.message for record in caplog.records if (record.name, record.levelno) == ("multidb", logging.WARNING)
    ]


@pytest.mark.usefixtures("replication")
class TestGuard:
    @pytest.mark.parametrize("alias", REPLICAS)
    @pytest.mark.parametrize(
        "write",
        [
            lambda alias: Post.objects.using(alias).create(text="new"),
            lambda alias: Post(text="new").save(using=alias),
            lambda alias: Post.objects.using(alias).bulk_create([Post(text="new")]),
            lambda alias: Post.objects.using(alias).update(text="new"),
            lambda alias: Post.objects.using(alias).all().delete(),
            lambda alias: execute(connections[alias], INSERT),
            lambda alias: execute(connections[alias], "DROP TABLE tests_post"),
        ],
        ids=["create", "save", "bulk_create", "update", "delete", "raw", "drop"],
    )
    def test_a_write_to_a_replica_fails_before_it_can_differ(
        self, replication: Replication, alias: str, write: Callable[[str], object]
    ) -> None:
        Post.objects.create(text="old")
        replication.catch_up()
        file = Path(connections[alias].settings_dict["NAME"])
        before = file.read_bytes()
        with pytest.raises(OperationalError, match="readonly"):
            write(alias)
        assert issubclass(OperationalError, DatabaseError)
        assert file.read_bytes() == before

    def test_in_a_transaction_of_the_replica_too(self) -> None:
        with pytest.raises(OperationalError, match="readonly"), transaction.atomic(using="replica-1"):
            Post.objects.using("replica-1").create(text="new")
        assert not Post.objects.using("replica-1").exists()

    def test_a_connection_that_is_opened_again_refuses_again(self) -> None:
        connections["replica-1"].close()
        with pytest.raises(OperationalError, match="readonly"):
            execute(connections["replica-1"], INSERT)

    def test_a_replica_goes_on_to_be_read_and_the_primary_to_be_written(self) -> None:
        with pytest.raises(OperationalError):
            Post.objects.using("replica-1").create(text="new")
        assert not Post.objects.using("replica-1").exists()
        Post.objects.create(text="new")
        assert Post.objects.using("default").get().text == "new"

    @pytest.fixture
    def without_autocommit(self, monkeypatch) -> Any:
        """A replica, not connected yet, on which nothing is committed that is not told to be."""
        connection = connections["replica-1"]
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
        yield connection
        connection.close()

    def test_a_connection_without_autocommit_refuses_too(self, without_autocommit: Any) -> None:
        with pytest.raises(OperationalError, match="readonly"):
            execute(without_autocommit, INSERT)

    def test_a_transaction_that_the_guard_has_begun_is_not_left_open(self, monkeypatch, without_autocommit) -> None:
        """As that of PostgreSQL does where there is no autocommit."""
        monkeypatch.setitem(writes.GUARDS, "sqlite", "BEGIN")
        without_autocommit.ensure_connection()
        assert not without_autocommit.connection.in_transaction

    def test_the_guard_is_no_query_of_the_project_s(self, django_assert_num_queries) -> None:
        """What counts, logs or forbids queries does not see it."""
        connection = connections["replica-1"]
        connection.close()
        with django_assert_num_queries(0, connection=connection), connection.execute_wrapper(forbid):
            connection.ensure_connection()
        with pytest.raises(OperationalError, match="readonly"):
            execute(connection, INSERT)

    def test_a_replica_is_read_in_a_transaction_although_the_project_has_it_lock_for_writing(self, monkeypatch) -> None:
        connection = connections["replica-1"]
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"transaction_mode": "IMMEDIATE"})
        with transaction.atomic(using="replica-1"):
            assert not Post.objects.using("replica-1").exists()
        connection.close()

    def test_each_vendor_is_guarded_in_its_own_words(self, monkeypatch) -> None:
        connection = connections["replica-1"]
        connection.close()
        monkeypatch.setattr(connection, "vendor", "mysql")
        monkeypatch.setattr(writes, "GUARDS", {"mysql": writes.GUARDS["sqlite"], "sqlite": "SELECT 1"})
        with pytest.raises(OperationalError, match="readonly"):
            execute(connection, INSERT)

    def test_without_the_setting_the_write_is_let_through(self, settings) -> None:
        settings.MULTIDB_GUARD_REPLICAS = False
        connections["replica-1"].close()
        Post.objects.using("replica-1").create(text="astray")
        assert Post.objects.using("replica-1").get().text == "astray"

    def test_a_database_that_is_no_replica_is_not_guarded(self, settings) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        connections["replica-2"].close()
        Post.objects.using("replica-2").create(text="its own")
        assert Post.objects.using("replica-2").get().text == "its own"

    def test_a_vendor_without_such_a_mode_is_said_once_and_nothing_fails(self, monkeypatch, caplog) -> None:
        connection = connections["replica-1"]
        monkeypatch.setattr(connection, "vendor", "oracle")
        monkeypatch.setattr(connection, "display_name", "Oracle")
        for _ in range(2):
            connection.close()
            execute(connection, INSERT)
        [line] = lines(caplog)
        assert "replica-1 is not guarded" in line
        assert "Oracle" in line

    def test_a_guard_that_fails_is_said_once_and_does_not_fail_the_connection(self, monkeypatch, caplog) -> None:
        monkeypatch.setitem(writes.GUARDS, "sqlite", "SET nonsense")
        for _ in range(2):
            connections["replica-1"].close()
            execute(connections["replica-1"], "SELECT 1")
        [line] = lines(caplog)
        assert "replica-1 is not guarded" in line
        assert "syntax error" in line

    def test_a_replica_that_dies_while_it_is_guarded_takes_no_connection(self, monkeypatch, caplog) -> None:
        monkeypatch.setitem(writes.GUARDS, "sqlite", "no such statement")
        monkeypatch.setattr("django.db.backends.sqlite3.base.DatabaseWrapper.is_usable", lambda connection: False)
        connections["replica-1"].close()
        with pytest.raises(OperationalError):
            connections["replica-1"].connect()
        assert "not guarded" not in caplog.text
        connections["replica-1"].close()

    def test_nothing_is_logged_where_all_is_guarded(self, caplog) -> None:
        for alias in REPLICAS:
            connections[alias].close()
            connections[alias].ensure_connection()
        assert lines(caplog) == []


class TestObserver:
    """What is put around the queries of every other connection."""

    @pytest.fixture
    def state(self, rf: RequestFactory) -> RequestRouting:
        state = RequestRouting(rf.get("/"), get_pin_store(), False)
        routing.resume(Scope(state))
        return state

    @pytest.fixture
    def connection(self) -> Any:
        """A new connection to the primary, not opened yet."""
        connection = connections["default"].copy()
        yield connection
        connection.close()

    def test_a_wrapper_from_before_the_connection_opened_is_taken_away_and_ours_stays(
        self, state: RequestRouting, connection: Any
    ) -> None:
        seen = []

        def note(execute: Callable[..., Any], sql: str, *query: Any) -> Any:
            seen.append(sql)
            return execute(sql, *query)

        with connection.execute_wrapper(note):
            execute(connection, "SELECT 1")
        assert (seen, state.written) == (["SELECT 1"], set())
        execute(connection, INSERT)
        assert (seen, state.written) == (["SELECT 1"], {"default"})

    def test_a_connection_that_is_opened_again_is_observed_once(self, connection: Any) -> None:
        for _ in range(2):
            connection.connect()
            connection.close()
        assert len(connection.execute_wrappers) == 1

    def test_a_connection_opens_although_the_settings_are_impossible(self, connection: Any, settings) -> None:
        settings.REPLICA_DATABASES = ["replica-3"]
        execute(connection, "SELECT 1")
        assert connection.execute_wrappers == []

    @pytest.mark.parametrize("is_composed", [True, False])
    @pytest.mark.parametrize(("sql", "written"), [(INSERT, {"default"}), ("SELECT 1", set())])
    def test_sql_may_be_bytes_or_composed_where_the_driver_takes_it(
        self, state: RequestRouting, connection: Any, sql: str, written: set[str], is_composed: bool
    ) -> None:
        """SQLite's does not: a wrapper of the project stands for a driver that does."""

        def drive(execute: Callable[..., Any], _: Any, *query: Any) -> Any:
            return execute(sql, *query)

        with connection.execute_wrapper(drive):
            execute(connection, Composed(connection, sql) if is_composed else sql.encode())
        assert state.written == written

    def test_what_cannot_be_told_counts_as_a_write(self, state: RequestRouting, connection: Any) -> None:
        """psycopg needs a connection that lives to compose a statement."""
        composed = Composed(connection, "SELECT 1")

        def drive(execute: Callable[..., Any], _: Any, *query: Any) -> Any:
            composed.as_string = None
            return execute("SELECT 1", *query)

        with connection.execute_wrapper(drive):
            execute(connection, composed)
        assert state.written == {"default"}


class Composed:
    """What psycopg's ``sql`` module makes: it needs the driver's connection to say how it reads."""

    def __init__(self, connection: Any, sql: str) -> None:
        self._connection = connection
        self._sql = sql

    def as_string(self, driver_connection: Any) -> str:
        assert driver_connection is self._connection.connection
        return self._sql


def write(request: HttpRequest) -> HttpResponse:
    Post.objects.create(text="new")
    return HttpResponse()


async def awrite(request: HttpRequest) -> HttpResponse:
    await Post.objects.acreate(text="new")
    return HttpResponse()


urlpatterns = [path("write", write), path("awrite", awrite)]


def position(response: HttpResponseBase) -> Mapping[str, str] | None:
    """Up to where ``response`` pins its client to the primary."""
    request = RequestFactory().get("/")
    request.COOKIES = {name: morsel.value for name, morsel in response.cookies.items()}
    return get_pin_store().load(request).holds["default"].position


@pytest.mark.urls(__name__)
class TestPositionsAfter:
    @pytest.fixture(autouse=True)
    def _until_replayed(self, settings) -> None:
        settings.MULTIDB_PINNING_UNTIL = "replayed"
        settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}

    def test_each_primary_is_asked_for_its_own(self, monkeypatch) -> None:
        vendor.use(monkeypatch)
        Post.objects.using("users").create(text="new")
        assert positions_after(["default", "users"]) == {
            "default": {"posts": "0000000000000000"},
            "users": {"posts": "0000000000000001"},
        }
        assert vendor.asked == [("default", "primary_position"), ("users", "primary_position")]

    def test_none_is_asked_where_nothing_was_written(self, monkeypatch) -> None:
        vendor.use(monkeypatch)
        assert positions_after([]) == {}
        assert vendor.asked == []

    def test_until_the_seconds_have_elapsed_none_is_asked(self, monkeypatch, settings) -> None:
        vendor.use(monkeypatch)
        settings.MULTIDB_PINNING_UNTIL = "elapsed"
        assert positions_after(["default", "users"]) == {"default": None, "users": None}
        assert vendor.asked == []

    @pytest.mark.django_db(databases="__all__")
    def test_in_the_transaction_of_a_test_case_there_is_none(self, monkeypatch) -> None:
        vendor.use(monkeypatch)
        assert connections["default"].in_atomic_block
        assert positions_after(["default"]) == {"default": None}
        assert vendor.asked == []

    def test_while_a_transaction_is_open_on_a_primary_it_has_none(self, monkeypatch, caplog) -> None:
        vendor.use(monkeypatch)
        with transaction.atomic():
            assert positions_after(["default", "users"]) == {"default": None, "users": {"posts": "0000000000000000"}}
        transaction.set_autocommit(False)
        try:
            assert positions_after(["default"]) == {"default": None}
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert lines(caplog) == []

    @pytest.mark.usefixtures("replication")
    def test_that_of_a_request_holds_what_the_transaction_of_its_view_has_written(
        self, monkeypatch, client: Client
    ) -> None:
        vendor.use(monkeypatch)
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        assert position(client.post("/write")) == {"posts": "0000000000000001"}

    @pytest.mark.usefixtures("replication")
    async def test_that_of_a_request_holds_what_its_async_view_has_written(
        self, monkeypatch, async_client: AsyncClient
    ) -> None:
        vendor.use(monkeypatch)
        assert position(await async_client.post("/awrite")) == {"posts": "0000000000000001"}

    def test_a_primary_that_is_down_has_none_and_is_said_once(self, monkeypatch, caplog, tmp_path: Path) -> None:
        vendor.use(monkeypatch)
        connection = connections["default"]
        monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "no such directory" / "file"))
        connection.close()
        assert [positions_after(["default"]) for _ in range(3)] == [{"default": None}] * 3
        [line] = lines(caplog)
        assert "it does not answer" in line

    def test_a_primary_without_replicas_is_not_asked(self, monkeypatch, settings) -> None:
        settings.REPLICA_DATABASES = []
        vendor.use(monkeypatch)
        assert positions_after(["default"]) == {"default": None}
        assert vendor.asked == []

    def test_a_primary_without_a_name_is_an_error_of_the_project(self, monkeypatch) -> None:
        vendor.use(monkeypatch)
        connection = connections["default"]
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "NAME", "")
        with pytest.raises(ImproperlyConfigured, match="NAME"):
            positions_after(["default"])

    @pytest.mark.django_db(databases=["default"])
    def test_a_primary_that_a_test_forbids_has_none(self, monkeypatch) -> None:
        vendor.use(monkeypatch)
        connections["users"].close()
        assert positions_after(["users"]) == {"users": None}

    @pytest.mark.usefixtures("replication")
    def test_a_vendor_without_positions_is_said_once_whatever_the_number_of_requests(
        self, settings, caplog, client: Client
    ) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        for _ in range(3):
            assert client.post("/write").cookies
        [line] = lines(caplog)
        assert "default" in line
        assert "SQLite" in line
        assert "seconds" in line
