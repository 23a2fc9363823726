"""What PostgreSQL and MariaDB tell of themselves: how far they have got, and how far they are behind."""

import itertools
import math
import time
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from django.test import Client

from multidb import positions
from multidb.lag import Lag
from multidb.pinning import use_primary_db
from multidb.positions import PositionUnavailable, is_replayed, lag_seconds, primary_position, replayed_position
from tests.integration.conftest import catch_up, connected_to, databases_of, replicas_of
from tests.models import Post

REPLICA = "replica-1"


def write() -> None:
    with use_primary_db:
        Post.objects.create(text="mine")


def primary() -> Any:
    return primary_position(connections["default"])


def replayed() -> Any:
    return replayed_position(connections[REPLICA])


def test_a_replica_is_behind_a_write_until_it_has_replayed_it(cluster: Any) -> None:
    before = primary()
    catch_up(cluster)
    assert is_replayed(before, replayed())
    replicas_of(cluster)[0].pause()
    write()
    after = primary()
    assert not is_replayed(after, replayed())
    assert is_replayed(before, replayed())
    replicas_of(cluster)[0].resume()
    catch_up(cluster)
    assert is_replayed(after, replayed())
    assert Post.objects.using(REPLICA).exists()


def test_a_position_has_a_commit_that_is_not_on_disk_yet(postgres: Any) -> None:
    """With synchronous_commit off, what is flushed comes later than what the client is told."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for _ in range(20):
            write()
            committed = place(cursor)
            assert int(primary()["lsn"], 16) >= committed - 40  # The header of a page that is not begun.
        cursor.execute("RESET synchronous_commit")


def test_a_standby_that_has_lost_its_primary_is_late_in_time(postgres: Any) -> None:
    """However often it is asked: that it has replayed all that it has received is no news."""
    write()
    catch_up(postgres)
    lag = Lag()
    assert lag.seconds_too_late(connections[REPLICA], 1) is None
    postgres.primary.stop()
    assert wait_for(lambda: lag.seconds_too_late(connections[REPLICA], 1)) > 1


def test_a_position_grows_with_each_write(cluster: Any) -> None:
    seen = [primary()]
    for _ in range(20):
        write()
        seen.append(primary())
    assert all(is_replayed(first, second) and first != second for first, second in itertools.pairwise(seen))


def test_an_idle_primary_is_no_lag(cluster: Any) -> None:
    """However long ago its last transaction was."""
    write()
    catch_up(cluster)
    lags = []
    deadline = time.monotonic() + 2.2
    while time.monotonic() < deadline:  # MariaDB counts in whole seconds.
        before = primary()
        had_all = is_replayed(before, replayed())
        lag = lag_seconds(connections[REPLICA])
        if had_all and primary() == before:  # It writes of its own accord too.
            lags.append(lag)
        time.sleep(0.1)
    assert len(lags) > 5
    assert set(lags) == {0}


def test_a_standby_that_does_not_replay_falls_behind(postgres: Any) -> None:
    write()
    catch_up(postgres)
    postgres.standbys[0].pause()
    write()
    first = wait_for(lambda: lag_seconds(connections[REPLICA]))
    assert wait_for(lambda: max(0.0, lag_seconds(connections[REPLICA]) - first)) > 0


def test_a_replica_that_does_not_replay_at_all_has_no_end_of_lag(mariadb: Any) -> None:
    mariadb.replica.pause()
    assert lag_seconds(connections[REPLICA]) == math.inf


def test_a_replica_that_waits_on_purpose_is_behind(mariadb: Any) -> None:
    mariadb.replica.set_lag(3)
    write()
    # It takes a lag by a new start of its replication: until it receives again, its lag has no end.
    wait_for(lambda: 0 < lag_seconds(connections[REPLICA]) < math.inf)


def test_a_long_transaction_is_no_lag(postgres: Any, settings: Any) -> None:
    """For many seconds nothing is committed, while the standby replays what it receives."""
    settings.MULTIDB_MAX_REPLICA_LAG = 1
    write()
    catch_up(postgres)
    late = []
    deadline = time.monotonic() + 6
    with connections["default"].copy().cursor() as cursor:
        cursor.execute("BEGIN")
        while time.monotonic() < deadline:
            cursor.execute("INSERT INTO tests_post (text) SELECT repeat('x', 100) FROM generate_series(1, 200)")
            late.append(Client().get("/read").json()["reason"] != "replica")
        cursor.execute("ROLLBACK")
        cursor.db.close()
    # By the age of its last transaction it would be late but for the first second. A busy machine stalls for one, too.
    assert sum(late) <= len(late) / 2


def test_a_standby_that_has_lost_its_primary_is_as_late_as_its_last_transaction(postgres: Any) -> None:
    """It has replayed all that it has received, and nobody knows what it lacks."""
    write()
    catch_up(postgres)
    postgres.primary.stop()
    assert wait_for(lambda: lag_seconds(connections[REPLICA])) > 0


@pytest.mark.parametrize("header", [24, 40], ids=["of a page", "of a file"])
def test_a_position_at_an_edge_of_the_log_can_be_replayed(postgres: Any, header: int) -> None:
    """There the next record is to begin behind a header that nobody has written yet, and nobody replays."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_switch_wal()")
        while place(cursor) % 8192 != header:
            assert header == 24
            # A record that ends where its page does, if nobody writes another meanwhile: 56 bytes are not the text.
            text = max(8192 - place(cursor) % 8192 - 56, 0)
            cursor.execute("SELECT pg_logical_emit_message(false, '', repeat('x', %s))", [text])
    position = primary()
    assert int(position["lsn"], 16) % 8192 == 0
    assert wait_for(lambda: is_replayed(position, replayed()))


def place(cursor: Any) -> int:
    """The byte of the log at which the next record is to begin."""
    cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    return int(cursor.fetchone()[0])


def test_a_primary_is_no_replica_and_a_replica_no_primary(postgres: Any) -> None:
    with pytest.raises(PositionUnavailable, match="not in recovery"):
        replayed_position(connections["default"])
    with pytest.raises(PositionUnavailable, match="not in recovery"):
        lag_seconds(connections["default"])
    with pytest.raises(PositionUnavailable, match="recovery is in progress"):
        primary_position(connections[REPLICA])


def test_a_primary_of_mariadb_is_no_replica(mariadb: Any) -> None:
    with pytest.raises(PositionUnavailable, match="no replica"):
        replayed_position(connections["default"])
    with pytest.raises(PositionUnavailable, match="no replica"):
        lag_seconds(connections["default"])


def test_a_user_without_any_privilege_can_ask_postgresql(postgres: Any) -> None:
    """Of the receiver such a user sees only that it is there."""
    postgres.primary.execute("DROP ROLE IF EXISTS nobody")
    postgres.primary.execute("CREATE ROLE nobody LOGIN")
    catch_up(postgres)
    entries = {alias: {**entry, "USER": "nobody"} for alias, entry in databases_of(postgres).items()}
    with connected_to(entries):
        position = primary()
        catch_up(postgres)
        assert is_replayed(position, replayed())
        assert lag_seconds(connections[REPLICA]) == 0


def test_a_user_without_rights_cannot_ask(cluster: Any) -> None:
    """And the transaction in which it was asked goes on."""
    restricted = _without_rights(cluster)
    with connected_to(restricted):
        connection = connections[REPLICA]
        with transaction.atomic(using=REPLICA):
            with pytest.raises(PositionUnavailable, match="denied"):
                lag_seconds(connection)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                assert cursor.fetchone() == (1,)


def _without_rights(cluster: Any) -> dict[str, Any]:
    if connections["default"].vendor == "postgresql":
        cluster.primary.execute("DROP ROLE IF EXISTS reader")
        cluster.primary.execute("CREATE ROLE reader LOGIN")
        cluster.primary.execute("REVOKE EXECUTE ON FUNCTION pg_last_wal_replay_lsn() FROM PUBLIC")
    else:
        cluster.primary.execute("CREATE OR REPLACE USER reader@'%'")
        cluster.primary.execute("GRANT SELECT ON multidb.* TO reader@'%'")
    catch_up(cluster)
    return {REPLICA: {**databases_of(cluster)[REPLICA], "USER": "reader"}}


@pytest.fixture(autouse=True)
def _rights(request: pytest.FixtureRequest) -> Any:
    """What a test takes from everybody is given back."""
    yield
    if "postgres_cluster" in request.fixturenames:
        cluster = request.getfixturevalue("postgres_cluster")
        cluster.primary.start()
        cluster.primary.execute("GRANT EXECUTE ON FUNCTION pg_last_wal_replay_lsn() TO PUBLIC")


def test_manage_check_asks_the_databases_that_are_named(
    cluster: Any, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.MULTIDB_MAX_REPLICA_LAG = 10
    call_command("check", databases=["default", REPLICA], fail_level="WARNING")
    with connected_to(_without_rights(cluster)):
        call_command("check", databases=["default", REPLICA])
    said = capsys.readouterr().err
    assert "(multidb.W028) MULTIDB_MAX_REPLICA_LAG is set, but the lag of 'replica-1' cannot be had" in said


def test_a_database_that_is_down_has_no_position(cluster: Any) -> None:
    replicas_of(cluster)[0].stop()
    with pytest.raises(PositionUnavailable, match="OperationalError"):
        replayed_position(connections[REPLICA])
    with pytest.raises(OperationalError):
        connections[REPLICA].ensure_connection()


def test_a_vendor_that_only_speaks_the_protocol_is_not_asked(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "VENDORS", {})
    with pytest.raises(PositionUnavailable, match=connections["default"].display_name):
        primary_position(connections["default"])


def wait_for(value: Any, seconds: float = 10) -> Any:
    """What ``value()`` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := value()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
