"""Replicas that die, under a query or between two, and come back: no request that only reads fails."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import AsyncClient, Client

from multidb import signals
from tests.conftest import use_store
from tests.integration import views
from tests.integration.conftest import in_threads, replicas_of

pytestmark = pytest.mark.urls("tests.integration.views")


@pytest.fixture(autouse=True)
def _alive() -> Iterator[None]:
    views.deaths.clear()
    views.runs.clear()
    yield
    views.deaths.clear()


def killer(cluster: Any) -> Callable[[str], None]:
    """Kills the server behind an alias: SIGQUIT for PostgreSQL, SIGKILL for MariaDB."""
    return lambda alias: replicas_of(cluster)[int(alias[-1]) - 1].kill()


def hang_up(alias: str) -> None:
    """Ends all connections to the server behind an alias, as its restart does, but leaves it up."""
    connection = connections[alias].copy()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        else:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE command = 'Sleep' AND db IS NOT NULL")
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {number}")
    connection.close()


URLS = ["/die", "/adie", "/die-while-rendering", "/die-in-api"]


@pytest.mark.parametrize("url", URLS)
def test_the_view_is_run_once_more_when_its_replica_is_killed(cluster: Any, url: str) -> None:
    views.deaths.append(killer(cluster))
    response = Client().get(url)
    answers = json.loads(response.content)["answers"]
    assert len(views.runs) == 2
    assert {each["alias"] for each in answers} == {views.runs[1]}
    assert views.runs[0] != views.runs[1]


@pytest.mark.parametrize("url", URLS)
async def test_under_asgi_too(request: pytest.FixtureRequest, cluster: Any, url: str) -> None:
    views.deaths.append(killer(cluster))
    response = await AsyncClient().get(url)
    assert len(json.loads(response.content)["answers"]) == 2
    assert len(views.runs) == 2


@pytest.mark.parametrize("alias", ["default", "replica-1"])
@pytest.mark.parametrize("kills", [True, False], ids=["killed", "cut"])
def test_with_atomic_requests(cluster: Any, alias: str, kills: bool) -> None:
    """Also on the replica itself, where Django cannot roll back, and opens a new connection if it can."""
    connections.settings[alias]["ATOMIC_REQUESTS"] = True
    views.deaths.append(killer(cluster) if kills else hang_up)
    answers = Client().get("/die").json()["answers"]
    assert {each["alias"] for each in answers} == {views.runs[1]}
    assert len(views.runs) == 2


@pytest.mark.parametrize("url", URLS)
def test_a_connection_that_is_cut_under_the_view(cluster: Any, url: str) -> None:
    """The server is up: the request goes on elsewhere, and the next ones use it again."""
    views.deaths.append(hang_up)
    response = Client().get(url)
    assert len(json.loads(response.content)["answers"]) == 2
    assert views.runs[0] != views.runs[1]
    replicas = {f"replica-{number}" for number, _ in enumerate(replicas_of(cluster), 1)}
    assert {Client().get("/read").json()["alias"] for _ in range(4)} == replicas


def test_never_after_a_write(cluster: Any) -> None:
    views.deaths.append(killer(cluster))
    with pytest.raises(OperationalError):
        Client().get("/die-after-a-write")
    assert len(views.runs) == 1


def test_a_persistent_connection_that_was_cut_between_two_requests(cluster: Any) -> None:
    """No query fails on it: nothing has to be run again."""
    for _ in range(4):
        Client().get("/read")
    for number, _ in enumerate(replicas_of(cluster), 1):
        hang_up(f"replica-{number}")
    assert {Client().get("/die").json()["answers"][1]["reason"] for _ in range(4)} == {"replica"}
    assert len(views.runs) == 4


def test_a_query_that_is_cancelled_is_no_death(postgres: Any) -> None:
    """The connection lives, and the same would happen again."""

    def cancel(alias: str) -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute("SET statement_timeout = 1")
            cursor.execute("SELECT pg_sleep(10)")

    views.deaths.append(cancel)
    with pytest.raises(OperationalError, match="statement timeout"):
        Client().get("/die")
    assert len(views.runs) == 1


def test_all_replicas_are_killed(cluster: Any) -> None:
    for replica in replicas_of(cluster):
        replica.kill()
    answer = Client().get("/read").json()
    assert (answer["alias"], answer["reason"]) == ("default", "no replica")


class Load:
    """Visitors in threads, each of whom writes and reads, until the one thread that breaks things has ended."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.read_from: list[str] = []
        self._ended = threading.Event()

    def note_down(self, alias: str, **kwargs: Any) -> None:
        self.changes.append(("down", alias))

    def note_up(self, alias: str, **kwargs: Any) -> None:
        self.changes.append(("up", alias))

    def run(self, visitors: int, breaking: Callable[[], None]) -> int:
        """How many reads ``visitors`` made meanwhile. Raises what a request raised, or ``breaking``."""
        signals.replica_down.connect(self.note_down)
        signals.replica_up.connect(self.note_up)
        works = [lambda: self._break(breaking), *[lambda name=name: self._visit(name) for name in range(visitors)]]
        return sum(in_threads(lambda number: works[number](), len(works)))

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def until_read_from(self, alias: str) -> None:
        before = len(self.read_from)
        self.until(lambda: alias in self.read_from[before:])

    def _visit(self, name: int) -> int:
        client = Client()
        client.get("/remember")
        written: set[str] = set()
        for count in itertools.count():
            if count % 10 == 0:
                client.post("/post", {"text": f"{name}-{count}"})
                written.add(f"{name}-{count}")
            answer = client.get("/read").json()
            assert written <= set(answer["texts"])
            self.read_from.append(answer["alias"])
            if self._ended.is_set():
                return count
        raise AssertionError

    def _break(self, breaking: Callable[[], None]) -> int:
        try:
            breaking()
        finally:
            self._ended.set()
        return 0


@pytest.mark.parametrize("store", ["cookie", "session", "redis", "file cache"])
def test_a_standby_is_killed_under_load_and_comes_back(
    request: pytest.FixtureRequest, postgres: Any, settings: Any, store: str
) -> None:
    """No request fails, nobody reads less than they wrote, and each change is told once."""
    use_store(request, store)
    settings.MULTIDB_RETRY_SECONDS = 0.3
    settings.MULTIDB_PINNING_TRIGGER = "write"
    for standby in postgres.standbys:
        standby.set_lag(0.05)
    load = Load()

    def kill_and_start() -> None:
        load.until_read_from("replica-1")
        postgres.standbys[0].kill()
        load.until(lambda: ("down", "replica-1") in load.changes)
        load.until_read_from("replica-2")
        postgres.standbys[0].start()
        load.until_read_from("replica-1")

    assert load.run(5, kill_and_start) > 50
    assert load.changes == [("down", "replica-1"), ("up", "replica-1")]
