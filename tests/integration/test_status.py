"""A snapshot of real PostgreSQL, MariaDB and Redis: behind, paused, promoted, down, frozen."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.postgresql import PostgresCluster
from servers.redis import RedisServer

from multidb.pinning import use_primary_db
from multidb.status import Status, snapshot
from multidb.status_databases import DatabaseStatus
from tests.conftest import REDIS
from tests.integration.conftest import catch_up, connected_to, databases_of, replicas_of
from tests.models import Post
from tests.servers import started

REPLICA = "replica-1"


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not taken for a database that hangs."""
    monkeypatch.setattr("multidb.status_asking.DEADLINE_SECONDS", 30)


def write(rows: int = 1) -> None:
    with use_primary_db:
        for _ in range(rows):
            Post.objects.create(text="mine")


def status_of(alias: str) -> DatabaseStatus:
    return next(each for each in snapshot().databases if each.alias == alias)


def seen(is_so: Callable[[DatabaseStatus], bool], seconds: float = 10) -> DatabaseStatus:
    """The first status of the replica of which that is so."""
    deadline = time.monotonic() + seconds
    while not is_so(found := status_of(REPLICA)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.mark.usefixtures("_patient")
class TestReplicas:
    def test_one_that_has_caught_up_lacks_nothing(self, cluster: Any) -> None:
        write()
        catch_up(cluster)
        found = seen(lambda replica: 0 in (replica.lag_bytes, replica.lag_transactions))
        assert (found.state, found.replication, found.notes) == ("up", "running", [])
        assert found.lag_seconds == 0
        assert found.position == status_of("default").position

    def test_one_that_is_behind_says_by_how_much(self, cluster: Any) -> None:
        replicas_of(cluster)[0].set_lag(5)
        write(3)
        # MariaDB takes a lag by a new start of its replication: until it receives again, its lag has no end.
        found = seen(lambda replica: replica.lag_seconds not in (0, None, math.inf))
        assert found.replication == "running"
        assert found.lag_bytes is None or found.lag_bytes > 100
        assert found.lag_transactions in (None, 3)

    def test_one_that_is_paused_says_so(self, postgres: Any) -> None:
        postgres.standbys[0].pause()
        write()
        found = seen(lambda replica: bool(replica.lag_bytes))
        assert (found.state, found.replication) == ("up", "paused")
        assert found.notes == ["its replay is paused: SELECT pg_wal_replay_resume() goes on"]

    def test_one_whose_replication_has_stopped_says_so(self, mariadb: Any) -> None:
        mariadb.replica.pause()
        write(2)
        found = status_of(REPLICA)
        assert (found.state, found.replication, found.lag_seconds) == ("up", "stopped", math.inf)
        assert (found.lag_transactions, found.notes) == (2, ["it replays nothing"])

    def test_one_that_has_lost_its_primary_says_so(self, cluster: Any) -> None:
        cluster.primary.stop()
        found = seen(lambda replica: replica.replication == "stopped")
        assert found.notes[0].startswith("it receives nothing from its primary")
        assert (found.lag_bytes, found.lag_transactions) == (None, None)
        assert status_of("default").state == "down"

    def test_one_that_is_a_primary_is_none(self, cluster: Any) -> None:
        with connected_to({REPLICA: databases_of(cluster)["default"]}):
            found = status_of(REPLICA)
        assert (found.state, found.replication, found.lag_seconds) == ("up", "none", None)
        assert "so it is no" in found.notes[0]

    def test_a_primary_that_is_a_standby_says_why_it_has_no_position(self, postgres: Any) -> None:
        with connected_to({"default": databases_of(postgres)[REPLICA]}):
            found = status_of("default")
        assert (found.state, found.position) == ("up", None)
        assert "recovery is in progress" in found.notes[0]

    def test_one_whose_user_has_no_rights_is_up_and_unknown(self, mariadb: Any) -> None:
        mariadb.primary.execute("CREATE OR REPLACE USER reader@'%'")
        mariadb.primary.execute("GRANT SELECT ON multidb.* TO reader@'%'")
        catch_up(mariadb)
        with connected_to({REPLICA: {**databases_of(mariadb)[REPLICA], "USER": "reader"}}):
            found = status_of(REPLICA)
        assert (found.state, found.replication, found.lag_seconds) == ("up", "unknown", None)
        assert found.notes[0].startswith("its replication cannot be had (")

    def test_one_that_is_down_says_why_and_comes_back(self, cluster: Any) -> None:
        replicas_of(cluster)[0].stop()
        found = status_of(REPLICA)
        assert found.state == "down"
        assert "OperationalError" in found.why
        replicas_of(cluster)[0].start()
        assert status_of(REPLICA).state == "up"


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_one_that_is_frozen_hangs_and_the_others_answer(request: pytest.FixtureRequest, kind: str) -> None:
    cluster = request.getfixturevalue(kind)
    frozen = replicas_of(cluster)[0]._process
    frozen.pause()
    try:
        found = snapshot()
    finally:
        frozen.resume()
    states = {each.alias: each.state for each in found.databases}
    assert states.pop(REPLICA) == "hangs"
    assert set(states.values()) == {"up"}
    assert not found.ok


@pytest.fixture
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started(request, RedisServer)


@pytest.mark.usefixtures("_patient")
@pytest.mark.django_db(transaction=True)
def test_a_store_is_down_then_empty_then_frozen(redis_server: RedisServer, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_server.url}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS}
    redis_server.execute("SET", "multidb:user:1", "{}")
    assert store_of(snapshot()) == ("up", 1)
    redis_server.kill()
    assert store_of(snapshot()) == ("down", None)
    redis_server.start()
    assert store_of(snapshot()) == ("up", 0)
    redis_server.pause()
    found = snapshot()
    redis_server.resume()
    assert store_of(found) == ("hangs", None)
    assert found.pin_store.why == "TimeoutError: Timeout reading from socket"


def store_of(status: Status) -> tuple[str, int | None]:
    return status.pin_store.state, status.pin_store.pins


SETTINGS = """
INSTALLED_APPS += ["multidb"]
REPLICA_DATABASES = ["replica-1", "replica-2"]
DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]
MULTIDB_PIN_STORE = {{"BACKEND": "multidb.backends.redis.RedisPinStore"}}
DATABASES = {databases!r}
CACHES = {{"default": {{"BACKEND": "django_redis.cache.RedisCache", "LOCATION": {url!r}}}}}
"""


def test_a_new_project_is_told_of_a_frozen_standby_and_store_and_the_command_ends(
    postgres: PostgresCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Neither has a timeout in the project, and the process does not wait for what still asks at its end."""
    databases = {alias: {**entry, "OPTIONS": {}} for alias, entry in databases_of(postgres).items()}
    run(tmp_path, "-m", "django", "startproject", "site_project", ".")
    with (tmp_path / "site_project" / "settings.py").open("a") as file:
        file.write(SETTINGS.format(databases=databases, url=redis_server.url))
    command = ["manage.py", "multidb_status", "--format", "json"]
    up = run(tmp_path, *command)
    assert (up.returncode, json.loads(up.stdout)["ok"]) == (0, True)
    postgres.standbys[0]._process.pause()
    redis_server.pause()
    try:
        frozen = run(tmp_path, *command)
    finally:
        postgres.standbys[0]._process.resume()
        redis_server.resume()
    found = json.loads(frozen.stdout)
    assert (frozen.returncode, frozen.stderr) == (1, "")
    assert [each["state"] for each in found["databases"]] == ["up", "hangs", "up"]
    assert found["databases"][1]["why"] == "no answer within 1 s"
    assert found["pin_store"]["state"] == "hangs"


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Not the settings of these tests.
    environment = {name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
