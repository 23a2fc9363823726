"""RedisClient: the server of a django-redis cache, asked over connections and with timeouts of our own."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from django.core.cache import caches
from django_redis import get_redis_connection
from redis.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError, TimeoutError

from multidb.backends.owed import Debt
from multidb.backends.redis_answers import as_told, checked
from multidb.backends.redis_connections import connected, sentinels_of
from multidb.backends.redis_conversations import Command, Conversation, Word
from multidb.backends.redis_hanging import Hanging
from multidb.backends.redis_time import at_once, within

Result = TypeVar("Result")


class RedisClient:
    """A client of the Redis that the django-redis cache ``alias`` uses.

    To ask a server takes ``timeout`` seconds at most, and nothing is tried twice. Only that of a cluster connects at
    once, and may raise anything. Raises ``NotImplementedError`` if the cache is not one of django-redis.
    """

    def __init__(self, alias: str, timeout: float, is_cluster: bool) -> None:
        get_redis_connection(alias)
        self.timeout = timeout
        self.redis: Any = connected(caches.settings[alias], timeout, is_cluster)
        self.answered = 0
        """How often the server has answered, on event loops too: enough to see that it has since."""
        self._hanging = Hanging(_send_at_once)

    def answers(self, commands: Iterable[Command]) -> list[Any]:
        """What Redis answers to ``commands``, in one round trip; to each node, in a cluster.

        Among them may be exceptions, of keys that hold no text and of scripts that the server does not know. Raises
        ``RedisError`` for any other failure.
        """
        with as_told(), self.in_time():
            answers = self._asked(list(commands))
        return checked(answers)

    def hold(self, conversation: Conversation[Result]) -> Result:
        """What ``conversation`` comes to. All of it takes the timeout at most, for each server that is asked.

        Raises ``RedisError`` as ``answers`` does.
        """
        answers: Any = None  # Which begins it.
        with self.in_time():
            while True:
                try:
                    commands = conversation.send(answers)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                except RedisError:
                    self._disconnect()  # It complains of the answers, of which more may be left.
                    raise
                answers = self.answers(commands)

    def post(self, letters: Sequence[Debt | Word]) -> bool:
        """Send ``letters`` on where Redis has not answered in time, and wait for nothing. Returns whether all were."""
        return self._hanging.post(letters)

    def in_time(self) -> AbstractContextManager[None]:
        """All that is asked inside takes no longer than the timeout, for each server that may have to be asked."""
        return within(self.timeout * self.most_asked)

    @property
    def database(self) -> int:
        """The number of the database on the server."""
        return int(self.redis.get_connection_kwargs().get("db") or 0)

    @property
    def most_asked(self) -> int:
        """How many servers may have to be asked, one after the other, each for as long as the timeout."""
        if isinstance(self.redis, RedisCluster):
            return 1 + len(self._primaries())
        return 1 + len(sentinels_of(self.redis.connection_pool))

    def share_server(self, key: str, other: str) -> bool:
        """Are ``key`` and ``other`` on one server of the cluster?"""
        return bool(self.redis.get_node_from_key(key) == self.redis.get_node_from_key(other))

    def failure(self) -> str:
        """Why the server cannot be asked; empty if it can."""
        try:
            with as_told(), self.in_time():
                self.redis.ping()
        except RedisError as error:
            # A user who may not ping may still keep pins.
            return "" if "NoPermission" in str(error) else f"{type(error).__name__}: {error}"
        return ""

    def evicting_policies(self) -> set[str]:
        """The policies by which the servers evict keys before their time, as far as they can be asked."""
        is_cluster = isinstance(self.redis, RedisCluster)
        targets = [{"target_nodes": node} for node in self._primaries()] if is_cluster else [{}]
        try:
            memories = [self.redis.info("memory", **target) for target in targets]
        except RedisError:
            return set()
        policies = {str(memory.get("maxmemory_policy")) for memory in memories if memory.get("maxmemory")}
        return policies - {"noeviction", "None"}

    def _asked(self, commands: list[Command]) -> list[Any]:
        if isinstance(self.redis, RedisCluster):
            return self._asked_in_cluster(self.redis, commands)
        pool = self.redis.connection_pool
        try:
            connection = pool.get_connection()
        except BaseException:
            self._disconnect()  # From the sentinels that were asked for the way.
            raise
        sent: list[bytes] = []
        try:
            packed = connection.pack_commands(commands)
            connection.send_packed_command(packed)
            sent = packed
            answers = [_answer(connection) for _ in commands]
        except BaseException as error:
            # Also where a signal has interrupted this: else the next to use it would get the answers that are left.
            is_late = bool(sent) and isinstance(error, TimeoutError)
            bytes_sent = sum(map(len, sent))
            self._drop(self._hanging.keep(connection, bytes_sent, self.answered) if is_late else connection)
            raise
        self.answered += 1
        try:
            if self._hanging.kept is not None:
                self._drop(self._hanging.let_go())  # Before the one that is open, which is the next to be used.
        finally:
            pool.release(connection)
        return answers

    def _asked_in_cluster(self, cluster: Any, commands: list[Command]) -> list[Any]:
        try:
            with cluster.pipeline() as pipeline:
                for command in commands:
                    # Of a script, redis-py would first ask some node, which may be down, what its key is.
                    is_script = command[0] in ("EVAL", "EVALSHA")
                    target = {"target_nodes": cluster.get_node_from_key(command[3])} if is_script else {}
                    pipeline.execute_command(*command, **target)
                answers: list[Any] = pipeline.execute(raise_on_error=False)
        except BaseException:
            self._disconnect()  # As above.
            raise
        return answers

    def _drop(self, connection: Any) -> None:
        """Give back ``connection``, if it is one, so that the next to use it connects anew."""
        if connection is not None:
            connection.disconnect()
            self.redis.connection_pool.release(connection)

    def _disconnect(self) -> None:
        is_cluster = isinstance(self.redis, RedisCluster)
        nodes = [node.redis_connection for node in self.redis.get_nodes()] if is_cluster else []
        clients = nodes if is_cluster else [self.redis, *sentinels_of(self.redis.connection_pool)]
        # A node that was not asked yet has no client.
        for pool in [client.connection_pool for client in clients if client is not None]:
            pool.disconnect(inuse_connections=False)

    def _primaries(self) -> list[Any]:
        return list(self.redis.get_primaries())


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error


def _send_at_once(connection: Any, packed: list[bytes]) -> bool:
    try:
        with at_once():
            connection.send_packed_command(packed, check_health=False)
    except RedisError:
        return False
    return True
