"""What a project's own tests need: where reads went, replicas that lag on purpose, who is pinned.

Plain functions and context managers for every test framework, and a mixin for ``unittest``. The fixtures of pytest are
in ``pytest_multidb``, which pytest finds by itself.
"""

from multidb.routes import Route
from multidb.test.clients import aassert_not_pinned, aassert_pinned, assert_not_pinned, assert_pinned
from multidb.test.isolation import isolated_routing
from multidb.test.lagging import lagging
from multidb.test.mixin import RoutingTestMixin
from multidb.test.reads import assert_reads_from, captured_routes

__all__ = [
    "Route",
    "RoutingTestMixin",
    "aassert_not_pinned",
    "aassert_pinned",
    "assert_not_pinned",
    "assert_pinned",
    "assert_reads_from",
    "captured_routes",
    "isolated_routing",
    "lagging",
]
