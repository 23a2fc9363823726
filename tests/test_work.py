"""What a request costs, counted: so that a change which makes it dearer fails here, on any machine."""

import gc
import hmac
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections, router
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from redis.connection import Connection

import multidb
from multidb import PinningReplicaRouter
from tests.conftest import REPLICAS, use_store
from tests.models import Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
]

LIBRARY = str(Path(multidb.__file__).parent)

READS = 10

TOKEN = {"Authorization": "Token ada"}


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def reads(request: HttpRequest) -> HttpResponse:
    for _ in range(READS):
        router.db_for_read(Post)
    return HttpResponse()


def fetches(request: HttpRequest) -> HttpResponse:
    for _ in range(READS):
        Post.objects.first()
    return HttpResponse()


async def areads(request: HttpRequest) -> HttpResponse:
    await sync_to_async(reads)(request)
    return HttpResponse()


urlpatterns = [path(view.__name__, view) for view in (nothing, reads, fetches, areads)]


class Work:
    """What was done, by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __getitem__(self, kind: str) -> int:
        return self.counts[kind]


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Count decisions of the router, hashes, round trips to Redis and commands, queries, and calls in the library."""
    work = Work()

    def count(owner: Any, name: str, kind: str, weight: Callable[..., int] = lambda *args: 1) -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            work.counts[kind] += weight(*args)
            return original(*args, **kwargs)

        context.setattr(owner, name, counting)

    def note_call(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(LIBRARY):
            work.counts["calls"] += 1

    captured = [CaptureQueriesContext(connections[alias]) for alias in ("default", *REPLICAS)]
    with patch.context() as context:
        count(PinningReplicaRouter, "route", "decisions")
        count(hmac, "new", "hashes")
        count(Connection, "pack_commands", "round trips")
        count(Connection, "pack_commands", "commands", lambda connection, commands: len(commands))
        for each in captured:
            each.__enter__()
        outer = sys.getprofile()
        sys.setprofile(note_call)
        try:
            yield work
        finally:
            sys.setprofile(outer)
            for each in captured:
                each.__exit__(None, None, None)
            work.counts["queries"] = sum(map(len, captured))


def pinned(client: Client) -> None:
    client.post("/nothing")


def unpinned(client: Client) -> None:
    pass


# Of each kind, what a request costs; of calls, which are those of functions of the library, the most: each version of
# Python makes a few more or less.
COSTS = {
    "nothing read, cookie": ("cookie", unpinned, "GET", "/nothing", {"calls": 20}),
    "read, cookie": ("cookie", unpinned, "GET", "/reads", {"decisions": 1, "calls": 92}),
    "read when pinned, cookie": ("cookie", pinned, "GET", "/reads", {"decisions": 1, "hashes": 1, "calls": 107}),
    "write, cookie": ("cookie", unpinned, "POST", "/reads", {"decisions": 1, "hashes": 1, "calls": 117}),
    "ten queries, cookie": ("cookie", unpinned, "GET", "/fetches", {"decisions": 1, "queries": 10, "calls": 92}),
    "nothing read, Redis": ("redis", unpinned, "GET", "/nothing", {"calls": 20}),
    "read, Redis": (
        "redis",
        unpinned,
        "GET",
        "/reads",
        {"decisions": 1, "hashes": 2, "round trips": 1, "commands": 2, "calls": 230},
    ),
    "write, Redis": (
        "redis",
        unpinned,
        "POST",
        "/reads",
        {"decisions": 1, "hashes": 2, "round trips": 1, "commands": 2, "calls": 230},
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_a_request_costs_no_more_than(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    store, prepare, method, address, most = COSTS[case]
    use_store(request, store)
    for alias in REPLICAS:
        connections[alias].execute_wrappers.clear()  # Of a test in which it was a primary.
    client = Client(headers={"authorization": "Token ada"})
    for _ in range(2):  # Connections are open, and all is imported.
        client.generic(method, address)
    client.cookies.clear()
    prepare(client)
    with counted(monkeypatch) as work:
        client.generic(method, address)
    counts = dict(work.counts)
    calls, most_calls = counts.pop("calls"), most["calls"]
    assert {kind: count for kind, count in counts.items() if count} == {
        kind: count for kind, count in most.items() if kind != "calls"
    }
    assert most_calls * 0.6 < calls <= most_calls


def test_of_a_hundred_reads_ninety_nine_are_one_call_each(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """That of ``db_for_read`` itself, pinned or not."""
    calls = []
    for number in (10, 10, 110):
        monkeypatch.setattr(f"{__name__}.READS", number)
        for prepare in (unpinned, pinned):
            client = Client()
            prepare(client)
            with counted(monkeypatch) as work:
                client.get("/reads")
            calls.append(work["calls"])
    assert calls[4] - calls[2] == 100
    assert calls[5] - calls[3] == 100


def test_a_read_costs_the_same_with_many_replicas(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """But for the one decision of each request. Each replica is up: a test may not connect to more than it has."""
    monkeypatch.setattr("multidb.health.is_usable", lambda alias: True)
    known = connections["replica-1"].settings_dict
    entry = {**known, "TEST": {**known["TEST"], "MIRROR": None}}
    work = {}
    for replicas in (1, 64):
        aliases = [f"replica-{number} of {replicas}" for number in range(replicas)]
        for alias in aliases:
            monkeypatch.setitem(connections.settings, alias, entry)
        settings.REPLICA_DATABASES = {"default": aliases}
        Client().get("/reads")
        with counted(monkeypatch) as counts:
            Client().get("/reads")
        work[replicas] = counts["decisions"], counts["calls"]
        for alias in aliases:
            if hasattr(connections._connections, alias):
                del connections[alias]
    assert work[64] == work[1]
    assert work[1][0] == 1
    assert 40 < work[1][1] <= 93


@pytest.fixture(params=["cookie", "redis"])
async def awaited_store(request: pytest.FixtureRequest) -> None:
    """Each store that an event loop waits for, after the first request of the loop, which Redis leaves to a thread."""
    use_store(request, request.param)
    await AsyncClient(headers=TOKEN).post("/areads")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_async_request_takes_no_thread_but_the_view_s(
    monkeypatch: pytest.MonkeyPatch, method: str, awaited_store: None
) -> None:
    """The handler's own, which it takes with every request, excepted."""
    taken: list[str] = []
    call = SyncToAsync.__call__

    async def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        taken.append(f"{self.func.__module__}.{getattr(self.func, '__qualname__', '')}")
        return await call(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", noted)
    await AsyncClient(headers=TOKEN).generic(method, "/areads")
    assert taken.count(f"{__name__}.reads") == 1
    assert not [each for each in taken if each.startswith("multidb.")]


def test_a_request_leaves_no_memory_behind_and_holds_little(request: pytest.FixtureRequest) -> None:
    """Of the library: what it allocates for a request is gone with that, and is a few kilobytes."""
    held: list[int] = []

    def hold(request: HttpRequest) -> HttpResponse:
        reads(request)
        held.append(of_the_library())
        return HttpResponse()

    client = Client()
    urlpatterns.append(path("hold", hold))
    try:
        for _ in range(20):
            client.get("/hold")
        tracemalloc.start()
        client.get("/hold")
        gc.collect()
        before = of_the_library()
        held.clear()
        for _ in range(50):
            client.get("/hold")
        gc.collect()
        after = of_the_library()
    finally:
        tracemalloc.stop()
        urlpatterns.pop()
    assert after - before < 1000
    assert 500 < max(held) - before < 8000


def of_the_library() -> int:
    """The bytes that lines of the library have allocated and that are in use."""
    snapshot = tracemalloc.take_snapshot() if tracemalloc.is_tracing() else None
    if snapshot is None:
        return 0
    ours = snapshot.filter_traces([tracemalloc.Filter(True, f"{LIBRARY}/*")])
    return sum(statistic.size for statistic in ours.statistics("filename"))
