"""Where the reads of a test went, and why."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from multidb import routing
from multidb.routes import Route, captures, is_session, label


@contextmanager
def captured_routes() -> Iterator[list[Route]]:
    """A list into which each routed read inside goes, as a ``Route``: ``alias``, ``reason``, ``model`` and ``primary``.

    Those of requests that begin inside, of the one in which this is, and those outside of any, in every thread of this
    process.
    """
    captured: list[Route] = []
    captures.append(captured)
    routing.current().routing.settled.forget()
    try:
        yield captured
    finally:
        captures[:] = [each for each in captures if each is not captured]


@contextmanager
def assert_reads_from(*aliases: str, model: Any = None) -> Iterator[list[Route]]:
    """Assert that something is read inside, and all of it from one of ``aliases``; with ``model``, of that model.

    Yields what ``captured_routes`` does. The rows of database sessions, which are always read from the primary, do not
    count, unless ``model`` is theirs. Raises ``ValueError`` for an alias that is not in ``DATABASES``, or without any.
    """
    _check(aliases)
    with captured_routes() as captured:
        yield captured
    counted = [route for route in captured if (route.model is model if model else not is_session(route.model))]
    if counted and all(route.destination in aliases for route in counted):
        return
    what = f"of {label(model)} " if model else ""
    wanted = " or ".join(aliases)
    if not counted:
        raise AssertionError(f"No read {what}was routed, and one from {wanted} was expected.{_listed(captured)}")
    raise AssertionError(f"Not every read {what}went to {wanted}.{_listed(counted)}")


def _check(aliases: tuple[str, ...]) -> None:
    if not aliases:
        raise ValueError("assert_reads_from() needs one alias or more.")
    for alias in aliases:
        if alias not in connections:
            allowed = ", ".join(map(repr, connections))
            raise ValueError(f"assert_reads_from() names {alias!r}, which is not in DATABASES. Allowed: {allowed}.")


def _listed(routes: list[Route]) -> str:
    """What went where: one line for each model, alias and reason, in the order of their first reads."""
    counts = Counter(map(_line, routes))
    lines = [f"\n  {line}{f' ({count} reads)' if count > 1 else ''}" for line, count in counts.items()]
    return " What was read:" + "".join(lines) if lines else ""


def _line(route: Route) -> str:
    would = f", in a dry run: it would be {route.alias}" if route.is_dry_run else ""
    return f"{route.label} from {route.destination}, reason: {route.reason}{would}"
