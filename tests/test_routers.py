"""The rules, in their order: the first that applies decides."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connections, router, transaction
from django.http import HttpRequest
from django.test import Client, RequestFactory
from rest_framework.authtoken.models import Token

from multidb import PinningReplicaRouter, ReplicaRouter, routing
from multidb.backends.cookie import SignedCookiePinStore
from multidb.pinning import pin_this_thread, unpin_this_thread, use_primary_db, use_replica
from multidb.pins import Pin, PinStoreUnavailable
from multidb.request_routing import RequestRouting
from multidb.routes import Route
from multidb.routing import Scope
from tests.conftest import REPLICAS, lines
from tests.models import Post


class Store:
    """A pin store of one answer."""

    def __init__(self, *primaries: str, down: bool = False) -> None:
        self.pin = Pin.on(primaries, 0) if primaries else None
        self.down = down

    knows_clients = True
    client_may_change = False
    may_wait = False

    def client(self, request: HttpRequest) -> list[str]:
        return []

    def load(self, request: HttpRequest) -> Pin | None:
        if self.down:
            raise PinStoreUnavailable
        return self.pin


def begin(rf: RequestFactory, store: Store | None = None, method: str = "GET") -> RequestRouting:
    """Begin the routing of a request, and note its routes."""
    request_routing = RequestRouting(rf.generic(method, "/"), store or Store(), method == "POST")
    request_routing.note_reads([])
    routing.resume(Scope(request_routing))
    return request_routing


def reason() -> str:
    """Why the next read of a post goes where it goes, as the router itself says."""
    alias = router.db_for_read(Post)
    route = routing.current().routing.notes[0][-1]
    assert route == Route(alias, route.reason, Post, "default")
    return route.reason


class TestReplicaRouter:
    def test_each_query_takes_the_next_replica(self) -> None:
        taken = [ReplicaRouter().db_for_read(Post) for _ in range(4)]
        assert set(taken) == set(REPLICAS)
        assert taken[0] != taken[1]

    def test_it_knows_of_no_rule(self, rf: RequestFactory) -> None:
        begin(rf, Store("default"), "POST")
        with use_primary_db:
            assert ReplicaRouter().db_for_read(Post) in REPLICAS
        assert routing.current().routing.notes[0][-1].reason == "replica"

    def test_without_replicas_it_reads_from_the_primary(self, rf: RequestFactory, settings) -> None:
        settings.REPLICA_DATABASES = []
        begin(rf)
        assert ReplicaRouter().db_for_read(Post) == "default"
        assert routing.current().routing.notes[0][-1].reason == "no replica"


class TestRules:
    """Each rule against all that come after it."""

    def test_1_a_block_or_a_pinned_thread_forces_the_primary(self, rf: RequestFactory) -> None:
        begin(rf)
        with use_primary_db:
            assert router.db_for_read(Post) == "default"
            assert reason() == "forced"
        assert reason() == "replica"
        pin_this_thread()
        assert (router.db_for_read(Post), reason()) == ("default", "forced")

    def test_2_a_block_forces_a_replica_over_all_that_follows(self, rf: RequestFactory) -> None:
        begin(rf, Store("default", down=True), "POST").declare_write()
        with use_replica:
            assert router.db_for_read(Post) in REPLICAS
            assert reason() == "forced"

    def test_3_the_method(self, rf: RequestFactory) -> None:
        begin(rf, Store("default"), "POST").declare_write()
        assert reason() == "method"

    @pytest.mark.parametrize(("method", "pins"), [("POST", []), ("GET", ["default"])], ids=["method", "pinned"])
    def test_reads_that_follow_are_answered_as_the_first_one(
        self, rf: RequestFactory, method: str, pins: list[str]
    ) -> None:
        """And not left to the routers after this one."""
        begin(rf, Store(*pins), method)
        routing.current().routing.notes = ()
        ours = PinningReplicaRouter()
        assert [ours.db_for_read(Post) for _ in range(3)] == ["default"] * 3

    def test_4_a_declared_write(self, rf: RequestFactory) -> None:
        begin(rf, Store("default")).declare_write()
        assert reason() == "wrote"

    def test_4_a_write_that_is_ignored_to_a_table_whose_name_is_quoted(self, rf: RequestFactory) -> None:
        """As that of a table in another schema of PostgreSQL is."""
        begin(rf).observe_write("default", ignored_table="audit.entry")
        model = SimpleNamespace(_meta=SimpleNamespace(db_table='"audit"."entry"'))
        assert PinningReplicaRouter().route(model, "default") == ("default", "wrote")

    def test_4_what_has_no_table_is_not_one_that_was_written(self, rf: RequestFactory) -> None:
        begin(rf).observe_write("default", ignored_table="audit.entry")
        assert PinningReplicaRouter().route(object(), "default")[1] == "replica"

    @pytest.mark.django_db(databases="__all__")
    def test_5_an_open_transaction(self, rf: RequestFactory) -> None:
        begin(rf, Store("default"))
        with transaction.atomic():
            assert reason() == "transaction"
        assert reason() == "pinned"

    def test_6_a_pin_on_the_model_s_primary(self, rf: RequestFactory) -> None:
        begin(rf, Store("default"))
        assert reason() == "pinned"
        begin(rf, Store("users"))
        assert reason() == "replica"

    def test_7_a_store_that_cannot_be_read(self, rf: RequestFactory) -> None:
        begin(rf, Store(down=True))
        assert reason() == "store down"

    def test_8_the_replica_of_the_request(self, rf: RequestFactory) -> None:
        for _ in range(2):
            begin(rf)
            assert len({router.db_for_read(Post) for _ in range(3)}) == 1
            assert reason() == "replica"

    def test_9_no_replica(self, rf: RequestFactory, settings) -> None:
        settings.REPLICA_DATABASES = []
        begin(rf)
        assert reason() == "no replica"
        with use_replica:
            assert reason() == "no replica"

    def test_outside_a_request_each_query_takes_the_next_replica(self) -> None:
        taken = [router.db_for_read(Post) for _ in range(4)]
        assert set(taken) == set(REPLICAS)
        assert taken[0] != taken[1]

    def test_an_unpinned_thread_reads_from_a_replica_whatever_the_request_is(self, rf: RequestFactory) -> None:
        begin(rf, Store("default"), "POST").declare_write()
        unpin_this_thread()
        assert reason() == "replica"

    def test_a_database_session_is_read_from_the_primary(self, rf: RequestFactory) -> None:
        begin(rf)
        with use_replica:
            assert router.db_for_read(Session) == "default"


class TestTransactions:
    pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

    @pytest.mark.django_db(databases="__all__")
    def test_the_one_of_a_test_case_does_not_count(self, rf: RequestFactory) -> None:
        begin(rf)
        assert connections["default"].in_atomic_block
        assert PinningReplicaRouter().route(Post, "default")[1] == "replica"

    def test_one_begun_by_hand_counts(self, rf: RequestFactory) -> None:
        begin(rf)
        transaction.set_autocommit(False)
        try:
            assert reason() == "transaction"
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert reason() == "replica"

    def test_one_that_is_always_open_does_not_count(self, rf: RequestFactory, monkeypatch) -> None:
        connection = connections["default"]
        monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
        connection.close()
        connection.connect()
        begin(rf)
        assert reason() == "replica"
        connection.close()

    def test_outside_a_request_it_counts_as_well(self) -> None:
        with transaction.atomic():
            assert router.db_for_read(Post) == "default"

    def test_one_on_another_primary_does_not_count(self, rf: RequestFactory) -> None:
        begin(rf)
        with transaction.atomic(using="users"):
            assert reason() == "replica"

    @pytest.mark.usefixtures("replication")
    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/read", "replica"),
            ("/in-transaction", "transaction"),
            ("/in-transaction-by-alias", "transaction"),
            ("/non-atomic-in-transaction", "transaction"),
        ],
    )
    def test_the_one_of_atomic_requests_does_not_count(self, monkeypatch, path: str, reason: str) -> None:
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        assert Client().get(path).json()["reason"] == reason

    def test_the_ones_of_atomic_requests_on_two_primaries_do_not_count(self, monkeypatch, settings) -> None:
        settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
        settings.DATABASE_ROUTERS = ["multidb.PinningReplicaRouter", f"{__name__}.UsersRouter"]
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        for alias in ("default", "users"):
            monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
        assert Client().get("/databases").json() == {"post": "replica-1", "token": "users-replica"}

    @pytest.mark.usefixtures("replication")
    def test_one_of_a_middleware_counts_with_atomic_requests_or_without(self, monkeypatch, settings) -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.views.in_a_transaction"]
        assert Client().get("/read").json()["reason"] == "transaction"
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        assert Client().get("/read?read-before").json()["reason"] == "transaction"


class UsersRouter:
    """A project's own router, listed after ours: sessions and tokens are on ``users``, and nothing else."""

    def db_for_write(self, model, **hints):
        return "users" if model in (Session, Token) else None

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return db == "users" if app_label == "sessions" else None


class ReadsFromReplica:
    """A router that answers a replica's alias where a primary's is asked for."""

    def db_for_write(self, model, **hints):
        return "users-replica"


class Asked:
    """A router that notes what it is asked."""

    asked: list[tuple[Any, ...]]

    def db_for_write(self, model, **hints):
        self.asked.append((model, hints))

    def allow_migrate(self, db, app_label, **hints):
        self.asked.append((db, app_label, hints))


class Silent:
    """A router without any of the methods asked for."""


def test_which_routers_are_listed_later_is_found_out_once_for_each_list(settings: Any) -> None:
    ours = PinningReplicaRouter()
    for _ in range(2):
        settings.DATABASE_ROUTERS = [ours, UsersRouter()]
        assert ours._later() is ours._later()
        assert len(ours._later().db_for_write) == 1


class TestSeveralPrimaries:
    @pytest.fixture(autouse=True)
    def _two_primaries(self, settings) -> None:
        settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
        settings.DATABASE_ROUTERS = ["multidb.ReplicaRouter", f"{__name__}.Silent", f"{__name__}.UsersRouter"]

    def test_a_model_s_primary_is_what_the_routers_after_ours_say(self) -> None:
        assert router.db_for_write(Session) == "users"
        assert router.db_for_read(Session) == "users-replica"
        assert router.db_for_write(Post) == "default"
        assert router.db_for_read(Post) == "replica-1"

    def test_routers_that_are_replaced_are_asked_no_more(self, monkeypatch) -> None:
        ours, *others = router.routers
        assert ours.db_for_write(Session) == "users"
        monkeypatch.setattr(router, "routers", [ours])
        assert ours.db_for_write(Session) == "default"
        monkeypatch.setattr(router, "routers", [ours, *others])
        assert ours.db_for_write(Session) == "users"

    def test_an_object_that_is_not_saved_yet_is_of_its_model_s_primary(self) -> None:
        session, post = Session(), Post()
        session._state.db = "users-replica"
        assert router.routers[0].allow_relation(Session(), session) is True
        assert router.routers[0].allow_relation(post, session) is None

    def test_routers_before_ours_go_first(self, settings) -> None:
        settings.DATABASE_ROUTERS = [f"{__name__}.UsersRouter", "multidb.ReplicaRouter"]
        assert router.db_for_write(Session) == "users"
        assert router.db_for_read(Session) == "replica-1"

    def test_the_routers_after_ours_are_told_all_that_ours_is_told(self, settings, monkeypatch) -> None:
        settings.DATABASE_ROUTERS = ["multidb.ReplicaRouter", f"{__name__}.Asked"]
        monkeypatch.setattr(Asked, "asked", [], raising=False)
        post, ours = Post(), router.routers[0]
        router.db_for_read(Post, instance=post)
        router.db_for_write(Post, instance=post)
        ours.allow_relation(post, post)
        assert Asked.asked == [(Post, {"instance": post})] * 4
        Asked.asked.clear()
        ours.allow_migrate("default", "tests", "post", fake=True)
        ours.allow_syncdb("default", "tests")
        assert Asked.asked == [
            ("default", "tests", {"model_name": "post", "fake": True}),
            ("default", "tests", {"model_name": None}),
        ]

    def test_a_replica_given_for_a_primary_stands_for_its_primary(self, settings) -> None:
        settings.DATABASE_ROUTERS = ["multidb.ReplicaRouter", f"{__name__}.ReadsFromReplica"]
        assert router.db_for_write(Post) == "users"
        assert router.db_for_read(Post) == "users-replica"

    def test_a_primary_that_is_not_ours_is_left_to_others(self, settings) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        assert ReplicaRouter().db_for_read(Post) == "replica-1"
        assert router.db_for_write(Session) == "users"
        assert router.routers[0].db_for_read(Session) is None

    def test_migrations_run_on_primaries_where_the_routers_after_ours_allow_them(self) -> None:
        assert router.allow_migrate("default", "tests") is True
        assert router.allow_migrate("users", "sessions") is True
        assert router.allow_migrate("default", "sessions") is False
        assert router.routers[0].allow_migrate("default", "tests") is True
        assert router.routers[0].allow_migrate("default", "sessions") is False
        assert router.routers[0].allow_syncdb("replica-1", Post) is False

    @pytest.mark.parametrize("replica", ["replica-1", "users-replica"])
    def test_migrations_never_run_on_replicas(self, replica: str) -> None:
        assert router.allow_migrate(replica, "tests") is False

    def test_nothing_is_said_of_an_alias_that_is_not_ours(self, settings) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        assert router.routers[0].allow_migrate("users", "tests") is None

    def test_objects_of_one_primary_may_be_related_wherever_they_were_read(self) -> None:
        assert self._allowed("default", "replica-1") is True
        assert self._allowed("users-replica", "users") is True
        assert self._allowed(None, "replica-1") is True

    def test_objects_of_two_primaries_or_of_others_are_left_to_others(self, settings) -> None:
        assert self._allowed("replica-1", "users-replica") is None
        settings.REPLICA_DATABASES = ["replica-1"]
        assert self._allowed("users", "users") is None

    def _allowed(self, first: str | None, second: str | None) -> bool | None:
        posts = [Post(), Post()]
        posts[0]._state.db, posts[1]._state.db = first, second
        return ReplicaRouter().allow_relation(*posts)


def test_a_pin_on_every_primary_is_set_and_each_is_read_by_its_own(settings, client: Client, db) -> None:
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
    client.post("/nothing")
    request = RequestFactory().get("/")
    request.COOKIES = {name: morsel.value for name, morsel in client.cookies.items()}
    assert SignedCookiePinStore().load(request).holds.keys() == {"default", "users"}


def test_a_router_alone_is_not_asked_for_those_after_it() -> None:
    assert PinningReplicaRouter().db_for_write(Post) == "default"


@pytest.mark.parametrize("router_class", [ReplicaRouter, PinningReplicaRouter])
@pytest.mark.parametrize(("installed", "said"), [(True, 0), (False, 1)])
def test_that_the_app_is_not_installed_is_said_once_when_something_is_routed(
    settings: Any, caplog: pytest.LogCaptureFixture, installed: bool, said: int, router_class: type[ReplicaRouter]
) -> None:
    settings.INSTALLED_APPS = [each for each in settings.INSTALLED_APPS if installed or each != "multidb"]
    for _ in range(2):
        router_class().db_for_write(Post)
    assert len([line for line in lines(caplog) if line.startswith('"multidb" is not in INSTALLED_APPS')]) == said


def test_nothing_is_said_of_the_app_where_nothing_is_routed(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As by who imports the library, which makes a router for managers."""
    settings.INSTALLED_APPS = [each for each in settings.INSTALLED_APPS if each != "multidb"]
    PinningReplicaRouter()
    ReplicaRouter()
    assert lines(caplog) == []


def test_a_router_of_a_project_s_own_begins_all_that_it_is_derived_from() -> None:
    class Begun:
        def __init__(self) -> None:
            self.is_begun = True

    class Ours(PinningReplicaRouter, Begun):
        pass

    assert Ours().is_begun
