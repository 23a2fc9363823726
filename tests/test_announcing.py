"""A signal that is sent where something is noticed reaches each kind of receiver, and disturbs nobody."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.dispatch import Signal
from django.http import HttpRequest
from servers.processes import wait_until

from multidb import routing
from multidb.announcing import announce
from multidb.backends import get_pin_store
from multidb.request_routing import RequestRouting


class Told:
    """Receivers of each kind, which note what they are told and then fail."""

    def __init__(self) -> None:
        self.signal = Signal()
        self.told: list[str] = []
        self.signal.connect(self.receive)
        self.signal.connect(self.areceive)

    def receive(self, store: str, **kwargs: Any) -> None:
        self.told.append(f"sync {store}")
        raise RuntimeError

    async def areceive(self, store: str, **kwargs: Any) -> None:
        self.told.append(f"async {store}")
        raise RuntimeError


@pytest.fixture
def told() -> Told:
    return Told()


def test_without_an_event_loop_all_are_told_at_once(told: Told) -> None:
    announce(told.signal, store="first")
    assert sorted(told.told) == ["async first", "sync first"]


def until(is_so: Callable[[], bool]) -> None:
    wait_until(is_so, 10, "Nobody was told")


async def test_on_an_event_loop_all_are_told_soon(told: Told) -> None:
    announce(told.signal, store="first")
    await sync_to_async(until)(lambda: len(told.told) == 2)
    assert sorted(told.told) == ["async first", "sync first"]


def test_an_event_loop_that_ends_takes_nothing_with_it(told: Told) -> None:
    """As that of an async view under WSGI."""

    async def view() -> None:
        announce(told.signal, store="first")

    asyncio.run(view())
    until(lambda: len(told.told) == 2)
    assert sorted(told.told) == ["async first", "sync first"]


async def test_a_receiver_is_outside_the_request(told: Told) -> None:
    seen: list[object] = []

    def look(**kwargs: Any) -> None:
        seen.append(routing.current().routing)

    told.signal.connect(look)
    routing.resume(routing.Scope(RequestRouting(HttpRequest(), get_pin_store(), writes=True)))
    announce(told.signal, store="first")
    await sync_to_async(until)(lambda: bool(seen))
    assert seen == [routing.OUTSIDE]


async def test_in_a_thread_beside_an_event_loop_all_are_told_at_once(told: Told) -> None:
    await sync_to_async(announce)(told.signal, store="first")
    assert sorted(told.told) == ["async first", "sync first"]
