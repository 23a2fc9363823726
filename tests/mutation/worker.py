"""A pytest plugin for mutmut, which forks its workers from a process that has read the settings already."""

import os
from pathlib import Path

import pytest
from django.conf import settings


def pytest_sessionstart() -> None:
    """The primary is a file of this process: the settings name that of the process which read them."""
    test = settings.DATABASES["default"]["TEST"]
    test["NAME"] = str(Path(test["NAME"]).with_name(f"multidb-test-{os.getpid()}.sqlite3"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the tests that mirror the mutated module, the most likely to fail; last those that start many servers."""
    if "." not in os.environ.get("MUTANT_UNDER_TEST", ""):
        return
    *packages, module, _ = os.environ["MUTANT_UNDER_TEST"].split(".")
    mirror = "/".join(["tests", *packages[1:], f"test_{module}"])
    items.sort(key=lambda item: ("redis " in item.nodeid, not item.nodeid.startswith(mirror)))
