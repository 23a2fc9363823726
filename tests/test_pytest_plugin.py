"""pytest finds the fixtures by itself, they work in real projects, and who does not use them does not notice them."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

import pytest_multidb
from multidb.backends import get_pin_store
from multidb.test import Route, lagging
from tests.blocks import block
from tests.conftest import CACHE, REPLICAS
from tests.models import Post
from tests.ordinary import make_project, run_python

pytest_plugins = ["pytester"]

EXAMPLES = ("notes/test_reads.py", "notes/test_pins.py", "notes/test_lag.py", "notes/test_with_fixtures.py")


def test_nothing_is_imported_in_a_project_that_does_not_use_them(pytester: pytest.Pytester) -> None:
    """Not even one without Django."""
    pytester.makepyfile(
        """
        import sys

        def test():
            assert "pytest_multidb" in sys.modules
            assert not {"multidb", "django"} & sys.modules.keys()
        """
    )
    others = ["django", "asyncio", "cov", "hypothesispytest", "xdist", "anyio"]
    result = pytester.runpytest_subprocess("-W", "error", *(f"-pno:{name}" for name in others))
    result.assert_outcomes(passed=1)


def test_the_fixtures_say_what_they_are_for(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest_subprocess("--fixtures", "-pno:django").stdout.str()
    assert {"captured_routes", "isolated_routing", "lagging_replicas"} <= set(
        re.findall(r"^(\w+) -- ", listed, re.MULTILINE)
    )
    assert "no docstring available" not in listed.partition("pytest_multidb")[2].partition("-----")[0]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as ``startproject`` makes it, on SQLite, with routing on."""
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    make_project(tmp_path, {alias: {**engine, "NAME": str(tmp_path / alias)} for alias in ("default", *REPLICAS)})
    return tmp_path


def test_the_examples_of_the_documentation_run_as_printed(project: Path) -> None:
    """Those for unittest by ``manage.py test``, and all of them by pytest."""
    for name in EXAMPLES:
        (project / name).write_text(block("docs/test-kit.md", name))
    by_unittest = run_python(project, "-m", "django", "test", "notes.test_reads", "notes.test_pins", "notes.test_lag")
    assert by_unittest.returncode == 0, by_unittest.stderr
    assert "Ran 8 tests" in by_unittest.stderr
    by_pytest = run_python(project, "-m", "pytest", *EXAMPLES)
    assert by_pytest.returncode == 0, by_pytest.stdout
    assert "12 passed" in by_pytest.stdout


def test_what_a_replica_needs_to_lag_is_said(project: Path) -> None:
    (project / "test_lag.py").write_text(
        """
def test_in_a_test_case(db, lagging_replicas):
    pass

def test_that_commits(transactional_db, lagging_replicas):
    pass
"""
    )
    result = run_python(project, "-m", "pytest", "test_lag.py")
    assert "2 errors" in result.stdout
    assert (
        "lagging() copies what is committed on 'default', where a transaction is open. Use a Transaction"
        in result.stdout
    )
    assert "lagging() needs a connection to 'replica-1', which this test forbids. Use a Transaction" in result.stdout


committed = pytest.mark.django_db(transaction=True, databases="__all__")


@committed
def test_routes_are_captured(captured_routes: list[Route], client: Client) -> None:
    client.get("/read")
    assert [(route.alias in REPLICAS, route.model) for route in captured_routes] == [(True, Post)]


@committed
def test_replicas_lag(lagging_replicas: lagging, client: Client) -> None:
    Post.objects.create(text="new")
    assert client.get("/read").json()["texts"] == []


@pytest.fixture
def _pins_in_a_cache(settings: Any) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}


@committed
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.usefixtures("_pins_in_a_cache", "isolated_routing")
def test_nobody_is_pinned_by_the_test_before(number: int) -> None:
    assert get_pin_store()._prefix.startswith("test-")
    client = Client(headers={"authorization": "Token ada's"})
    assert client.get("/read").json()["reason"] == "replica"
    client.post("/nothing")
    client.cookies.clear()
    assert client.get("/read").json()["reason"] == "pinned"


def test_the_plugin_can_be_imported_again() -> None:
    """What pytest has imported before coverage was measured."""
    again = importlib.reload(pytest_multidb)
    assert {"captured_routes", "isolated_routing", "lagging_replicas"} <= vars(again).keys()
