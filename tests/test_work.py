"""What a request costs, counted: so that a change which makes it dearer fails here, on any machine."""

import asyncio
import gc
import hmac
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections, router
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from redis.asyncio.connection import AbstractConnection as AsyncConnection
from redis.connection import AbstractConnection

import multidb
from multidb import PinningReplicaRouter
from tests.allocations import AllocationCounter
from tests.conftest import REPLICAS, use_store
from tests.models import Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
]

LIBRARY = str(Path(multidb.__file__).parent)

READS = 10

# Any classes will do.
MODELS = [type(f"Model{number}", (), {}) for number in range(READS)]

TOKEN = {"Authorization": "Token ada"}


@pytest.fixture(autouse=True)
def _replicas_are_no_primaries() -> None:
    """As they were in other tests."""
    for alias in REPLICAS:
        connections[alias].execute_wrappers.clear()


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def reads(request: HttpRequest) -> HttpResponse:
    for _ in range(READS):
        router.db_for_read(Post)
    return HttpResponse()


def reads_of_many(request: HttpRequest) -> HttpResponse:
    for model in MODELS:
        router.db_for_read(model)
    return HttpResponse()


def reads_beside(request: HttpRequest) -> HttpResponse:
    """Of a site that has a router of its own after ours."""
    ours = router.routers
    router.routers = [*ours, Elsewhere()]
    try:
        return reads(request)
    finally:
        router.routers = ours


class Elsewhere:
    def db_for_write(self, model: Any, **hints: Any) -> None:
        return None


def fetches(request: HttpRequest) -> HttpResponse:
    for _ in range(READS):
        Post.objects.first()
    return HttpResponse()


async def areads(request: HttpRequest) -> HttpResponse:
    await sync_to_async(reads)(request)
    return HttpResponse()


urlpatterns = [path(view.__name__, view) for view in (nothing, reads, reads_of_many, reads_beside, fetches, areads)]


class Work:
    """What was done, by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __getitem__(self, kind: str) -> int:
        return self.counts[kind]


@contextmanager
def counted(patch: pytest.MonkeyPatch, aliases: Iterable[str] = ("default", *REPLICAS)) -> Iterator[Work]:
    """Count decisions of the router, hashes, round trips to Redis and commands, queries of ``aliases``, and the
    library's calls in this thread.
    """
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

    captured = [CaptureQueriesContext(connections[alias]) for alias in aliases]
    with patch.context() as context:
        count(PinningReplicaRouter, "route", "decisions")
        count(hmac, "new", "hashes")
        count(hmac, "digest", "hashes")
        for connection in (AbstractConnection, AsyncConnection):
            count(connection, "send_packed_command", "round trips")
            count(connection, "pack_commands", "commands", lambda connection, commands: len(commands))
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


def with_session(client: Client) -> None:
    session = client.session
    session["visits"] = 1
    session.save()


def pinned_with_session(client: Client) -> None:
    with_session(client)
    pinned(client)


# Of each kind, what a request costs; of calls, which are those of functions of the library, the most: each version of
# Python makes a few more or less.
COSTS = {
    "nothing read, cookie": ("cookie", unpinned, "GET", "/nothing", {"calls": 20}),
    "read, cookie": ("cookie", unpinned, "GET", "/reads", {"decisions": 1, "calls": 98}),
    "read of ten models, cookie": ("cookie", unpinned, "GET", "/reads_of_many", {"decisions": 1, "calls": 150}),
    "read when pinned, cookie": ("cookie", pinned, "GET", "/reads", {"decisions": 1, "hashes": 1, "calls": 107}),
    "read beside another router, cookie": ("cookie", unpinned, "GET", "/reads_beside", {"decisions": 1, "calls": 151}),
    "write, cookie": ("cookie", unpinned, "POST", "/reads", {"decisions": 1, "hashes": 1, "calls": 117}),
    "ten queries, cookie": ("cookie", unpinned, "GET", "/fetches", {"decisions": 1, "queries": 10, "calls": 98}),
    "ten queries when pinned, cookie": (
        "cookie",
        pinned,
        "GET",
        "/fetches",
        {"decisions": 1, "hashes": 1, "queries": 10, "calls": 160},
    ),
    "ten queries and a write, cookie": (
        "cookie",
        unpinned,
        "POST",
        "/fetches",
        {"decisions": 1, "hashes": 1, "queries": 10, "calls": 160},
    ),
    "nothing read, session": ("session", with_session, "GET", "/nothing", {"calls": 20}),
    "read, session": (
        "session",
        with_session,
        "GET",
        "/reads",
        {"decisions": 2, "hashes": 1, "queries": 1, "calls": 170},
    ),
    "read when pinned, session": (
        "session",
        pinned_with_session,
        "GET",
        "/reads",
        {"decisions": 2, "hashes": 2, "queries": 1, "calls": 170},
    ),
    "write, session": (
        "session",
        with_session,
        "POST",
        "/reads",
        {"decisions": 1, "hashes": 3, "queries": 2, "calls": 195},
    ),
    "nothing read, Redis": ("redis", unpinned, "GET", "/nothing", {"calls": 20}),
    "read, Redis": (
        "redis",
        unpinned,
        "GET",
        "/reads",
        {"decisions": 1, "hashes": 2, "round trips": 1, "commands": 2, "calls": 236},
    ),
    "read when pinned, Redis": (
        "redis",
        pinned,
        "GET",
        "/reads",
        {"decisions": 1, "hashes": 3, "round trips": 1, "commands": 2, "calls": 260},
    ),
    "write, Redis": (
        "redis",
        unpinned,
        "POST",
        "/reads",
        {"decisions": 1, "hashes": 2, "round trips": 1, "commands": 2, "calls": 236},
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_a_request_costs_no_more_than(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    store, prepare, method, address, most = COSTS[case]
    use_store(request, store)
    client = Client(headers={"authorization": "Token ada"})
    for _ in range(2):  # Connections are open, and all is imported.
        client.generic(method, address)
    client.cookies.clear()
    prepare(client)
    with counted(monkeypatch) as work:
        client.generic(method, address)
    assert_no_more(work, most)


# Of each kind, how many times memory is allocated, at the most, more than without the library: by Python 3.11, which
# allocates for a call what later ones do not, and by those.
ALLOCATIONS = {
    "nothing read, cookie": (78, 46),
    "read, cookie": (330, 165),
    "read when pinned, cookie": (485, 285),
    "write, cookie": (870, 535),
    "ten queries, cookie": (330, 160),
    "ten queries when pinned, cookie": (485, 285),
    "ten queries and a write, cookie": (870, 535),
}


@pytest.fixture(scope="module")
def allocation_counter(tmp_path_factory: pytest.TempPathFactory) -> AllocationCounter:
    return AllocationCounter(tmp_path_factory.mktemp("allocations"))


@pytest.mark.parametrize("case", ALLOCATIONS)
def test_a_request_allocates_no_more_than(
    request: pytest.FixtureRequest, allocation_counter: AllocationCounter, settings: Any, case: str
) -> None:
    """Of ten queries, most are Django's own."""
    store, prepare, method, address, _ = COSTS[case]
    use_store(request, store)
    allocated = []
    for middleware, routers in (
        (settings.MIDDLEWARE, settings.DATABASE_ROUTERS),
        ([each for each in settings.MIDDLEWARE if "multidb" not in each], []),
    ):
        settings.MIDDLEWARE, settings.DATABASE_ROUTERS = middleware, routers
        client = Client()
        prepare(client)
        for _ in range(20):
            client.generic(method, address)
        # What CPython keeps of what was freed differs: fewer are those that cannot do without.
        counts = [allocation_counter.count(partial(client.generic, method, address)) for _ in range(5)]
        allocated.append(min(counts))
    most = ALLOCATIONS[case][sys.version_info >= (3, 12)]
    assert most * 0.5 < allocated[0] - allocated[1] <= most


def assert_no_more(work: Work, most: dict[str, int]) -> None:
    counts = {kind: count for kind, count in work.counts.items() if count}
    calls, most_calls = counts.pop("calls"), most["calls"]
    assert counts == {kind: count for kind, count in most.items() if kind != "calls"}
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
    assert 40 < work[1][1] <= 98


@pytest.fixture(params=["cookie", "redis"])
async def awaited_store(request: pytest.FixtureRequest) -> str:
    """Each store that an event loop waits for, after the first request of the loop, which Redis leaves to a thread."""
    use_store(request, request.param)
    await AsyncClient().post("/areads", headers=TOKEN)
    return str(request.param)


# As ``COSTS``; the calls are those on the event loop, and the pin is looked up in the thread of the view that reads.
ASYNC_COSTS = {
    ("cookie", "GET"): {"decisions": 1, "calls": 30},
    ("cookie", "POST"): {"decisions": 1, "hashes": 1, "calls": 93},
    ("redis", "GET"): {"decisions": 1, "hashes": 2, "round trips": 1, "commands": 2, "calls": 30},
    ("redis", "POST"): {"decisions": 1, "hashes": 2, "round trips": 1, "commands": 2, "calls": 215},
}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_async_request_costs_no_more_than(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, method: str, awaited_store: str
) -> None:
    await AsyncClient().generic(method, "/areads", headers=TOKEN)
    with counted(monkeypatch, aliases=()) as work:
        await AsyncClient().generic(method, "/areads", headers=TOKEN)
    assert_no_more(work, ASYNC_COSTS[awaited_store, method])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_async_request_takes_no_thread_but_the_view_s(
    monkeypatch: pytest.MonkeyPatch, settings: Any, method: str, awaited_store: str
) -> None:
    """Those are taken that are without the library, and no others."""
    taken: list[str] = []
    threads: list[object] = []
    began: list[Any] = []
    start = threading.Thread.start
    call = SyncToAsync.__call__
    loop = asyncio.get_running_loop()
    run_in_executor = loop.run_in_executor

    async def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        taken.append(f"{self.func.__module__}.{getattr(self.func, '__qualname__', '')}")
        return await call(self, *args, **kwargs)

    def noted_by_the_loop(*arguments: Any) -> Any:
        threads.append(arguments)
        return run_in_executor(*arguments)

    def noted_by_itself(thread: threading.Thread) -> None:
        started_by = sys._getframe(1)
        while started_by is not None and not started_by.f_code.co_filename.startswith(LIBRARY):
            started_by = started_by.f_back
        began.append(started_by)
        start(thread)

    monkeypatch.setattr(SyncToAsync, "__call__", noted)
    monkeypatch.setattr(loop, "run_in_executor", noted_by_the_loop)
    monkeypatch.setattr(threading.Thread, "start", noted_by_itself)
    ours = settings.MIDDLEWARE
    settings.MIDDLEWARE = [each for each in ours if "multidb" not in each]
    await AsyncClient().generic(method, "/areads", headers=TOKEN)
    without = taken.copy()
    assert without.count(f"{__name__}.reads") == 1
    settings.MIDDLEWARE = ours
    await AsyncClient().generic(method, "/areads", headers=TOKEN)
    assert taken == without * 2
    assert len(threads) == len(taken), "A thread was taken by another way, such as asyncio.to_thread()."
    assert set(began) <= {None}, "The library has begun a thread."


def test_a_request_leaves_no_memory_behind() -> None:
    """Neither of the library, nor of what that has called: Django, say, that keeps what it was asked."""
    client = Client()
    for _ in range(20):
        client.get("/reads")
    with allocations_traced(frames=60):  # More than there are between the middleware and what the view calls.
        client.get("/reads")
        before = of_the_library(and_below=True)
        for _ in range(20):
            client.get("/reads")
        after = of_the_library(and_below=True)
    assert after - before < 500


def test_a_request_holds_little() -> None:
    """What the library allocates for a request is a few kilobytes, and gone with it."""
    held: list[int] = []

    def hold(request: HttpRequest) -> HttpResponse:
        reads(request)
        if tracemalloc.is_tracing():
            held.append(of_the_library())
        return HttpResponse()

    client = Client()
    urlpatterns.append(path("hold", hold))
    try:
        for _ in range(20):
            client.get("/hold")
        with allocations_traced(frames=1):
            client.get("/hold")
            before = of_the_library()
            for _ in range(50):
                client.get("/hold")
            after = of_the_library()
    finally:
        urlpatterns.pop()
    assert after - before < 1000
    assert 500 < max(held) - before < 8000


def test_a_request_takes_little_at_any_moment(settings: Any) -> None:
    """More than it takes without our middleware."""
    peaks = []
    ours = settings.MIDDLEWARE
    for middleware in ([each for each in ours if "multidb" not in each], ours):
        settings.MIDDLEWARE = middleware
        client = Client()
        for _ in range(20):
            client.get("/reads")
        with allocations_traced(frames=1):
            client.get("/reads")
            gc.collect()
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            client.get("/reads")
            _, peak = tracemalloc.get_traced_memory()
        peaks.append(peak - before)
    assert peaks[1] - peaks[0] < 8000


@contextmanager
def allocations_traced(frames: int) -> Iterator[None]:
    """Of each allocation, so many ``frames`` are known."""
    tracemalloc.start(frames)
    try:
        yield
    finally:
        tracemalloc.stop()


def of_the_library(and_below: bool = False) -> int:
    """The bytes in use that lines of the library have allocated; if ``and_below``, also what they have called."""
    gc.collect()
    ours = tracemalloc.Filter(True, f"{LIBRARY}/*", all_frames=and_below)
    traces = tracemalloc.take_snapshot().filter_traces([ours])
    return sum(statistic.size for statistic in traces.statistics("filename"))
