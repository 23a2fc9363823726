"""Scopes, which are replaced and never changed, and the routing outside a request."""

import pytest
from django.db import router

from multidb import routing
from multidb.pinning import this_thread_is_pinned
from multidb.rollout import Mode
from multidb.routing import Forced, Scope
from tests.conftest import REPLICAS
from tests.models import Post


def test_nothing_can_be_kept_outside_a_request() -> None:
    state = routing.current().routing
    state.declare_write()
    state.declare_read()
    state.declare_mode(Mode.OFF)
    state.note_reads([])
    assert not this_thread_is_pinned()
    assert router.db_for_read(Post) in REPLICAS
    assert not state.is_dry_run
    with pytest.raises(AttributeError):
        state.notes = ([],)  # type: ignore[misc]  # which is what is shown


def test_blocks_end_in_any_order() -> None:
    """Those entered later, which a generator may have left open, stay."""
    outer = routing.current()
    routing.push(Forced.PRIMARY, "first")
    routing.push(Forced.REPLICA, "second")
    routing.pop("first")
    assert routing.current().forced is Forced.REPLICA
    assert routing.current().outer is outer
    routing.pop("second")
    assert routing.current() is outer
    routing.pop("never entered")
    assert routing.current() is outer


def test_a_request_ends_and_the_one_around_it_goes_on() -> None:
    """Also where it has begun no routing of its own."""

    class Ending(routing.Routing):
        has_ended = False

        def end(self) -> None:
            self.has_ended = True

    outer, inner = (Scope(Ending()) for _ in range(2))
    routing.resume(outer)
    routing.end(outer)
    assert not outer.routing.has_ended
    routing.resume(inner)
    routing.end(outer)
    assert inner.routing.has_ended
    assert not outer.routing.has_ended
    assert routing.current() is outer


def test_what_is_forced_from_here_on_ends_with_the_block() -> None:
    routing.push(Forced.REPLICA, "block")
    routing.force(Forced.PRIMARY)
    assert routing.current().forced is Forced.PRIMARY
    routing.pop("block")
    assert routing.current().forced is None
