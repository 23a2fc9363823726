"""``MULTIDB_ROUTING`` and ``db_routing``: routing on for some, off for others, or only tried."""

import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router, transaction
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.views import View

from multidb import PinningReplicaRouter, ReplicaRouter, get_replica, routing
from multidb.backends import get_pin_store
from multidb.pinning import db_routing, pin_this_thread, this_thread_is_pinned, use_replica
from multidb.rollout import Mode
from tests import urls, views
from tests.conftest import KEYED, REPLICAS, Replication, lines, use_store
from tests.models import Post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
]

ANSWERED: list[str] = []


def for_staff(request: HttpRequest) -> bool:
    ANSWERED.append("asked")
    return bool(request.user.is_staff)


def careful(request: HttpRequest) -> bool:
    try:
        return for_staff(request)
    except Exception:
        return False


def by_header(request: HttpRequest) -> Any:
    return {"on": True, "dry": "dry run", "nonsense": "yes"}.get(request.headers.get("X-Routing", ""))


def fails(request: HttpRequest) -> bool:
    raise ValueError(request.headers["X-Routing"])


def reads_by_itself(request: HttpRequest) -> bool:
    views_own = ReplicaRouter().db_for_read(Post)
    ANSWERED.append(f"{views_own} {Post.objects.using(router.db_for_read(Post)).db}")
    return True


async def is_a_coroutine(request: HttpRequest) -> bool:
    return True


def returns_a_coroutine(request: HttpRequest) -> Any:
    return is_a_coroutine(request)


@db_routing(False)
def off(request: HttpRequest) -> JsonResponse:
    return views.read(request)


@db_routing(True)
async def on(request: HttpRequest) -> JsonResponse:
    return await sync_to_async(views.read)(request)


@db_routing("dry run")
def tried(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"alias": Post.objects.all().db})


def changes_its_mind(request: HttpRequest) -> JsonResponse:
    first = views.answer()
    return JsonResponse({"aliases": [first["alias"], db_routing(False)(views.answer)()["alias"]]})


class Page(View):
    @db_routing(False)
    def get(self, request: HttpRequest) -> JsonResponse:
        return views.read(request)


def replica_by_force(request: HttpRequest) -> JsonResponse:
    with use_replica:
        return JsonResponse({**views.answer(), "pinned": this_thread_is_pinned()})


def forced_to_replica(request: HttpRequest) -> JsonResponse:
    with use_replica:
        return JsonResponse({"alias": router.db_for_read(Post)})


def forced_to_primary(request: HttpRequest) -> JsonResponse:
    pin_this_thread()
    return JsonResponse({"alias": router.db_for_read(Post)})


def tried_midway(request: HttpRequest) -> JsonResponse:
    before = router.db_for_read(Post)
    after = db_routing("dry run")(lambda: [router.db_for_read(Post) for _ in range(2)])()
    return JsonResponse({"before": before, "after": after[1]})


def pinned(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pinned": this_thread_is_pinned()})


def ten(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"aliases": [router.db_for_read(Post) for _ in range(10)]})


def notes(request: HttpRequest) -> JsonResponse:
    """In how many places a read of this request is noted."""
    router.db_for_read(Post)
    return JsonResponse(len(routing.current().routing.notes), safe=False)


urlpatterns = [
    *urls.urlpatterns,
    path("notes", notes),
    path("off", off),
    path("on", on),
    path("tried", tried, name="tried"),
    path("changes-its-mind", changes_its_mind),
    path("page", Page.as_view()),
    path("replica-by-force", replica_by_force),
    path("forced-to-replica", forced_to_replica),
    path("forced-to-primary", forced_to_primary),
    path("tried-midway", tried_midway),
    path("pinned", pinned),
    path("ten", ten),
]


@pytest.fixture(autouse=True)
def _nothing_answered() -> None:
    ANSWERED.clear()


def read(client: Client | None = None, **headers: str) -> Any:
    return (client or Client()).get("/read", headers=headers).json()


def test_switched_off_all_reads_go_to_the_primary(settings: Any) -> None:
    settings.MULTIDB_ROUTING = False
    assert (read()["alias"], read()["reason"]) == ("default", "off")


def test_it_can_be_switched_while_the_process_runs(settings: Any) -> None:
    for value, reason in ((False, "off"), (True, "replica"), (False, "off")):
        settings.MULTIDB_ROUTING = value
        assert read()["reason"] == reason


def test_switched_off_even_a_replica_by_force_is_the_primary(settings: Any) -> None:
    settings.MULTIDB_ROUTING = False
    answer = Client().get("/replica-by-force").json()
    assert (answer["alias"], answer["reason"], answer["pinned"]) == ("default", "off", True)


@pytest.mark.parametrize(("mode", "pinned"), [(True, False), (False, True), ("dry run", True)])
def test_this_thread_is_pinned_where_its_reads_go_to_the_primary(settings: Any, mode: Any, pinned: bool) -> None:
    settings.MULTIDB_ROUTING = mode
    assert Client().get("/pinned").json() == {"pinned": pinned}


@pytest.mark.parametrize("routing_class", [ReplicaRouter, PinningReplicaRouter])
def test_the_reason_says_so_whichever_the_router(settings: Any, routing_class: type) -> None:
    settings.MULTIDB_ROUTING = False
    assert routing_class().route(Post, "default") == ("default", "off")


@pytest.mark.parametrize("routing_class", [ReplicaRouter, PinningReplicaRouter])
@pytest.mark.parametrize("mode", [False, "dry run", by_header, f"{__name__}.by_header"])
def test_outside_a_request_nobody_is_asked_and_reads_go_to_the_primary(
    settings: Any, routing_class: type, mode: Any
) -> None:
    settings.MULTIDB_ROUTING = mode
    assert {routing_class().db_for_read(Post) for _ in range(4)} == {"default"}
    settings.MULTIDB_ROUTING = True
    assert {routing_class().db_for_read(Post) for _ in range(4)} == set(REPLICAS)


def test_who_asks_for_a_replica_by_name_gets_one(settings: Any) -> None:
    settings.MULTIDB_ROUTING = False
    assert get_replica() in REPLICAS


def test_a_write_made_while_it_is_off_pins_when_it_is_on(settings: Any, store: str, replication: Replication) -> None:
    """With every store: nobody misses a write for the moment in which routing is switched on."""
    settings.MULTIDB_ROUTING = False
    client = Client(headers={"authorization": "Token ada"})
    client.post("/post", {"text": "mine"})
    settings.MULTIDB_ROUTING = True
    answer = read(client)
    assert (answer["texts"], answer["reason"]) == (["mine"], "pinned")


@pytest.mark.parametrize("mode", [by_header, f"{__name__}.by_header"], ids=["a function", "its path"])
def test_a_function_decides_for_each_request(settings: Any, mode: Any) -> None:
    settings.MULTIDB_ROUTING = mode
    assert read(x_routing="on")["alias"] in REPLICAS
    assert read()["reason"] == "off"


def test_reads_are_noted_in_a_dry_run_only(settings: Any) -> None:
    """Where nobody wants to know of them: to note each of them costs something."""
    settings.MULTIDB_ROUTING = by_header
    assert Client().get("/notes", headers={"x-routing": "on"}).json() == 0
    assert Client().get("/notes", headers={"x-routing": "dry"}).json() == 1


def test_staff_only(settings: Any) -> None:
    """The function may load session and user: that goes to the primary, and is asked once a request."""
    settings.MULTIDB_ROUTING = for_staff
    for number, (staff, reason) in enumerate(((True, "replica"), (False, "off")), 1):
        client = Client()
        client.force_login(User.objects.create(username=f"user {number}", is_staff=staff))
        assert read(client)["reason"] == reason
        assert len(ANSWERED) == number
    assert set(Client().get("/ten").json()["aliases"]) == {"default"}
    assert len(ANSWERED) == 3


def test_reads_of_the_function_are_told_as_forced(settings: Any) -> None:
    """The row of the session, and the user."""
    settings.MULTIDB_ROUTING, settings.MULTIDB_EXPLAIN = for_staff, True
    client = Client()
    client.force_login(User.objects.create(username="ada", is_staff=True))
    assert '2 from default (forced)"' in client.get("/ten")["Server-Timing"]


def test_a_request_without_reads_asks_nobody(settings: Any) -> None:
    settings.MULTIDB_ROUTING = for_staff
    Client().get("/nothing")
    assert not ANSWERED


@pytest.mark.parametrize("routing_class", [ReplicaRouter, PinningReplicaRouter])
def test_reads_of_the_function_go_to_the_primary(settings: Any, routing_class: type) -> None:
    settings.DATABASE_ROUTERS = [f"multidb.{routing_class.__name__}"]
    settings.MULTIDB_ROUTING = reads_by_itself
    aliases = Client().get("/ten").json()["aliases"]
    assert set(aliases) <= set(REPLICAS)
    assert ANSWERED == ["default default"]


@pytest.mark.parametrize("function", [for_staff, careful], ids=["reads", "catches whatever is raised"])
def test_on_the_event_loop_no_function_is_asked_but_in_a_thread(settings: Any, function: Any) -> None:
    """It might keep the loop waiting. Until then reads go to the primary."""
    settings.MULTIDB_ROUTING = function
    user = User.objects.create(username="ada", is_staff=True)

    async def visit() -> Any:
        client = AsyncClient()
        await sync_to_async(client.force_login)(user)
        return (await client.get("/routed-on-the-loop")).json()

    assert async_to_sync(visit)() == {"here": ["default", "off"], "there": "replica"}
    assert ANSWERED == ["asked"]


def test_a_function_that_fails_sends_reads_to_the_primary(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """And what the client sent, which the error holds, is not in the log."""
    settings.MULTIDB_ROUTING = fails
    assert read(x_routing="a secret")["reason"] == "off"
    assert "The function in MULTIDB_ROUTING has failed" in caplog.text
    assert "ValueError" in caplog.text
    assert "a secret" not in caplog.text


@pytest.mark.parametrize("function", [by_header, returns_a_coroutine])
def test_a_function_that_returns_no_mode_sends_reads_to_the_primary(
    settings: Any, caplog: pytest.LogCaptureFixture, function: Any
) -> None:
    settings.MULTIDB_ROUTING = function
    for _ in range(2):
        assert read(x_routing="nonsense")["reason"] == "off"
    assert caplog.text.count("Allowed: True, False and 'dry run'.") == 1
    assert f"has returned a {'str' if function is by_header else 'coroutine'}, " in caplog.text


@pytest.mark.parametrize(("answer", "reason"), [(True, "replica"), (False, "off"), (None, "off")])
def test_a_function_may_answer_nothing_for_no(
    settings: Any, caplog: pytest.LogCaptureFixture, answer: Any, reason: str
) -> None:
    settings.MULTIDB_ROUTING = lambda request: answer
    assert read()["reason"] == reason
    assert lines(caplog) == []


@pytest.mark.parametrize("value", ["on", "no.such.module", 1, None, "os.path", is_a_coroutine])
def test_an_impossible_value_is_an_error_that_names_it(settings: Any, value: Any) -> None:
    settings.MULTIDB_ROUTING = value
    with pytest.raises(ImproperlyConfigured, match=r"MULTIDB_ROUTING is .*\n?.*Set True, False, 'dry run', a function"):
        router.db_for_read(Post)


@pytest.mark.parametrize("address", ["/off", "/page"])
def test_one_view_can_be_left_out(address: str) -> None:
    assert Client().get(address).json()["reason"] == "off"


def test_one_view_can_be_the_only_one(settings: Any) -> None:
    settings.MULTIDB_ROUTING = False
    assert Client().get("/on").json()["reason"] == "replica"


async def test_one_async_view_can_be_the_only_one(settings: Any) -> None:
    settings.MULTIDB_ROUTING = False
    assert (await AsyncClient().get("/on")).json()["reason"] == "replica"


def test_what_is_declared_midway_counts_from_there(settings: Any) -> None:
    first, second = Client().get("/changes-its-mind").json()["aliases"]
    assert first in REPLICAS
    assert second == "default"


def test_no_view_can_have_another_mode() -> None:
    with pytest.raises(ValueError, match="'perhaps' is not a valid Mode"):
        db_routing("perhaps")


def test_outside_a_request_a_declaration_says_nothing() -> None:
    db_routing(False)(lambda: None)()
    assert router.db_for_read(Post) in REPLICAS


@pytest.mark.parametrize("value", ["dry run", lambda request: "dry run"])
def test_a_dry_run_reads_from_the_primary_and_the_log_says_what_would_have_been(
    settings: Any, replication: Replication, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    caplog.set_level(logging.INFO, "multidb.routing")
    settings.MULTIDB_ROUTING = value
    client = Client()
    assert set(client.get("/ten").json()["aliases"]) == {"default"}
    assert [record.getMessage() for record in caplog.records] in [
        [f"tests.test_rollout.ten would read, in a dry run, 10 from {alias} (replica)"] for alias in REPLICAS
    ]
    caplog.clear()
    client.post("/post", {"text": "mine"})
    client.get("/ten")
    assert caplog.messages[-1].endswith("would read, in a dry run, 10 from default (pinned)")


def test_a_dry_run_of_one_view(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multidb.routing")
    assert Client().get("/tried").json() == {"alias": "default"}
    assert caplog.messages[-1].startswith("tried would read, in a dry run, 1 from replica-")


@pytest.mark.parametrize(
    ("address", "aliases"), [("/forced-to-replica", REPLICAS), ("/forced-to-primary", ["default"])]
)
def test_in_a_dry_run_a_forced_read_goes_where_it_is_forced_to_in_the_log_only(
    settings: Any, caplog: pytest.LogCaptureFixture, address: str, aliases: list[str]
) -> None:
    caplog.set_level(logging.INFO, "multidb.routing")
    settings.MULTIDB_ROUTING = "dry run"
    assert Client().get(address).json()["alias"] == "default"
    would = caplog.messages[-1].partition(" would read, in a dry run, ")[2]
    assert would in [f"1 from {alias} (forced)" for alias in aliases]


def test_reads_before_a_dry_run_and_after_it_are_told_apart(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multidb.routing")
    settings.MULTIDB_EXPLAIN = True
    answer = Client().get("/tried-midway").json()
    replica = answer["before"]
    assert (replica in REPLICAS, answer["after"]) == (True, "default")
    assert [line.partition("tried_midway ")[2] for line in caplog.messages] == [
        f"reads 1 from {replica} (replica)",
        f"would read, in a dry run, 2 from {replica} (replica)",
    ]


def fails_on_another_database(request: HttpRequest) -> bool:
    return bool(Post.objects.using("users").create(pk="no number"))


def test_a_transaction_on_any_database_goes_on_where_the_function_fails(settings: Any) -> None:
    """Also on one that is no primary in ``REPLICA_DATABASES``."""
    settings.MULTIDB_ROUTING = fails_on_another_database
    with transaction.atomic(using="users"):
        assert read()["reason"] == "off"
        assert not transaction.get_rollback(using="users")


def test_a_function_that_asks_no_database_makes_no_query(
    settings: Any, replication: Replication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the transaction of ``ATOMIC_REQUESTS`` neither."""
    settings.MULTIDB_ROUTING = by_header
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    with CaptureQueriesContext(connections["default"]) as queries:
        assert read(x_routing="on")["alias"] in REPLICAS
    assert [query["sql"] for query in queries] == ["BEGIN", "COMMIT"]


def test_modes_are_what_the_setting_says() -> None:
    assert [mode.value for mode in Mode] == [True, False, "dry run"]


@pytest.mark.parametrize("before", ["cookie", "session", "redis"])
@pytest.mark.parametrize("after", ["cookie", "session", "redis"])
def test_a_browser_keeps_its_pin_when_the_store_is_switched(
    request: pytest.FixtureRequest, replication: Replication, before: str, after: str
) -> None:
    """The signed cookie carries each pin too, whatever the store is."""
    use_store(request, before)
    client = Client()
    client.force_login(User.objects.create(username="ada"))
    replication.catch_up()
    client.post("/post", {"text": "mine"})
    use_store(request, after)
    answer = read(client)
    assert (answer["texts"], answer["reason"]) == (["mine"], "pinned")


@pytest.mark.parametrize("after", KEYED)
def test_a_client_without_cookies_is_in_doubt_when_the_store_is_switched(
    request: pytest.FixtureRequest, replication: Replication, settings: Any, after: str
) -> None:
    """A store that is new may have lost pins: for the seconds of a pin its reads go to the primary."""
    headers = {"authorization": "Token ada"}
    Client(headers=headers).post("/post", {"text": "mine"})
    use_store(request, after)
    # As it is where nobody has said that it is new.
    store: Any = get_pin_store()
    store.outage.lost_all()
    answer = read(Client(headers=headers))
    assert (answer["texts"], answer["alias"]) == (["mine"], "default")


@pytest.mark.parametrize(("before", "after"), [("elapsed", "replayed"), ("replayed", "elapsed")])
def test_a_pin_keeps_its_seconds_when_what_ends_it_is_switched(
    settings: Any, replication: Replication, before: str, after: str
) -> None:
    settings.MULTIDB_PINNING_UNTIL = before
    client = Client()
    client.post("/post", {"text": "mine"})
    settings.MULTIDB_PINNING_UNTIL = after
    assert (read(client)["texts"], read(client)["reason"]) == (["mine"], "pinned")
