"""Whoever wrote reads their own write, with every store, and leaves the primary when a replica has replayed it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpResponse
from django.test import Client, RequestFactory

from multidb import positions
from multidb.backends import get_pin_store
from multidb.pinning import use_primary_db
from multidb.pins import Hold, Pin
from tests.conftest import use_store
from tests.integration.conftest import catch_up, replicas_of
from tests.models import Post

STORES = ["cookie", "session", "redis", "file cache"]
KEYED = ["redis", "file cache"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, cluster: Any) -> str:
    use_store(request, request.param)
    return request.param


def until_unpinned(read: Callable[[], dict]) -> list[dict]:
    """The answers that ``read`` gives until one comes from a replica."""
    answers = []
    deadline = time.monotonic() + 10
    while not answers or answers[-1]["reason"] != "replica":
        assert time.monotonic() < deadline, answers[-3:]
        answers.append(read())
    return answers


def test_a_browser(store: str, cluster: Any, users: list[User]) -> None:
    for replica in replicas_of(cluster):
        replica.set_lag(1)
    browser = Client()
    browser.force_login(users[0])
    answer = browser.post("/post", {"text": "mine"}, follow=True).json()
    assert (answer["texts"], answer["reason"]) == (["mine"], "pinned")
    answers = until_unpinned(lambda: browser.get("/read").json())
    assert {tuple(each["texts"]) for each in answers} == {("mine",)}
    assert {each["alias"] for each in answers[:-1]} <= {"default"}


@pytest.mark.parametrize("name", KEYED)
def test_a_client_without_cookies_and_a_second_device(
    request: pytest.FixtureRequest, cluster: Any, users: list[User], name: str
) -> None:
    use_store(request, name)
    for replica in replicas_of(cluster):
        replica.set_lag(1)
    headers = {"authorization": "Token ada's"}
    Client().post("/api", {"text": "mine"}, headers=headers)
    phone = Client()
    phone.force_login(users[0])
    assert phone.get("/read").json()["texts"] == ["mine"]
    answers = until_unpinned(lambda: Client().get("/api", headers=headers).json())
    assert answers[0]["reason"] == "pinned"
    assert {tuple(each["texts"]) for each in answers} == {("mine",)}


def test_others_read_from_a_replica_all_the_while(cluster: Any) -> None:
    for replica in replicas_of(cluster):
        replica.pause()
    Client().post("/post", {"text": "mine"})
    answer = Client().get("/read").json()
    assert (answer["texts"], answer["reason"]) == ([], "replica")


def test_a_request_that_really_wrote_pins_and_no_other(cluster: Any, settings: Any) -> None:
    settings.MULTIDB_PINNING_TRIGGER = "write"
    for replica in replicas_of(cluster):
        replica.pause()
    reader, writer = Client(), Client()
    assert not reader.post("/nothing").cookies
    assert writer.post("/post", {"text": "mine"}, follow=True).json()["texts"] == ["mine"]
    assert reader.get("/read").json()["texts"] == []


def test_one_question_for_each_connection(cluster: Any) -> None:
    """None once the connection is known to be far enough; one to the primary for each write."""
    client = Client()
    asked: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql in (positions.postgresql.REPLAYED, positions.mariadb.REPLAYED):
            asked.append("replica")
        if sql in (positions.postgresql.PRIMARY, positions.mariadb.PRIMARY):
            asked.append("primary")
        return execute(sql, params, many, context)

    aliases = ["default", "replica-1", "replica-2"][: len(replicas_of(cluster)) + 1]
    for alias in aliases:
        connections[alias].execute_wrappers.append(note)
    client.post("/post", {"text": "mine"})
    assert asked == ["primary"]
    catch_up(cluster)
    asked.clear()
    for _ in range(6):
        assert client.get("/read").json()["reason"] == "replica"
    assert asked == ["replica"] * len(replicas_of(cluster))


def test_a_standby_that_is_paused_gets_no_pinned_reads(postgres: Any) -> None:
    postgres.standbys[0].pause()
    client = Client()
    client.post("/post", {"text": "mine"})
    postgres.standbys[1].wait_until_replayed(postgres.primary)
    answers = [client.get("/read").json() for _ in range(8)]
    assert {(each["alias"], each["reason"]) for each in answers} == {("replica-2", "replica")}
    assert {Client().get("/read").json()["alias"] for _ in range(8)} == {"replica-1", "replica-2"}


def test_a_standby_that_is_paused_gets_no_reads_at_all_past_the_limit(postgres: Any, settings: Any) -> None:
    settings.MULTIDB_MAX_REPLICA_LAG = 1
    postgres.standbys[0].pause()
    with use_primary_db:
        Post.objects.create(text="later")
    written = time.monotonic()
    postgres.standbys[1].wait_until_replayed(postgres.primary)
    while (late := time.monotonic() - written) < 3:
        answer = Client().get("/read").json()
        assert answer["alias"] != "replica-1" or late < 1.3, late
    postgres.standbys[0].resume()
    catch_up(postgres)
    settings.MULTIDB_RETRY_SECONDS = 0.1
    deadline = time.monotonic() + 10
    while Client().get("/read").json()["alias"] != "replica-1":
        assert time.monotonic() < deadline


def test_responses_that_race_never_shorten_a_pin(request: pytest.FixtureRequest, cluster: Any, rf: Any) -> None:
    """Real positions, a real Redis, the furthest written by each thread in turn."""
    use_store(request, "redis")
    taken = []
    for number in range(8):
        with use_primary_db:
            Post.objects.create(text=str(number))
        taken.append(positions.primary_position(connections["default"]))
    until = int(time.time() * 1000) + 9000
    for shift in range(4):
        barrier = Barrier(len(taken))
        headers = {"authorization": f"Token {shift}"}

        def write(number: int, shift: int = shift, barrier: Barrier = barrier, headers: dict = headers) -> None:
            request = RequestFactory().get("/", headers=headers)
            barrier.wait(timeout=10)
            position = taken[(number + shift) % len(taken)]
            get_pin_store().save(request, HttpResponse(), Pin({"default": Hold(until, position)}))

        with ThreadPoolExecutor(len(taken)) as threads:
            list(threads.map(write, range(len(taken))))
        found = get_pin_store().load(rf.get("/", headers=headers))
        assert found == Pin({"default": Hold(until, taken[-1])})
