"""What a project's own tests need: where reads went, who is pinned, and tests that leave each other no pins."""

import re
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, TransactionTestCase, override_settings
from rest_framework.authtoken.models import Token

from multidb import get_replica, health
from multidb.backends import get_pin_store
from multidb.pinning import pin_this_thread, this_thread_is_pinned, use_primary_db
from multidb.test import (
    Route,
    RoutingTestMixin,
    aassert_not_pinned,
    aassert_pinned,
    assert_not_pinned,
    assert_pinned,
    assert_reads_from,
    captured_routes,
    isolated_routing,
    lagging,
)
from tests.conftest import CACHE, REDIS, REPLICAS, SESSION, use_store
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def routes_of(found: list[Route]) -> list[tuple[str, str]]:
    """The alias and the reason of each."""
    return [(route.alias, route.reason) for route in found]


class TestCapturedRoutes:
    def test_reads_of_requests_and_those_outside_of_any(self, client: Client, settings: Any) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        with captured_routes() as routes:
            client.get("/databases")
            Post.objects.first()
            client.post("/nothing")
            client.get("/databases")
        assert routes_of(routes) == [
            *[("replica-1", "replica")] * 3,
            *[("default", "pinned")] * 2,
        ]
        assert routes[0] == Route("replica-1", "replica", Post, "default")

    def test_reads_that_a_request_has_settled_before(self, client: Client, settings: Any) -> None:
        """A block inside a view, which has read the same model before."""
        settings.ROOT_URLCONF = SimpleNamespace(urlpatterns=[])
        with captured_routes() as outer:
            Post.objects.first()
            with captured_routes() as inner:
                Post.objects.first()
            Post.objects.first()
        assert (len(inner), len(outer)) == (1, 3)

    def test_reads_of_other_threads(self) -> None:
        def read() -> None:
            Post.objects.first()
            connections.close_all()

        with captured_routes() as routes:
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        assert len(routes) == 1

    def test_nothing_after_the_block_even_if_that_has_failed(self) -> None:
        with pytest.raises(KeyError), captured_routes() as routes:
            raise KeyError
        Post.objects.first()
        assert routes == []


class TestAssertReadsFrom:
    def test_passes_where_all_went_there(self, client: Client) -> None:
        with assert_reads_from(*REPLICAS) as routes:
            client.get("/databases")
        assert len(routes) == 2
        with assert_reads_from("default"), use_primary_db:
            Post.objects.first()

    def test_fails_where_some_went_elsewhere_and_says_what_where_and_why(self, settings: Any) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        with pytest.raises(AssertionError) as failed, assert_reads_from("replica-1"):  # noqa: PT012  # the block fails
            Post.objects.first()
            with use_primary_db:
                Post.objects.first()
                Post.objects.first()
        assert str(failed.value) == (
            "Not every read went to replica-1. What was read:\n"
            "  tests.Post from replica-1, reason: replica\n"
            "  tests.Post from default, reason: forced (2 reads)"
        )

    def test_fails_where_nothing_was_read(self) -> None:
        with pytest.raises(AssertionError) as failed, assert_reads_from("replica-1", "replica-2"):
            pass
        assert str(failed.value) == "No read was routed, and one from replica-1 or replica-2 was expected."

    def test_with_a_model_only_its_reads_count(self, settings: Any) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        with assert_reads_from("replica-1", model=Post):
            Post.objects.first()
            with use_primary_db:
                User.objects.first()
        with pytest.raises(AssertionError, match=r"No read of tests\.Post was routed.*\n  auth\.User from replica-1"):  # noqa: SIM117  # the read is inside
            with assert_reads_from("replica-1", model=Post):
                User.objects.first()

    def test_the_rows_of_sessions_do_not_count_unless_asked_for(self, client: Client) -> None:
        client.force_login(User.objects.create_user("ada"))
        with assert_reads_from(*REPLICAS):
            client.get("/who")
        with assert_reads_from("default", model=Session):
            client.get("/who")

    def test_in_a_dry_run_what_counts_is_where_reads_went(self, settings: Any) -> None:
        settings.MULTIDB_ROUTING = "dry run"
        with assert_reads_from("default") as routes:
            Post.objects.exists()
        assert (routes[0].alias in REPLICAS, routes[0].is_dry_run) == (True, True)
        with pytest.raises(AssertionError) as failed, assert_reads_from(*REPLICAS):
            Post.objects.exists()
        assert re.search(r"from default, reason: replica, in a dry run: it would be replica-\d", str(failed.value))

    def test_the_error_of_the_block_itself_goes_on(self) -> None:
        with pytest.raises(KeyError), assert_reads_from("replica-1"):
            raise KeyError

    @pytest.mark.parametrize(
        ("aliases", "message"),
        [
            ((), "needs one alias or more"),
            (("replica-9",), "'replica-9', which is not in DATABASES. Allowed: 'default'"),
        ],
    )
    def test_an_alias_that_is_none_raises(self, aliases: tuple[str, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message), assert_reads_from(*aliases):
            pass


class TestAssertPinned:
    def test_with_each_store(self, store: str, client: Client) -> None:
        assert_not_pinned(client.get("/read"))
        response = client.post("/post", {"text": "mine"}, follow=True)
        assert set(assert_pinned(response).holds) == {"default"}
        assert_pinned(client.get("/read"))
        assert_not_pinned(Client().get("/read"))

    def test_without_a_cookie_by_what_the_store_has_it_under(self, keyed_store: str) -> None:
        """A client of an API, that sends a header, or the same user on another device."""
        user = User.objects.create_user("ada", password="secret")
        Token.objects.create(user=user, key="ada's")
        headers = {"authorization": "Token ada's"}
        assert_pinned(Client(headers=headers).post("/api", {"text": "mine"}))
        assert_pinned(Client(headers=headers).get("/api"))
        laptop = Client()
        laptop.login(username="ada", password="secret")
        laptop.cookies.pop("multidb_pin_writes", None)
        assert_pinned(laptop.get("/who"))
        assert_not_pinned(Client().get("/read"))

    def test_in_the_session(self, settings: Any, client: Client) -> None:
        settings.MULTIDB_PIN_STORE = {"BACKEND": SESSION}
        client.force_login(User.objects.create_user("ada"))
        response = client.post("/nothing")
        del client.cookies["multidb_pin_writes"]
        assert_pinned(response)

    async def test_in_async_tests(self, store: str, async_client: AsyncClient) -> None:
        await aassert_not_pinned(await async_client.get("/aread"))
        await aassert_pinned(await async_client.post("/apost", {"text": "mine"}))
        await aassert_not_pinned(await AsyncClient().get("/aread"))

    def test_says_who_is_pinned_to_what_and_for_how_long(self, client: Client, settings: Any) -> None:
        settings.MULTIDB_PINNING_SECONDS = 60
        response = client.post("/nothing")
        with pytest.raises(AssertionError, match=r"^The client of POST /nothing is pinned to default for \d+\.\d s\.$"):
            assert_not_pinned(response)
        with lagging():
            settings.MULTIDB_PINNING_UNTIL = "replayed"
            response = Client().post("/nothing")
            with pytest.raises(AssertionError, match=r"default for \d+\.\d s or until replayed\.$"):
                assert_not_pinned(response)
        with pytest.raises(AssertionError, match="The client of GET /nothing is not pinned"):
            assert_pinned(Client().get("/nothing"))

    def test_without_sessions(self, client: Client, settings: Any) -> None:
        settings.MIDDLEWARE = ["multidb.middleware.PinningRouterMiddleware"]
        assert_not_pinned(client.get("/read"))
        assert_pinned(client.post("/nothing"))

    @pytest.mark.parametrize("check", [assert_pinned, assert_not_pinned])
    def test_a_response_of_no_test_client_raises(self, check: Any) -> None:
        with pytest.raises(TypeError, match="Client or AsyncClient is needed, and this is <HttpResponse"):
            check(HttpResponse())

    @pytest.mark.parametrize("check", [assert_pinned, assert_not_pinned])
    def test_a_store_that_cannot_tell_fails_both(self, check: Any, settings: Any) -> None:
        settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
        settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS}
        client = Client(headers={"authorization": "Token ada's"})
        with pytest.raises(AssertionError, match="RedisPinStore cannot tell whether the client of GET /read is pinned"):
            check(client.get("/read"))
        assert_pinned(client.post("/nothing"))  # By the cookie.


class TestIsolatedRouting:
    def test_pins_of_one_test_are_not_those_of_the_next(self, store: str) -> None:
        """Though a client, by its header or its user's primary key, is the same."""

        def post_and_read() -> list[str]:
            client = Client(headers={"authorization": "Token ada's"})
            reasons = [client.get("/read").json()["reason"]]
            client.post("/nothing")
            return [*reasons, client.get("/read").json()["reason"]]

        for _ in range(2):
            with isolated_routing():
                assert post_and_read() == ["replica", "pinned"]

    @pytest.mark.parametrize("left", ["redis", "local cache"])
    def test_nothing_is_left_in_the_store_but_pins_that_run_out(
        self, left: str, request: pytest.FixtureRequest, settings: Any
    ) -> None:
        use_store(request, left)
        with pytest.raises(KeyError), isolated_routing():  # noqa: PT012  # it is left by the error
            prefix = get_pin_store()._prefix
            Client(headers={"authorization": "Token ada's"}).post("/nothing")
            assert f"{prefix}:marker" in keys_of(left)
            raise KeyError
        assert [key for key in keys_of(left) if key.startswith(prefix) and ":authorization:" not in key] == []

    def test_a_store_that_is_down_stays_so_and_fails_no_test(self, settings: Any) -> None:
        settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
        settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS}
        with isolated_routing():
            assert Client(headers={"authorization": "x"}).get("/read").json()["reason"] == "store down"

    def test_what_was_pinned_by_hand_is_so_no_more(self) -> None:
        with isolated_routing():
            pin_this_thread()
            assert this_thread_is_pinned()
            with isolated_routing():
                assert not this_thread_is_pinned()
            assert this_thread_is_pinned()
        assert not this_thread_is_pinned()

    def test_replicas_that_have_failed_are_asked_again(self, refuse: Any) -> None:
        refuse("replica-1")
        assert {get_replica() for _ in range(4)} == {"replica-2"}
        assert not health.is_usable("replica-1")
        with isolated_routing():
            pass
        assert health._breaker.may_ask("replica-1")

    def test_a_store_without_a_prefix_is_made_anew(self, settings: Any) -> None:
        settings.MULTIDB_PIN_STORE = {"BACKEND": "tests.test_test.WithoutPrefix", "OPTIONS": {"keys": ["user"]}}
        before = get_pin_store()
        with isolated_routing():
            assert get_pin_store() is not before


from multidb.backends.cache import CachePinStore  # noqa: E402


class WithoutPrefix(CachePinStore):
    def __init__(self, *, keys: list[str]) -> None:
        super().__init__(keys=keys)


def keys_of(store: str) -> list[str]:
    """The keys in the cache ``pins``."""
    if store == "redis":
        return [key.decode() for key in caches["pins"].client.get_client().scan_iter()]
    return [key.removeprefix(":1:") for key in caches["pins"]._cache]


@override_settings(REPLICA_DATABASES=["replica-1"], MULTIDB_PIN_STORE={"BACKEND": CACHE})
class TestMixin(RoutingTestMixin, TransactionTestCase):
    databases = "__all__"

    def test_reads(self) -> None:
        with self.assertReadsFrom("replica-1", model=Post), self.captureRoutes() as routes:
            self.client.get("/read")
        assert len(routes) == 1

    def test_pins_do_not_leak_into_the_next_test(self) -> None:
        client = Client(headers={"authorization": "Token ada's"})
        self.assertNotPinned(client.get("/read"))
        self.assertPinned(client.post("/nothing"))

    test_nor_back = test_pins_do_not_leak_into_the_next_test

    def test_a_replica_that_lags(self) -> None:
        with self.lagging("replica-1"):
            Post.objects.create(text="new")
            assert self.client.get("/read").json()["texts"] == []

    async def test_async(self) -> None:
        with self.assertReadsFrom("replica-1"):
            await sync_to_async(Post.objects.first)()
