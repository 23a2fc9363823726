"""A snapshot says what is up, down and unknown, and leaves routing as it is."""

import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections
from django.http import HttpRequest

from multidb import health, status_asking
from multidb.backends import get_pin_store, redis_inspection
from multidb.backends.base import PinStore
from multidb.passwords import HIDDEN
from multidb.replicas import choose, topology
from multidb.status import PinStoreStatus, Status, snapshot
from multidb.status_databases import DatabaseAnswer, DatabaseStatus, database_status
from multidb.status_settings import settings_in_force
from tests.conftest import CACHE, COOKIE, REDIS, REPLICAS, SESSION, use_store

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.usefixtures("replication")]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not taken for a database that hangs."""
    monkeypatch.setattr("multidb.status_asking.DEADLINE_SECONDS", 30)


def database(alias: str) -> DatabaseStatus:
    return next(each for each in snapshot().databases if each.alias == alias)


def value(name: str) -> Any:
    return next(each.value for each in settings_in_force() if each.name == name)


def is_default(name: str) -> bool:
    return next(each.default for each in settings_in_force() if each.name == name)


def answer_of(position: str | None, name: str = "PostgreSQL", lag: float | None = None) -> Any:
    told = DatabaseAnswer(name, position and {"lsn": position}, lag, "running")
    return status_asking.Outcome("up", "", told, None)


class TestDatabases:
    def test_a_vendor_without_positions_is_up_and_its_lag_is_unknown(self) -> None:
        found = snapshot()
        assert [each.alias for each in found.databases] == ["default", *REPLICAS]
        assert [each.role for each in found.databases] == ["primary", "replica", "replica"]
        assert {(each.state, each.lag_seconds, each.position) for each in found.databases} == {("up", None, None)}
        assert [each.replication for each in found.databases] == [None, "unknown", "unknown"]
        assert found.ok

    def test_each_primary_is_followed_by_its_replicas_with_their_weights(self, settings: Any) -> None:
        settings.REPLICA_DATABASES = {"default": {"replica-1": 3}, "users": ["users-replica"]}
        found = [(each.alias, each.primary, each.weight) for each in snapshot().databases]
        assert found == [
            ("default", "default", None),
            ("replica-1", "default", 3),
            ("users", "users", None),
            ("users-replica", "users", 1),
        ]

    @pytest.mark.parametrize("alias", ["default", "replica-1"])
    def test_one_that_refuses_is_down_and_says_why(self, alias: str, refuse: Callable[[str], None]) -> None:
        refuse(alias)
        try:
            found = snapshot()
        finally:
            connections[alias].close()
        states = {each.alias: each.state for each in found.databases}
        assert states == {**dict.fromkeys(["default", *REPLICAS], "up"), alias: "down"}
        assert "OperationalError: unable to open database file" in {each.why for each in found.databases}
        assert not found.ok

    def test_it_tells_since_when_this_process_leaves_a_replica_alone(self, refuse: Callable[[str], None]) -> None:
        assert database("replica-1").resting_since is None
        refuse("replica-1")
        assert not health.is_usable("replica-1")
        assert str(database("replica-1").resting_since).endswith("+00:00")
        health._breaker.succeeded("replica-1")
        assert database("replica-1").resting_since is None

    def test_it_changes_no_breaker_and_takes_no_turn(
        self, refuse: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, sent: list[Any]
    ) -> None:
        taken: list[str] = []
        in_turn = topology().in_turn
        monkeypatch.setattr(topology(), "in_turn", lambda primary: taken.append(primary) or in_turn(primary))
        refuse("replica-1")
        snapshot()
        assert (taken, sent, health._breaker._rests_until) == ([], [], {})
        choose("default")
        assert taken == ["default"]

    def test_its_connections_are_its_own_and_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Any] = []
        create = connections.create_connection
        monkeypatch.setattr(connections, "create_connection", lambda alias: made.append(create(alias)) or made[-1])
        before = [connections[alias] for alias in ["default", *REPLICAS]]
        snapshot()
        assert sorted(each.alias for each in made) == ["default", *REPLICAS]
        assert all(each.connection is None for each in made)
        assert not {id(each) for each in made} & {id(each) for each in before}

    def test_a_pool_of_the_site_is_not_used_and_what_hangs_has_a_timeout(self, settings: Any) -> None:
        from multidb.status_databases import _own_connection

        entry = {**connections.settings["default"], "ENGINE": "django.db.backends.postgresql"}
        connections.settings["pooled"] = {**entry, "OPTIONS": {"pool": True, "connect_timeout": 60}}
        try:
            assert _own_connection("pooled").settings_dict["OPTIONS"] == {"connect_timeout": 2}
            assert connections.settings["pooled"]["OPTIONS"] == {"pool": True, "connect_timeout": 60}
        finally:
            del connections.settings["pooled"]

    @pytest.mark.parametrize(
        ("lag", "note"),
        [
            (10.0, []),
            (10.1, ["it is 10.1 s behind, and MULTIDB_MAX_REPLICA_LAG is 10 s"]),
            (math.inf, ["it does not replay, and MULTIDB_MAX_REPLICA_LAG is 10 s"]),
            (None, []),
        ],
    )
    def test_one_beyond_the_limit_is_named(self, lag: float | None, note: list[str], settings: Any) -> None:
        settings.MULTIDB_MAX_REPLICA_LAG = 10
        told = database_status("replica-1", "default", 1, answer_of(None, lag=lag), answer_of(None))
        assert told.notes == note
        settings.MULTIDB_MAX_REPLICA_LAG = None
        assert database_status("replica-1", "default", 1, answer_of(None, lag=lag), answer_of(None)).notes == []

    @pytest.mark.parametrize(
        ("replica", "primary", "behind"),
        [
            (answer_of("10"), answer_of("1A"), 10),
            (answer_of(None), answer_of("1A"), None),
            (answer_of("10"), answer_of(None), None),
            (answer_of("10"), answer_of("1A", "MariaDB"), None),
            (answer_of("10"), status_asking.Outcome("down", "", None, None), None),
        ],
    )
    def test_how_much_it_is_behind_takes_the_position_of_both(
        self, replica: Any, primary: Any, behind: int | None
    ) -> None:
        told = database_status("replica-1", "default", 1, replica, primary)
        assert (told.lag_bytes, told.lag_transactions) == (behind, None)

    def test_a_lag_without_end_is_none_in_json(self) -> None:
        endless = database_status("replica-1", "default", 1, answer_of(None, lag=math.inf), answer_of(None))
        late = database_status("replica-1", "default", 1, answer_of(None, lag=2.5), answer_of(None))
        store = PinStoreStatus("a.Store", "up", "", False, None, None, True)
        found = Status("now", True, [endless, late], store, []).as_json()
        assert [each["lag_seconds"] for each in found["databases"]] == [None, 2.5]


class TestPinStore:
    def test_each_store_is_up_and_says_how_fast(self, store: str) -> None:
        found = snapshot().pin_store
        assert (found.state, found.why, found.resting) == ("up", "", False)
        assert (found.round_trip_ms is None) == (store == "cookie")
        assert (found.pins is None) == ("redis" not in store)
        assert found.backend == {"cookie": COOKIE, "session": SESSION, "redis": REDIS, "fake redis": REDIS}.get(
            store, CACHE
        )

    @pytest.mark.parametrize("store", ["redis", "fake redis", "redis sentinel", "redis cluster"])
    def test_redis_counts_the_keys_of_pins_and_no_others(self, request: pytest.FixtureRequest, store: str) -> None:
        use_store(request, store, prefix="a[b]*")
        store_ = get_pin_store()
        assert snapshot().pin_store.pins == 0
        store_._set([f"a[b]*:user:{number}" for number in range(7)], "{}", 60)  # type: ignore[attr-defined]
        store_._set(["ab:user:1", "a[b]*x:user:1", "a[b]*"], "{}", 60)  # type: ignore[attr-defined]
        found = snapshot().pin_store
        assert (found.pins, found.counted_all_pins) == (7, True)

    @pytest.mark.parametrize("limit", ["MOST_COUNTED", "LONGEST_COUNT_SECONDS"])
    def test_it_does_not_count_for_long(
        self, request: pytest.FixtureRequest, limit: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use_store(request, "redis")
        get_pin_store()._set([f"multidb:user:{number}" for number in range(1500)], "{}", 60)  # type: ignore[attr-defined]
        most = {"MOST_COUNTED": 100, "LONGEST_COUNT_SECONDS": 0}[limit]
        monkeypatch.setattr(redis_inspection, limit, most)
        found = snapshot().pin_store
        assert (found.pins, found.counted_all_pins) == (most, False)

    def test_one_that_is_down_says_so_and_is_left_as_it_is(self, settings: Any, sent: list[Any]) -> None:
        settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
        settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS}
        found = snapshot()
        assert (found.pin_store.state, found.ok, sent) == ("down", False, [])
        assert "Connection refused" in found.pin_store.why
        assert not get_pin_store().outage.is_resting()
        get_pin_store().outage.failed(ConnectionError())
        assert snapshot().pin_store.resting

    def test_a_store_of_the_project_that_does_not_tell_is_unknown(self, settings: Any) -> None:
        settings.MULTIDB_PIN_STORE = {"BACKEND": "tests.test_status.Silent", "OPTIONS": {"api_token": "hunter2"}}
        found = snapshot()
        assert (found.pin_store.state, found.pin_store.why, found.ok) == ("unknown", "it does not tell", True)
        assert "hunter2" not in str(found)

    def test_a_cache_that_is_none_of_ours_is_an_impossible_setting(self, settings: Any) -> None:
        settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "nowhere"}}
        with pytest.raises(ImproperlyConfigured, match="names the cache 'nowhere'"):
            snapshot()


class Silent(PinStore):
    """A store as a project writes it."""

    def __init__(self, *, api_token: str) -> None:
        self._token = api_token

    def _read(self, request: HttpRequest) -> list[str]:
        return []

    def _write(self, *args: object) -> None:
        pass


class TestHanging:
    def test_what_hangs_is_not_waited_for_and_asked_once_until_it_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = threading.Event()
        asked: list[str] = []

        def hang(alias: str, is_replica: bool) -> DatabaseAnswer:
            asked.append(alias)
            if is_replica:
                released.wait()
            return DatabaseAnswer("SQLite")

        monkeypatch.setattr("multidb.status.ask_database", hang)
        monkeypatch.setattr("multidb.status_asking.DEADLINE_SECONDS", 0.1)
        try:
            for _ in range(2):
                found = [each for each in snapshot().databases if each.role == "replica"]
                assert {(each.state, each.why) for each in found} == {("hangs", "no answer within 1 s")}
            assert sorted(asked) == ["default", "default", *REPLICAS]
        finally:
            released.set()
        monkeypatch.setattr("multidb.status_asking.DEADLINE_SECONDS", 30)
        assert {each.state for each in snapshot().databases} == {"up"}

    def test_the_process_ends_while_a_question_is_open_for_ever(self) -> None:
        program = "import threading; from multidb.status_asking import asked; asked('never', threading.Event().wait)"
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        ended = subprocess.run([sys.executable, "-c", program], env=environment, timeout=300, capture_output=True)
        assert (ended.returncode, ended.stderr) == (0, b"")

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (OperationalError("connection timeout expired"), "hangs"),
            (OperationalError("reading initial communication packet, system error: 110"), "hangs"),
            (TimeoutError(), "hangs"),
            (OperationalError("connection refused"), "down"),
            (RuntimeError("system error: 1101"), "down"),
        ],
    )
    def test_a_timeout_of_the_driver_is_no_answer_either(self, error: Exception, state: str) -> None:
        def fail() -> None:
            raise error

        asking = status_asking.asked("a test", fail)
        asking.join()
        assert asking.outcome().state == state

    def test_no_password_of_an_address_is_told(self) -> None:
        def fail() -> None:
            raise OperationalError("cannot reach postgres://me:hunter2@host/db or 'password=hunter2 user=me'")

        asking = status_asking.asked("a test", fail)
        asking.join()
        assert asking.outcome().why == (
            f"OperationalError: cannot reach postgres://{HIDDEN}@host/db or 'password={HIDDEN} user=me'"
        )


class TestSettings:
    def test_all_are_told_with_what_they_come_to(self, settings: Any) -> None:
        from multidb.checks import SETTINGS

        assert {each.name for each in settings_in_force()} == {"REPLICA_DATABASES", *SETTINGS}
        assert value("REPLICA_DATABASES") == {"default": {"replica-1": 1, "replica-2": 1}}
        assert value("MULTIDB_PINNING_SECONDS") == 15
        assert not is_default("REPLICA_DATABASES")
        assert is_default("MULTIDB_PINNING_SECONDS")
        settings.MULTIDB_PINNING_SECONDS = 20
        assert value("MULTIDB_PINNING_SECONDS") == 20
        assert not is_default("MULTIDB_PINNING_SECONDS")

    def test_the_old_name_is_told_where_only_that_is_set(self, settings: Any) -> None:
        del settings.REPLICA_DATABASES
        settings.SLAVE_DATABASES = ["replica-1"]
        assert value("SLAVE_DATABASES") == {"default": {"replica-1": 1}}

    def test_a_function_is_told_by_its_path_and_another_object_by_its_looks(self, settings: Any) -> None:
        settings.MULTIDB_ROUTING = answer_of
        assert value("MULTIDB_ROUTING") == "tests.test_status.answer_of"
        settings.MULTIDB_ROUTING = partial(answer_of, "hunter2")
        assert value("MULTIDB_ROUTING") == "tests.test_status.answer_of"
        settings.MULTIDB_ROUTING = itemgetter("hunter2")
        assert value("MULTIDB_ROUTING") == "operator.itemgetter"
        settings.MULTIDB_PIN_STORE = {"BACKEND": COOKIE, "OPTIONS": {"a": b"redis://me:hunter2@host"}}
        assert value("MULTIDB_PIN_STORE")["OPTIONS"] == {"a": f"b'redis://{HIDDEN}@host'"}

    def test_secrets_in_the_options_of_a_store_are_hidden_and_its_keys_are_not(self, settings: Any) -> None:
        options = {
            "keys": ["user"],
            "password": "hunter2",
            "nodes": [{"Secret": "hunter2", "port": 1}, ("redis://me:hunter2@host", None)],
            "dsn": "host=a password='hunter2 hunter2' user=me",
        }
        settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": options}
        assert value("MULTIDB_PIN_STORE")["OPTIONS"] == {
            "keys": ["user"],
            "password": HIDDEN,
            "nodes": [{"Secret": HIDDEN, "port": 1}, [f"redis://{HIDDEN}@host", None]],
            "dsn": f"host=a password={HIDDEN} user=me",
        }

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("REPLICA_DATABASES", ["nowhere"]),
            ("MULTIDB_RETRY_SECONDS", -1),
            ("MULTIDB_PIN_STORE", {"BACKEND": "nowhere.Store"}),
        ],
    )
    def test_an_impossible_one_is_named(self, name: str, value: Any, settings: Any) -> None:
        setattr(settings, name, value)
        with pytest.raises(ImproperlyConfigured, match=name):
            snapshot()
