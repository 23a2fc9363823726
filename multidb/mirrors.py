"""Test mirrors: where no other connection could see what a test wrote, its reads run on the primary's."""

import sys
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from multidb.routes import Route

# Nobody but tests import it.
TESTCASES = "django.test.testcases"


def run_on(route: Route, destination: str) -> str:
    """The alias on whose connection the read of ``route`` runs, which goes to ``destination``: that, outside of tests.

    In tests a replica is a mirror of its primary, by a connection of its own. What a ``TestCase`` wrote and has not
    committed cannot be seen there, and a test whose ``databases`` do not name the replica may not read from it: such
    reads run on the primary.
    """
    if TESTCASES not in sys.modules or destination == route.primary:
        return destination
    replica = connections[destination]
    if replica.settings_dict["TEST"]["MIRROR"] != route.primary:
        return destination  # A database of the project's own, with rows of its own.
    blocks: list[Any] = connections[route.primary].atomic_blocks
    if (blocks and blocks[0]._from_testcase) or is_forbidden(replica):
        return route.primary
    return destination


def heed_no_locks(replica: Any) -> None:
    """Let a mirror in the memory that SQLite's connections share, as in tests, read what its primary has locked.

    In a ``TestCase`` with all databases Django reads from each, while the primary has not committed.
    https://www.sqlite.org/sharedcache.html#read_uncommitted_isolation_mode
    """
    if replica.vendor == "sqlite" and replica.is_in_memory_db():
        replica.connection.execute("PRAGMA read_uncommitted = ON").close()


def is_forbidden(replica: BaseDatabaseWrapper) -> bool:
    """Does the test that runs forbid ``replica``, in this thread by its methods and in others when it connects?"""
    if isinstance(vars(replica).get("cursor"), sys.modules[TESTCASES]._DatabaseFailure):
        return True
    try:
        replica.ensure_connection()
    except AssertionError:
        return True
    except (Error, RuntimeError, SynchronousOnlyOperation):
        pass  # The query will tell.
    return False
