"""manage.py multidb_status: its tables, its JSON, its exit status."""

import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.color import make_style, no_style
from django.db import connections

from multidb import status_tables
from multidb.management.commands import multidb_status
from multidb.status import Status, snapshot
from tests.conftest import COOKIE, REPLICAS

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.usefixtures("replication")]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not taken for a database that hangs."""
    monkeypatch.setattr("multidb.status_asking.DEADLINE_SECONDS", 30)


@pytest.fixture
def down(refuse: Callable[[str], None]) -> Iterator[None]:
    """One of the replicas refuses connections."""
    refuse("replica-1")
    yield
    connections["replica-1"].close()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long --watch waits after each look. With Ctrl-C in the third."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(multidb_status.time, "sleep", sleep)
    return waited


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, stdout: io.StringIO | None = None) -> str:
    stdout = stdout or io.StringIO()
    call_command("multidb_status", "--no-color", *arguments, stdout=stdout)
    return stdout.getvalue()


def cells(line: str) -> list[str]:
    return line.split()


def test_the_tables_show_databases_store_and_settings() -> None:
    shown = run().splitlines()
    assert cells(shown[1])[:4] == ["default", "primary", "up", "-"]
    assert cells(shown[2]) == ["replica-1", "replica", "up", "-", "unknown", "unknown", "-", "1", "-"]
    assert cells(shown[6]) == ["SignedCookiePinStore", "up", "no", "-", "-"]
    assert any(cells(line) == ["MULTIDB_PINNING_SECONDS", "default", "15"] for line in shown)
    assert any(cells(line)[:2] == ["REPLICA_DATABASES", "project"] for line in shown)


def test_json_has_the_documented_keys() -> None:
    found = json.loads(run("--format", "json"))
    assert list(found) == ["time", "ok", "databases", "pin_store", "settings"]
    assert list(found["databases"][0]) == [
        "alias",
        "role",
        "primary",
        "vendor",
        "state",
        "why",
        "resting_since",
        "replication",
        "lag_seconds",
        "lag_bytes",
        "lag_transactions",
        "weight",
        "position",
        "notes",
    ]
    assert list(found["pin_store"]) == [
        "backend",
        "state",
        "why",
        "resting",
        "round_trip_ms",
        "pins",
        "counted_all_pins",
    ]
    assert found["pin_store"]["backend"] == COOKIE
    assert list(found["settings"][0]) == ["name", "value", "default"]
    documented = (Path(__file__).parent.parent / "docs" / "status.md").read_text()
    for part in (found, found["databases"][0], found["pin_store"], found["settings"][0]):
        assert all(f"`{key}`" in documented or f'"{key}"' in documented for key in part)


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize("format", ["table", "json"])
def test_the_exit_status_is_1_when_something_is_down(format: str) -> None:
    stdout = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        run("--format", format, stdout=stdout)
    assert ended.value.code == 1
    assert "OperationalError: unable to open database file" in stdout.getvalue()


def test_an_impossible_setting_is_named_and_the_exit_status_is_2(settings: Any) -> None:
    settings.MULTIDB_RETRY_SECONDS = -1
    with pytest.raises(CommandError, match="MULTIDB_RETRY_SECONDS is -1") as error:
        run()
    assert error.value.returncode == 2


def test_no_check_stands_before_it() -> None:
    assert multidb_status.Command.requires_system_checks == []
    assert multidb_status.Command.requires_migrations_checks is False


@pytest.mark.parametrize(("arguments", "seconds"), [([], 2.0), (["0.5"], 0.5)])
def test_watch_looks_again_until_it_is_interrupted(looks: list[float], arguments: list[str], seconds: float) -> None:
    shown = run("--watch", *arguments, stdout=Terminal())
    assert looks == [seconds] * 3
    assert shown.count(multidb_status.CLEAR) == shown.count("SignedCookiePinStore  up") == 3


def test_watch_clears_nothing_where_it_writes_to_a_file(looks: list[float]) -> None:
    assert multidb_status.CLEAR not in run("--watch")


def test_watch_writes_an_object_of_json_a_line(looks: list[float]) -> None:
    found = [json.loads(line) for line in run("--watch", "--format", "json").splitlines()]
    assert [each["ok"] for each in found] == [True] * 3


@pytest.mark.usefixtures("down")
def test_after_watch_the_exit_status_is_that_of_the_last_look(looks: list[float]) -> None:
    with pytest.raises(SystemExit):
        run("--watch")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "86401", "soon"])
def test_what_is_no_time_to_wait_is_refused(seconds: str) -> None:
    with pytest.raises(CommandError, match="no number of seconds above 0"):
        run(f"--watch={seconds}")


def test_lags_positions_and_counts_are_written_with_their_units() -> None:
    found = snapshot()
    primary, first, second = found.databases
    databases = [
        primary,
        replace(first, lag_seconds=2.04, lag_bytes=1234, position="0/16B3748", notes=["a note"]),
        replace(second, lag_seconds=math.inf, lag_transactions=7, state="hangs", why="no answer", replication=None),
    ]
    store = replace(
        found.pin_store, round_trip_ms=0.25, pins=10000, counted_all_pins=False, state="down", why="refused"
    )
    shown = list(status_tables.lines(Status("now", False, databases, store, []), no_style()))
    assert cells(shown[2])[4:] == ["unknown", "2.0", "s", "1234", "bytes", "1", "0/16B3748"]
    assert cells(shown[3])[2:] == ["hangs", "-", "-", "endless", "7", "transactions", "1", "-"]
    assert shown[4:6] == ["replica-1: a note", "replica-2: no answer"]
    assert "0.25 ms" in shown[8]
    assert "10000 or more" in shown[8]
    assert shown[9] == "pin store: refused"


def test_colours_do_not_move_the_columns() -> None:
    plain = list(status_tables.lines(snapshot(), no_style()))
    style = make_style("dark")
    coloured = "\n".join(status_tables.lines(snapshot(), style))
    assert style.SUCCESS("up") in coloured
    assert style.WARNING("unknown") in coloured
    for text in ["up", "unknown"]:
        for painted in (style.SUCCESS(text), style.WARNING(text)):
            coloured = coloured.replace(painted, text)
    assert coloured.splitlines()[1:4] == plain[1:4]
    assert [cells(line)[0] for line in plain[2:4]] == REPLICAS
