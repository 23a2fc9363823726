"""A replica of Redis is promoted, by Sentinel or by hand: no request fails, and no pin is missing unnoticed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from servers.processes import READY_SECONDS, wait_until
from servers.redis import RedisNode, RedisServer
from servers.redis_sentinels import RedisSentinels

from multidb.middleware import pinning_cookie
from tests.conftest import Clock, lines
from tests.integration.failing_redis import (
    ADA,
    GRACE,
    NOBODY,
    SECONDS,
    Fault,
    Writers,
    each_fault,
    in_another_process,
    meanwhile,
    reason,
    use,
    write,
)
from tests.servers import started

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(scope="module")
def own_sentinels(request: pytest.FixtureRequest) -> Iterator[RedisSentinels]:
    for sentinels in started(request, RedisSentinels):
        for sentinel in sentinels.sentinels:
            # Else they would tell an old primary only after ten seconds that it is a replica now.
            sentinel.execute("SENTINEL DEBUG", "info-period", 2000, "publish-period", 500)
            # On a machine that is busy, a server that is well may be silent for a second.
            sentinel.execute("SENTINEL SET", sentinels.service_name, "down-after-milliseconds", 2000)
        yield sentinels


@pytest.fixture
def sentinels(own_sentinels: RedisSentinels, settings: Any) -> Iterator[RedisSentinels]:
    """The store is on the primary that they name. In the end, all servers run once more."""
    options = {
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "SENTINELS": own_sentinels.sentinel_addresses,
    }
    use(settings, f"redis://{own_sentinels.service_name}/0", **options)
    yield own_sentinels
    own_sentinels.replica.start()
    # The sentinels would see to that later.
    own_sentinels.replica.execute("REPLICAOF", own_sentinels.primary.host, own_sentinels.primary.port)
    own_sentinels.wait_until_ready()
    own_sentinels.primary.execute("FLUSHALL")


def wait_until_replicated(server: RedisNode) -> None:
    with server.client() as client:
        client.set("replicated", 1)
        assert client.wait(1, 5000) == 1


@each_fault
def test_no_pinned_client_reads_from_a_replica_at_any_moment_of_a_failover(
    sentinels: RedisSentinels, fault: Fault, clock: Clock, settings: Any
) -> None:
    """While the primary is gone, while the other is promoted, and while the old one comes back as its replica."""
    fail, come_back = fault
    writers = Writers(20)
    writers.step()
    assert writers.reasons == {"pinned"}
    wait_until_replicated(sentinels.primary)
    fail(sentinels.primary)
    meanwhile(sentinels.wait_until_promoted, writers.step)
    assert writers.reasons == {"pinned", "store down"}

    assert reason(NOBODY) == "store down"
    in_another_process(settings)
    assert set(map(reason, writers.tokens)) == {"pinned"}
    writers.reasons.clear()
    come_back(sentinels.replica)
    for server in (sentinels.primary, sentinels.replica):
        server.wait_until_ready()
        server.execute("CONFIG RESETSTAT")
    meanwhile(sentinels.wait_until_ready, writers.step)
    assert writers.reasons == {"pinned"}
    assert sentinels.replica.execute("ROLE")[0] == "slave"
    assert "cmdstat_get" in sentinels.primary.execute("INFO commandstats")
    assert "cmdstat_get" not in sentinels.replica.execute("INFO commandstats")

    clock.advance(SECONDS + 1)
    assert reason(NOBODY) == "replica"
    write(NOBODY)
    assert reason(NOBODY) == "pinned"


@pytest.mark.parametrize(("down", "expected"), [("primary", "store down"), ("replica", "replica")])
def test_that_a_replica_was_promoted_which_lagged_is_noticed(
    sentinels: RedisSentinels,
    clock: Clock,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    down: str,
    expected: str,
) -> None:
    """Until the longest pin has run out that may be lost, by every process; who has a cookie loses nothing."""
    settings.MULTIDB_PIN_STORE_DOWN = down
    assert reason(NOBODY) == "replica"
    wait_until_replicated(sentinels.primary)
    sentinels.replica.pause()
    sentinels.primary.execute("CLIENT KILL TYPE replica")
    write(ADA)
    with_cookie = Client(headers={"authorization": GRACE})
    with_cookie.post("/nothing")
    assert pinning_cookie() in with_cookie.cookies
    sentinels.primary.kill()
    sentinels.replica.resume()
    sentinels.wait_until_promoted()
    assert not sentinels.primary.execute("KEYS", "*authorization*")
    for _ in range(2):
        in_another_process(settings)
        assert reason(ADA) == expected
    assert with_cookie.get("/read").json()["reason"] == "pinned"
    assert sum("may have lost pins" in line for line in lines(caplog)) == 1
    clock.advance(SECONDS - 1)
    assert reason(ADA) == expected
    clock.advance(2)
    assert reason(ADA) == "replica"


def test_that_a_server_is_promoted_again_which_lagged_is_noticed(settings: Any, clock: Clock) -> None:
    """It knows the store's scripts from the time before it was a replica."""
    with RedisServer() as first, RedisServer() as second:
        use(settings, first.url)
        assert reason(NOBODY) == "replica"
        fail_over(first, second, settings)
        assert reason(NOBODY) == "store down"
        clock.advance(SECONDS + 1)
        assert reason(NOBODY) == "replica"
        fail_over(second, first, settings, lacks=lambda: write(ADA))
        assert reason(ADA) == "store down"
        in_another_process(settings)
        assert reason(ADA) == "store down"
        clock.advance(SECONDS + 1)
        assert reason(NOBODY) == "replica"


def test_an_old_primary_that_does_not_know_it_pins_and_answers_nobody_if_it_wants_a_replica(settings: Any) -> None:
    """A process that was idle meanwhile has a connection to it, and asks no sentinel."""
    with (
        RedisServer(min_replicas_to_write=1) as first,
        RedisServer(replicaof=f"{first.host} {first.port}") as second,
    ):
        wait_until(
            lambda: "min_slaves_good_slaves:1" in first.execute("INFO replication"),
            READY_SECONDS,
            "There is no replica",
        )
        use(settings, first.url)
        assert reason(ADA) == "replica"
        first.pause()
        second.execute("REPLICAOF", "NO", "ONE")
        first.resume()
        wait_until(
            lambda: "min_slaves_good_slaves:0" in first.execute("INFO replication"),
            READY_SECONDS,
            "It has a replica",
        )
        assert reason(ADA) == "store down"
        write(ADA)
        assert not first.execute("KEYS", "*authorization*")


def fail_over(
    primary: RedisServer, replica: RedisServer, settings: Any, lacks: Callable[[], None] = lambda: None
) -> None:
    """Make ``replica`` one of ``primary``, and then the primary, without what ``lacks`` has done."""
    replica.execute("REPLICAOF", primary.host, primary.port)
    wait_until_replicated(primary)
    replica.execute("REPLICAOF", "NO", "ONE")
    lacks()
    settings.CACHES = {"pins": {**settings.CACHES["pins"], "LOCATION": replica.url}}
