"""The site's views, middleware and URLs. Each view does what the plan of its visit says."""

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import path
from django.utils.decorators import async_only_middleware, sync_and_async_middleware, sync_only_middleware

from benchmarks.interleaving.acts import aact, act, anumbers, numbers
from benchmarks.interleaving.visits import RAISED, Visit, visit_of
from multidb.pinning import db_write, use_primary_db
from multidb.routing import Forced

View = Callable[..., Any]


class PlannedError(Exception):
    """What a view raises whose plan says so."""


class LateResponse(SimpleTemplateResponse):
    """Is rendered after the view has returned, and reads then."""

    def __init__(self, visit: Visit) -> None:
        super().__init__("")
        self._visit = visit

    @property
    def rendered_content(self) -> str:
        act(self._visit)
        return ""


def view(request: HttpRequest, number: int) -> HttpResponseBase:
    visit = visit_of(request)
    act(visit, _around(visit))
    return _end(visit, HttpResponse())


async def aview(request: HttpRequest, number: int) -> HttpResponseBase:
    visit = visit_of(request)
    await aact(visit, _around(visit))
    return _end(visit, HttpResponse())


def late(request: HttpRequest, number: int) -> HttpResponseBase:
    visit = visit_of(request)
    act(visit, _around(visit))
    return _end(visit, LateResponse(visit))


def stream(request: HttpRequest, number: int) -> HttpResponseBase:
    visit = visit_of(request)
    act(visit, _around(visit))
    return _end(visit, StreamingHttpResponse(numbers(visit, None)()))


async def astream(request: HttpRequest, number: int) -> HttpResponseBase:
    visit = visit_of(request)
    await aact(visit, _around(visit))
    return _end(visit, StreamingHttpResponse(anumbers(visit, None)()))


async def nested_stream(request: HttpRequest, number: int) -> HttpResponseBase:
    """A generator that delegates to another, as the view itself delegates to a thread."""
    visit = visit_of(request)
    await sync_to_async(act)(visit, _around(visit))

    async def outer() -> AsyncGenerator[bytes, None]:
        async for chunk in use_primary_db(anumbers(visit, Forced.PRIMARY))():
            visit.read(None)
            yield chunk

    return _end(visit, StreamingHttpResponse(outer()))


def _around(visit: Visit) -> Forced | None:
    """What is in force around the whole view."""
    return Forced.PRIMARY if visit.plan.declared else None


def _end(visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
    if visit.plan.ending == RAISED:
        raise PlannedError
    return response


VIEWS: dict[str, View] = {each.__name__: each for each in (view, aview, late, stream, astream, nested_stream)}

urlpatterns = [path(f"{name}/<int:number>", each) for name, each in VIEWS.items()]
urlpatterns += [path(f"{name}/writing/<int:number>", db_write(each)) for name, each in VIEWS.items()]


def handler500(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=500)


@sync_and_async_middleware
def watch(get_response: View) -> View:
    """Tells the visit that the routing of its request has begun."""
    if iscoroutinefunction(get_response):

        async def awatching(request: HttpRequest) -> HttpResponseBase:
            visit_of(request).begin(request)
            response: HttpResponseBase = await get_response(request)
            return response

        return awatching

    def watching(request: HttpRequest) -> HttpResponseBase:
        visit_of(request).begin(request)
        response: HttpResponseBase = get_response(request)
        return response

    return watching


@sync_only_middleware
def sync_only(get_response: View) -> View:
    """What a project may have that was never made async."""
    return lambda request: get_response(request)


@async_only_middleware
def async_only(get_response: View) -> View:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await get_response(request)
        return response

    return middleware


@sync_and_async_middleware
def rewrite(get_response: View) -> View:
    """Wraps what is streamed, as a compressing middleware does."""

    def rewritten(response: HttpResponseBase) -> HttpResponseBase:
        if isinstance(response, StreamingHttpResponse):
            copied: Any = _acopied if response.is_async else _copied
            response.streaming_content = copied(response.streaming_content)
        return response

    if iscoroutinefunction(get_response):

        async def arewriting(request: HttpRequest) -> HttpResponseBase:
            return rewritten(await get_response(request))

        return arewriting
    return lambda request: rewritten(get_response(request))


def _copied(chunks: Any) -> Generator[bytes, None, None]:
    for chunk in chunks:
        yield bytes(chunk)


async def _acopied(chunks: Any) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield bytes(chunk)
