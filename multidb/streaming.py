"""Streamed responses: the view's generator reads as the view did, though it runs after the request has ended."""

from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from multidb import event_loop
from multidb.generators import Steps, astepwise, stepwise
from multidb.routing import Scope


def streamed_in(scope: Scope, response: HttpResponseBase) -> HttpResponseBase:
    """Have what ``response`` streams made, and closed, in ``scope``. Returns ``response``."""
    # The first is asked of every response.
    if not isinstance(response, StreamingHttpResponse) or not is_made_later(response):
        return response
    streaming: Any = response  # Of which the stubs do not know all.
    steps = Steps(scope)
    # Not ``streaming_content``, which refers to the response: only the garbage collector could end the two.
    chunks = streaming._iterator
    closers = [partial(steps.take, close) for close in streaming._resource_closers]
    if streaming.is_async:
        stream: Any = astepwise(_aeach, lambda: steps)(chunks)
        closers.insert(0, partial(_close, stream))
    else:
        stream = stepwise(_each, lambda: steps)(chunks)
    streaming.streaming_content = stream
    scope.routing.note_stream()
    closers.append(partial(scope.routing.end_stream))
    streaming._resource_closers = closers  # Without the one that was added just now: it would close out of scope.
    return response


def is_made_later(response: HttpResponseBase) -> bool:
    """Is the content of ``response`` made only while it is sent? Not that of a file, which is there."""
    return isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None


def _each(chunks: Any) -> Generator[Any, None, None]:
    yield from chunks


async def _aeach(chunks: Any) -> AsyncGenerator[Any, None]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        # Django leaves this to the garbage collector, which would do it in any scope.
        if hasattr(chunks, "aclose"):
            await chunks.aclose()


def _close(stream: AsyncGenerator[Any, None]) -> None:
    """Close ``stream`` if it has not ended, on the event loop that it runs on, from the thread of Django's handler."""
    has_ended = stream.ag_frame is None  # type: ignore[attr-defined]  # of every generator
    if not has_ended and not event_loop.is_running():
        async_to_sync(_aclose)(stream)


async def _aclose(stream: AsyncGenerator[Any, None]) -> None:
    await stream.aclose()
