"""What tells a project where its reads went, who is pinned, and what is up."""

from collections import Counter
from typing import Any, Literal, assert_type

from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from multidb import signals
from multidb.explanation import Explanation, Read, explain
from multidb.job_routing import begin, job, pin_on_all, pin_sent, pin_to_send
from multidb.middleware import (
    READ_ONLY_METHODS,
    PinningRouterMiddleware,
    pinning_cookie,
    pinning_cookie_httponly,
    pinning_cookie_samesite,
    pinning_cookie_secure,
    pinning_seconds,
)
from multidb.pinning import pin_this_thread, unpin_this_thread
from multidb.pins import Pin
from multidb.routing import resume
from multidb.status import PinStoreStatus, Status, snapshot
from multidb.status_databases import DatabaseStatus
from multidb.status_settings import SettingStatus


def of_the_middleware(request: HttpRequest, response: HttpResponse) -> None:
    middleware = PinningRouterMiddleware(lambda request: HttpResponse())
    assert_type(middleware.process_request(request), HttpResponseBase | None)
    assert_type(middleware.process_response(request, response), HttpResponseBase)
    assert_type(READ_ONLY_METHODS, frozenset[str])
    assert_type(pinning_cookie(), str)
    assert_type(pinning_cookie_secure(), bool)
    assert_type(pinning_cookie_httponly(), bool)
    assert_type(pinning_cookie_samesite(), Literal["Lax", "Strict", "None", False] | None)
    assert_type(pinning_seconds(), int | float)
    pin_this_thread()
    unpin_this_thread()


def of_signals() -> None:
    for signal in (signals.pinned, signals.request_routed):
        assert_type(signal, Signal)
    for signal in (signals.replica_down, signals.replica_up, signals.pin_store_down, signals.pin_store_up):
        assert_type(signal, Signal)


def of_explanations(request: HttpRequest) -> None:
    explanation = explain(request)
    assert_type(explanation, Explanation)
    assert_type(explanation.counts(), Counter[tuple[str, str]])
    assert_type(explanation.reads, Counter[Read])
    assert_type([(read.model, read.is_dry_run) for read in explanation.reads], list[tuple[str, bool]])


def of_jobs() -> None:
    assert_type(pin_to_send(), str | None)
    assert_type(pin_sent("{}"), Pin | None)
    with job(pin_on_all()):
        pass
    resume(begin(None))
    job("a text")  # type: ignore[arg-type]  # a pin is wanted: pin_sent() makes one of a text


def of_the_status() -> None:
    status = snapshot()
    assert_type(status, Status)
    assert_type(status.ok, bool)
    assert_type(status.databases, list[DatabaseStatus])
    assert_type(status.pin_store, PinStoreStatus)
    assert_type(status.pin_store.round_trip_ms, float | None)
    assert_type(status.settings, list[SettingStatus])
    assert_type([each.default for each in status.settings], list[bool])
    assert_type([each.lag_seconds for each in status.databases], list[float | None])
    assert_type(status.as_json(), dict[str, Any])
