"""Real requests: by the trigger "write" a write that was made pins its client, and nothing else does."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path

from multidb import routing
from multidb.backends import get_pin_store
from multidb.pinning import db_read, db_write, use_primary_db
from multidb.routing import OUTSIDE, Scope
from multidb.writes import watch_connections
from tests import views
from tests.conftest import REPLICAS, Replication, use_store
from tests.models import Book, PinRow, Post, Shelf

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("_by_writes", "_old"),
    pytest.mark.urls(__name__),
]


@pytest.fixture
def _by_writes(settings) -> None:
    settings.MULTIDB_PINNING_TRIGGER = "write"


@pytest.fixture
def _old(replication: Replication) -> None:
    """What was there before, and what every replica knows."""
    Post.objects.create(text="old")
    PinRow.objects.create(client="known", text="old")
    User.objects.create_user("ada", password="secret").groups.create(name="old")
    with use_primary_db:
        Book.objects.create(shelf=Shelf.objects.create(name="old"))
    replication.catch_up()


def old() -> Post:
    return Post.objects.using("default").get(text="old")


def ada() -> User:
    return User.objects.using("default").get(username="ada")


def execute(sql: Any, *params: object) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(sql, params)


def execute_many(sql: str, *params: tuple[object, ...]) -> None:
    with connections["default"].cursor() as cursor:
        cursor.executemany(sql, params)


@transaction.atomic
def in_transaction(action: Callable[[], object]) -> None:
    action()


def set_of(user: User, **values: object) -> None:
    """Save these fields of ``user``, and no other."""
    for name, value in values.items():
        setattr(user, name, value)
    user.save(update_fields=list(values))


INSERT = "INSERT INTO tests_post (text) VALUES (%s)"
INSERT_UNIQUE = "INSERT INTO tests_pinrow (client, text) VALUES (%s, '')"
UPDATE = "UPDATE tests_post SET text = 'new' WHERE text = %s"
DELETE = "DELETE FROM tests_post WHERE text = %s"

# A deleted row stays, and is not told of.
SOFT_DELETE = """
CREATE TRIGGER soft_delete BEFORE DELETE ON tests_post
BEGIN
    UPDATE tests_post SET text = 'deleted' WHERE id = OLD.id;
    SELECT RAISE(IGNORE);
END
"""

# Each changes the posts.
WRITES: dict[str, Callable[[], object]] = {
    "create": lambda: Post.objects.create(text="new"),
    "save": lambda: Post(pk=old().pk, text="new").save(),
    "get_or_create": lambda: Post.objects.get_or_create(text="new"),
    "update_or_create": lambda: Post.objects.update_or_create(pk=old().pk, defaults={"text": "new"}),
    "bulk_create": lambda: Post.objects.bulk_create([Post(text="new"), Post(text="newer")]),
    "bulk_update": lambda: Post.objects.bulk_update([Post(pk=old().pk, text="new")], ["text"]),
    "update": lambda: Post.objects.filter(text="old").update(text="new"),
    "update of all": lambda: Post.objects.update(text="new"),
    "delete": lambda: Post.objects.filter(text="old").delete(),
    "delete of one": lambda: old().delete(),
    "using": lambda: Post.objects.using("default").create(text="new"),
    "save using": lambda: Post(text="new").save(using="default"),
    "in a transaction": lambda: in_transaction(WRITES["create"]),
    "execute": lambda: execute(INSERT, "new"),
    "executemany": lambda: execute_many(INSERT, ("new",), ("newer",)),
    "in lower case": lambda: execute(INSERT.lower(), "new"),
    "after a comment": lambda: execute(f"/* SELECT */ -- only\n{INSERT}", "new"),
    "with a common table expression": lambda: execute(f"WITH one AS (SELECT 1) {INSERT}", "new"),
    "returning": lambda: execute(f"{INSERT} RETURNING id", "new"),
}

# Each could change something, but does not.
READS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "select": lambda: list(Post.objects.using("default")),
    "transaction": lambda: in_transaction(READS["select"]),
    "get_or_create of what is there": lambda: PinRow.objects.get_or_create(client="known"),
    "update of no row": lambda: Post.objects.filter(text="nobody's").update(text="new"),
    "delete of no row": lambda: Post.objects.filter(text="nobody's").delete(),
    "execute on no row": lambda: execute(UPDATE, "nobody's"),
    "executemany on no row": lambda: execute_many(UPDATE, ("nobody's",), ("nowhere's",)),
    "insert that is ignored": lambda: PinRow.objects.bulk_create([PinRow(client="known")], ignore_conflicts=True),
}

REFUSED: dict[str, tuple[Callable[[], object], type[DatabaseError]]] = {
    "create": (lambda: PinRow.objects.create(client="known"), IntegrityError),
    "execute": (lambda: execute(INSERT_UNIQUE, "known"), IntegrityError),
    "without its parameters": (lambda: execute(INSERT), ProgrammingError),
    "in a broken transaction": (
        lambda: in_transaction(lambda: (transaction.set_rollback(True), execute(INSERT, "new"))),
        transaction.TransactionManagementError,
    ),
    "select from nowhere": (lambda: execute("SELECT * FROM nowhere"), OperationalError),
}

OTHERS: dict[str, Callable[[], object]] = {
    "schema": lambda: execute("CREATE TABLE IF NOT EXISTS tests_post (text TEXT)"),
    "session": lambda: Session.objects.create(session_key="new", expire_date="2030-01-01T00:00Z"),
    "session by name": lambda: Session.objects.using("users").create(expire_date="2030-01-01T00:00Z"),
    "session and post": lambda: (OTHERS["session"](), WRITES["create"]()),
    "last log-in": lambda: set_of(ada(), last_login="2030-01-01T00:00Z"),
    "last log-in by update": lambda: User.objects.filter(pk=ada().pk).update(last_login="2030-01-01T00:00Z"),
    "last log-in and name": lambda: set_of(ada(), last_login="2030-01-01T00:00Z", first_name="Ada"),
    "name": lambda: set_of(ada(), first_name="Ada"),
    "user": lambda: User.objects.create_user("bob"),
    "groups": lambda: ada().groups.clear(),
    "readers": lambda: Book.objects.using("default").get().readers.add(old()),
    "soft delete": lambda: execute(DELETE, "old"),
    "text by itself": lambda: execute("UPDATE tests_post SET text = text || %s WHERE id = id", "!"),
}


def do(request: HttpRequest, how: str) -> HttpResponse:
    """Read, do what is asked for, and read again."""
    before = views.answer()
    {**WRITES, **READS, **OTHERS}[how]()
    return JsonResponse({"before": before, "after": views.answer()})


def refused(request: HttpRequest, how: str) -> HttpResponse:
    action, error = REFUSED[how]
    with pytest.raises(error):
        action()
    return JsonResponse(views.answer())


def refused_in_part(request: HttpRequest) -> HttpResponse:
    with pytest.raises(IntegrityError):
        execute_many(INSERT_UNIQUE, ("new",), ("known",))
    return JsonResponse(views.answer())


def lost(request: HttpRequest, how: str) -> HttpResponse:
    """The connection is lost before the answer comes."""

    def lose(execute: Callable[..., Any], *query: Any) -> Any:
        execute(*query)
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError), connections["default"].execute_wrapper(lose):
        {**WRITES, **OTHERS}[how]()
    return JsonResponse(views.answer())


def marked(request: HttpRequest, how: str) -> HttpResponse:
    response = do(request, how)
    response._db_write = request.GET["write"] == "yes"
    return response


def aliases(request: HttpRequest, how: str) -> HttpResponse:
    """Where posts and tokens are read after a write."""
    {**WRITES, **OTHERS}[how]()
    return views.databases(request)


async def ado(request: HttpRequest, how: str) -> HttpResponse:
    before = await sync_to_async(views.answer)()
    await ASYNC[how]()
    return JsonResponse({"before": before, "after": await sync_to_async(views.answer)()})


def in_a_thread_of_its_own() -> None:
    try:
        Post.objects.create(text="new")
    finally:
        connections.close_all()


ASYNC: dict[str, Callable[[], Any]] = {
    "acreate": lambda: Post.objects.acreate(text="new"),
    "aupdate": lambda: Post.objects.filter(text="old").aupdate(text="new"),
    "sync_to_async": lambda: sync_to_async(WRITES["execute"])(),
    "sync_to_async elsewhere": lambda: sync_to_async(in_a_thread_of_its_own, thread_sensitive=False)(),
    "nothing": lambda: Post.objects.filter(text="nobody's").adelete(),
}

urlpatterns = [
    path("do/<how>", do),
    path("db-read/<how>", db_read(do)),
    path("db-write/<how>", db_write(do)),
    path("db-read/db-write/<how>", db_read(db_write(do))),
    path("marked/<how>", marked),
    path("refused/<how>", refused),
    path("refused-in-part", refused_in_part),
    path("lost/<how>", lost),
    path("aliases/<how>", aliases),
    path("ado/<how>", ado),
    path("log-in", views.log_in),
    path("log-out", views.log_out),
    path("read", views.read),
]


def pinned(response: HttpResponseBase) -> set[str]:
    """The primaries that ``response`` pins its client to."""
    request = RequestFactory().get("/")
    request.COOKIES = {name: morsel.value for name, morsel in response.cookies.items()}
    pin = get_pin_store().load(request)
    return set(pin.holds) if pin else set()


def texts() -> list[str]:
    return sorted(Post.objects.using("default").values_list("text", flat=True))


class TestTrigger:
    @pytest.mark.parametrize("how", WRITES)
    def test_a_get_that_writes_pins_and_reads_its_own_write_from_then_on(self, client: Client, how: str) -> None:
        response = client.get(f"/do/{how}")
        before, after = response.json().values()
        assert (before["texts"], before["reason"]) == (["old"], "replica")
        assert (after["texts"], after["alias"], after["reason"]) == (texts(), "default", "wrote")
        assert texts() != ["old"]
        assert pinned(response) == {"default"}
        assert client.get("/read").json()["reason"] == "pinned"

    @pytest.mark.parametrize("how", READS)
    @pytest.mark.parametrize(("method", "reason"), [("get", "replica"), ("post", "method")])
    def test_a_request_that_writes_nothing_pins_nobody(
        self, client: Client, method: str, reason: str, how: str
    ) -> None:
        response = getattr(client, method)(f"/do/{how}")
        assert response.json()["after"]["reason"] == reason
        assert not response.cookies
        assert client.get("/read").json()["reason"] == "replica"

    def test_a_post_that_writes_pins(self, client: Client) -> None:
        response = client.post("/do/create")
        assert response.json()["after"]["reason"] == "method"
        assert pinned(response) == {"default"}

    def test_a_change_of_the_schema_pins_although_it_counts_no_rows(self, client: Client) -> None:
        assert pinned(client.get("/do/schema")) == {"default"}

    def test_a_delete_that_a_trigger_makes_an_update_pins(self, client: Client) -> None:
        """Though it counts no rows."""
        execute(SOFT_DELETE)
        try:
            response = client.get("/do/soft delete")
        finally:
            execute("DROP TRIGGER soft_delete")
        assert texts() == ["deleted"]
        assert response.json()["after"]["reason"] == "wrote"
        assert pinned(response) == {"default"}

    @pytest.mark.parametrize("how", REFUSED)
    def test_what_the_database_refuses_pins_nobody(self, client: Client, how: str) -> None:
        response = client.get(f"/refused/{how}")
        assert response.json()["reason"] == "replica"
        assert not response.cookies

    def test_of_many_some_may_have_been_written_before_one_is_refused(self, client: Client) -> None:
        response = client.get("/refused-in-part")
        assert PinRow.objects.using("default").filter(client="new").exists()
        assert response.json()["reason"] == "wrote"
        assert pinned(response) == {"default"}

    @pytest.mark.parametrize(
        ("how", "labels", "reason"),
        [("execute", [], "wrote"), ("execute", ["tests.Post"], "wrote"), ("name", [], "replica")],
    )
    def test_a_write_whose_answer_is_lost_may_have_been_made(
        self, client: Client, settings, how: str, labels: list[str], reason: str
    ) -> None:
        """The connection is lost under a write, or under the read of the user whose name was to be written."""
        settings.MULTIDB_PINNING_IGNORE = labels
        response = client.get(f"/lost/{how}")
        assert response.json()["reason"] == reason
        assert bool(pinned(response)) is (reason == "wrote" and not labels)

    @pytest.mark.parametrize(
        ("path", "primaries"),
        [
            ("/db-read/create", set()),
            ("/db-write/nothing", {"default"}),
            ("/db-read/db-write/nothing", {"default"}),
            ("/marked/create?write=no", set()),
            ("/marked/nothing?write=yes", {"default"}),
        ],
    )
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_what_the_view_or_its_response_says_decides(
        self, client: Client, method: str, path: str, primaries: set[str]
    ) -> None:
        assert pinned(getattr(client, method)(path)) == primaries

    def test_by_the_method_a_write_pins_nobody_but_is_read_from_then_on(self, client: Client, settings) -> None:
        settings.MULTIDB_PINNING_TRIGGER = "method"
        response = client.get("/do/create")
        assert response.json()["after"]["reason"] == "wrote"
        assert not response.cookies
        assert pinned(client.post("/do/nothing")) == {"default"}

    def test_outside_a_request_a_write_is_of_nobody(self) -> None:
        routing.resume(Scope(OUTSIDE))
        Post.objects.create(text="new")
        assert {router.db_for_read(Post) for _ in range(4)} == set(REPLICAS)


class TestAsync:
    @pytest.mark.parametrize("how", ASYNC)
    async def test_an_async_view_is_observed_wherever_its_queries_run(
        self, async_client: AsyncClient, how: str
    ) -> None:
        wrote = how != "nothing"
        response = await async_client.get(f"/ado/{how}")
        assert [answer["reason"] for answer in response.json().values()] == ["replica", "wrote" if wrote else "replica"]
        assert pinned(response) == ({"default"} if wrote else set())

    async def test_an_async_post_that_writes_nothing_pins_nobody(self, async_client: AsyncClient) -> None:
        assert not (await async_client.post("/ado/nothing")).cookies


class TestSeveralPrimaries:
    @pytest.fixture(autouse=True)
    def _two_primaries(self, settings, _old: None) -> None:
        settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
        settings.DATABASE_ROUTERS = ["multidb.PinningReplicaRouter", "tests.test_routers.UsersRouter"]

    @pytest.mark.parametrize(
        ("how", "primaries"),
        [
            ("create", {"default"}),
            ("session", {"users"}),
            ("session by name", {"users"}),
            ("session and post", {"default", "users"}),
        ],
    )
    def test_only_those_that_were_written_to_are_pinned_and_read_from_then_on(
        self, client: Client, how: str, primaries: set[str]
    ) -> None:
        response = client.get(f"/aliases/{how}")
        assert pinned(response) == primaries
        assert response.json() == {
            "post": "default" if "default" in primaries else "replica-1",
            "token": "users" if "users" in primaries else "users-replica",
        }

    def test_a_view_that_says_it_writes_may_have_written_to_each(self, client: Client) -> None:
        assert pinned(client.get("/db-write/create")) == {"default", "users"}

    def test_a_database_that_is_no_primary_pins_nobody(self, client: Client, settings) -> None:
        settings.REPLICA_DATABASES = ["replica-1"]
        assert not client.get("/do/session by name").cookies
        assert Session.objects.using("users").exists()


class TestIgnored:
    @pytest.mark.parametrize(
        ("how", "labels", "pins"),
        [
            ("create", ["tests"], False),
            ("create", ("tests.Post",), False),
            ("create", ["tests.post"], False),
            ("create", ["auth", "tests.Book"], True),
            ("create", [], True),
            ("create", ["tests.Post.text"], True),
            ("update", ["tests.Post.text"], False),
            ("text by itself", ["tests.Post.text"], True),
            ("session", ["sessions"], False),
            ("session", ["sessions.Session"], False),
            ("session and post", ["sessions"], True),
            ("last log-in", ["auth.User.last_login"], False),
            ("last log-in by update", ["auth.User.last_login"], False),
            ("last log-in and name", ["auth.User.last_login"], True),
            ("last log-in and name", ["auth.User.last_login", "auth.User.first_name"], False),
            ("name", ["auth.User.last_login"], True),
            ("user", ["auth.User.last_login"], True),
            ("groups", ["auth.User"], False),
            ("groups", ["auth"], False),
            ("groups", ["auth.User.groups"], False),
            ("groups", ["auth.User_groups"], False),
            ("groups", ["auth.Group"], True),
            ("readers", ["tests.Book"], False),
            ("readers", ["tests"], False),
            ("readers", ["tests.Post"], True),
            ("schema", ["tests"], True),
            ("with a common table expression", ["tests"], True),
        ],
    )
    def test_a_write_to_what_is_ignored_pins_nobody_and_is_read_only_by_its_own_request(
        self, client: Client, settings, how: str, labels: list[str], pins: bool
    ) -> None:
        settings.MULTIDB_PINNING_IGNORE = labels
        response = client.get(f"/do/{how}")
        assert pinned(response) == ({"default"} if pins else set())
        # The read after it is of posts: whoever wrote one reads it in this request all the same.
        assert response.json()["after"]["reason"] == ("wrote" if pins or how in ("create", "update") else "replica")

    @pytest.mark.parametrize(
        ("labels", "pins"),
        [
            (["sessions", "auth.User.last_login"], False),
            (["sessions", "auth.User"], False),
            (["sessions"], True),
            (["auth.User.last_login"], True),
        ],
    )
    def test_a_log_in_pins_only_by_what_is_not_ignored(
        self, client: Client, settings, labels: list[str], pins: bool
    ) -> None:
        settings.MULTIDB_PINNING_IGNORE = labels
        response = client.post("/log-in", {"user": "ada"})
        assert client.session["_auth_user_id"] == str(ada().pk)
        assert ada().last_login is not None
        assert pinned(response) == ({"default"} if pins else set())

    def test_a_log_out_pins_nobody_where_sessions_are_ignored(self, client: Client, settings) -> None:
        settings.MULTIDB_PINNING_IGNORE = ["sessions"]
        client.force_login(ada())
        assert not pinned(client.post("/log-out"))
        assert not Session.objects.exists()

    def test_by_the_method_nothing_is_ignored(self, client: Client, settings) -> None:
        settings.MULTIDB_PINNING_TRIGGER = "method"
        settings.MULTIDB_PINNING_IGNORE = ["tests.Post"]
        assert client.get("/do/create").json()["after"]["reason"] == "wrote"
        assert pinned(client.post("/do/create")) == {"default"}

    @pytest.mark.parametrize("label", ["nowhere", "auth.Nobody", "auth.User.nothing", "auth.User.last_login.year", ""])
    def test_what_is_not_installed_raises_when_it_is_used(self, client: Client, settings, label: str) -> None:
        settings.MULTIDB_PINNING_IGNORE = ["sessions", label]
        with pytest.raises(ImproperlyConfigured, match=f"MULTIDB_PINNING_IGNORE names {label!r}"):
            client.get("/do/create")


def test_a_connection_that_is_open_already_is_watched_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of an app which is listed before ours and asks when Django starts."""
    connection = connections["default"]
    monkeypatch.setattr(connection, "execute_wrappers", [])
    monkeypatch.delitem(vars(connection), "_multidb_watched")
    watch_connections()
    assert pinned(client.get("/do/create")) == {"default"}
    wrappers = list(connection.execute_wrappers)
    watch_connections()
    assert connection.execute_wrappers == wrappers


def test_before_settings_are_configured_no_connection_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """And to look for one would configure them; see ``contrib/test_celery.py``."""
    monkeypatch.setattr("multidb.writes.settings", LazySettings())
    monkeypatch.delitem(vars(connections["default"]), "_multidb_watched")
    watch_connections()
    assert "_multidb_watched" not in vars(connections["default"])


def test_what_a_store_writes_to_find_a_pin_is_no_write_of_the_client(
    request: pytest.FixtureRequest, client: Client
) -> None:
    """As the database cache that deletes a pin which has run out: that would make another, without an end."""
    use_store(request, "database cache", keys=["authorization"])
    token = {"Authorization": "Token ada"}
    assert pinned(client.get("/do/create", headers=token)) == {"default"}
    execute("UPDATE pins SET expires = '2020-01-01 00:00:00' WHERE cache_key LIKE '%%authorization%%'")
    client.cookies.clear()
    response = client.get("/read", headers=token)
    assert response.json()["reason"] == "replica"
    assert not response.cookies


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_nor_is_what_the_load_of_a_session_writes(
    request: pytest.FixtureRequest, client: Client, settings: Any, engine: str
) -> None:
    """As where that is in such a cache, and has run out there."""
    use_store(request, "database cache", keys=["session"])
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_CACHE_ALIAS = "pins"
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    with use_primary_db:
        session["basket"] = "a book"
        session.save()
    execute("UPDATE pins SET expires = '2020-01-01 00:00:00' WHERE cache_key LIKE '%%session%%'")
    client.cookies["sessionid"] = session.session_key
    response = client.get("/read")
    assert response.json()["reason"] == "replica"
    assert not response.cookies


def key_that_writes(request: HttpRequest) -> str:
    """As one that makes a user who comes for the first time."""
    return str(PinRow.objects.get_or_create(client="new")[0].pk)


def test_what_a_project_s_own_key_function_writes_is_a_write_of_the_client(
    request: pytest.FixtureRequest, client: Client
) -> None:
    use_store(request, "file cache", keys=[f"{__name__}.key_that_writes"])
    assert pinned(client.get("/read")) == {"default"}
