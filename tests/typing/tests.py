"""What a project's own tests need."""

from typing import Any, assert_type

from django.test import Client, TestCase

import pytest_multidb
from multidb.pins import Pin
from multidb.routes import Route
from multidb.test import (
    RoutingTestMixin,
    aassert_not_pinned,
    aassert_pinned,
    assert_not_pinned,
    assert_pinned,
    assert_reads_from,
    captured_routes,
    isolated_routing,
    lagging,
)


def of_reads() -> None:
    with captured_routes() as routes:
        assert_type(routes, list[Route])
    with assert_reads_from("replica-1") as routes:
        assert_type([each.reason for each in routes], list[str])


def of_pins(response: Any) -> None:
    assert_type(assert_pinned(response), Pin)
    assert_not_pinned(response)


async def of_pins_in_async_tests(response: Any) -> None:
    assert_type(await aassert_pinned(response), Pin)
    await aassert_not_pinned(response)


def of_isolation() -> None:
    with isolated_routing() as nothing:
        assert_type(nothing, None)


def of_fixtures() -> None:
    """Which have types."""
    for fixture in (pytest_multidb.captured_routes, pytest_multidb.isolated_routing, pytest_multidb.lagging_replicas):
        assert_type(fixture.__name__, str)


def of_lag() -> None:
    with lagging("replica-1", seconds=1.5) as replicas:
        assert_type(replicas, lagging)
    lagging(seconds="1")  # type: ignore[arg-type]  # seconds are a number


class Posts(RoutingTestMixin, TestCase):
    def test_posting_pins(self) -> None:
        assert_type(self.assertPinned(Client().post("/")), Pin)
