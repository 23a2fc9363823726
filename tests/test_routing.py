"""The state of one request: the pin looked up once, when a read needs it, and nothing kept outside a request."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import router
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from multidb import routing
from multidb.pinning import this_thread_is_pinned, use_replica
from multidb.pins import Pin, PinStoreUnavailable
from multidb.request_routing import RequestRouting
from multidb.routing import Scope
from tests.conftest import REPLICAS, use_store
from tests.models import Post


class CountingStore:
    """A pin store that counts how often it is asked, and reads while it looks up."""

    def __init__(self, *answers: Any, by_user: bool = False) -> None:
        self.answers = list(answers)
        self.by_user = by_user
        self.read_from: list[str] = []

    client_may_change = False

    def client(self, request: HttpRequest) -> list[str]:
        user = request.__dict__.get("user")
        return [str(user.pk)] if self.by_user and user is not None else []

    def load(self, request: HttpRequest) -> Pin | None:
        self.read_from.append(router.db_for_read(Post))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def loads(self) -> int:
        return len(self.read_from)


PIN = Pin.on(["default"], 0)


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    return rf.get("/")


def begin(request: HttpRequest, store: CountingStore, writes: bool = False) -> RequestRouting:
    state = RequestRouting(request, store, writes)
    routing.resume(Scope(state))
    return state


def read() -> str:
    return router.db_for_read(Post)


def test_the_pin_is_looked_up_once_at_the_first_read(request_: HttpRequest) -> None:
    store = CountingStore(PIN)
    begin(request_, store)
    assert store.loads == 0
    assert [read() for _ in range(3)] == ["default"] * 3
    assert store.loads == 1


def test_no_pin_is_looked_up_once_as_well(request_: HttpRequest) -> None:
    store = CountingStore()
    begin(request_, store)
    assert {read() for _ in range(3)} <= set(REPLICAS)
    assert store.loads == 1


def test_reads_that_a_rule_before_decides_look_nothing_up(request_: HttpRequest) -> None:
    store = CountingStore(PIN)
    begin(request_, store, writes=True)
    read()
    with use_replica:
        read()
    assert store.loads == 0


def test_a_request_without_reads_asks_a_real_store_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(request, "fake redis")
    monkeypatch.setattr("django_redis.get_redis_connection", lambda *_, **__: pytest.fail("Redis was asked"))
    assert Client().get("/nothing", headers={"authorization": "Token x"}).status_code == 200


def test_reads_made_by_the_look_up_go_to_the_primary(request_: HttpRequest) -> None:
    store = CountingStore()
    begin(request_, store)
    assert read() in REPLICAS
    assert store.read_from == ["default"]


def test_a_user_who_becomes_known_is_looked_up_then(request_: HttpRequest) -> None:
    store = CountingStore(None, PIN, by_user=True)
    begin(request_, store)
    assert read() in REPLICAS
    request_.user = User(pk=1)
    assert read() == "default"
    assert store.loads == 2


def test_a_pin_once_found_stays_although_the_next_look_up_finds_none(request_: HttpRequest) -> None:
    store = CountingStore(PIN, None, by_user=True)
    begin(request_, store)
    assert read() == "default"
    request_.user = User(pk=1)
    assert read() == "default"


def test_two_look_ups_count_together(request_: HttpRequest) -> None:
    store = CountingStore(PIN, Pin.on(["users"], 0), by_user=True)
    state = begin(request_, store)
    read()
    request_.user = User(pk=1)
    assert state.is_pinned("default")
    assert state.is_pinned("users")


def test_a_client_that_may_change_is_compared_at_each_read_and_looked_up_when_it_has(request_: HttpRequest) -> None:
    store = CountingStore(None, PIN)
    store.client_may_change = True
    keys: list[str] = []
    store.client = lambda request: list(keys)
    begin(request_, store)
    assert [read(), read()] != ["default"] * 2
    assert store.loads == 1
    keys.append("known")
    assert read() == "default"


@pytest.mark.parametrize("error", [PinStoreUnavailable(), RuntimeError("a project's own store")])
def test_a_store_whose_client_fails_fails_no_request(request_: HttpRequest, error: Exception) -> None:
    store = CountingStore(PIN)
    begin(request_, store)

    def fail(request: HttpRequest) -> list[str]:
        raise error

    store.client = fail
    assert read() == "default"


def test_a_key_that_could_not_be_told_once_is_asked_for_again_when_it_can(request_: HttpRequest) -> None:
    store = CountingStore(None, None, PIN)
    store.client_may_change = True
    answers = iter([PinStoreUnavailable(), [], ["tenant"]])

    def client(request: HttpRequest) -> list[str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    store.client = client
    begin(request_, store)
    assert [read(), read()] == ["default", "default"]
    request_.user = User(pk=1)
    assert read() in REPLICAS
    assert read() == "default"


def test_a_store_that_could_not_be_asked_for_a_moment_is_not_down_for_the_rest(request_: HttpRequest) -> None:
    store = CountingStore(by_user=True)
    begin(request_, store)
    request_.user = User(pk=1)
    assert read() in REPLICAS
    original, store.client = store.client, _on_the_event_loop
    request_.user = User(pk=1)
    assert read() == "default"
    store.client = original
    assert read() in REPLICAS


def _on_the_event_loop(request: HttpRequest) -> list[str]:
    raise SynchronousOnlyOperation


def test_a_user_who_changes_nothing_for_the_store_is_not_looked_up_again(request_: HttpRequest) -> None:
    store = CountingStore()
    begin(request_, store)
    request_.user = SimpleLazyObject(lambda: User(pk=1))
    read()
    assert request_.user.pk == 1
    read()
    assert store.loads == 1


@pytest.mark.parametrize("may_change", [False, True])
def test_a_store_that_is_down_is_asked_once(request_: HttpRequest, may_change: bool) -> None:
    store = CountingStore(PinStoreUnavailable())
    store.client_may_change = may_change
    begin(request_, store)
    assert [read(), read()] == ["default", "default"]
    assert store.loads == 1


def test_a_client_that_cannot_be_told_is_asked_for_once(request_: HttpRequest) -> None:
    store, asked = CountingStore(), []
    store.client_may_change = True

    def fail(request: HttpRequest) -> list[str]:
        asked.append(request)
        raise PinStoreUnavailable

    store.client = fail
    begin(request_, store)
    assert [read(), read()] == ["default", "default"]
    assert len(asked) == 1


def test_a_store_that_cannot_be_asked_on_the_event_loop_is_asked_by_the_next_read(request_: HttpRequest) -> None:
    store = CountingStore(SynchronousOnlyOperation(), None)
    begin(request_, store)
    assert this_thread_is_pinned()
    assert not this_thread_is_pinned()
    assert read() in REPLICAS
    assert store.loads == 2


def test_an_error_in_the_store_leaves_no_block_behind(request_: HttpRequest) -> None:
    scope = Scope(RequestRouting(request_, CountingStore(ValueError("own")), False))
    routing.resume(scope)
    with pytest.raises(ValueError, match="own"):
        read()
    assert routing.current() == scope


def test_nothing_can_be_kept_outside_a_request() -> None:
    state = routing.current().routing
    state.declare_write()
    state.declare_read()
    assert not this_thread_is_pinned()
    with pytest.raises(AttributeError):
        state.routes = []
