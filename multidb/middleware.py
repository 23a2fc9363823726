"""PinningRouterMiddleware: begin the request's routing, call the view, save the pin."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from multidb import explanation, routing
from multidb.backends import get_pin_store
from multidb.backends.unsent import UnsentResponse
from multidb.conf import SameSite, conf
from multidb.pinning import use_primary_db
from multidb.pins import Pin
from multidb.replicas import topology
from multidb.reporting import areport, report
from multidb.request_routing import RequestRouting
from multidb.rerun import run_again
from multidb.routing import OUTSIDE, Routing, Scope
from multidb.signals import pinned
from multidb.streaming import is_made_later, streamed_in
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
            self.process_template_response = self.aprocess_template_response  # type: ignore[method-assign]  # Django asks the object, and awaits this one

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        outer = routing.current()
        response: Any = None
        try:
            response = self.process_request(request) or self.get_response(request)
            return self.process_response(request, response)
        except asyncio.CancelledError as gone:
            # Under ASGI, where a middleware after this one is not async: as below.
            try:
                self.process_response(request, UnsentResponse(response))
            except Exception as error:
                raise gone from error
            raise
        finally:
            if outer.routing is not OUTSIDE:
                _pass_on(request, outer.routing)
            routing.end(outer)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        outer = routing.current()
        response: Any = None
        try:
            get_response: Any = self.get_response
            response = await self._aprocess_request(request) or await get_response(request)
            return await self.aprocess_response(request, response)
        except asyncio.CancelledError as gone:
            # The client has gone, but what it asked for may be done all the same.
            saving = _begun(self.aprocess_response(request, UnsentResponse(response)))
            await asyncio.wait([saving])
            if not saving.cancelled() and (error := saving.exception()):
                raise gone from error
            raise
        finally:
            if outer.routing is not OUTSIDE:
                _pass_on(request, outer.routing)
            routing.end(outer)

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        """Begin the routing of ``request``. The pin is not looked up before a read needs it."""
        state = RequestRouting(request, get_pin_store(), request.method not in READ_ONLY_METHODS)
        explanation.begin(request, state)
        routing.resume(Scope(state))
        return None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Pin the client if its request wrote. Returns ``response``."""
        if written := _written(request, response):
            with use_primary_db:
                positions = dict.fromkeys(written) if is_made_later(response) else positions_after(written)
                pin = _pin(request, positions)
                store = get_pin_store()
                try:
                    store.save(request, response, pin)
                except ImproperlyConfigured:
                    raise
                except Exception as error:
                    store.save_otherwise(request, response, pin, error)
            if pinned.receivers:
                pinned.send_robust(None, request=request, response=response, pin=pin)
        scope = routing.current()
        response = streamed_in(scope, response)
        if scope.routing.notes:
            report(request, response, scope.routing)
        return response

    async def aprocess_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The async twin of ``process_response``, which is called instead where a subclass has its own."""
        if type(self).process_response is not PinningRouterMiddleware.process_response:
            return await sync_to_async(self.process_response)(request, response)
        if written := _written(request, response):
            with use_primary_db:
                asks = conf.pinning_until == "replayed" and not is_made_later(response)
                positions = await sync_to_async(positions_after)(written) if asks else dict.fromkeys(written)
                pin = _pin(request, positions)
                store = get_pin_store()
                try:
                    await store.asave(request, response, pin)
                except ImproperlyConfigured:
                    raise
                except Exception as error:
                    store.save_otherwise(request, response, pin, error)
            if pinned.receivers:
                await _tell(request, response, pin)
        scope = routing.current()
        response = streamed_in(scope, response)
        if scope.routing.notes:
            await areport(request, response, scope.routing)
        return response

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
    marked = getattr(response, "_db_write", None)
    if marked is not None:
        return topology().primaries if marked else ()
    if state.wrote:
        return topology().primaries
    writes = request.method not in READ_ONLY_METHODS if state is OUTSIDE else state.writes
    if not writes and not state.written:
        return ()
    # What a client that has gone asked for may still be on its way, in a thread.
    if conf.pinning_trigger == "write" and not (writes and isinstance(response, UnsentResponse)):
        written = () if state.reads_only else state.written
        return [primary for primary in topology().primaries if primary in written]
    return topology().primaries if writes else ()


async def _tell(request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
    """Send ``pinned``, once for ``request``: also where its client goes meanwhile, so that the pin is saved again."""
    telling = vars(request).get(_TELLING)
    if telling is None:
        telling = _begun(pinned.asend_robust(None, request=request, response=response, pin=pin))
        vars(request)[_TELLING] = telling
    await asyncio.shield(telling)


def _begun(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that does ``work`` to its end, whether or not somebody waits for it."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


_TELLING = "_multidb_telling"

# An event loop does not hold its tasks: https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task
_tasks: set[asyncio.Task[Any]] = set()


def _pass_on(request: HttpRequest, outer: Routing) -> None:
    """What ``request`` has written, the one has too inside which it was made, and which ``outer`` routes."""
    state = _state_of(request)
    for primary in tuple(state.written):  # A thread that the request has left behind may add to it.
        outer.observe_write(primary, None)
    for table in tuple(state.ignored_tables):
        outer.observe_write(DEFAULT_DB_ALIAS, table)


def _state_of(request: HttpRequest) -> Routing:
    state = routing.current().routing
    return state if state.is_of(request) else OUTSIDE
