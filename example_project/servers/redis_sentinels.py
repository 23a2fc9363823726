"""A Redis primary, its replica, and the sentinels that promote the replica when the primary is gone."""

from collections.abc import Callable

from . import redis
from .base import Cluster
from .processes import HOST, Workspace, wait_until
from .redis import RedisNode

SENTINELS = 3
QUORUM = 2

# How long a server may be silent, and how long a promotion may take.
DOWN_AFTER_MILLISECONDS = 1000
FAILOVER_MILLISECONDS = 2000

# How long sentinels may take to agree. One on a machine that is too busy for two seconds does nothing for 30:
# https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#tilt-mode
AGREED_SECONDS = 120


class RedisSentinels(Cluster):
    """``primary`` and ``replica`` are what the sentinels made of the two servers when they were last waited for."""

    primary: RedisNode
    replica: RedisNode
    sentinels: list[RedisNode]

    service_name = "multidb"

    _accounts = redis.ACCOUNTS

    @property
    def sentinel_addresses(self) -> list[tuple[str, int]]:
        """The host and the port of each sentinel."""
        return [(sentinel.host, sentinel.port) for sentinel in self.sentinels]

    def wait_until_promoted(self) -> None:
        """Wait until the replica is the primary, for itself and for each sentinel: then it is called so here, too.

        Raises ``TimeoutError`` if that takes too long.
        """
        self._wait_until(
            lambda: _role(self.replica) == "master" and all(map(self._names_the_replica, self.sentinels)),
            "The replica was not promoted",
        )
        self.primary, self.replica = self.replica, self.primary

    def wait_until_ready(self) -> None:
        """Wait until the replica has its copy, and each sentinel knows it and the other sentinels.

        A primary that was replaced is the replica when it is started again. Raises ``TimeoutError`` if that takes too
        long.
        """
        self._wait_until(
            lambda: self._is_replicating() and all(map(self._knows_all, self.sentinels)),
            "The replica or a sentinel was not ready",
        )

    def _look_up(self) -> None:
        self._installation = redis.find()

    def _build(self, workspace: Workspace) -> None:
        self.primary = RedisNode(workspace, "primary", self._installation)
        self.primary.start()
        following = f"{HOST} {self.primary.port}"
        self.replica = RedisNode(workspace, "replica", self._installation, replicaof=following)
        self.replica.start()
        # Later, a sentinel would look for replicas only every ten seconds.
        self._wait_until(self._is_replicating, "The replica did not get its copy")
        names = [f"sentinel-{number}" for number in range(1, SENTINELS + 1)]
        self.sentinels = [RedisNode(workspace, name, self._installation, "--sentinel") for name in names]
        for sentinel in self.sentinels:
            sentinel.start()
            sentinel.execute("SENTINEL MONITOR", self.service_name, HOST, self.primary.port, QUORUM)
            sentinel.execute("SENTINEL SET", self.service_name, "down-after-milliseconds", DOWN_AFTER_MILLISECONDS)
            sentinel.execute("SENTINEL SET", self.service_name, "failover-timeout", FAILOVER_MILLISECONDS)
        self.wait_until_ready()

    def _wait_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        errors = self._installation.module.ConnectionError, self._installation.module.TimeoutError

        def is_so() -> bool:
            try:
                return condition()
            except errors:
                return False  # A sentinel ends the connections of a server that it gives another role.

        wait_until(is_so, AGREED_SECONDS, f"{otherwise} within {AGREED_SECONDS} seconds")

    def _is_replicating(self) -> bool:
        role, host, port, state, _ = [*self.replica.execute("ROLE"), *[None] * 5][:5]
        return (role, host, port, state) == ("slave", HOST, self.primary.port, "connected")

    def _names_the_replica(self, sentinel: RedisNode) -> bool:
        _, port = sentinel.execute("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service_name)
        return int(port) == self.replica.port

    def _knows_all(self, sentinel: RedisNode) -> bool:
        told = sentinel.execute("SENTINEL MASTER", self.service_name)
        state = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        known = int(state["num-slaves"]), int(state["num-other-sentinels"])
        return state["flags"] == "master" and known == (1, SENTINELS - 1)


def _role(node: RedisNode) -> str:
    return str(node.execute("ROLE")[0])
