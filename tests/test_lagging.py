"""Replicas that lag on purpose, on SQLite: what they have, who is sent there, and where they cannot lag."""

import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import AsyncClient, Client
from django.test.utils import _TestState

from multidb import get_replica, positions
from multidb.pinning import use_replica
from multidb.test import lagging
from multidb.test.copies import VENDORS
from tests.conftest import REPLICAS
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def _one_post() -> None:
    Post.objects.create(text="old")


def texts(alias: str = "replica-1") -> list[str]:
    return sorted(Post.objects.using(alias).values_list("text", flat=True))


class TestWhatTheyHave:
    def test_what_was_committed_when_the_block_began(self) -> None:
        with lagging():
            Post.objects.create(text="new")
            assert [texts(alias) for alias in ("default", *REPLICAS)] == [["new", "old"], ["old"], ["old"]]
        assert [texts(alias) for alias in REPLICAS] == [["new", "old"]] * 2

    def test_only_those_that_are_named_lag(self) -> None:
        with lagging("replica-2"):
            Post.objects.create(text="new")
            assert [texts(alias) for alias in REPLICAS] == [["new", "old"], ["old"]]

    def test_until_they_catch_up_each_or_all(self) -> None:
        with lagging() as lag:
            Post.objects.create(text="new")
            lag.catch_up("replica-2")
            assert [texts(alias) for alias in REPLICAS] == [["old"], ["new", "old"]]
            Post.objects.create(text="newest")
            assert [texts(alias) for alias in REPLICAS] == [["old"], ["new", "old"]]
            lag.catch_up()
            assert [texts(alias) for alias in REPLICAS] == [["new", "newest", "old"]] * 2

    def test_in_every_thread_whatever_connections_it_had(self) -> None:
        begun, ended = threading.Event(), threading.Event()
        seen: list[list[str]] = []

        def read() -> None:
            for event in (None, begun, ended):
                if event is not None:
                    event.wait()
                seen.append(texts())
                reached.release()
            connections.close_all()

        reached = threading.Semaphore(0)
        thread = threading.Thread(target=read)
        thread.start()
        reached.acquire()
        with lagging():
            Post.objects.create(text="new")
            begun.set()
            reached.acquire()
        ended.set()
        thread.join()
        assert seen == [["old"], ["old"], ["new", "old"]]

    def test_in_memory_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in the tests of a project that startproject has made: connections to such a database do not close."""
        keep = [connections[alias] for alias in ("default", "replica-1")]
        for connection in keep:
            connection.close()
            monkeypatch.setitem(connection.settings_dict, "NAME", "file:lagging?mode=memory&cache=shared")
        with connections["default"].cursor() as cursor:
            cursor.execute("CREATE TABLE tests_post (id integer PRIMARY KEY AUTOINCREMENT, text text)")
        Post.objects.create(text="old")
        assert texts() == ["old"]
        with lagging("replica-1"):
            Post.objects.create(text="new")
            assert texts() == ["old"]
        assert texts() == ["new", "old"]
        monkeypatch.undo()
        for connection in keep:
            connection.close()

    def test_nothing_is_left_behind_even_by_a_block_that_fails(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        name, vendors = connections["replica-1"].settings_dict["NAME"], dict(positions.VENDORS)
        with pytest.raises(KeyError), lagging() as lag:  # noqa: PT012  # it is left by the error
            lag.catch_up()
            texts()
            assert len(list(tmp_path.iterdir())) == 2
            raise KeyError
        assert list(tmp_path.iterdir()) == []
        assert connections["replica-1"].settings_dict["NAME"] == name
        assert vendors == positions.VENDORS

    def test_blocks_nest(self) -> None:
        with lagging("replica-1"):
            Post.objects.create(text="new")
            with lagging("replica-2"):
                Post.objects.create(text="newest")
                assert [texts(alias) for alias in REPLICAS] == [["old"], ["new", "old"]]
            assert [texts(alias) for alias in REPLICAS] == [["old"], ["new", "newest", "old"]]


class TestWhoIsSentThere:
    def test_who_has_not_written_and_who_has_until_its_seconds_are_over(self, client: Client, clock: Any) -> None:
        with lagging():
            client.post("/post", {"text": "new"})
            assert client.get("/read").json() == {"texts": ["new", "old"], "alias": "default", "reason": "pinned"}
            assert Client().get("/read").json()["texts"] == ["old"]
            clock.advance(16)
            assert client.get("/read").json()["texts"] == ["old"]

    def test_by_position_who_has_written_until_it_is_replayed(self, client: Client, settings: Any) -> None:
        settings.MULTIDB_PINNING_UNTIL = "replayed"
        with lagging() as lag:
            client.post("/post", {"text": "new"})
            assert client.get("/read").json()["reason"] == "pinned"
            lag.catch_up()
            answer = client.get("/read").json()
            assert (answer["texts"], answer["reason"]) == (["new", "old"], "replica")
            client.post("/post", {"text": "newest"})
            assert client.get("/read").json()["reason"] == "pinned"

    def test_by_position_another_replica_that_does_not_lag(self, client: Client, settings: Any) -> None:
        settings.MULTIDB_PINNING_UNTIL = "replayed"
        with lagging("replica-1"):
            client.post("/post", {"text": "new"})
            answers = [client.get("/read").json() for _ in range(4)]
        assert {(each["alias"], each["reason"]) for each in answers} == {("replica-2", "replica")}

    def test_a_replica_that_is_too_late_is_left_alone(self, settings: Any) -> None:
        settings.MULTIDB_MAX_REPLICA_LAG = 10
        with lagging("replica-1", seconds=9):
            assert {get_replica() for _ in range(4)} == set(REPLICAS)
        with lagging("replica-1", seconds=11):
            assert {get_replica() for _ in range(4)} == {"replica-2"}
        assert {get_replica() for _ in range(4)} == set(REPLICAS)

    def test_a_report_that_may_be_late(self) -> None:
        with lagging(), use_replica:
            Post.objects.create(text="new")
            assert Post.objects.count() == 1

    def test_a_live_server(self, request: pytest.FixtureRequest, settings: Any) -> None:
        settings.STATIC_URL = "/static/"
        live_server = request.getfixturevalue("live_server")
        with lagging():
            Post.objects.create(text="new")
            with urllib.request.urlopen(f"{live_server.url}/read") as response:
                assert b'["old"]' in response.read()
        with urllib.request.urlopen(f"{live_server.url}/read") as response:
            assert b'["new", "old"]' in response.read()

    async def test_an_async_test(self, async_client: AsyncClient) -> None:
        async with lagging() as lag:
            await async_client.post("/apost", {"text": "new"})
            assert (await AsyncClient().get("/aread")).json()["texts"] == ["old"]
            await lag.acatch_up()
            assert (await AsyncClient().get("/aread")).json()["texts"] == ["new", "old"]


class TestWhereTheyCannotLag:
    @pytest.mark.parametrize("aliases", [("replica-9",), ("default",)])
    def test_what_is_no_replica(self, aliases: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="no replica in REPLICA_DATABASES: 'replica-1', 'replica-2'"):
            lagging(*aliases).__enter__()

    def test_a_project_without_replicas(self, settings: Any) -> None:
        settings.REPLICA_DATABASES = []
        with pytest.raises(ValueError, match="REPLICA_DATABASES names none"):
            lagging().__enter__()
        with pytest.raises(ValueError, match="no replica in REPLICA_DATABASES: none"):
            lagging("replica-1").__enter__()

    @pytest.mark.django_db(databases="__all__")
    def test_a_test_case(self) -> None:
        with pytest.raises(RuntimeError, match=r"'default', where a transaction is open\. Use a TransactionTestCase"):
            lagging().__enter__()

    @pytest.mark.django_db(transaction=True, databases=["default"])
    def test_a_test_that_forbids_the_replica(self) -> None:
        with pytest.raises(RuntimeError, match="needs a connection to 'replica-1', which this test forbids"):
            lagging("replica-1").__enter__()

    def test_a_transaction_on_the_replica(self) -> None:
        with (
            pytest.raises(RuntimeError, match="in a transaction on the replica 'replica-1'"),
            transaction.atomic("replica-1"),
        ):
            lagging("replica-1").__enter__()

    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            (lambda patch: patch.delattr(_TestState, "saved_data"), "is for tests, and none is running"),
            (lambda patch: patch.delitem(VENDORS, "sqlite"), "how to copy SQLite: it knows postgresql, mysql"),
            (
                lambda patch: patch.setitem(connections["replica-1"].settings_dict, "NAME", "other"),
                "'replica-1' to be a mirror of 'default' in tests, and it is another database",
            ),
        ],
        ids=["outside of tests", "another vendor", "no mirror"],
    )
    def test_where_there_is_no_copy_to_be_had(
        self, break_it: Callable[[pytest.MonkeyPatch], None], message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            break_it(patch)
            with pytest.raises(RuntimeError, match=message):
                lagging("replica-1").__enter__()

    def test_one_that_does_not_lag_cannot_catch_up(self) -> None:
        with (
            lagging("replica-1") as lag,
            pytest.raises(ValueError, match=r"'replica-2' does not lag\. .* do: 'replica-1'"),
        ):
            lag.catch_up("replica-2")
