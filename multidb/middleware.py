"""PinningRouterMiddleware: begin the request's routing, call the view, save the pin."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from multidb import routing
from multidb.backends import get_pin_store
from multidb.backends.base import UnsentResponse
from multidb.conf import SameSite, conf
from multidb.pinning import use_primary_db
from multidb.pins import Pin
from multidb.replicas import topology
from multidb.request_routing import RequestRouting
from multidb.rerun import run_again
from multidb.routing import OUTSIDE, Routing, Scope
from multidb.streaming import streamed_in
from multidb.writes import positions_after, watch_connections

READ_ONLY_METHODS = frozenset(["GET", "TRACE", "HEAD", "OPTIONS"])


class PinningRouterMiddleware(MiddlewareMixin):
    """Pins whoever writes to the primary, so that the requests that follow read what was written.

    Sync and async capable. ``process_request`` and ``process_response`` can be called on their own, and overridden.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        watch_connections()
        own = type(self).process_template_response is PinningRouterMiddleware.process_template_response
        if self.async_mode and own:
            # Django would run the other one on a thread.
            self.process_template_response = self.aprocess_template_response  # type: ignore[method-assign]  # its twin

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        outer = routing.current()
        try:
            response: Any = self.process_request(request) or self.get_response(request)
            return self.process_response(request, response)
        except asyncio.CancelledError:
            # Under ASGI, where a middleware after this one is not async: as below.
            self.process_response(request, UnsentResponse())
            raise
        finally:
            routing.resume(outer)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        outer = routing.current()
        try:
            get_response: Any = self.get_response
            response = await self._aprocess_request(request) or await get_response(request)
            return await self.aprocess_response(request, response)
        except asyncio.CancelledError:
            # The client has gone, but what it asked for may be done all the same.
            await asyncio.shield(self.aprocess_response(request, UnsentResponse()))
            raise
        finally:
            routing.resume(outer)

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        """Begin the routing of ``request``. The pin is not looked up before a read needs it."""
        writes = request.method not in READ_ONLY_METHODS
        routing.resume(Scope(RequestRouting(request, get_pin_store(), writes)))
        return None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Pin the client if its request wrote. Returns ``response``."""
        with use_primary_db:
            if written := _written(request, response):
                get_pin_store().save(request, response, _pin(request, positions_after(written)))
        return streamed_in(routing.current(), response)

    async def aprocess_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The async twin of ``process_response``, which is called instead where a subclass has its own."""
        if type(self).process_response is not PinningRouterMiddleware.process_response:
            return await sync_to_async(self.process_response)(request, response)
        with use_primary_db:
            if written := _written(request, response):
                asks = conf.pinning_until == "replayed"
                positions = await sync_to_async(positions_after)(written) if asks else dict.fromkeys(written)
                await get_pin_store().asave(request, response, _pin(request, positions))
        return streamed_in(routing.current(), response)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        """Note that the view has returned, and what follows is the rendering of its response. Returns ``response``."""
        routing.current().routing.note_rendering()
        return response

    async def aprocess_template_response(self, request: HttpRequest, response: Any) -> Any:
        """The async twin of ``process_template_response``."""
        return PinningRouterMiddleware.process_template_response(self, request, response)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Run the view once more, if it only reads and ``exception`` is that of a replica which died under it."""
        return run_again(request, exception, type(self))

    async def _aprocess_request(self, request: HttpRequest) -> HttpResponseBase | None:
        if type(self).process_request is not PinningRouterMiddleware.process_request:
            return await sync_to_async(self.process_request)(request)
        return self.process_request(request)


def pinning_cookie() -> str:
    """The name of the cookie that carries a pin."""
    return conf.pinning_cookie


def pinning_cookie_secure() -> bool:
    """Whether the cookie is sent over HTTPS only."""
    return conf.pinning_cookie_secure


def pinning_cookie_httponly() -> bool:
    """Whether the page's scripts cannot read the cookie."""
    return conf.pinning_cookie_httponly


def pinning_cookie_samesite() -> SameSite:
    """The cookie's ``SameSite`` attribute."""
    return conf.pinning_cookie_samesite


def pinning_seconds() -> int | float:
    """The longest that a pin holds, in seconds."""
    return conf.pinning_seconds


def _pin(request: HttpRequest, written: Mapping[str, Mapping[str, str] | None]) -> Pin:
    """What is to be kept for the client: a pin on the primaries ``written``, each with its position, from now on,
    merged with the one that the client came with.
    """
    return Pin.on(written, time.time() + conf.pinning_seconds).merge(_state_of(request).pin)


def _written(request: HttpRequest, response: HttpResponseBase) -> Collection[str]:
    """The primaries that ``request`` wrote to. What the response says decides, then what the view said, and then the
    method or, by ``MULTIDB_PINNING_TRIGGER``, the writes that were observed.
    """
    state = _state_of(request)
    primaries = topology().primaries
    marked = getattr(response, "_db_write", None)
    if marked is not None:
        return primaries if marked else ()
    if state.wrote:
        return primaries
    if conf.pinning_trigger == "write":
        return () if state.reads_only else [primary for primary in primaries if primary in state.written]
    writes = request.method not in READ_ONLY_METHODS if state is OUTSIDE else state.writes
    return primaries if writes else ()


def _state_of(request: HttpRequest) -> Routing:
    state = routing.current().routing
    return state if state.is_of(request) else OUTSIDE
