"""Bugs, each put into the library for as long as its block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.db import connections

from multidb import lookup, middleware, positions, routers, routing, writes
from multidb.backends import outage, redis_conversations
from multidb.backends.owed import Owed
from multidb.middleware import PinningRouterMiddleware
from multidb.pins import Pin
from multidb.request_routing import RequestRouting
from multidb.routing import Forced


@contextmanager
def no_merge() -> Iterator[None]:
    """A pin takes the place of the one that the client has."""
    process_response = PinningRouterMiddleware.process_response

    def overwrite(*args: Any) -> Any:
        with mock.patch.object(Pin, "merge", lambda pin, other: pin):
            return process_response(*args)

    with (
        mock.patch.object(PinningRouterMiddleware, "process_response", overwrite),
        mock.patch.object(redis_conversations, "MERGE", "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"),
    ):
        yield


@contextmanager
def pin_before_commit() -> Iterator[None]:
    """The position is that of the moment of the write, and not of the end of its transaction."""
    observe_write = RequestRouting.observe_write

    def note_position(routing: Any, alias: str, ignored_table: str | None) -> None:
        observe_write(routing, alias, ignored_table)
        vars(routing).setdefault("positions", {})[alias] = positions.primary_position(connections[alias])

    def noted(primaries: Any) -> dict[str, Any]:
        known = vars(routing.current().routing).get("positions", {})
        return {**writes.positions_after(primaries), **{each: known[each] for each in primaries if each in known}}

    with (
        mock.patch.object(RequestRouting, "observe_write", note_position),
        mock.patch.object(middleware, "positions_after", noted),
    ):
        yield


@contextmanager
def lookup_from_a_replica() -> Iterator[None]:
    """What is read to find the pin, as a session or a table, is read from a replica."""
    with (
        mock.patch.object(lookup, "push", lambda forced, block: routing.push(Forced.REPLICA, block)),
        mock.patch.object(routers, "is_session", return_value=False),
    ):
        yield


@contextmanager
def owed_pins_are_dropped() -> Iterator[None]:
    """What Redis did not take is not kept for when it is back."""
    with mock.patch.object(Owed, "add", return_value=0):
        yield


@contextmanager
def no_wait_for_what_others_owe() -> Iterator[None]:
    """Who sees Redis come back believes it at once."""
    with mock.patch.object(outage, "JITTER", -1):  # Of the seconds that it waits nothing is left.
        yield
