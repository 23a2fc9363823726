"""Lag: a replica that is too far behind is left alone, and asked no more often than it can matter."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client

from multidb import health
from multidb.replicas import choose
from tests import vendor
from tests.conftest import REPLICAS, Ahead, Replication, lines

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def _limited(replication: Replication, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    vendor.use(monkeypatch)
    settings.MULTIDB_MAX_REPLICA_LAG = 10


def test_a_replica_that_is_too_late_is_left_alone(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    vendor.lags["replica-1"] = 10.1
    assert {client.get("/read").json()["alias"] for _ in range(4)} == {"replica-2"}
    assert lines(caplog) == ["Replica replica-1 is left alone: 10.1 s behind"]


def test_without_the_setting_nobody_is_asked(client: Client, settings: Any) -> None:
    settings.MULTIDB_MAX_REPLICA_LAG = None
    vendor.lags["replica-1"] = 1000
    assert {client.get("/read").json()["alias"] for _ in range(4)} == set(REPLICAS)
    assert vendor.asked == []


@pytest.mark.parametrize(
    ("lag", "not_before"), [(0, 5), (6, 2), (9.99, 0.1)], ids=["every retry", "when it can be late", "at most"]
)
def test_it_is_asked_rarely_and_in_time(client: Client, monotonic: Ahead, lag: float, not_before: float) -> None:
    """A replica falls behind by a second a second at most."""
    vendor.lags.update(dict.fromkeys(REPLICAS, lag))
    for _ in range(4):
        client.get("/read")
    assert sorted(vendor.asked) == [(alias, "lag_seconds") for alias in REPLICAS]
    monotonic.now += not_before - 0.01
    for _ in range(4):
        client.get("/read")
    assert len(vendor.asked) == 2
    monotonic.now += 0.02
    for _ in range(4):
        client.get("/read")
    assert len(vendor.asked) == 4


def test_a_long_silence_of_the_primary_is_no_lag(client: Client, monotonic: Ahead) -> None:
    """A replica reports the age of its last transaction until it has replayed the next."""
    client.get("/read")
    client.get("/read")
    monotonic.now += 5.1
    vendor.lags.update(dict.fromkeys(REPLICAS, 3600.0))
    assert {client.get("/read").json()["alias"] for _ in range(2)} == set(REPLICAS)
    monotonic.now += 5.1
    assert client.get("/read").json()["reason"] == "no replica"


def test_a_replica_that_replays_what_it_receives_is_not_late_in_a_long_transaction(
    client: Client, monotonic: Ahead, settings: Any
) -> None:
    """It takes the age of its last transaction for its lag, but has replayed all that it had seconds ago."""
    settings.REPLICA_DATABASES = ["replica-1"]
    for second in range(100):
        monotonic.now += 1
        vendor.lags["replica-1"] = float(second)
        vendor.progresses["replica-1"] = f"{second + 1:06}", f"{second:06}"
        assert client.get("/read").json()["alias"] == "replica-1"


def test_one_that_receives_and_does_not_replay_is_late(client: Client, monotonic: Ahead, settings: Any) -> None:
    settings.REPLICA_DATABASES = ["replica-1"]
    served = []
    for second in range(20):
        monotonic.now += 1
        vendor.lags["replica-1"] = float(second)
        vendor.progresses["replica-1"] = f"{second + 1:06}", "000000"
        served.append(client.get("/read").json()["alias"])
    assert served == ["replica-1"] * 11 + ["default"] * 9


def test_it_is_used_again_when_it_has_caught_up(client: Client, monotonic: Ahead, sent: list[tuple[str, str]]) -> None:
    vendor.lags.update(dict.fromkeys(REPLICAS, 11.0))
    assert client.get("/read").json()["reason"] == "no replica"
    vendor.lags.clear()
    monotonic.now += 6.1
    assert {client.get("/read").json()["alias"] for _ in range(4)} == set(REPLICAS)
    assert sorted(sent) == [("down", alias) for alias in REPLICAS] + [("up", alias) for alias in REPLICAS]


def test_a_late_replica_is_better_than_none_when_the_primary_is_down_too(
    client: Client, refuse: Callable[[str], None]
) -> None:
    vendor.lags.update(dict.fromkeys(REPLICAS, 11.0))
    refuse("default")
    try:
        answers = [client.get("/read").json() for _ in range(3)]
    finally:
        connections["default"].close()
    assert {each["reason"] for each in answers} == {"replica"}
    assert {each["alias"] for each in answers} <= set(REPLICAS)


def test_a_primary_that_is_down_is_not_tried_for_each_read(
    client: Client, refuse: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.lags.update(dict.fromkeys(REPLICAS, 11.0))
    refuse("default")
    tried: list[str] = []
    connect = health._connect
    monkeypatch.setattr(health, "_connect", lambda each: tried.append(each.alias) or connect(each))
    try:
        for _ in range(5):
            client.get("/read")
    finally:
        connections["default"].close()
    assert tried.count("default") == 1


def test_what_is_avoided_is_not_read_however_late_the_others_are(refuse: Callable[[str], None]) -> None:
    vendor.lags.update(dict.fromkeys(REPLICAS, 11.0))
    refuse("default")
    try:
        assert {choose("default", {"replica-1"}) for _ in range(4)} == {"replica-2"}
    finally:
        connections["default"].close()


def test_where_the_lag_cannot_be_had_the_replica_is_used_and_that_is_said_once(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.silent.add("replica-1")
    assert {client.get("/read").json()["alias"] for _ in range(6)} == set(REPLICAS)
    why = "cannot be had (it is told to be silent): MULTIDB_MAX_REPLICA_LAG does not count for it."
    assert lines(caplog) == [f"The lag of replica-1 {why}"]


def test_a_replica_that_dies_of_the_question_is_down(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def die(connection: Any) -> float:
        if connection.alias == "replica-2":
            return 0.0
        connection.errors_occurred = True
        monkeypatch.setattr(connection, "is_usable", lambda: False)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(vendor, "lag_seconds", die)
    assert {client.get("/read").json()["alias"] for _ in range(4)} == {"replica-2"}
    assert lines(caplog) == ["Replica replica-1 is left alone: server closed the connection unexpectedly"]
