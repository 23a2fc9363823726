"""manage.py check: what the databases cannot do for the settings in force, by their vendor or by their answer."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.checks import CheckMessage, Tags, run_checks
from django.core.management import call_command
from django.db import connections

from tests import vendor
from tests.conftest import REPLICAS

pytestmark = pytest.mark.django_db(databases="__all__")

REPLAYED = {"MULTIDB_PINNING_UNTIL": "replayed"}
LAG = {"MULTIDB_MAX_REPLICA_LAG": 5}
IMPOSSIBLE = [
    ({"REPLICA_DATABASES": ["nowhere"], **REPLAYED, **LAG}, ["multidb.E002"]),
    (
        {"MULTIDB_PINNING_UNTIL": "tomorrow", "MULTIDB_MAX_REPLICA_LAG": "far", "MULTIDB_GUARD_REPLICAS": "no"},
        ["multidb.E014", "multidb.E028", "multidb.E029"],
    ),
]


@pytest.fixture(autouse=True)
def _vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has positions in none of these tests that does not say so."""
    monkeypatch.setattr("multidb.positions.VENDORS", dict(vendor.positions.VENDORS))


def apply(settings: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


def pretend(monkeypatch: pytest.MonkeyPatch, alias: str, name: str, display_name: str) -> None:
    """From now on the SQLite behind ``alias`` says that it is another vendor's."""
    monkeypatch.setattr(connections[alias], "vendor", name)
    monkeypatch.setattr(connections[alias], "display_name", display_name)


def own(messages: list[CheckMessage], *others: str) -> list[CheckMessage]:
    """The messages of the library, without those with the ids ``others``."""
    return [each for each in messages if each.id.startswith("multidb.") and each.id not in others]


def of_vendors() -> list[CheckMessage]:
    return own(run_checks(tags=["multidb"]))


def of_databases(*aliases: str) -> list[CheckMessage]:
    return own(run_checks(tags=[Tags.database], databases=list(aliases)))


def of_deployment() -> list[CheckMessage]:
    return own(run_checks(tags=["multidb"], include_deployment_checks=True), "multidb.W016")


def texts(message: CheckMessage) -> str:
    return f"{message.msg} {message.hint}"


class TestVendors:
    @pytest.mark.parametrize(
        ("values", "id", "setting", "aliases", "so"),
        [
            (REPLAYED, "multidb.W014", "MULTIDB_PINNING_UNTIL", ["default", *REPLICAS], "seconds"),
            (LAG, "multidb.W028", "MULTIDB_MAX_REPLICA_LAG", REPLICAS, "lag does not count"),
        ],
    )
    def test_a_vendor_without_positions_is_a_warning_for_each_database_that_would_be_asked(
        self, settings, values: dict[str, Any], id: str, setting: str, aliases: list[str], so: str
    ) -> None:
        apply(settings, values)
        messages = of_vendors()
        assert [(each.id, each.is_serious()) for each in messages] == [(id, False)] * len(aliases)
        for message, alias in zip(messages, aliases, strict=True):
            assert [word for word in (setting, repr(alias), "'sqlite'", so) if word not in message.msg] == []
            assert "PostgreSQL and MariaDB" in message.hint

    def test_both_settings_are_warned_of(self, settings) -> None:
        apply(settings, {**REPLAYED, **LAG, "REPLICA_DATABASES": ["replica-1"]})
        assert [each.id for each in of_vendors()] == ["multidb.W014", "multidb.W014", "multidb.W028"]

    @pytest.mark.parametrize("name", ["postgresql", "mysql"])
    def test_a_vendor_with_positions_is_asked_only_when_databases_are_checked(
        self, settings, monkeypatch, name: str
    ) -> None:
        apply(settings, {**REPLAYED, **LAG})
        for alias in ("default", *REPLICAS):
            pretend(monkeypatch, alias, name, "MariaDB")
        assert of_vendors() == []

    def test_a_vendor_that_cannot_be_guarded_is_a_warning(self, settings, monkeypatch) -> None:
        for alias in ("default", "replica-2"):
            pretend(monkeypatch, alias, "oracle", "Oracle")
        [message] = of_vendors()
        assert (message.id, message.is_serious()) == ("multidb.W029", False)
        words = ("MULTIDB_GUARD_REPLICAS", "'replica-2'", "'oracle'", "False")
        assert [word for word in words if word not in texts(message)] == []
        settings.MULTIDB_GUARD_REPLICAS = False
        assert of_vendors() == []

    @pytest.mark.parametrize("name", ["sqlite", "postgresql", "mysql"])
    def test_the_vendors_that_can_be_guarded_pass(self, monkeypatch, name: str) -> None:
        for alias in REPLICAS:
            pretend(monkeypatch, alias, name, "Database")
        assert of_vendors() == []

    def test_a_replica_with_a_transaction_for_each_request_is_a_warning(self, monkeypatch) -> None:
        for alias in ("default", "replica-1"):
            monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
        [message] = of_vendors()
        assert (message.id, message.is_serious()) == ("multidb.W031", False)
        assert "'replica-1' has ATOMIC_REQUESTS" in message.msg

    @pytest.mark.parametrize(("values", "ids"), IMPOSSIBLE)
    def test_of_impossible_settings_only_the_errors_are_reported(
        self, settings, monkeypatch, values: dict[str, Any], ids: list[str]
    ) -> None:
        for alias in REPLICAS:
            pretend(monkeypatch, alias, "oracle", "Oracle")
        settings.MULTIDB_GUARD_REPLICAS = False
        apply(settings, values)
        assert [each.id for each in of_vendors()] == ids
        assert of_databases("default", *REPLICAS) == []


class TestDatabases:
    @pytest.fixture(autouse=True)
    def _settings(self, settings) -> None:
        apply(settings, {**REPLAYED, **LAG})

    @pytest.mark.parametrize("display_name", ["PostgreSQL", "MariaDB"])
    def test_an_answer_that_cannot_be_had_is_a_warning_with_the_reason(self, monkeypatch, display_name: str) -> None:
        """SQLite answers the question of another vendor with an error."""
        pretend(monkeypatch, "default", "postgresql", display_name)
        [message] = of_databases("default")
        assert (message.id, message.is_serious()) == ("multidb.W014", False)
        words = ("MULTIDB_PINNING_UNTIL", "position of 'default'", "OperationalError", "pins hold for their seconds")
        assert [word for word in words if word not in message.msg] == []
        assert "rights" in message.hint

    def test_what_only_speaks_the_protocol_of_a_vendor_is_a_warning(self, monkeypatch) -> None:
        pretend(monkeypatch, "default", "postgresql", "CockroachDB")
        [message] = of_databases("default")
        assert message.id == "multidb.W014"
        assert "this is CockroachDB" in message.msg

    def test_a_replica_is_asked_for_its_position_and_its_lag(self, monkeypatch) -> None:
        pretend(monkeypatch, "replica-1", "mysql", "MySQL")
        assert [each.id for each in of_databases("replica-1")] == ["multidb.W014", "multidb.W028"]

    def test_a_question_that_the_settings_do_not_need_is_not_asked(self, settings, monkeypatch) -> None:
        pretend(monkeypatch, "replica-1", "mysql", "MySQL")
        settings.MULTIDB_PINNING_UNTIL = "elapsed"
        assert [each.id for each in of_databases("replica-1")] == ["multidb.W028"]
        settings.MULTIDB_MAX_REPLICA_LAG = None
        assert of_databases("replica-1") == []

    def test_only_the_databases_that_are_named_are_asked_and_a_good_answer_passes(self, monkeypatch) -> None:
        vendor.use(monkeypatch)
        for alias in ("default", *REPLICAS):
            pretend(monkeypatch, alias, "postgresql", "SQLite")
        assert of_databases() == own(run_checks()) == []
        assert vendor.asked == []
        assert of_databases("default", "replica-1") == []
        assert vendor.asked == [
            ("default", "primary_position"),
            ("replica-1", "replayed_position"),
            ("replica-1", "lag_seconds"),
        ]

    def test_a_vendor_that_is_warned_of_without_its_answer_is_not_asked(self) -> None:
        assert of_databases("default", *REPLICAS) == []

    @pytest.mark.parametrize(
        ("databases", "ids"),
        [(None, []), (["default"], ["multidb.W014"]), (["replica-1"], ["multidb.W014", "multidb.W028"])],
    )
    def test_the_command_asks_those_that_it_is_told_to(
        self, monkeypatch, databases: list[str] | None, ids: list[str]
    ) -> None:
        for alias in ("default", *REPLICAS):
            pretend(monkeypatch, alias, "postgresql", "PostgreSQL")
        said = StringIO()
        call_command("check", databases=databases, stderr=said)
        assert re.findall(r"multidb\.\w+", said.getvalue()) == ids


class TestTimeouts:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, monkeypatch) -> None:
        monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
        for alias in ("default", "replica-1"):
            monkeypatch.setitem(connections.settings[alias], "HOST", "replica.example.org")

    @pytest.mark.parametrize("host", ["", "/var/run/postgresql"])
    def test_a_server_on_the_same_machine_needs_none(self, monkeypatch, host: str) -> None:
        pretend(monkeypatch, "replica-1", "postgresql", "PostgreSQL")
        monkeypatch.setitem(connections.settings["replica-1"], "HOST", host)
        assert of_deployment() == []

    @pytest.mark.parametrize(
        ("pool", "ids"), [(True, ["multidb.W030"]), ({"min_size": 1}, ["multidb.W030"]), ({"timeout": 2}, [])], ids=str
    )
    def test_a_pool_has_a_timeout_of_its_own(self, monkeypatch, pool: Any, ids: list[str]) -> None:
        pretend(monkeypatch, "replica-1", "postgresql", "PostgreSQL")
        monkeypatch.setitem(connections.settings["replica-1"], "OPTIONS", {"connect_timeout": 2, "pool": pool})
        assert [message.id for message in of_deployment()] == ids

    def test_one_may_come_from_elsewhere(self, monkeypatch) -> None:
        pretend(monkeypatch, "replica-1", "postgresql", "PostgreSQL")
        monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
        assert of_deployment() == []
        monkeypatch.delenv("PGCONNECT_TIMEOUT")
        monkeypatch.setitem(connections.settings["replica-1"], "OPTIONS", {"service": "replica"})
        assert of_deployment() == []

    @pytest.mark.parametrize("name", ["postgresql", "mysql"])
    def test_a_replica_without_one_is_a_warning_of_deployments(self, monkeypatch, name: str) -> None:
        pretend(monkeypatch, "replica-1", name, "Database")
        pretend(monkeypatch, "default", name, "Database")
        [message] = of_deployment()
        assert (message.id, message.is_serious()) == ("multidb.W030", False)
        assert [word for word in ("'replica-1'", "connect_timeout", "OPTIONS") if word not in texts(message)] == []
        assert of_vendors() == []

    def test_a_replica_with_one_passes(self, monkeypatch) -> None:
        pretend(monkeypatch, "replica-1", "postgresql", "PostgreSQL")
        monkeypatch.setitem(connections.settings["replica-1"], "OPTIONS", {"connect_timeout": 3})
        assert of_deployment() == []

    def test_a_file_needs_none(self) -> None:
        assert of_deployment() == []

    def test_of_impossible_settings_there_is_nothing_to_say(self, settings, monkeypatch) -> None:
        pretend(monkeypatch, "replica-1", "postgresql", "PostgreSQL")
        settings.REPLICA_DATABASES = ["replica-1", "nowhere"]
        assert [each.id for each in of_deployment()] == ["multidb.E002"]
