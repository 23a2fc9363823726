"""RedisPinStore: one Redis key a client key, with a time to live."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.cache import InvalidCacheBackendError
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured

from multidb.backends.aliased import AliasedPinStore
from multidb.backends.inspection import Inspection
from multidb.backends.keyed import DEFAULT_KEYS, DEFAULT_PREFIX
from multidb.backends.keyed_async import AsyncKeyedPinStore
from multidb.backends.owed import Debt, Owed
from multidb.backends.redis_conversations import Conversations, Word
from multidb.backends.waiting import LONGEST_SECONDS
from multidb.setting_error import SettingError

DEFAULT_TIMEOUT = 0.25


class RedisPinStore(AliasedPinStore, AsyncKeyedPinStore):
    """Keeps pins in Redis, by the settings of a django-redis cache but past it: a plain client, no pickle.

    ``alias``: the alias in ``CACHES`` whose server is used; keys are not those of the cache. ``timeout``: how long to
    wait each time that a server is asked, to connect and to answer, in seconds, whatever the cache says. ``cluster``:
    whether the cache's ``LOCATION`` names nodes of a Redis Cluster. One round trip reads all keys of a request and one
    writes them, each command for one key only, so that Redis Cluster and Sentinel serve as well.
    """

    merges = True

    def __init__(
        self,
        *,
        alias: str = "default",
        keys: Iterable[str] = DEFAULT_KEYS,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = DEFAULT_TIMEOUT,
        cluster: bool = False,
    ) -> None:
        super().__init__(alias=alias, keys=keys, prefix=prefix)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 60:
            raise ImproperlyConfigured(f"The option timeout is {timeout!r}. Set seconds, above 0 and at most 60.")
        if not isinstance(cluster, bool):
            raise ImproperlyConfigured(f"The option cluster is {cluster!r}. Set True or False.")
        self._timeout = timeout
        self._is_cluster = cluster
        self._owed = Owed()
        self._built: tuple[Any, Any] | None = None
        self._async_clients: Any = None

    def declare_new(self) -> None:
        client = self._client()
        client.hold(self._conversations(client).declare_new())

    def declare_gone(self) -> None:
        client = self._client()
        client.hold(self._conversations(client).declare_gone())

    def prepare(self) -> None:
        with suppress(ImportError):  # Which inspect tells.
            import_module("multidb.backends.redis_inspection")

    def inspect(self) -> Inspection:
        client = self._connected()  # Which says so where redis is not installed.
        from multidb.backends.redis_inspection import inspect

        return inspect(client, self._prefix)

    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        client = self._client()
        texts: Iterable[str | bytes | None] = client.hold(self._conversations(client).get(keys))
        return texts

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        client = self._client()
        client.hold(self._conversations(client).set(keys, text, seconds))
        return True

    async def _awaitable(self) -> Any:
        if self._is_cluster or self._built is None:
            return None  # To connect to a cluster, and to import redis-py, would keep the event loop waiting.
        client = self._client()
        if self._async_clients is None:
            from multidb.backends.redis_loops import AsyncRedisClients

            self._async_clients = AsyncRedisClients()
        return await self._async_clients.get(client)

    async def _aget(self, client: Any, keys: list[str]) -> Iterable[str | bytes | None]:
        texts: Iterable[str | bytes | None] = await client.hold(self._conversations(client).get(keys))
        return texts

    async def _aset(self, client: Any, keys: list[str], text: str, seconds: float) -> None:
        await client.hold(self._conversations(client).set(keys, text, seconds))

    def _not_taken(self, keys: list[str], text: str, seconds: float) -> None:
        debts = self._conversations(None).debts(keys, text, seconds)
        self.outage.miss_until(self._owed.add(debts))
        self._post(debts)

    def _may_miss(self, seconds: float) -> None:
        super()._may_miss(seconds)
        if self._built is not None and not self._is_cluster:
            self._post([self._conversations(self._built[1]).word(seconds)])

    def _post(self, letters: Sequence[Debt | Word]) -> None:
        """So that a Redis that hangs has them as soon as it goes on, and not when this process asks it again."""
        if self._async_clients is not None:
            self._async_clients.post(letters)
        if self._built is not None:
            self._built[1].post(letters)

    def _conversations(self, client: Any) -> Conversations:
        return Conversations(client, self.outage, self._owed, self._marker, self._is_cluster)

    def _check_cache(self) -> list[CheckMessage]:
        try:
            client = self._client()
        except SettingError:
            raise
        except Exception as error:
            if self._is_cluster and self._built is None:
                return [self._failing(type(error).__name__)]  # A cluster is asked for its nodes at once.
            raise
        if failure := client.failure():
            return [*self._check_wait(client), self._failing(failure)]
        return [*self._check_wait(client), *self._check_eviction(client)]

    def _failing(self, failure: str) -> CheckMessage:
        return Warning(
            f"The Redis of MULTIDB_PIN_STORE cannot be asked: {failure}",
            hint=f"Start it, or name its address in LOCATION of the cache {self._alias!r} in CACHES.",
            id="multidb.W039",
        )

    def _check_wait(self, client: Any) -> Iterator[CheckMessage]:
        seconds = self._timeout * client.most_asked
        if seconds > LONGEST_SECONDS:
            yield Warning(
                f"MULTIDB_PIN_STORE has the timeout {self._timeout!r}, and may have to ask {client.most_asked} "
                f"server(s), one after the other: a request may wait {seconds:g} seconds for a Redis that hangs.",
                hint=f"Lower the option timeout to {LONGEST_SECONDS / client.most_asked:.2g} seconds.",
                id="multidb.W026",
            )

    def _check_eviction(self, client: Any) -> Iterator[CheckMessage]:
        for policy in sorted(client.evicting_policies()):
            yield Warning(
                f"The Redis of MULTIDB_PIN_STORE has the maxmemory-policy {policy!r}: it may lose pins before their "
                "time.",
                hint="Give the pins a Redis with maxmemory-policy noeviction.",
                id="multidb.W027",
            )

    def _client(self) -> Any:
        """The client for ``CACHES`` as it is, made anew only when that is another object."""
        if self._built is None or self._built[0] is not settings.CACHES:
            self._built = settings.CACHES, self._connected()
        return self._built[1]

    def _connected(self) -> Any:
        try:
            from multidb.backends.redis_client import RedisClient
        except ImportError as error:
            raise SettingError(
                "multidb.E024",
                f"MULTIDB_PIN_STORE is RedisPinStore, which cannot be used: {error}.",
                "Install django-multidb-pinning[redis].",
            ) from error
        try:
            return RedisClient(self._alias, self._timeout, self._is_cluster)
        except InvalidCacheBackendError as error:
            raise self._cache_error(error) from error
        except NotImplementedError as error:  # How django-redis says that a cache is none of its own.
            raise SettingError(
                "multidb.E023",
                f"MULTIDB_PIN_STORE names the cache {self._alias!r}, which is not Redis through django-redis.",
                "Name a cache whose BACKEND is django_redis.cache.RedisCache.",
            ) from error
