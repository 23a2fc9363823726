"""A stream reads as its request did to its very end, also where that comes early, and leaves its consumer alone."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from multidb import routing
from multidb.pinning import use_primary_db, use_replica
from multidb.routing import Forced, Routing, Scope
from multidb.streaming import streamed_in

# To close a response ends what its request did with databases.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Noted:
    """Generators that note what is forced at each step and when they end, and a scope for them."""

    def __init__(self) -> None:
        self.forced: list[Forced | None] = []
        self.scope = Scope(Routing(), Forced.PRIMARY)

    def note(self) -> None:
        self.forced.append(routing.current().forced)

    def chunks(self) -> Generator[bytes, None, None]:
        try:
            self.note()
            with use_replica:
                yield b"1"
                yield b"2"
        finally:
            self.note()

    async def achunks(self) -> AsyncGenerator[bytes, None]:
        for chunk in self.chunks():
            yield chunk
        await asyncio.sleep(0)


@pytest.fixture
def noted() -> Noted:
    return Noted()


def test_a_stream_closed_early_ends_in_its_scope_and_takes_no_block_of_its_consumer(noted: Noted) -> None:
    """It closes a block of the same kind as the one around whoever closes it."""
    response: Any = streamed_in(noted.scope, StreamingHttpResponse(noted.chunks()))
    with use_replica:
        outer = routing.current()
        next(iter(response))
        response.close()
        assert routing.current() is outer
    assert noted.forced == [Forced.PRIMARY, Forced.PRIMARY]


def test_a_stream_that_another_middleware_copies_ends_in_its_scope(noted: Noted) -> None:
    response: Any = StreamingHttpResponse(noted.chunks())
    response.streaming_content = (chunk for chunk in response.streaming_content)
    streamed_in(noted.scope, response)
    next(iter(response))
    response.close()
    assert noted.forced == [Forced.PRIMARY, Forced.PRIMARY]


async def test_an_async_stream_closed_early_has_ended_in_its_scope_when_its_response_is_closed(noted: Noted) -> None:
    response: Any = streamed_in(noted.scope, StreamingHttpResponse(noted.achunks()))
    with use_primary_db:
        outer = routing.current()
        await anext(aiter(response))
        await sync_to_async(response.close)()
        assert routing.current() is outer
    assert noted.forced == [Forced.PRIMARY, Forced.PRIMARY]


async def test_an_async_stream_that_was_read_to_its_end_is_closed_as_it_is(noted: Noted) -> None:
    response: Any = streamed_in(noted.scope, StreamingHttpResponse(noted.achunks()))
    assert [chunk async for chunk in response] == [b"1", b"2"]
    response.close()
    assert noted.forced == [Forced.PRIMARY, Forced.PRIMARY]


async def test_an_async_stream_closed_on_the_event_loop_ends_in_its_scope_when_it_is_collected(noted: Noted) -> None:
    response: Any = streamed_in(noted.scope, StreamingHttpResponse(noted.achunks()))
    await anext(aiter(response))
    response.close()
    del response
    gc.collect()
    await asyncio.sleep(0.01)
    assert noted.forced == [Forced.PRIMARY, Forced.PRIMARY]


async def test_an_async_iterator_that_cannot_be_closed_is_streamed(noted: Noted) -> None:
    class Once:
        def __init__(self) -> None:
            self._chunks: Iterator[bytes] = noted.chunks()

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            for chunk in self._chunks:
                return chunk
            raise StopAsyncIteration

    response: Any = streamed_in(noted.scope, StreamingHttpResponse(Once()))
    assert [chunk async for chunk in response] == [b"1", b"2"]


@pytest.mark.parametrize("chunks", [Noted.chunks, Noted.achunks], ids=["sync", "async"])
def test_a_response_dies_without_the_garbage_collector(noted: Noted, chunks: Any) -> None:
    response: Any = streamed_in(noted.scope, StreamingHttpResponse(chunks(noted)))
    died = weakref.ref(response)
    gc.disable()
    try:
        del response
        assert died() is None
    finally:
        gc.enable()
