"""What code may ask for, in blocks, decorators and views, sync and async."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from asgiref.sync import sync_to_async
from django.db import router
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator

from multidb import pinning, routing
from multidb.backends import get_pin_store
from multidb.middleware import pinning_cookie
from multidb.pinning import (
    db_read,
    db_write,
    mark_as_write,
    pin_this_thread,
    this_thread_is_pinned,
    unpin_this_thread,
    use_primary_db,
    use_replica,
)
from multidb.request_routing import RequestRouting
from multidb.routing import Scope
from tests.conftest import REPLICAS, Replication
from tests.models import Post
from tests.views import AsyncByClass, ByClass, remember

with_replicas = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("replication"),
]


def alias() -> str:
    """Where a read goes here: ``"primary"`` or ``"replica"``."""
    return "primary" if router.db_for_read(Post) == "default" else "replica"


class TestThread:
    def test_it_is_pinned_and_unpinned(self) -> None:
        assert not this_thread_is_pinned()
        pin_this_thread()
        assert this_thread_is_pinned()
        assert alias() == "primary"
        unpin_this_thread()
        assert not this_thread_is_pinned()
        assert alias() == "replica"

    def test_pinning_inside_a_block_ends_with_the_block(self) -> None:
        with use_replica:
            pin_this_thread()
            assert this_thread_is_pinned()
        assert not this_thread_is_pinned()

    def test_leaving_more_blocks_than_were_entered_is_no_error(self) -> None:
        use_primary_db.__exit__(None, None, None)
        assert not this_thread_is_pinned()

    def test_threads_do_not_see_each_other(self) -> None:
        barrier = Barrier(4)

        def work(block: pinning.ForcedReads) -> list[str]:
            seen = [alias()]
            with block:
                barrier.wait(timeout=10)
                seen.append(alias())
                barrier.wait(timeout=10)
            return [*seen, alias()]

        with ThreadPoolExecutor(4) as threads:
            seen = list(threads.map(work, [use_primary_db, use_replica] * 2))
        assert seen == [["replica", "primary", "replica"], ["replica", "replica", "replica"]] * 2

    async def test_tasks_do_not_see_each_other(self) -> None:
        async def work(block: pinning.ForcedReads) -> list[str]:
            seen = []
            with block:
                for _ in range(3):
                    await asyncio.sleep(0)
                    seen.append(alias())
                seen.append(await sync_to_async(alias)())
            return seen

        seen = await asyncio.gather(*(work(block) for block in [use_primary_db, use_replica] * 3))
        assert seen == [["primary"] * 4, ["replica"] * 4] * 3


class TestBlocks:
    def test_they_nest_and_the_innermost_wins(self) -> None:
        with use_primary_db:
            with use_replica:
                assert alias() == "replica"
                with use_primary_db:
                    assert alias() == "primary"
                assert alias() == "replica"
            assert alias() == "primary"
        assert alias() == "replica"

    @pytest.mark.parametrize(
        ("pin", "after"), [(pin_this_thread, "primary"), (unpin_this_thread, "replica")], ids=["pinned", "unpinned"]
    )
    def test_what_was_is_restored_even_after_an_exception(self, pin, after: str) -> None:
        pin()
        with pytest.raises(ValueError, match="inside"), use_primary_db, use_replica:
            raise ValueError("inside")
        assert alias() == after


class TestDecorator:
    def test_a_function(self) -> None:
        @use_primary_db
        def work(argument: int, *, keyword: int) -> tuple[str, int, int]:
            """Says where it reads."""
            return alias(), argument, keyword

        assert work(1, keyword=2) == ("primary", 1, 2)
        assert work.__doc__ == "Says where it reads."
        assert alias() == "replica"

    async def test_a_coroutine_function(self) -> None:
        @use_primary_db
        async def work() -> str:
            await asyncio.sleep(0)
            return alias()

        assert inspect.iscoroutinefunction(work)
        assert await work() == "primary"
        assert alias() == "replica"

    async def test_a_function_that_returns_a_coroutine(self) -> None:
        async def work() -> str:
            return alias()

        @use_primary_db
        def begin():
            return work()

        assert await begin() == "primary"

    def test_a_method(self) -> None:
        class Report:
            @use_primary_db
            def alias(self) -> str:
                return alias()

        assert Report().alias() == "primary"


def pins(response: HttpResponse) -> bool:
    return pinning_cookie() in response.cookies


class TestViews:
    pytestmark = with_replicas

    def test_a_get_that_writes_reads_from_the_primary_and_pins(self, client: Client) -> None:
        response = client.get("/get-that-writes")
        assert response.json() == {"texts": ["by get"], "alias": "default", "reason": "forced"}
        assert pins(response)
        assert client.get("/read").json() == {"texts": ["by get"], "alias": "default", "reason": "pinned"}

    def test_a_response_that_renders_after_the_view_reads_from_the_primary(self, client: Client) -> None:
        response = client.get("/rendered-later")
        assert response.content == b"wrote"
        assert pins(response)

    @pytest.mark.parametrize("path", ["/search", "/by-class", "/async-by-class"])
    def test_a_post_that_only_reads_reads_from_a_replica_and_pins_nobody(self, client: Client, path: str) -> None:
        response = client.post(path)
        assert response.json()["reason"] == "replica"
        assert not pins(response)

    def test_a_search_reads_from_the_primary_for_whoever_is_pinned(self, client: Client) -> None:
        client.post("/post", {"text": "mine"})
        assert client.post("/search").json() == {"texts": ["mine"], "alias": "default", "reason": "pinned"}

    def test_a_write_inside_a_view_that_said_it_reads_wins(self, client: Client) -> None:
        response = client.post("/search-that-writes-after-all")
        assert response.json()["reason"] == "forced"
        assert pins(response)

    def test_a_mark_set_by_hand_pins_the_next_request_only(self, client: Client) -> None:
        response = client.get("/marked?write=yes")
        assert response.json()["reason"] == "replica"
        assert pins(response)
        assert client.get("/read").json()["reason"] == "pinned"

    def test_a_mark_set_to_false_by_hand_pins_nobody(self, client: Client) -> None:
        response = client.post("/marked?write=no")
        assert response.json()["reason"] == "method"
        assert not pins(response)

    def test_a_mark_set_by_hand_in_a_view_that_writes_decides(self, client: Client) -> None:
        assert not pins(client.get("/writes-nothing-after-all"))

    def test_methods_of_a_class_based_view(self, client: Client) -> None:
        assert not pins(client.get("/by-class"))
        assert pins(client.head("/by-class"))

    async def test_methods_of_an_async_class_based_view(self, async_client: AsyncClient) -> None:
        assert not pins(await async_client.get("/async-by-class"))
        assert not pins(await async_client.post("/async-by-class"))
        response = await async_client.put("/async-by-class")
        assert response.json()["reason"] == "forced"
        assert pins(response)

    @pytest.mark.parametrize("path", ["/writes", "/async-writes"])
    def test_a_whole_class_by_its_dispatch(self, client: Client, settings, path: str) -> None:
        settings.ROOT_URLCONF = __name__
        response = client.get(path)
        assert response.json()["reason"] == "forced"
        assert pins(response)

    @pytest.mark.parametrize("path", ["/writes", "/async-writes"])
    async def test_a_whole_class_by_its_dispatch_under_asgi(
        self, async_client: AsyncClient, settings, path: str
    ) -> None:
        settings.ROOT_URLCONF = __name__
        response = await async_client.get(path)
        assert response.json()["reason"] == "forced"
        assert pins(response)

    async def test_an_async_view_that_writes(self, async_client: AsyncClient) -> None:
        assert pins(await async_client.get("/aget-that-writes"))
        assert (await async_client.get("/aread")).json()["reason"] == "pinned"

    @pytest.mark.parametrize("pinned", [False, True])
    def test_nested_blocks_in_a_request(self, client: Client, pinned: bool) -> None:
        """The innermost wins, pinned or not; outside them the request's own rule goes on."""
        if pinned:
            client.post("/post", {"text": "mine"})
        aliases = client.get("/nested").json()["aliases"]
        places = ["primary" if alias == "default" else "replica" for alias in aliases]
        own = "primary" if pinned else "replica"
        assert places == [own, "replica", "primary", "replica", "primary", "replica", own]
        assert len(set(aliases) & set(REPLICAS)) == 1

    def test_a_write_to_a_database_that_is_none_of_ours_pins_no_thread(self, rf: RequestFactory) -> None:
        """Reads of our models go to a replica all the same."""
        state = RequestRouting(rf.get("/"), get_pin_store(), writes=False)
        routing.resume(Scope(state))
        state.observe_write("users", None)
        assert not this_thread_is_pinned()
        state.observe_write("default", None)
        assert this_thread_is_pinned()

    def test_a_thread_is_pinned_where_its_client_is(self, client: Client, settings) -> None:
        settings.ROOT_URLCONF = __name__
        assert client.get("/is-pinned").content == b"False"
        assert client.post("/is-pinned").content == b"True"
        assert client.get("/is-pinned").content == b"True"

    async def test_an_async_view_with_a_database_session_is_pinned_while_that_is_not_known(
        self, async_client: AsyncClient, settings, replication: Replication
    ) -> None:
        """On the event loop the session cannot be loaded, so the question is answered on the safe side."""
        settings.ROOT_URLCONF = __name__
        settings.MULTIDB_PIN_STORE = {"BACKEND": "multidb.backends.session.SessionPinStore"}
        await async_client.get("/remember")
        response = await async_client.get("/ais-pinned")
        assert response.content == b"True False"


class TestViewsAlone:
    """Called without a request or middleware, as unit tests of views do."""

    def test_the_response_of_a_view_that_writes_is_marked(self) -> None:
        assert db_write(lambda request: HttpResponse())(None)._db_write is True
        assert db_write(lambda request: None)(None) is None

    def test_a_view_that_reads_is_left_as_it_is(self) -> None:
        assert not hasattr(db_read(lambda request: HttpResponse())(None), "_db_write")

    @pytest.mark.parametrize("decorator", [db_write, db_read])
    async def test_a_sync_view_that_returns_a_coroutine(self, decorator) -> None:
        async def work() -> HttpResponse:
            return HttpResponse(alias())

        response = await decorator(lambda request: work())(None)
        assert response.content == (b"primary" if decorator is db_write else b"replica")
        assert getattr(response, "_db_write", False) is (decorator is db_write)

    def test_a_marked_response_is_returned(self) -> None:
        response = HttpResponse()
        assert mark_as_write(response) is response
        assert response._db_write is True


def test_what_the_module_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="use_nothing"):
        pinning.use_nothing  # noqa: B018  # the look-up is what is tested


def is_pinned(request) -> HttpResponse:
    return HttpResponse(str(this_thread_is_pinned()))


async def ais_pinned(request) -> HttpResponse:
    on_the_loop = this_thread_is_pinned()
    return HttpResponse(f"{on_the_loop} {await sync_to_async(this_thread_is_pinned)()}")


by_dispatch = method_decorator(db_write, name="dispatch")

urlpatterns = [
    path("is-pinned", is_pinned),
    path("ais-pinned", ais_pinned),
    path("remember", remember),
    path("writes", by_dispatch(type("Writes", (ByClass,), {})).as_view()),
    path("async-writes", by_dispatch(type("AsyncWrites", (AsyncByClass,), {})).as_view()),
]
