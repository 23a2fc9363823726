"""Redis Sentinel promotes, Redis Cluster loses a node: no request fails, and no pinned client reads from a replica."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client, RequestFactory
from servers.processes import READY_SECONDS, wait_until
from servers.redis import RedisNode, RedisServer
from servers.redis_cluster import RedisCluster
from servers.redis_sentinels import RedisSentinels

from multidb.backends import get_pin_store
from multidb.backends.redis import BUCKETS
from multidb.middleware import pinning_cookie
from tests.conftest import REDIS, Clock, lines
from tests.servers import started

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ADA, GRACE, NOBODY = "ada", "grace", "nobody"

# How long a failover and the return of the old primary may take together: longer than the pins of these tests hold.
SECONDS = 60


def use(settings: Any, location: str, cluster: bool = False, **options: Any) -> None:
    settings.CACHES = {
        "pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options},
    }
    settings.MULTIDB_PIN_STORE = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins", "cluster": cluster}}
    settings.MULTIDB_PINNING_SECONDS = SECONDS
    # The store is asked again at once, and so at each moment of its failure.
    settings.MULTIDB_RETRY_SECONDS = 0.01
    get_pin_store().declare_new()


def write(token: str) -> None:
    """As a client without cookies."""
    assert Client().post("/nothing", headers={"authorization": token}).status_code == 200


def reason(token: str) -> str:
    """Where a client without cookies reads, and why."""
    response = Client().get("/read", headers={"authorization": token})
    assert response.status_code == 200
    return str(response.json()["reason"])


def in_another_process(settings: Any) -> None:
    """From now on the store is that of a process which knows of nothing."""
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)


def meanwhile(work: Callable[[], None], step: Callable[[], None]) -> None:
    """Repeat ``step`` until ``work``, on a thread of its own, is done, and once more."""
    with ThreadPoolExecutor(1) as threads:
        done: Future[None] = threads.submit(work)
        while not done.done():
            step()
        done.result()
    step()


class Writers:
    """Clients without cookies, of whom each step makes one more that writes; then all that there are read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.tokens: list[str] = []
        self.reasons: set[str] = set()
        self._numbers = itertools.count()

    def step(self) -> None:
        token = f"writer {next(self._numbers)}"
        write(token)
        self.tokens = [*self.tokens, token][-self._most :]
        self.reasons.update(map(reason, self.tokens))


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


FAULTS = {"killed": (RedisNode.kill, RedisNode.start), "frozen": (RedisNode.pause, RedisNode.resume)}

Fault = tuple[Callable[[RedisNode], None], Callable[[RedisNode], None]]


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Fault:
    """What makes a server fail, and what brings it back."""
    return FAULTS[request.param]


class TestSentinel:
    def test_no_pinned_client_reads_from_a_replica_at_any_moment_of_a_failover(
        self, sentinels: RedisSentinels, fault: Fault, clock: Clock, settings: Any
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
        self,
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
        assert (pinning_cookie() in with_cookie.cookies) is (down == "replica")
        sentinels.primary.kill()
        sentinels.replica.resume()
        sentinels.wait_until_promoted()
        assert not sentinels.primary.execute("KEYS", "*authorization*")
        for _ in range(2):
            in_another_process(settings)
            assert reason(ADA) == expected
        assert with_cookie.get("/read").json()["reason"] == ("pinned" if down == "replica" else "store down")
        assert sum("may have lost pins" in line for line in lines(caplog)) == 1
        clock.advance(SECONDS - 1)
        assert reason(ADA) == expected
        clock.advance(2)
        assert reason(ADA) == "replica"


class TestPromotedByHand:
    def test_that_a_server_is_promoted_again_which_lagged_is_noticed(self, settings: Any, clock: Clock) -> None:
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

    def test_an_old_primary_that_does_not_know_it_pins_and_answers_nobody_if_it_wants_a_replica(
        self, settings: Any
    ) -> None:
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


@pytest.fixture(scope="module")
def own_cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    for cluster in started(request, RedisCluster):
        for node in cluster.nodes:
            node.execute("CONFIG SET", "cluster-node-timeout", 1000)
        yield cluster


@pytest.fixture
def cluster(own_cluster: RedisCluster, settings: Any) -> Iterator[RedisCluster]:
    """The store is on its three nodes."""
    use(settings, ",".join(node.url for node in own_cluster.nodes), cluster=True)
    yield own_cluster
    own_cluster.wait_until_ready()
    for node in own_cluster.nodes:
        node.execute("FLUSHALL")


def on(node: RedisNode, cluster: RedisCluster, rf: RequestFactory) -> Iterator[str]:
    """The tokens of clients whose pins are on ``node``."""
    store: Any = get_pin_store()
    with cluster.client() as client:
        for number in itertools.count():
            [key] = store.client(rf.get("/", headers={"authorization": f"token {number}"}))
            if client.get_node_from_key(store._name(key)).port == node.port:
                yield f"token {number}"


class TestCluster:
    def test_each_key_is_on_the_node_of_its_marker(self, cluster: RedisCluster) -> None:
        for number in range(40):
            write(f"token {number}")
        found = {node: node.execute("KEYS", "{*}multidb:*") for node in cluster.nodes}
        assert sum(map(len, found.values())) == 40 + BUCKETS
        for node, keys in found.items():
            pins = [key for key in keys if ":authorization:" in key]
            assert pins
            for pin in pins:
                marker = pin[: pin.index("}") + 1] + "multidb:marker"
                assert marker in keys
                assert node.execute("CLUSTER KEYSLOT", pin) == node.execute("CLUSTER KEYSLOT", marker)

    def test_a_node_that_came_back_empty_has_lost_what_was_on_it(
        self, cluster: RedisCluster, rf: RequestFactory, settings: Any, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """That is noticed when it is asked, by every process. Pins on the other nodes are found as ever."""
        first, second, third = cluster.nodes
        lost, elsewhere, unpinned = next(on(second, cluster, rf)), next(on(first, cluster, rf)), on(third, cluster, rf)
        write(lost)
        write(elsewhere)
        second.kill()
        second.start()
        cluster.wait_until_ready()
        assert reason(next(unpinned)) == "replica"
        assert reason(elsewhere) == "pinned"
        assert not lines(caplog)
        for _ in range(2):
            assert reason(lost) == "store down"
            in_another_process(settings)
        assert reason(elsewhere) == "pinned"
        assert reason(next(unpinned)) == "replica"
        clock.advance(SECONDS + 1)
        assert reason(lost) == "replica"

    def test_what_is_on_the_other_nodes_is_found_while_one_is_gone(
        self, cluster: RedisCluster, fault: Fault, rf: RequestFactory
    ) -> None:
        """Until the cluster says of itself that it is down: the store asks only the nodes that have a client's keys."""
        fail, come_back = fault
        tokens = {node: next(on(node, cluster, rf)) for node in cluster.nodes}
        for token in tokens.values():
            write(token)
        for gone in cluster.nodes:
            fail(gone)
            try:
                assert [reason(tokens[node]) for node in cluster.nodes if node is not gone] == ["pinned", "pinned"]
                assert reason(tokens[gone]) == "store down"
            finally:
                come_back(gone)
            cluster.wait_until_ready()
            get_pin_store().outage.succeeded()
            write(tokens[gone])

    def test_no_pinned_client_reads_from_a_replica_while_a_node_is_gone_and_comes_back(
        self, cluster: RedisCluster, fault: Fault, clock: Clock, settings: Any
    ) -> None:
        fail, come_back = fault
        writers = Writers(6)
        writers.step()
        gone, *others = cluster.nodes

        def fail_and_come_back() -> None:
            fail(gone)
            try:
                wait_until(lambda: not any(map(_is_ok, others)), READY_SECONDS, "The cluster was not down")
            finally:
                come_back(gone)
            cluster.wait_until_ready()

        meanwhile(fail_and_come_back, writers.step)
        assert writers.reasons == {"pinned", "store down"}
        in_another_process(settings)
        assert set(map(reason, writers.tokens)) == {"pinned"}
        clock.advance(SECONDS + 1)
        assert reason(NOBODY) == "replica"


def _is_ok(node: RedisNode) -> bool:
    return bool(node.execute("CLUSTER INFO")["cluster_state"] == "ok")
