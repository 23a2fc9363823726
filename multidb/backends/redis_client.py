"""RedisClient: the server of a django-redis cache, asked over connections and with timeouts of our own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NoReturn

from django.core.cache import caches
from django.utils.module_loading import import_string
from django_redis import get_redis_connection
from django_redis.pool import get_connection_factory
from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.exceptions import ConnectionError, InvalidResponse, NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from multidb.backends.redis_time import PunctualPool, punctual, within
from multidb.log import without_quotations

# What is about waiting for a connection that others use: here nobody waits.
WAITING = ("max_connections", "queue_class", "timeout")
MOST_CONNECTIONS = 2**31

# A pool whose servers may send what nobody asked for gives out connections on which an answer is left over.
UNDISTURBED: dict[str, Any] = {}
with suppress(ImportError):  # Before redis-py 7.
    from redis.maint_notifications import MaintNotificationsConfig

    UNDISTURBED["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)

# What redis-py raises where an answer is not of the kind that it expects.
NONSENSE = "The server does not answer as Redis does."
TRIPPED = (ArithmeticError, AttributeError, InvalidResponse, LookupError, TypeError, ValueError)


class RedisClient:
    """A client of the Redis that the django-redis cache ``alias`` uses.

    To ask a server takes ``timeout`` seconds at most, and nothing is tried twice. Only that of a cluster connects at
    once, and may raise anything. Raises ``NotImplementedError`` if the cache is not one of django-redis.
    """

    def __init__(self, alias: str, timeout: float, is_cluster: bool) -> None:
        get_redis_connection(alias)
        setting = caches.settings[alias]
        limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
        factory: Any = get_connection_factory(options=_options(setting.get("OPTIONS", {}), limits))
        location = setting["LOCATION"]
        addresses = location.split(",") if isinstance(location, str) else list(location)
        connect = _cluster if is_cluster else _single
        self._timeout = timeout
        with within(timeout * (1 + len(addresses))):
            self.redis: Any = connect(factory, addresses, limits)

    def answers(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """What Redis answers to ``commands``, in one round trip; to each node, in a cluster.

        Among them may be exceptions, of keys that hold no text and of scripts that the server does not know. Raises
        ``RedisError`` for any other failure.
        """
        with _as_told(), self.in_time(), self._without_leftovers():
            answers = self._asked(list(commands))
        for answer in answers:
            if isinstance(answer, Exception) and not _is_of_one_key(answer):
                raise _without_quotations(answer)
        return answers

    def in_time(self) -> AbstractContextManager[None]:
        """All that is asked inside takes no longer than the timeout, for each server that may have to be asked."""
        return within(self._timeout * self.most_asked)

    def complain(self) -> NoReturn:
        """Raise ``RedisError``, which says that the server gives answers that are none to what it was asked."""
        self._disconnect()
        raise ConnectionError(NONSENSE) from None

    @property
    def database(self) -> int:
        """The number of the database on the server."""
        return int(self.redis.get_connection_kwargs().get("db") or 0)

    @property
    def most_asked(self) -> int:
        """How many servers may have to be asked, one after the other, each for as long as the timeout."""
        if isinstance(self.redis, RedisCluster):
            return 1 + len(self._primaries())
        sentinel: Any = getattr(self.redis.connection_pool, "sentinel_manager", None)
        return 1 if sentinel is None else 1 + len(sentinel.sentinels)

    def share_server(self, key: str, other: str) -> bool:
        """Are ``key`` and ``other`` on one server of the cluster?"""
        return bool(self.redis.get_node_from_key(key) == self.redis.get_node_from_key(other))

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

    def _asked(self, commands: list[Sequence[Any]]) -> list[Any]:
        with self.redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command, **self._target(command))
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    @contextmanager
    def _without_leftovers(self) -> Iterator[None]:
        """Close the connections after whatever ends the asking, as a signal may: else the next to use one of them would
        get the answers of this one.
        """
        try:
            yield
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        is_cluster = isinstance(self.redis, RedisCluster)
        clients = [node.redis_connection for node in self.redis.get_nodes()] if is_cluster else [self.redis]
        # A node that was not asked yet has no client.
        for pool in [client.connection_pool for client in clients if client is not None]:
            pool.disconnect(inuse_connections=False)

    def _target(self, command: Sequence[Any]) -> dict[str, Any]:
        """Where a script goes: in a cluster, redis-py would first ask some node, which may be down, what its key is."""
        if not (isinstance(self.redis, RedisCluster) and command[0] in ("EVAL", "EVALSHA")):
            return {}
        cluster: Any = self.redis  # It has no types.
        return {"target_nodes": cluster.get_node_from_key(command[3])}

    def _primaries(self) -> list[Any]:
        return list(self.redis.get_primaries())


@contextmanager
def _as_told() -> Iterator[None]:
    """Raise ``RedisError`` for whatever is wrong with an answer, without what it quotes of ours."""
    try:
        yield
    except TRIPPED:
        # Without the error that showed it: its message may hold what we have sent.
        raise ConnectionError(NONSENSE) from None
    except RedisError as error:
        raise _without_quotations(error) from None


def _without_quotations(error: Exception) -> Exception:
    """``error``, or one without what it quotes: the command that Redis did not like may hold a password."""
    text = str(error)
    told = without_quotations(text)
    return error if told == text else ResponseError(told)


def _is_of_one_key(error: Exception) -> bool:
    return isinstance(error, NoScriptError) or (isinstance(error, ResponseError) and "WRONGTYPE" in str(error))


def _single(factory: Any, addresses: list[str], limits: Mapping[str, Any]) -> Redis:
    pool = factory.get_connection_pool(factory.make_connection_params(addresses[0]))
    # An address may name these too, which win over the others.
    pool.connection_kwargs.update(limits)
    pool.max_connections = MOST_CONNECTIONS
    sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", [])
    for each in [pool, *(sentinel.connection_pool for sentinel in sentinels)]:
        each.connection_class = punctual(each.connection_class)
    client: Redis = factory.redis_client_cls(connection_pool=pool, **factory.redis_client_cls_kwargs)
    return client


def _cluster(factory: Any, addresses: list[str], limits: Mapping[str, Any]) -> RedisCluster:
    node_class: Any = ClusterNode  # It has no types.
    nodes = [node_class(node["host"], node.get("port", 6379)) for node in map(parse_url, addresses)]
    parameters = factory.make_connection_params(addresses[0])
    known: dict[str, Any] = {name: value for name, value in parameters.items() if name in ("username", "password")}
    # Without what follows the address: timeouts there would win over ours.
    known |= {"url": addresses[0].partition("?")[0], **UNDISTURBED, **limits}
    with _as_told():
        return RedisCluster(startup_nodes=nodes[1:], connection_pool_class=PunctualPool, **known)


def _options(given: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the cache, but for a pool that lets its callers wait, and with ``limits`` for sentinels too."""
    options = dict(given)
    pool = {name: value for name, value in options.get("CONNECTION_POOL_KWARGS", {}).items() if name not in WAITING}
    options["CONNECTION_POOL_KWARGS"] = {**pool, **UNDISTURBED, "max_connections": MOST_CONNECTIONS}
    path = options.get("CONNECTION_POOL_CLASS")
    if path is not None and issubclass(import_string(path), BlockingConnectionPool):
        del options["CONNECTION_POOL_CLASS"]
    if "SENTINELS" in options:
        options["SENTINEL_KWARGS"] = {**(options.get("SENTINEL_KWARGS") or {}), **limits}
    return options
