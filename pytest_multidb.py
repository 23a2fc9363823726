"""The fixtures of multidb for pytest, which finds them by itself where multidb is installed.

Beside the package and not in it: pytest imports this at the start of every run, in whatever project, and it must cost
nothing where nobody uses it. What it needs is imported when a test asks for it: by then settings are there, and
coverage is measured.
"""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def isolated_routing() -> Iterator[None]:
    """In this test nobody is pinned yet, whatever tests before it did: ``multidb.test.isolated_routing``."""
    from multidb import test

    with test.isolated_routing():
        yield


@pytest.fixture
def captured_routes() -> Iterator[list[Any]]:
    """The list into which each routed read of this test goes: ``multidb.test.captured_routes``."""
    from multidb import test

    with test.captured_routes() as routes:
        yield routes


@pytest.fixture
def lagging_replicas() -> Iterator[Any]:
    """From here to the end of this test all replicas lag, until ``catch_up()``: ``multidb.test.lagging``.

    Needs ``pytest.mark.django_db(transaction=True, databases="__all__")``.
    """
    from multidb import test

    with test.lagging() as lag:
        yield lag
