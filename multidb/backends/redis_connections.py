"""How the server of a django-redis cache is reached: with its settings, but timeouts and connections of our own."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.utils.module_loading import import_string
from django_redis.pool import get_connection_factory
from redis import VERSION, BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry

from multidb.backends.redis_answers import as_told
from multidb.backends.redis_time import PunctualPool, punctual, within

# What is about waiting for a connection that others use: here nobody waits.
WAITING = ("max_connections", "queue_class", "timeout")
MOST_CONNECTIONS = 2**31

# What a cluster is not told, which finds its servers by itself.
OF_A_SERVER = ("connection_class", "db", "host", "max_connections", "parser_class", "port", "url")

# A pool whose servers may send what nobody asked for gives out connections on which an answer is left over.
UNDISTURBED: dict[str, Any] = {}
with suppress(ImportError):  # Before redis-py 7.
    from redis.maint_notifications import MaintNotificationsConfig

    UNDISTURBED["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)


def connected(setting: Mapping[str, Any], timeout: float, is_cluster: bool) -> Redis | RedisCluster:
    """redis-py's client for the cache that ``setting`` describes. Nothing takes longer than ``timeout`` seconds, and
    nothing is tried twice. Only that of a cluster connects at once, and may raise anything.
    """
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
    factory: Any = get_connection_factory(options=_options(setting.get("OPTIONS", {}), limits))
    location = setting["LOCATION"]
    addresses = location.split(",") if isinstance(location, str) else list(location)
    connect = _cluster if is_cluster else _single
    with within(timeout * (1 + len(addresses))):
        return connect(factory, addresses, limits)


def sentinels_of(pool: Any) -> list[Any]:
    """The clients of the sentinels that are asked for the server of ``pool``."""
    return list(getattr(getattr(pool, "sentinel_manager", None), "sentinels", []))


def _single(factory: Any, addresses: list[str], limits: Mapping[str, Any]) -> Redis:
    pool = factory.get_connection_pool(factory.make_connection_params(addresses[0]))
    # An address may name these too, which win over the others.
    pool.connection_kwargs.update(limits)
    pool.max_connections = MOST_CONNECTIONS
    for each in [pool, *(sentinel.connection_pool for sentinel in sentinels_of(pool))]:
        each.connection_class = punctual(each.connection_class)
    client: Redis = factory.redis_client_cls(connection_pool=pool, **factory.redis_client_cls_kwargs)
    return client


def _cluster(factory: Any, addresses: list[str], limits: Mapping[str, Any]) -> RedisCluster:
    node_class: Any = ClusterNode  # It has no types.
    of_addresses = list(map(parse_url, addresses))
    nodes = [node_class(each["host"], each.get("port", 6379)) for each in of_addresses]
    given = {**of_addresses[0], **factory.make_connection_params(addresses[0]), **factory.pool_cls_kwargs}
    # redis-py 7 refuses to hear of these without RESP 3, without which no server sends what nobody asked for.
    refused = UNDISTURBED if VERSION < (8,) and str(given.get("protocol")) != "3" else {}
    known: dict[str, Any] = {name: value for name, value in given.items() if name not in (*OF_A_SERVER, *refused)}
    # What follows the address is among them: there, timeouts would win over ours.
    known |= {"url": addresses[0].partition("?")[0], **limits}
    with as_told():
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
        options["SENTINEL_KWARGS"] = {**(options.get("SENTINEL_KWARGS") or {}), **UNDISTURBED, **limits}
    return options
