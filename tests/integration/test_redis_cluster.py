"""A Redis Cluster loses a node: no request fails, and no pinned client reads from a replica."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import RequestFactory
from servers.processes import READY_SECONDS, wait_until
from servers.redis import RedisNode
from servers.redis_cluster import RedisCluster

from multidb.backends import get_pin_store
from multidb.backends.redis_conversations import BUCKETS
from tests.conftest import Clock, lines
from tests.integration.failing_redis import (
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
            if client.get_node_from_key(store._conversations(None)._name(key)).port == node.port:
                yield f"token {number}"


def test_each_key_is_on_the_node_of_its_marker(cluster: RedisCluster) -> None:
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
    cluster: RedisCluster, rf: RequestFactory, settings: Any, clock: Clock, caplog: pytest.LogCaptureFixture
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


@each_fault
def test_what_is_on_the_other_nodes_is_found_while_one_is_gone(
    cluster: RedisCluster, fault: Fault, rf: RequestFactory, clock: Clock
) -> None:
    """Until the cluster says of itself that it is down: the store asks only the nodes that have a client's keys."""
    fail, come_back = fault
    tokens = {node: next(on(node, cluster, rf)) for node in cluster.nodes}
    for gone in cluster.nodes:
        for token in tokens.values():
            write(token)
        fail(gone)
        try:
            assert [reason(tokens[node]) for node in cluster.nodes if node is not gone] == ["pinned", "pinned"]
            assert reason(tokens[gone]) == "store down"
        finally:
            come_back(gone)
        cluster.wait_until_ready()
        get_pin_store().outage.succeeded()
        reason(tokens[gone])
        clock.advance(SECONDS + 1)  # What it has lost has run out.


def test_what_is_owed_is_told_to_every_node(cluster: RedisCluster, rf: RequestFactory, settings: Any) -> None:
    """So that another process does not take what is there for all, whichever node it asks."""
    owed_to, asked = (next(on(node, cluster, rf)) for node in cluster.nodes[:2])
    get_pin_store().outage.failed(ConnectionError("for somebody"))
    write(owed_to)
    get_pin_store().outage.succeeded()
    get_pin_store()._owed.oldest = lambda now, most: []  # Others are owed more, and come first.
    reason(asked)
    in_another_process(settings)
    assert reason(owed_to) == "store down"


@each_fault
def test_no_pinned_client_reads_from_a_replica_while_a_node_is_gone_and_comes_back(
    cluster: RedisCluster, fault: Fault, clock: Clock, settings: Any
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
    for _ in range(6):
        get_pin_store().outage.succeeded()  # Also where a busy machine has had it left alone once more.
        writers.step()
    in_another_process(settings)
    assert set(map(reason, writers.tokens)) == {"pinned"}
    clock.advance(SECONDS + 1)
    assert reason(NOBODY) == "replica"


def _is_ok(node: RedisNode) -> bool:
    return bool(node.execute("CLUSTER INFO")["cluster_state"] == "ok")
