"""Interleaved requests keep to their own state and leave none behind, and the benchmark finds where they would not."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest

from benchmarks.interleaving import run
from benchmarks.interleaving.figures import Figures, table
from benchmarks.interleaving.run import TASKS, THREADS, Mode
from multidb import middleware, pinning, routing
from multidb.backends.cookie import SignedCookiePinStore
from multidb.middleware import PinningRouterMiddleware
from multidb.request_routing import RequestRouting
from multidb.routing import OUTSIDE, Routing, Scope

REQUESTS = 1500
# So many show each mutant, in each mode in which it is a mistake.
REQUESTS_OF_A_MUTANT = 200
AT_ONCE = {THREADS.name: 8, TASKS.name: 50}

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

each_mode = pytest.mark.parametrize("mode", [THREADS, TASKS], ids=lambda mode: mode.name)


def figures_of(mode: Mode, requests: int) -> Figures:
    figures = Figures()
    figures.add(mode.name, run.run(mode, requests, AT_ONCE[mode.name], seed=1))
    return figures


@each_mode
def test_no_request_takes_or_leaves_state_however_it_ends(mode: Mode) -> None:
    figures = figures_of(mode, REQUESTS)
    assert figures.told == []
    ended = {ending: count for (_, ending, column), count in figures.counts.items() if column == "requests"}
    assert ended.keys() >= set(mode.endings)
    assert sum(ended.values()) == REQUESTS
    assert f"| both | in any way | {REQUESTS} | {REQUESTS // 2} |" in table(figures)


class GlobalScope:
    """One scope for all that happens in the process."""

    scope = Scope(OUTSIDE)

    def get(self) -> Scope:
        return self.scope

    def set(self, scope: Scope) -> None:
        self.scope = scope


class ThreadScope(threading.local, GlobalScope):
    """A scope for each thread, which its tasks share."""


def keep_the_scope_in_a_global(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routing, "in_force", GlobalScope())


def keep_the_scope_by_thread(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routing, "in_force", ThreadScope())


def never_resume_the_outer_scope(patch: pytest.MonkeyPatch) -> None:
    def call(self: Any, request: HttpRequest) -> Any:
        if self.async_mode:
            return acall(self, request)
        self.process_request(request)
        return self.process_response(request, self.get_response(request))

    patch.setattr(PinningRouterMiddleware, "__call__", call)
    acall = resume_only_after_a_response(patch, resumes=False)


def resume_only_after_a_response(patch: pytest.MonkeyPatch, resumes: bool = True) -> Callable[..., Any]:
    async def acall(self: Any, request: HttpRequest) -> Any:
        outer = routing.current()
        self.process_request(request)
        response = await self.aprocess_response(request, await self.get_response(request))
        if resumes:
            routing.resume(outer)
        return response

    patch.setattr(PinningRouterMiddleware, "__acall__", acall)
    return acall


def run_generators_in_the_scope_of_their_consumer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pinning, "stepwise", lambda function, begin: function)
    patch.setattr(pinning, "astepwise", lambda function, begin: function)


def run_streams_outside_their_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(middleware, "streamed_in", lambda scope, response: response)


def choose_a_replica_for_each_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RequestRouting, "replica", Routing.replica)


def keep_requests(patch: pytest.MonkeyPatch) -> None:
    kept: list[HttpRequest] = []
    load = SignedCookiePinStore.load

    def keep_and_load(self: SignedCookiePinStore, request: HttpRequest) -> Any:
        kept.append(request)
        return load(self, request)

    patch.setattr(SignedCookiePinStore, "load", keep_and_load)


@pytest.mark.parametrize(
    ("mode", "mutate"),
    [
        (THREADS, keep_the_scope_in_a_global),
        (TASKS, keep_the_scope_in_a_global),
        (TASKS, keep_the_scope_by_thread),
        (THREADS, never_resume_the_outer_scope),
        (TASKS, never_resume_the_outer_scope),
        (TASKS, resume_only_after_a_response),
        (THREADS, run_generators_in_the_scope_of_their_consumer),
        (TASKS, run_generators_in_the_scope_of_their_consumer),
        (THREADS, run_streams_outside_their_request),
        (TASKS, run_streams_outside_their_request),
        (THREADS, choose_a_replica_for_each_read),
        (TASKS, choose_a_replica_for_each_read),
        (THREADS, keep_requests),
        (TASKS, keep_requests),
    ],
    ids=lambda value: getattr(value, "__name__", None) or value.name,
)
def test_a_mutant_is_found(monkeypatch: pytest.MonkeyPatch, mode: Mode, mutate: Callable[..., Any]) -> None:
    monkeypatch.setattr(run, "SHARES", {"cookie": 1.0})
    mutate(monkeypatch)
    assert figures_of(mode, REQUESTS_OF_A_MUTANT).told
