"""Where reads of a request go is settled once, and decided again as soon as something could send them elsewhere."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import connections, router, transaction
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject, empty

from multidb import PinningReplicaRouter, routing
from multidb.managers import _ModelRouter
from multidb.pinning import unpin_this_thread, use_primary_db, use_replica
from multidb.pins import Pin, PinStoreUnavailable
from multidb.request_routing import RequestRouting
from multidb.routes import Route
from multidb.routing import Scope
from tests import vendor
from tests.conftest import REPLICAS, Replication
from tests.models import Book, Post

# In no transaction but those that a test opens.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Store:
    """A pin store of a pin for one user, or for everybody, that counts how often it is asked."""

    client_may_change = False
    may_wait = False

    def __init__(self, pin: Pin | None = None, of: str = "", knows_clients: bool = False) -> None:
        self.knows_clients = knows_clients
        self.loads = 0
        self._pin = pin
        self._of = of

    def client(self, request: HttpRequest) -> list[str]:
        user = request.__dict__.get("user")
        is_known = user is not None and getattr(user, "_wrapped", user) is not empty
        return [user.pk] if self.knows_clients and is_known else []

    def load(self, request: HttpRequest) -> Pin | None:
        self.loads += 1
        if isinstance(self._pin, Exception):
            raise self._pin
        return self._pin if not self._of or self._of in self.client(request) else None


class StoreOfAuser(Store):
    """One that files pins under whom ``request.auser`` tells."""

    def client(self, request: HttpRequest) -> list[str]:
        auser = vars(request).get("auser")
        return [] if auser is None else [auser()]


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The model of each read for which the rules were gone through."""
    decided: list[Any] = []
    route = PinningReplicaRouter.route

    def noted(self: PinningReplicaRouter, model: Any, primary: str) -> tuple[str, str]:
        decided.append(model)
        return route(self, model, primary)

    monkeypatch.setattr(PinningReplicaRouter, "route", noted)
    return decided


def begin(store: Store | None = None, writes: bool = False, **attributes: Any) -> RequestRouting:
    request = RequestFactory().get("/")
    vars(request).update(attributes)
    state = RequestRouting(request, store or Store(), writes)
    routing.resume(Scope(state))
    return state


def read(model: Any = Post) -> str:
    return router.db_for_read(model)


PINNED = Pin.on(["default"], 2**33)


@pytest.mark.parametrize(
    ("state", "alias"),
    [
        (lambda: begin(), None),
        (lambda: begin(Store(PINNED)), "default"),
        (lambda: begin(writes=True), "default"),
        (lambda: begin().declare_write(), "default"),
        (lambda: begin().observe_write("default", None), "default"),
        (lambda: begin(Store(knows_clients=True)), None),
        (lambda: begin(Store(PINNED, knows_clients=True)), "default"),
        (lambda: begin(StoreOfAuser(knows_clients=True), auser=lambda: "7"), None),
    ],
    ids=["unpinned", "pinned", "method", "declared", "wrote", "unpinned, keyed", "pinned, keyed", "unpinned, auser"],
)
def test_of_many_reads_one_is_decided(decisions: list[Any], state: Callable[[], Any], alias: str | None) -> None:
    state()
    aliases = {read() for _ in range(10)}
    assert aliases == {alias} if alias else len(aliases) == 1 and aliases < set(REPLICAS)
    assert aliases == {read(Book), read(Book)}
    assert decisions == [Post]


def test_with_no_replica_one_is_decided_too(decisions: list[Any], settings: Any) -> None:
    settings.REPLICA_DATABASES = []
    begin()
    assert [read() for _ in range(3)] == ["default"] * 3
    assert decisions == [Post]


def test_a_session_is_read_from_the_primary_each_time(decisions: list[Any]) -> None:
    begin()
    assert [read(Session) for _ in range(3)] == ["default"] * 3
    assert read() in REPLICAS
    assert read(Session) == "default"
    assert decisions == [Session, Post]


def test_of_many_models_each_read_is_noted_as_its_own() -> None:
    state = begin()
    noted: list[Route] = []
    state.note_reads(noted)
    alias = read()
    assert {read(Book), read(Group), read(Book)} == {alias}
    assert [route.model for route in noted] == [Post, Book, Group, Book]
    assert {(route.alias, route.reason, route.primary) for route in noted} == {(alias, "replica", "default")}


def test_of_a_request_that_writes_each_read_is_noted_too() -> None:
    state = begin(writes=True)
    noted: list[Route] = []
    state.note_reads(noted)
    assert [read(), read(), read(Book)] == ["default"] * 3
    assert noted == [Route("default", "method", model, "default") for model in (Post, Post, Book)]


def test_of_many_models_each_is_decided_where_one_has_a_table_that_pins_nobody(decisions: list[Any]) -> None:
    state = begin()
    assert read(Book) in REPLICAS
    state.observe_write("default", Post._meta.db_table)
    assert [read(), read(Book), read()] == ["default", read(Book), "default"]
    assert read(Book) in REPLICAS
    assert decisions == [Book, Post, Book]


def test_another_model_goes_to_the_primary_too_once_a_transaction_is_open() -> None:
    begin()
    assert read() in REPLICAS
    with transaction.atomic():
        assert read(Book) == "default"
    assert read(Book) in REPLICAS


def test_another_model_is_decided_anew_after_a_write() -> None:
    state = begin()
    assert read() in REPLICAS
    state.observe_write("default", None)
    assert read(Book) == "default"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.declare_write(),
        lambda state: state.observe_write("default", None),
        lambda state: state.observe_write("default", Post._meta.db_table),
    ],
    ids=["declared", "observed", "ignored"],
)
def test_a_write_sends_the_reads_that_follow_to_the_primary(change: Callable[[RequestRouting], None]) -> None:
    state = begin()
    assert read() in REPLICAS
    change(state)
    assert read() == "default"


def test_a_view_that_says_it_reads_sends_them_to_a_replica() -> None:
    state = begin(writes=True)
    assert read() == "default"
    state.declare_read()
    assert read() in REPLICAS


def test_a_transaction_sends_them_to_the_primary_as_long_as_it_is_open() -> None:
    begin()
    replica = read()
    assert replica in REPLICAS
    with transaction.atomic():
        assert read() == "default"
        with transaction.atomic():
            assert read() == "default"
        assert read() == "default"
    assert read() == replica
    connections["default"].set_autocommit(False)
    assert read() == "default"
    connections["default"].set_autocommit(True)
    assert read() == replica


class TestInTheTransactionOfTheRequest:
    """That which ``ATOMIC_REQUESTS`` opens around the view, and nothing else does."""

    @pytest.fixture(autouse=True)
    def _atomic_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    def test_one_is_decided_and_another_transaction_sends_them_to_the_primary(self, decisions: list[Any]) -> None:
        def view() -> None:
            replica = read()
            assert replica in REPLICAS
            assert read() == replica
            assert decisions == [Post]
            with transaction.atomic():
                assert read() == "default"
            assert read() == replica

        begin(resolver_match=SimpleNamespace(func=view))
        transaction.atomic(using="default")(view)()
        with transaction.atomic():
            assert read() == "default"


def test_a_block_that_forces_a_database_is_obeyed_before_and_after() -> None:
    begin()
    with use_primary_db:
        assert read() == "default"
    replica = read()
    assert replica in REPLICAS
    with use_primary_db:
        assert read() == "default"
    assert read() == replica
    begin(Store(PINNED))
    assert read() == "default"
    with use_replica:
        assert read() in REPLICAS
    unpin_this_thread()
    assert read() in REPLICAS


def test_a_transaction_of_another_thread_is_its_own() -> None:
    """Also where that thread has got the number of one that has read before."""
    begin()
    replica = read()
    found: list[str] = []

    def in_transaction() -> None:
        found.append(read())
        with transaction.atomic():
            found.append(read())
        connections.close_all()

    def without() -> None:
        found.append(read())
        connections.close_all()

    for target in (in_transaction, without, in_transaction):
        thread = threading.Thread(target=copy_context().run, args=(target,))
        thread.start()
        thread.join()
    assert found == [replica, "default", replica, replica, "default"]
    assert read() == replica


class TestAUserWhoIsKnownOnlyLater:
    """A store that files pins under users is asked again then, and the reads that follow go by what it says."""

    user = SimpleNamespace(pk="42")

    def store(self) -> Store:
        return Store(PINNED, of="42", knows_clients=True)

    def test_one_who_logs_in(self) -> None:
        state, store = begin(store := self.store()), store
        assert read() in REPLICAS
        assert read() in REPLICAS
        vars(state._request)["user"] = self.user
        assert read() == "default"
        assert store.loads == 2

    def test_one_who_is_lazy(self, decisions: list[Any]) -> None:
        user = SimpleLazyObject(lambda: self.user)
        begin(store := self.store(), user=user)
        assert read() in REPLICAS
        assert read() in REPLICAS
        assert user.pk == "42"
        assert read() == "default"
        assert store.loads == 2
        assert decisions == [Post] * 2

    @pytest.mark.parametrize("is_lazy", [False, True])
    def test_one_whom_an_auser_of_the_project_s_own_tells(self, decisions: list[Any], is_lazy: bool) -> None:
        """Which a decorator of the view puts into the request, where another may have been."""
        user = SimpleLazyObject(lambda: self.user) if is_lazy else None
        state = begin(store := StoreOfAuser(PINNED, of="42", knows_clients=True), user=user)
        assert {read() for _ in range(5)} <= set(REPLICAS)
        vars(state._request)["auser"] = lambda: "7"
        assert {read() for _ in range(5)} <= set(REPLICAS)
        vars(state._request)["auser"] = lambda: "42"
        assert {read() for _ in range(5)} == {"default"}
        assert store.loads == 3
        # What was being decided while the answer changed is not kept.
        assert decisions == [Post] * 5

    def test_one_who_is_another_for_a_while(self) -> None:
        """Their pin holds for all that the request reads from then on."""
        state = begin(self.store())
        assert read(Book) in REPLICAS
        vars(state._request)["user"] = self.user
        assert read(Post) == "default"
        del vars(state._request)["user"]
        assert read(Book) == "default"

    def test_one_whom_another_thread_loads_while_the_pin_is_looked_up(self) -> None:
        store = self.store()
        state = begin(store)
        load = store.load

        def load_meanwhile(request: HttpRequest) -> Pin | None:
            pin = load(request)
            vars(request)["user"] = self.user
            return pin

        store.load = load_meanwhile
        assert read() in REPLICAS
        store.load = load
        assert read() == "default"
        assert state.pin_reason("default")

    def test_one_whom_another_thread_loads_while_the_replica_is_chosen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = begin(self.store())
        replica = state.replica

        def replica_meanwhile(primary: str) -> str:
            vars(state._request)["user"] = self.user
            return replica(primary)

        monkeypatch.setattr(state, "replica", replica_meanwhile)
        assert read() in REPLICAS
        assert read() == "default"

    def test_one_who_is_lazy_and_made_another(self) -> None:
        user = SimpleLazyObject(lambda: SimpleNamespace(pk="7"))
        begin(self.store(), user=user)
        assert user.pk == "7"
        assert read() in REPLICAS
        user._wrapped = self.user
        assert read() == "default"


async def test_on_an_event_loop_each_is_decided_until_a_thread_has_found_a_replica(decisions: list[Any]) -> None:
    """No task can open a transaction there, nor ask a replica."""
    begin()
    [replica] = {read() for _ in range(4)}
    assert await sync_to_async(read)() == replica
    assert {read() for _ in range(3)} == {replica}
    assert decisions == [Post] * 6


async def test_each_is_where_tasks_may_open_transactions(decisions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """On connections of their own. In a thread one is, all the same."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    begin()
    assert len({read() for _ in range(3)}) == 1
    assert decisions == [Post] * 3
    connections.close_all()
    await sync_to_async(read)()
    await sync_to_async(read)()
    assert decisions == [Post] * 4


def test_what_is_no_class_is_decided_each_time(decisions: list[Any]) -> None:
    """As an object is, which may have no hash."""
    begin()
    post = Post()
    assert read(post) == read(post)
    assert [each is post for each in decisions] == [True, True]


@pytest.mark.parametrize("store", [Store(PinStoreUnavailable()), Store(knows_clients=True)], ids=["down", "custom key"])
def test_what_may_be_otherwise_at_the_next_read_is_decided_each_time(decisions: list[Any], store: Store) -> None:
    store.client_may_change = store.knows_clients
    begin(store)
    assert len({read() for _ in range(3)}) == 1
    assert decisions == [Post] * 3


class TestAPinWithAPosition:
    @pytest.fixture(autouse=True)
    def _replayed(self, replication: Replication, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.MULTIDB_PINNING_UNTIL = "replayed"
        vendor.use(monkeypatch)

    def begin(self, position: str, knows_clients: bool = False) -> RequestRouting:
        return begin(Store(Pin.on({"default": {"posts": position}}, 2**33), knows_clients=knows_clients))

    def test_while_no_replica_has_replayed_it_one_read_is_decided(self, decisions: list[Any]) -> None:
        self.begin("F" * 16)
        assert [read(), read(Book), read()] == ["default"] * 3
        assert decisions == [Post]
        assert len(vendor.asked) == len(REPLICAS)

    @pytest.mark.parametrize("knows_clients", [False, True])
    def test_when_a_replica_has_replayed_it_one_read_is_decided(
        self, decisions: list[Any], knows_clients: bool
    ) -> None:
        self.begin("0" * 16, knows_clients=knows_clients)
        assert {read(), read(Book)} == {read()} < set(REPLICAS)
        assert decisions == [Post]

    def test_a_pin_that_another_thread_has_replaced_meanwhile_settles_nothing(self) -> None:
        state = begin()
        assert not state._is_final(Route("default", "pinned", Post, "default"))

    async def test_on_an_event_loop_where_no_replica_can_be_asked_nothing_is_settled(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.begin("0" * 16)
        for alias in REPLICAS:
            monkeypatch.setattr(connections[alias], "connection", None)
        assert read() == "default"
        assert await sync_to_async(read)() in REPLICAS

    @pytest.mark.parametrize("knows_clients", [False, True])
    def test_over_another_connection_it_is_decided_again(self, decisions: list[Any], knows_clients: bool) -> None:
        """Which may lead to another server."""
        self.begin("0" * 16, knows_clients=knows_clients)
        replica = read()
        connections[replica].close()
        assert read() == replica
        connections[replica].close()
        connections[replica].ensure_connection()
        assert [read(Book), read()] == [replica] * 2
        assert decisions == [Post, Post, Book, Post]
        assert len(vendor.asked) == 3

    def test_a_user_who_is_known_only_later_is_looked_up(self) -> None:
        state = begin(Store(Pin.on({"default": {"posts": "0" * 16}}, 2**33), knows_clients=True))
        assert read() in REPLICAS
        state._store._pin = PINNED
        vars(state._request)["user"] = SimpleNamespace(pk="42")
        assert read() == "default"


def test_the_reasons_that_are_noted_are_those_of_the_rules() -> None:
    """From the moment that somebody notes them, and in their order also where the database is the same."""
    state = begin(Store(PINNED))
    read()
    noted: list[Route] = []
    state.note_reads(noted)
    read()
    read()
    with transaction.atomic():
        read()
    read()
    assert [route.reason for route in noted] == ["pinned", "pinned", "transaction", "pinned"]
    assert noted[0] == Route("default", "pinned", Post, "default")
    more: list[Route] = []
    state.note_reads(more)
    read()
    assert [len(noted), len(more)] == [5, 1]


class Tenants:
    """A router of the site's own, listed after ours: the instance tells the primary, and else the model."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def db_for_write(self, model: Any, instance: Any = None) -> str | None:
        self.asked.append(model)
        return instance or ("users" if model is Group else None)


class OfOneBook(PinningReplicaRouter):
    """One that knows of each primary itself."""

    def primary_for(self, model: Any, instance: str | None = None) -> str:
        return instance or ("users" if model is Book else "default")


class TestWhereARouterThatIsListedLaterTellsThePrimary:
    @pytest.fixture(autouse=True)
    def tenants(self, settings: Any) -> Tenants:
        tenants = Tenants()
        settings.REPLICA_DATABASES = {"default": REPLICAS, "users": ["users-replica"]}
        settings.DATABASE_ROUTERS = ["multidb.PinningReplicaRouter", tenants]
        return tenants

    def read(self, model: Any = Post, of: str | None = None) -> str | None:
        """Past Django's router, which would take an answer of ``None`` for one of the database."""
        return router.routers[0].db_for_read(model, **({} if of is None else {"instance": of}))

    def test_it_is_asked_for_each_read_and_one_of_each_primary_is_decided(
        self, decisions: list[Any], tenants: Tenants
    ) -> None:
        begin()
        models = [Post, Group, Book, Group, Post, Book]
        aliases = [self.read(model) for model in models]
        assert {aliases[place] for place in (1, 3)} == {"users-replica"}
        assert len({aliases[place] for place in (0, 2, 4, 5)}) == 1
        assert aliases[0] in REPLICAS
        assert decisions == [Post, Group]
        assert tenants.asked == models

    def test_the_same_model_of_another_primary_is_another_matter(self, decisions: list[Any]) -> None:
        begin()
        assert [self.read(of=primary) for primary in ("users", "default", "users")][::2] == ["users-replica"] * 2
        assert self.read() in REPLICAS
        assert decisions == [Post, Post]

    def test_one_that_is_none_of_ours_is_none_of_ours_each_time(self, decisions: list[Any]) -> None:
        begin()
        assert [self.read(), self.read(of="elsewhere"), self.read(of="elsewhere")][1:] == [None, None]
        assert self.read() in REPLICAS
        assert decisions == [Post]

    def test_a_write_to_one_primary_leaves_the_reads_of_another_on_its_replica(self) -> None:
        state = begin()
        assert (self.read() in REPLICAS, self.read(Group)) == (True, "users-replica")
        state.observe_write("users", None)
        assert (self.read() in REPLICAS, self.read(Group), self.read(Group)) == (True, "users", "users")

    def test_a_pin_on_one_primary_leaves_the_reads_of_another_on_its_replica(self) -> None:
        begin(Store(Pin.on(["users"], 2**33)))
        for _ in range(2):
            assert (self.read() in REPLICAS, self.read(Group)) == (True, "users")

    def test_a_transaction_sends_the_reads_of_its_own_primary_there_while_it_is_open(self) -> None:
        begin()
        for _ in range(2):
            assert (self.read() in REPLICAS, self.read(Group)) == (True, "users-replica")
            with transaction.atomic(using="users"):
                assert (self.read() in REPLICAS, self.read(Group)) == (True, "users")

    def test_a_block_that_forces_a_database_is_obeyed(self) -> None:
        begin()
        assert self.read(Group) == "users-replica"
        with use_primary_db:
            assert [self.read(Group), self.read(Group)] == ["users"] * 2
        assert self.read(Group) == "users-replica"

    def test_a_session_is_read_from_its_primary_also_after_other_reads(self) -> None:
        begin()
        assert [self.read(of="users"), self.read(Session, of="users"), self.read(Session, of="users")] == [
            "users-replica",
            "users",
            "users",
        ]
        assert self.read(of="users") == "users-replica"

    def test_each_read_is_noted_as_that_of_its_own_model_and_primary(self) -> None:
        state = begin()
        noted: list[Route] = []
        state.note_reads(noted)
        reads = [(Book, "users"), (Post, "users"), (Post, "default"), (Post, "users"), (Book, "users")]
        aliases = [self.read(model, of=primary) for model, primary in reads]
        assert noted == [
            Route(alias, "replica", model, primary) for alias, (model, primary) in zip(aliases, reads, strict=True)
        ]

    def test_what_is_no_class_is_decided_each_time(self, decisions: list[Any]) -> None:
        begin()
        assert self.read() in REPLICAS
        assert self.read(Post()) in REPLICAS
        assert len(decisions) == 2

    def test_another_list_of_routers_is_obeyed_at_once(self, settings: Any) -> None:
        begin()
        ours = router.routers[0]
        assert self.read(Group) == "users-replica"
        settings.DATABASE_ROUTERS = [ours]
        assert self.read(Group) in REPLICAS

    def test_so_does_a_subclass(self, decisions: list[Any], settings: Any) -> None:
        settings.DATABASE_ROUTERS = [OfOneBook()]
        begin()
        assert [self.read(Book), self.read(Book), self.read() in REPLICAS] == ["users-replica", "users-replica", True]
        assert self.read() in REPLICAS
        assert decisions == [Book, Post]

    def test_so_does_the_manager_of_a_model(self, decisions: list[Any]) -> None:
        """Also beside a router of ours, whose answer is another."""
        begin()
        assert PinningReplicaRouter().db_for_read(Book) in REPLICAS
        aliases = [Book.objects.all().db for _ in range(3)]
        assert set(aliases) < set(REPLICAS)
        assert Book.objects.db_manager(hints={"instance": "users"}).all().db == "users-replica"
        assert Book.objects.all().db == aliases[0]
        assert decisions == [Book, Book, Book]

    def test_another_router_of_ours_that_has_none_to_ask_answers_for_itself(self) -> None:
        """As one that a site's own router wraps."""
        wrapped = PinningReplicaRouter()
        for first in (Book, Post, Group):
            begin()
            assert wrapped.db_for_read(first) in REPLICAS
            for _ in range(2):
                assert self.read(Group) == "users-replica"
                assert self.read(of="users") == "users-replica"
                assert (self.read() in REPLICAS, wrapped.db_for_read(Group) in REPLICAS) == (True, True)

    @pytest.mark.parametrize("seed", range(24))
    def test_each_read_goes_where_the_rules_send_it_whatever_was_settled(self, settings: Any, seed: int) -> None:
        """Of several routers of ours, before and after those of the site, as they are asked in any order."""
        chance = random.Random(seed)
        last = PinningReplicaRouter()
        settings.DATABASE_ROUTERS = [*settings.DATABASE_ROUTERS, last]
        routers = [router.routers[0], last, PinningReplicaRouter(), OfOneBook(), _ModelRouter()]
        state = begin(chance.choice([None, Store(Pin.on(["users"], 2**33)), Store(PINNED)]), chance.random() < 0.1)
        noted: list[Route] = []
        if chance.random() < 0.5:
            state.note_reads(noted)
        with ExitStack() as blocks:
            for _ in range(100):
                step = chance.random()
                if step < 0.03:
                    state.observe_write(chance.choice(["default", "users"]), chance.choice([None, Post._meta.db_table]))
                elif step < 0.1:
                    of = transaction.atomic(using=chance.choice(["default", "users"]))
                    blocks.enter_context(chance.choice([of, use_primary_db, use_replica]))
                elif step < 0.2:
                    blocks.close()
                asked = chance.choice(routers)
                model = chance.choice([Post, Book, Group, Session, Post()])
                hints = chance.choice([{}, {}, {"instance": "users"}, {"instance": "default"}])
                alias = asked.db_for_read(model, **hints)
                primary = asked.primary_for(model, **hints)
                expected = asked.route(model, primary)
                assert alias == expected[0], (asked, model, hints)
                if noted:
                    assert noted[-1][:4] == (*expected, model, primary)


class TestOtherRouters:
    def test_one_that_decides_otherwise_is_asked_each_time(self, settings: Any) -> None:
        class Turns(PinningReplicaRouter):
            def route(self, model: Any, primary: str) -> tuple[str, str]:
                return next(aliases), "replica"

        aliases: Iterator[str] = iter(REPLICAS)
        settings.DATABASE_ROUTERS = [Turns()]
        begin()
        assert [read(), read()] == REPLICAS

    def test_one_router_does_not_answer_for_another(self, settings: Any) -> None:
        class Elsewhere(PinningReplicaRouter):
            def primary_for(self, model: Any, **hints: Any) -> str:
                return "elsewhere"

        begin()
        assert read() in REPLICAS
        assert Elsewhere().db_for_read(Post) is None
        assert read() in REPLICAS
