"""Streamed responses: the view's generator reads as the view did, though it runs after the request has ended."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from multidb.generators import Steps, astepwise, stepwise
from multidb.routing import Scope


def streamed_in(scope: Scope, response: HttpResponseBase) -> HttpResponseBase:
    """Have what ``response`` streams made, and closed, in ``scope``. Returns ``response``."""
    is_file = getattr(response, "file_to_stream", None) is not None
    if is_file or not isinstance(response, StreamingHttpResponse):
        return response
    streaming: Any = response
    steps = Steps(scope)
    # Not ``streaming_content``, which refers to the response: only the garbage collector could end the two.
    chunks = streaming._iterator
    closers = [partial(steps.take, close) for close in streaming._resource_closers]
    if response.is_async:
        stream: Any = astepwise(_aeach, lambda: steps)(chunks)
        closers.insert(0, partial(_close, stream))
    else:
        stream = stepwise(_each, lambda: steps)(chunks)
    response.streaming_content = stream
    streaming._resource_closers = closers
    return response


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
    if stream.ag_frame is None:  # type: ignore[attr-defined]  # of every generator
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        async_to_sync(_aclose)(stream)


async def _aclose(stream: AsyncGenerator[Any, None]) -> None:
    await stream.aclose()
