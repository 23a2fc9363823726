"""What code may ask for keeps the types of what it decorates."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from django.http import HttpRequest, HttpResponse
from django.views import View

import multidb
from multidb.pinning import (
    db_read,
    db_routing,
    db_write,
    mark_as_write,
    this_thread_is_pinned,
    use_primary_db,
    use_replica,
)


@db_write
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    return HttpResponse(token)


def pages(number: int) -> HttpResponse:
    return HttpResponse()


@db_read
async def search(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@db_routing("dry run")
def trial(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Report(View):
    @use_replica
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@use_primary_db
def numbers() -> Iterator[int]:
    yield 1


@use_replica
async def letters() -> AsyncIterator[str]:
    yield "a"


def of_functions(request: HttpRequest) -> None:
    assert_type(confirm(request, "token"), HttpResponse)
    assert_type(trial(request), HttpResponse)
    assert_type(Report().get(request), HttpResponse)
    confirm(request)  # type: ignore[call-arg]  # the token is wanted still
    assert_type(mark_as_write(HttpResponse()), HttpResponse)


async def of_coroutines(request: HttpRequest) -> None:
    assert_type(await search(request), HttpResponse)


async def of_generators() -> None:
    for number in numbers():
        assert_type(number, int)
    async for letter in letters():
        assert_type(letter, str)


def of_blocks() -> None:
    with use_primary_db, use_replica:
        assert_type(this_thread_is_pinned(), bool)
    use_primary_db()  # type: ignore[call-arg]  # a block is `with use_primary_db:`
    db_routing(1.5)  # type: ignore[arg-type]  # a mode is a bool or a string


def of_the_package() -> None:
    assert_type(multidb.this_thread_is_pinned(), bool)
    assert_type(multidb.get_replica(), str)
    assert_type(multidb.DEFAULT_DB_ALIAS, str)
    assert_type(multidb.db_write(pages)(1), HttpResponse)
    assert_type(multidb.__version__, str)
    assert_type(sum(multidb.VERSION), int)
