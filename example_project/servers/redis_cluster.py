"""A Redis Cluster: nodes that share the slots among them, without replicas. Redis 7 or later."""

from functools import partial
from typing import Any

from . import redis
from .base import Cluster
from .processes import HOST, READY_SECONDS, Workspace, wait_until
from .redis import RedisNode

SLOTS = 16384

OPTIONS = {
    "cluster_enabled": "yes",
    "cluster_config_file": "nodes.conf",
    "cluster_announce_ip": HOST,
    # How many milliseconds a node may be silent before the others say that it has failed.
    "cluster_node_timeout": 2000,
}


class RedisCluster(Cluster):
    """So many ``nodes``, each with its part of the slots. Without one of them, the cluster is down."""

    nodes: list[RedisNode]

    _accounts = redis.ACCOUNTS

    def __init__(self, nodes: int = 3) -> None:
        super().__init__()
        self._names = [f"node-{number}" for number in range(1, nodes + 1)]

    @property
    def url(self) -> str:
        """That of the first node, which tells of the others."""
        return self.nodes[0].url

    def client(self, **options: Any) -> Any:
        """A new client of the whole cluster, to be closed by the caller; ``options`` are those of its class."""
        return self._installation.module.RedisCluster(host=HOST, port=self.nodes[0].port, **options)

    def wait_until_ready(self) -> None:
        """Wait until each node that runs says that all slots are served. Raises ``TimeoutError`` if one does not."""
        otherwise = f"The cluster was not ready after {READY_SECONDS} seconds"
        for node in self.nodes:
            wait_until(partial(_is_out_of_the_way, node), READY_SECONDS, otherwise)

    def _look_up(self) -> None:
        self._installation = redis.find()

    def _build(self, workspace: Workspace) -> None:
        self.nodes = []
        buses = {}
        for name in self._names:
            bus = workspace.hold_port()
            node = RedisNode(workspace, name, self._installation, cluster_port=bus, **OPTIONS)
            self.nodes.append(node)
            buses[node] = bus
            node.launch()
        for number, node in enumerate(self.nodes):
            node.wait_until_ready()
            begin, end = (SLOTS * each // len(self.nodes) for each in (number, number + 1))
            node.execute("CLUSTER ADDSLOTSRANGE", begin, end - 1)
            node.execute("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.nodes[0].execute("CLUSTER MEET", node.host, node.port, buses[node])
        self.wait_until_ready()


def _is_out_of_the_way(node: RedisNode) -> bool:
    return not node.is_running or _is_ok(node)


def _is_ok(node: RedisNode) -> bool:
    state = node.execute("CLUSTER INFO")["cluster_state"]
    return bool(state == "ok")
