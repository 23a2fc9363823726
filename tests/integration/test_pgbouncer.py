"""What holds behind PgBouncer, and what does not: docs/scaling.md tells of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connections
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from servers.postgresql import PostgresCluster

from multidb import health, positions
from tests.integration.conftest import catch_up, connected_to
from tests.integration.endpoint import Endpoint
from tests.integration.pgbouncer import PgBouncer
from tests.models import Post

READ_ONLY = "read-only transaction"


@contextmanager
def pooled(cluster: PostgresCluster, mode: str, at_most: int, **leads_to: str) -> Iterator[PgBouncer]:
    """The project behind a pooler, each alias of which leads to one of its databases."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(Endpoint([standby.port for standby in cluster.standbys]))
        pooler = stack.enter_context(PgBouncer(cluster, mode, at_most, endpoint.port))
        databases = {alias.replace("_", "-"): pooler.django_settings(name) for alias, name in leads_to.items()}
        stack.enter_context(connected_to(databases))
        yield pooler


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_routing_and_pins_hold(postgres: PostgresCluster, settings: Any, mode: str) -> None:
    """By the seconds; whoever wrote reads from the primary, and others from a standby that is late."""
    settings.MULTIDB_PINNING_UNTIL = "elapsed"
    with pooled(postgres, mode, 5, default="primary", replica_1="first", replica_2="second"):
        for standby in postgres.standbys:
            standby.pause()
        writer, other = Client(), Client()
        writer.post("/post", {"text": "mine"})
        answers = [client.get("/read").json() for client in (writer, other)]
        assert [(answer["texts"], answer["reason"]) for answer in answers] == [(["mine"], "pinned"), ([], "replica")]


@pytest.fixture(params=[True, False], ids=["pinned", "control"])
def pinned(request: pytest.FixtureRequest, settings: Any) -> bool:
    """Is our middleware there? Where it is not, the stale read is seen. The site is that of sessions."""
    settings.ROOT_URLCONF = "tests.third_parties.sites.sessions"
    if not request.param:
        settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if not each.startswith("multidb.")]
    return request.param


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_whoever_writes_sees_it_and_their_pin_ends_with_its_replay(
    postgres: PostgresCluster, settings: Any, mode: str, pinned: bool
) -> None:
    settings.MULTIDB_PINNING_TRIGGER = "write"
    settings.MULTIDB_GUARD_REPLICAS = mode == "session"
    with pooled(postgres, mode, 5, default="primary", replica_1="first", replica_2="second"):
        for standby in postgres.standbys:
            standby.pause()
        writer, other = Client(), Client()
        writer.post("/post", {"text": "mine"})
        seen = [client.get("/posts").json()["texts"] for client in (writer, other)]
        assert seen == [["mine"] if pinned else [], []]
        for standby in postgres.standbys:
            standby.resume()
        catch_up(postgres)
        with CaptureQueriesContext(connections["default"]) as queries:
            assert writer.get("/posts").json()["texts"] == ["mine"]
        assert len(queries) == 0


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_new_password_logs_out_nobody(postgres: PostgresCluster, settings: Any, mode: str, pinned: bool) -> None:
    """A standby has the old one, which the hash in the session is no longer of."""
    settings.MULTIDB_GUARD_REPLICAS = mode == "session"
    with pooled(postgres, mode, 5, default="primary", replica_1="first", replica_2="second"):
        user = User.objects.create_user("ada", password="the old secret")
        catch_up(postgres)
        browser = Client()
        browser.force_login(user)
        for standby in postgres.standbys:
            standby.pause()
        fields = {"old_password": "the old secret", "new_password1": "another one", "new_password2": "another one"}
        assert browser.post("/accounts/password_change/", fields).status_code == 302
        assert browser.get("/posts").json()["user"] == ("ada" if pinned else "")


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_async_views(postgres: PostgresCluster, settings: Any, mode: str, pinned: bool) -> None:
    settings.MULTIDB_GUARD_REPLICAS = mode == "session"
    with pooled(postgres, mode, 5, default="primary", replica_1="first", replica_2="second"):
        for standby in postgres.standbys:
            standby.pause()
        writer, other = AsyncClient(), AsyncClient()
        await writer.post("/apost", {"text": "mine"})
        seen = [(await client.get("/aposts")).json()["texts"] for client in (writer, other)]
        assert seen == [["mine"] if pinned else [], []]


def test_a_mode_of_the_session_stays_on_the_server_connection(postgres: PostgresCluster) -> None:
    """In transaction mode, where an alias that writes shares the pool: its writes are refused."""
    with pooled(postgres, "transaction", 1, default="primary", replica_1="primary"):
        Post.objects.using("default").create(text="before")
        connections["replica-1"].ensure_connection()
        with pytest.raises(DatabaseError, match=READ_ONLY):
            Post.objects.using("default").create(text="after")


def test_a_mode_of_the_session_is_not_on_the_other_server_connections(postgres: PostgresCluster) -> None:
    """In transaction mode a guarded replica that takes writes is written to over another server connection."""
    with pooled(postgres, "transaction", 2, replica_1="primary") as pooler:
        connections["replica-1"].ensure_connection()
        with pytest.raises(DatabaseError, match=READ_ONLY):
            Post.objects.using("replica-1").create(text="guarded")
        with ExitStack() as stack:
            # At once, so that each keeps another server connection. Then only one is free, and not guarded.
            others = [stack.enter_context(pooler.connect("primary")) for _ in range(2)]
            modes = [other.execute("SHOW default_transaction_read_only").fetchone()[0] for other in others]
            assert sorted(modes) == ["off", "on"]
            others[modes.index("off")].rollback()
            Post.objects.using("replica-1").create(text="not guarded")
    assert Post.objects.using("default").filter(text="not guarded").exists()


def test_a_standby_refuses_writes_all_the_same(postgres: PostgresCluster, settings: Any) -> None:
    settings.MULTIDB_GUARD_REPLICAS = False
    with pooled(postgres, "transaction", 1, replica_1="first"), pytest.raises(DatabaseError, match=READ_ONLY):
        Post.objects.using("replica-1").create(text="mine")


def test_in_session_mode_the_mode_ends_with_the_client(postgres: PostgresCluster) -> None:
    with pooled(postgres, "session", 2, default="primary", replica_1="primary"):
        with pytest.raises(DatabaseError, match=READ_ONLY):
            Post.objects.using("replica-1").create(text="mine")
        connections["replica-1"].close()
        Post.objects.using("default").create(text="after")


def test_in_session_mode_a_remembered_position_is_of_one_server(postgres: PostgresCluster) -> None:
    with pooled(postgres, "session", 2, replica_1="both"):
        believe(postgres)
        assert all(Post.objects.using("replica-1").exists() for _ in range(10))


def test_in_transaction_mode_a_remembered_position_may_be_of_another_server(postgres: PostgresCluster) -> None:
    """What one standby has replayed is believed of the other: a read misses the write, though the pin has ended."""
    with pooled(postgres, "transaction", 2, replica_1="both") as pooler:
        with pooler.connect("both") as one, pooler.connect("both") as other:
            # At once, so that there is a connection to each.
            ports = {each.execute("SHOW port").fetchone()[0] for each in (one, other)}
        assert len(ports) == 2
        believe(postgres)
        assert {Post.objects.using("replica-1").exists() for _ in range(10)} == {True, False}


def test_an_endpoint_of_many_without_a_pooler_is_one_server_for_a_connection(postgres: PostgresCluster) -> None:
    """A reader endpoint decides when a connection is made, and a remembered position ends with that."""
    first, second = postgres.standbys
    with Endpoint([first.port, second.port]) as endpoint, connected_to({"replica-1": _at(postgres, endpoint.port)}):
        believe(postgres)
        assert all(Post.objects.using("replica-1").exists() for _ in range(10))
        connections["replica-1"].close()
        position = positions.primary_position(connections["default"])
        assert not health.has_replayed("replica-1", position)
        assert not Post.objects.using("replica-1").exists()


def believe(cluster: PostgresCluster) -> None:
    """Of two standbys one lacks a post; ``replica-1`` has been asked over a connection that leads to the other."""
    first, late = cluster.standbys
    late.pause()
    Post.objects.using("default").create(text="mine")
    position = positions.primary_position(connections["default"])
    first.wait_until_replayed(cluster.primary)
    for _ in range(10):
        if health.has_replayed("replica-1", position):
            return
        connections["replica-1"].close()
    pytest.fail("No connection leads to the standby that has the post.")


def _at(cluster: PostgresCluster, port: int) -> dict[str, Any]:
    return {**cluster.standbys[0].django_settings(), "PORT": port}


def test_in_session_mode_a_server_that_has_gone_is_noticed_where_a_client_had_it(postgres: PostgresCluster) -> None:
    """The pooler ends the client with its server, and the socket says so: no query is lost to it."""
    with pooled(postgres, "session", 1, replica_1="first"):
        Post.objects.using("replica-1").count()
        had = connections["replica-1"].connection
        postgres.standbys[0].stop()
        health.is_usable("replica-1")
        assert connections["replica-1"].connection is not had


def test_in_transaction_mode_the_pooler_hides_a_server_that_has_gone(postgres: PostgresCluster) -> None:
    """Its socket says nothing: the replica is believed to be up, and the query fails after the pooler's patience."""
    with pooled(postgres, "transaction", 1, replica_1="first"):
        Post.objects.using("replica-1").count()
        postgres.standbys[0].stop()
        assert health.is_usable("replica-1")
        with pytest.raises(OperationalError, match="query_wait_timeout"):
            Post.objects.using("replica-1").count()


def test_a_request_whose_server_has_gone_is_answered_after_the_pooler_s_patience(
    postgres: PostgresCluster, settings: Any
) -> None:
    """The view is run once more, on the primary; those after it do not wait."""
    settings.REPLICA_DATABASES = ["replica-1"]
    with pooled(postgres, "transaction", 1, replica_1="first"):
        assert Client().get("/read").json()["reason"] == "replica"
        postgres.standbys[0].stop()
        assert [Client().get("/read").json()["reason"] for _ in range(2)] == ["no replica", "no replica"]
