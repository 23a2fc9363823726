"""Replicas that refuse, lag, hang up or hold back: who is asked, who is left alone, and what is said of it."""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections, router
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from multidb import ReplicaRouter, get_replica, health, log, positions
from multidb.positions import postgresql
from tests import urls
from tests.conftest import REPLICAS, Ahead, Replication, lines
from tests.models import Post

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.urls(__name__)]


runs: list[HttpRequest] = []


async def iterate(request: HttpRequest) -> JsonResponse:
    """Django asks the router on the event loop, and again in the thread that reads."""
    runs.append(request)
    return JsonResponse({"texts": [post.text async for post in Post.objects.aiterator()]})


urlpatterns = [*urls.urlpatterns, path("iterate", iterate)]


class TestRefusal:
    def test_a_replica_that_refuses_is_skipped_and_the_others_take_its_reads(
        self, refuse: Callable[[str], None], client: Client
    ) -> None:
        refuse("replica-1")
        answers = [client.get("/read").json() for _ in range(4)]
        assert {(each["alias"], each["reason"]) for each in answers} == {("replica-2", "replica")}

    @pytest.fixture
    def _refused(self, refuse: Callable[[str], None]) -> None:
        refuse("replica-1")

    @pytest.mark.usefixtures("_refused")
    async def test_it_is_skipped_where_the_first_question_comes_on_an_event_loop(
        self, async_client: AsyncClient
    ) -> None:
        """Nobody can ask it there: the thread that reads does, and no view has to be run once more."""
        runs.clear()
        for number in range(1, 5):
            assert (await async_client.get("/iterate")).json() == {"texts": []}
            assert len(runs) == number
            health.forget()

    def test_it_is_used_again_though_each_first_question_comes_on_an_event_loop(
        self,
        refuse: Callable[[str], None],
        replication: Replication,
        async_client: AsyncClient,
        monotonic: Ahead,
        sent: list[tuple[str, str]],
        tmp_path: Any,
    ) -> None:
        """Where nobody can ask it: that takes the turn from none who can."""

        async def iterate_four_times() -> None:
            for _ in range(4):
                await async_client.get("/iterate")

        refuse("replica-1")
        async_to_sync(iterate_four_times)()
        replication.connect("replica-1", str(tmp_path / "replica-1.sqlite3"))
        monotonic.now += 6.1
        async_to_sync(iterate_four_times)()
        assert sent == [("down", "replica-1"), ("up", "replica-1")]

    def test_outside_a_request_too(self, refuse: Callable[[str], None]) -> None:
        refuse("replica-2")
        assert {router.db_for_read(Post) for _ in range(4)} == {"replica-1"}
        assert {ReplicaRouter().db_for_read(Post) for _ in range(4)} == {"replica-1"}
        assert {get_replica() for _ in range(4)} == {"replica-1"}

    def test_9_where_none_is_up_reads_go_to_the_primary(self, refuse: Callable[[str], None], client: Client) -> None:
        for alias in REPLICAS:
            refuse(alias)
        answer = client.get("/read").json()
        assert (answer["alias"], answer["reason"]) == ("default", "no replica")
        assert get_replica() == "default"

    def test_it_is_left_alone_and_announced_once(
        self,
        refuse: Callable[[str], None],
        client: Client,
        monotonic: Ahead,
        sent: list[tuple[str, str]],
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        refuse("replica-1")
        tried: list[str] = []
        connect = health._connect
        monkeypatch.setattr(health, "_connect", lambda each: tried.append(each.alias) or connect(each))
        for _ in range(10):
            client.get("/read")
        assert tried.count("replica-1") == 1
        assert sent == [("down", "replica-1")]
        assert len([line for line in lines(caplog) if "replica-1" in line]) == 1
        monotonic.now += 6.1
        for _ in range(10):
            client.get("/read")
        assert tried.count("replica-1") == 2
        assert sent == [("down", "replica-1")]
        assert "unable to open database file" in lines(caplog)[0]

    def test_it_is_used_again_when_it_answers_again_and_that_is_announced_once(
        self,
        refuse: Callable[[str], None],
        replication: Replication,
        client: Client,
        monotonic: Ahead,
        sent: list[tuple[str, str]],
        caplog: pytest.LogCaptureFixture,
        tmp_path: Any,
    ) -> None:
        refuse("replica-1")
        client.get("/read")
        client.get("/read")
        replication.connect("replica-1", str(tmp_path / "replica-1.sqlite3"))
        assert {client.get("/read").json()["alias"] for _ in range(4)} == {"replica-2"}
        monotonic.now += 6.1
        assert {client.get("/read").json()["alias"] for _ in range(4)} == set(REPLICAS)
        assert sent == [("down", "replica-1"), ("up", "replica-1")]
        assert lines(caplog)[1:] == ["Replica replica-1 is used again."]

    def test_the_setting_says_for_how_long(
        self, refuse: Callable[[str], None], monotonic: Ahead, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.MULTIDB_RETRY_SECONDS = 100
        refuse("replica-1")
        assert not health.is_usable("replica-1")
        tried: list[Any] = []
        monkeypatch.setattr(health, "_connect", tried.append)
        monotonic.now += 79
        assert not health.is_usable("replica-1")
        assert tried == []
        monotonic.now += 42
        assert health.is_usable("replica-1")

    def test_an_impossible_setting_raises(self, settings: Any, replication: Replication) -> None:
        settings.MULTIDB_MAX_REPLICA_LAG = "far"
        with pytest.raises(ImproperlyConfigured, match="MULTIDB_MAX_REPLICA_LAG is 'far'"):
            get_replica()


@pytest.mark.django_db(databases=["default"])
@pytest.mark.parametrize("replica", REPLICAS)
def test_a_replica_that_a_test_forbids_counts_as_up_and_has_replayed_nothing(
    replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it may not be asked is told by whoever queries it, and not by the choice of a replica."""
    monkeypatch.setitem(positions.VENDORS, "SQLite", postgresql)
    with pytest.raises(AssertionError, match="not allowed in this test"):
        connections[replica].cursor()
    assert health.is_usable(replica)
    assert not health.has_replayed(replica, {"lsn": "0" * 16})


async def test_on_the_event_loop_nothing_is_asked(replication: Replication, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection of its own is open there."""
    for alias in ("default", *REPLICAS):
        monkeypatch.setattr(connections[alias], "connection", None)
    assert router.db_for_read(Post) in REPLICAS
    assert health.connects("default")


def test_without_poll_select_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, and where gevent has taken it away."""
    monkeypatch.delattr("select.poll")
    near, far = socket.socketpair()
    with closing(near):
        assert not health._has_spoken(near)
        far.close()
        assert health._has_spoken(near)


class Hung:
    """What a database wrapper shows of a connection to a server, the other end of which a test holds."""

    in_atomic_block = False
    alias = "replica-1"
    _thread_ident = threading.get_ident()

    def __init__(self, driver_connection: Any, usable: bool) -> None:
        self.connection: Any = driver_connection
        self.usable = usable
        self.pings = 0

    def is_usable(self) -> bool:
        self.pings += 1
        return self.usable

    def close(self) -> None:
        self.connection = None

    def ensure_connection(self) -> None:
        if self.connection is None:
            raise OperationalError("connection refused")


class TestHungUp:
    """A persistent connection whose server was restarted is found out before a query fails on it."""

    def test_a_connection_that_is_silent_costs_no_question(self) -> None:
        near, far = socket.socketpair()
        with closing(near), closing(far):
            connection = Hung(near, usable=False)
            health._connect(connection)
            assert connection.pings == 0

    def test_one_that_was_closed_by_the_server_is_opened_anew(self) -> None:
        near, far = socket.socketpair()
        far.close()
        with closing(near), pytest.raises(OperationalError, match="refused"):
            health._connect(Hung(near, usable=False))

    def test_one_on_which_the_server_has_said_something_else_is_kept(self) -> None:
        near, far = socket.socketpair()
        with closing(near), closing(far):
            far.send(b"a notice")
            connection = Hung(near, usable=True)
            health._connect(connection)
            assert connection.pings == 1
            assert connection.connection is near

    def test_one_that_the_driver_has_closed_is_opened_anew(self) -> None:
        def fileno() -> int:
            raise OperationalError("the connection is closed")

        with pytest.raises(OperationalError, match="refused"):
            health._connect(Hung(SimpleNamespace(fileno=fileno), usable=False))

    def test_one_that_is_closed_has_died_and_one_of_another_thread_is_left_to_that(self) -> None:
        assert health.has_died(Hung(None, usable=False), None)
        elsewhere = Hung(object(), usable=False)
        elsewhere._thread_ident = 0
        assert health.has_died(elsewhere, None)
        assert elsewhere.connection is not None

    def test_one_in_a_transaction_is_left_to_it(self) -> None:
        near, far = socket.socketpair()
        far.close()
        with closing(near):
            connection = Hung(near, usable=False)
            connection.in_atomic_block = True
            health._connect(connection)
            assert connection.connection is near


def test_what_is_said_once_is_said_again_after_a_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    log.say_once("x")
    log.say_once("x")
    assert lines(caplog) == ["x"]
    log.forget()
    log.say_once("x")
    assert lines(caplog) == ["x", "x"]
