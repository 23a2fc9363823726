"""The primary stops, a replica is promoted, the settings change: reads go on, and no stale position is trusted."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.test import Client
from servers.postgresql import PostgresCluster

from multidb import health
from multidb.pinning import use_primary_db
from tests.conftest import use_store
from tests.integration.conftest import catch_up, connected_to, databases_of, project_on, replicas_of
from tests.models import Post


@pytest.mark.parametrize("store", ["cookie", "redis"])
def test_reads_without_a_pin_go_on_while_the_primary_is_down(
    request: pytest.FixtureRequest, cluster: Any, store: str
) -> None:
    use_store(request, store)
    Client().get("/read")
    cluster.primary.stop()
    for _ in range(4):
        assert Client().get("/read").json()["reason"] == "replica"
    with pytest.raises(OperationalError):
        Client().post("/post", {"text": "mine"})


def test_reads_go_on_although_nobody_knows_how_late_the_replicas_are(cluster: Any, settings: Any) -> None:
    """Past the lag limit the primary would be asked, if it were up."""
    settings.MULTIDB_MAX_REPLICA_LAG = 0.001
    cluster.primary.stop()
    for _ in range(20):
        answer = Client().get("/read").json()
        assert answer["alias"].startswith("replica")


def test_a_pinned_read_whose_write_is_replayed_goes_on(cluster: Any) -> None:
    client = Client()
    client.post("/post", {"text": "mine"})
    catch_up(cluster)
    cluster.primary.stop()
    answer = client.get("/read").json()
    assert (answer["texts"], answer["reason"]) == (["mine"], "replica")


def test_a_position_is_forgotten_with_its_connection(cluster: Any) -> None:
    """What an alias had replayed says nothing of the server that it leads to after a failover."""
    client = Client()
    client.post("/post", {"text": "mine"})
    catch_up(cluster)
    for _ in replicas_of(cluster):
        assert client.get("/read").json()["reason"] == "replica"
    replica = connections["replica-1"]
    assert health._remembered(replica)
    replica.close()
    assert health._remembered(replica) is None
    replica.ensure_connection()
    assert health._remembered(replica) is None


def test_a_standby_is_promoted_and_the_settings_are_changed(
    request: pytest.FixtureRequest, settings: Any, django_db_blocker: Any
) -> None:
    """A cluster of its own: the old primary is gone for good. The other standby follows the new primary later."""
    postgres: PostgresCluster = request.getfixturevalue("own_cluster")
    first, second = postgres.standbys
    client = Client()
    client.post("/post", {"text": "replayed by both"})
    catch_up(postgres)
    second.pause()
    client.post("/post", {"text": "replayed by the first"})
    first.wait_until_replayed(postgres.primary)
    assert client.get("/read").json()["texts"] == ["replayed by both", "replayed by the first"]
    postgres.primary.stop()
    first.promote()
    promoted = {"default": first.django_settings(), "replica-1": second.django_settings()}
    settings.REPLICA_DATABASES = ["replica-1"]
    with connected_to(promoted):
        answer = client.get("/read").json()
        assert (answer["alias"], answer["reason"]) == ("default", "pinned")
        assert answer["texts"] == ["replayed by both", "replayed by the first"]
        response = client.post("/post", {"text": "to the new primary"}, follow=True)
        assert response.json()["texts"][-1] == "to the new primary"
        assert Client().get("/read").json()["texts"] == ["replayed by both"]


@pytest.fixture
def own_cluster(request: pytest.FixtureRequest, postgres_cluster: Any, settings: Any, django_db_blocker: Any) -> Any:
    with PostgresCluster() as cluster, project_on(cluster, settings, django_db_blocker):
        yield cluster


def test_a_replica_that_is_another_primary_by_mistake_pins_by_the_seconds(
    postgres: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with connected_to({"replica-1": databases_of(postgres)["default"]}):
        postgres.standbys[1].pause()
        client = Client()
        client.post("/post", {"text": "mine"})
        for _ in range(4):
            assert client.get("/read").json()["reason"] == "pinned"
    said = [record.getMessage() for record in caplog.records if "replica-1" in record.getMessage()]
    why = "it is not in recovery, so it is no standby"
    assert said == [f"The position of replica-1 cannot be had ({why}): pins hold for their seconds."]


def test_a_replica_without_rights_to_answer_pins_by_the_seconds(
    postgres: Any, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.primary.execute("REVOKE EXECUTE ON FUNCTION pg_last_wal_replay_lsn() FROM PUBLIC")
    postgres.primary.execute("DROP ROLE IF EXISTS reader")
    postgres.primary.execute("CREATE ROLE reader LOGIN")
    postgres.primary.execute("GRANT pg_read_all_data TO reader")
    catch_up(postgres)
    try:
        replicas = {
            alias: {**entry, "USER": "reader", "ATOMIC_REQUESTS": True}
            for alias, entry in databases_of(postgres).items()
            if alias != "default"
        }
        with connected_to(replicas):
            client = Client()
            client.post("/post", {"text": "mine"})
            for _ in range(4):
                assert client.get("/read").json()["reason"] == "pinned"
            assert Client().get("/read").json()["reason"] == "replica"
    finally:
        postgres.primary.execute("GRANT EXECUTE ON FUNCTION pg_last_wal_replay_lsn() TO PUBLIC")
    said = [record.getMessage() for record in caplog.records if "permission denied" in record.getMessage()]
    assert len(said) == 2


def test_a_pin_of_one_vendor_is_a_pin_by_the_seconds_on_the_other(
    request: pytest.FixtureRequest, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A site moves from MariaDB to PostgreSQL while cookies are out."""
    mariadb = request.getfixturevalue("mariadb")
    client = Client()
    client.post("/post", {"text": "on MariaDB"})
    catch_up(mariadb)
    assert client.get("/read").json()["reason"] == "replica"
    settings.REPLICA_DATABASES = ["replica-1", "replica-2"]
    request.getfixturevalue("postgres")
    for _ in range(4):
        assert client.get("/read").json()["reason"] == "pinned"
    assert "A pin names a position that replica" in caplog.text


def test_several_primaries_have_positions_of_their_own(postgres: Any, settings: Any) -> None:
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["replica-2"]}
    with connected_to({"users": databases_of(postgres)["default"]}):
        postgres.standbys[1].pause()
        client = Client()
        client.post("/post", {"text": "mine"})
        postgres.standbys[0].wait_until_replayed(postgres.primary)
        assert client.get("/read").json()["reason"] == "replica"
        with use_primary_db:
            assert Post.objects.count() == 1
            assert User.objects.count() == 0
