"""The pin is looked up once, when a read needs it, and again when the client has become another."""

import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import router
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject, empty

from multidb import routing
from multidb.lookup import Lookup
from multidb.pinning import this_thread_is_pinned, use_replica
from multidb.pins import Pin, PinStoreUnavailable
from multidb.request_routing import RequestRouting
from multidb.routing import Scope
from tests.conftest import REPLICAS, lines, use_store
from tests.models import Post


class CountingStore:
    """A pin store that counts how often it is asked, and reads while it looks up."""

    def __init__(self, *answers: Any, by_user: bool = False) -> None:
        self.answers = list(answers)
        self.by_user = by_user
        self.read_from: list[str] = []

    knows_clients = True
    client_may_change = False
    may_wait = False

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


def test_what_pins_of_a_user_are_filed_under_is_asked_once(request_: HttpRequest) -> None:
    store, asked = CountingStore(), []
    store.client = lambda request: asked.append(request) or []
    begin(request_, store)
    request_.user = User(pk=1)
    assert {read() for _ in range(3)} <= set(REPLICAS)
    assert asked == [request_]


def test_a_pin_once_found_stays_although_the_next_look_up_finds_none(request_: HttpRequest) -> None:
    store = CountingStore(PIN, None, by_user=True)
    begin(request_, store)
    assert read() == "default"
    request_.user = User(pk=1)
    assert read() == "default"


def test_it_says_whether_the_client_has_become_another(request_: HttpRequest) -> None:
    """Which the first one, who was nobody before, has not."""
    lookup = Lookup(request_, CountingStore(by_user=True))
    assert [lookup.refresh(), lookup.refresh()] == [False, False]
    request_.user = User(pk=1)
    assert [lookup.refresh(), lookup.refresh()] == [True, False]
    request_.user = User(pk=1)  # Another object for the same client.
    assert not lookup.refresh()


def test_two_look_ups_count_together(request_: HttpRequest) -> None:
    store = CountingStore(PIN, Pin.on(["users"], 0), by_user=True)
    state = begin(request_, store)
    read()
    request_.user = User(pk=1)
    assert state.pin_reason("default")
    assert state.pin_reason("users")


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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PinStoreUnavailable(), []),
        (RuntimeError("a secret"), ["What pins of a client are filed under cannot be told: RuntimeError:"]),
    ],
)
def test_a_store_whose_client_fails_fails_no_request(
    request_: HttpRequest, error: Exception, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = CountingStore(PIN)
    begin(request_, store)

    def fail(request: HttpRequest) -> list[str]:
        raise error

    store.client = fail
    assert read() == "default"
    assert [line.splitlines()[0] for line in lines(caplog)] == said


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


def test_an_event_loop_that_may_not_ask_says_nothing_of_another_client(request_: HttpRequest) -> None:
    lookup = Lookup(request_, CountingStore(SynchronousOnlyOperation()))
    assert not lookup.refresh()
    assert lookup.is_down


@pytest.mark.parametrize(("until", "position"), [("elapsed", None), ("replayed", {"lsn": "0"})])
def test_a_position_counts_where_pins_hold_until_it_is_replayed(
    request_: HttpRequest, settings: Any, until: str, position: Any
) -> None:
    """And not where a pin of before that was changed is found."""
    settings.MULTIDB_PINNING_UNTIL = until
    lookup = Lookup(request_, CountingStore(Pin.on({"default": {"lsn": "0"}}, 0)))
    lookup.refresh()
    assert lookup.positions == {"default": position}


def test_a_user_who_changes_nothing_for_the_store_is_not_looked_up_again(request_: HttpRequest) -> None:
    store = CountingStore()
    begin(request_, store)
    request_.user = SimpleLazyObject(lambda: User(pk=1))
    read()
    assert request_.user.pk == 1
    read()
    assert store.loads == 1


def test_a_lazy_user_who_is_loaded_is_looked_up_then(request_: HttpRequest) -> None:
    request_.user = SimpleLazyObject(lambda: User(pk=1))
    store = CountingStore(None, PIN)
    store.client = lambda request: [] if request.user._wrapped is empty else [str(request.user.pk)]
    begin(request_, store)
    assert read() in REPLICAS
    assert request_.user.pk == 1
    assert read() == "default"


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


def test_an_impossible_setting_of_the_store_leaves_no_block_behind(request_: HttpRequest) -> None:
    scope = Scope(RequestRouting(request_, CountingStore(ImproperlyConfigured("own")), False))
    routing.resume(scope)
    with pytest.raises(ImproperlyConfigured, match="own"):
        read()
    assert routing.current() == scope


def test_a_store_that_raises_what_it_should_not_is_down(
    request_: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    store = CountingStore(ValueError("Token x"))
    begin(request_, store)
    assert [read(), read()] == ["default"] * 2
    assert store.loads == 1
    [line] = lines(caplog)
    assert line.startswith("The pin of a client could not be looked up: ValueError:")
    assert "Token x" not in line


class AskedMeanwhile(CountingStore):
    """A store that a thread of the request has asked by the time at which the event loop is told that it may not."""

    state: RequestRouting | None = None

    def client(self, request: HttpRequest) -> list[str]:
        if self.state is not None:
            state, self.state = self.state, None
            state.look_up()
            raise SynchronousOnlyOperation
        return super().client(request)


def test_what_a_thread_has_found_stands_though_the_event_loop_may_not_ask(request_: HttpRequest) -> None:
    store = AskedMeanwhile()
    store.state = begin(request_, store)
    state = store.state
    assert state.pin_reason("default") == "store down"
    assert state.pin_reason("default") is None
    assert store.loads == 1


async def test_a_store_that_may_wait_is_asked_in_a_thread(request_: HttpRequest) -> None:
    """One whose ``load`` or ``client`` is a project's own. On the event loop the read goes to the primary, unasked."""
    store = CountingStore()
    store.may_wait = True
    state = begin(request_, store)
    assert state.pin_reason("default") == "store down"
    assert store.loads == 0
    assert await sync_to_async(state.pin_reason)("default") is None
    assert store.loads == 1


def test_two_threads_that_look_up_two_clients_at_once_find_both_pins(request_: HttpRequest) -> None:
    """As before and after the user is known: neither takes away what the other has found, or was found before."""

    class Slow(Pin):
        """Which is merged while the other thread would like to."""

        def merge(self, other: Pin | None) -> Pin:
            if "default" in self.holds:
                second.start()
                second.join(0.2)
            return super().merge(other)

    class OfThread:
        knows_clients = True
        client_may_change = True
        may_wait = False

        def client(self, request: HttpRequest) -> list[str]:
            return [threading.current_thread().name]

        def load(self, request: HttpRequest) -> Pin:
            return Slow(Pin.on(self.client(request), 2**33).holds)

    lookup = Lookup(request_, OfThread())
    lookup.refresh()
    first, second = (threading.Thread(target=lookup.refresh, name=name) for name in ("default", "users"))
    first.start()
    first.join()
    second.join()
    assert lookup.positions.keys() == {threading.current_thread().name, "default", "users"}
