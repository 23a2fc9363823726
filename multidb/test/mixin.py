"""RoutingTestMixin: the same for unittest."""

from contextlib import AbstractContextManager
from typing import Any
from unittest import TestCase

from multidb.pins import Pin
from multidb.routes import Route
from multidb.test.clients import assert_not_pinned, assert_pinned
from multidb.test.isolation import isolated_routing
from multidb.test.lagging import lagging
from multidb.test.reads import assert_reads_from, captured_routes


class RoutingTestMixin(TestCase):
    """Each test begins with nobody pinned, and has the assertions as methods. Before Django's class in the bases."""

    def setUp(self) -> None:
        self.enterContext(isolated_routing())
        super().setUp()

    def captureRoutes(self) -> AbstractContextManager[list[Route]]:  # noqa: N802  # as unittest names its own
        """``captured_routes``."""
        return captured_routes()

    def assertReadsFrom(self, *aliases: str, model: Any = None) -> AbstractContextManager[list[Route]]:  # noqa: N802  # as above
        """``assert_reads_from``."""
        return assert_reads_from(*aliases, model=model)

    def assertPinned(self, response: Any) -> Pin:  # noqa: N802  # as above
        """``assert_pinned``."""
        return assert_pinned(response)

    def assertNotPinned(self, response: Any) -> None:  # noqa: N802  # as above
        """``assert_not_pinned``."""
        assert_not_pinned(response)

    def lagging(self, *aliases: str, seconds: float = 0) -> lagging:
        """``lagging``."""
        return lagging(*aliases, seconds=seconds)
