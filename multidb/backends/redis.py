"""RedisPinStore: one Redis key a client key, with a time to live."""

import hashlib
import math
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import InvalidCacheBackendError
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured

from multidb.backends.aliased import AliasedPinStore
from multidb.backends.keyed import DEFAULT_KEYS, DEFAULT_PREFIX
from multidb.backends.owed import Debt, Owed
from multidb.backends.redis_scripts import MARK, MERGE
from multidb.backends.waiting import LONGEST_SECONDS
from multidb.conf import conf
from multidb.pins import latest_milliseconds
from multidb.setting_error import SettingError

DEFAULT_TIMEOUT = 0.25

# A cluster has so many markers, each in the slot of the keys that it stands for, and so on the server that has them.
BUCKETS = 16

# The answer to a script that has written, of a client that decodes or not.
OK = (b"OK", "OK")

# The digits of a time in milliseconds, for some thousand years.
LONGEST_TIME = 15

# How many of the pins that are owed each request brings, beside what it asks for itself.
MOST_BROUGHT = 50

Command = Sequence[Any]


class RedisPinStore(AliasedPinStore):
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

    def declare_new(self) -> None:
        client = self._client()
        marks = [self._mark(client, marker, "EVAL", 0) for marker in self._markers()]
        client.answers([*(("SET", marker, 0) for marker in self._markers()), *marks])

    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        client = self._client()
        names = [self._name(key) for key in keys]
        markers = list(dict.fromkeys(self._marker_of(name) for name in names))
        debts = self._owed.oldest(self._milliseconds_in(0), MOST_BROUGHT)
        # Other processes do not know of what is owed still.
        missing_until = max(self.outage.missing_until, self._owed.until(without=debts))
        marks = [self._mark(client, marker, "EVALSHA", missing_until) for marker in markers]
        with client.in_time():
            answers = self._delivered(client, debts, [*(("GET", name) for name in names), *marks])
            for marker, mark, answer in zip(markers, marks, answers[len(names) :], strict=True):
                self._note_mark(client, marker, mark, answer)
        return [None if isinstance(answer, Exception) else answer for answer in answers[: len(names)]]

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        until = self._milliseconds_in(seconds)
        client = self._client()
        debts = self._owed.oldest(self._milliseconds_in(0), MOST_BROUGHT)
        answers = self._delivered(client, debts, [_merge(Debt(self._name(key), text, until)) for key in keys])
        _check_written(client, answers)
        return True

    def _may_miss_pins(self) -> bool:
        return bool(self._owed) or super()._may_miss_pins()

    def _not_taken(self, keys: list[str], text: str, seconds: float) -> None:
        until = self._milliseconds_in(seconds)
        dropped = self._owed.add([Debt(self._name(key), text, until) for key in keys])
        self.outage.miss_until(dropped)

    def _check_cache(self) -> list[CheckMessage]:
        try:
            client = self._client()
        except SettingError:
            raise
        except Exception:
            if self._is_cluster and self._built is None:
                return []  # A cluster is asked for its nodes at once: where it is not up, there is nothing to say.
            raise
        return [*self._check_wait(client), *self._check_eviction(client)]

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

    def _delivered(self, client: Any, debts: list[Debt], commands: list[Command]) -> list[Any]:
        """The answers to ``commands``, before which ``debts`` are brought."""
        answers: list[Any] = client.answers([*map(_merge, debts), *commands])
        _check_written(client, answers[: len(debts)])
        self._owed.settle(debts)
        return answers[len(debts) :]

    def _note_mark(self, client: Any, marker: str, mark: Command, answer: Any) -> None:
        """Take note of what ``marker`` says, by ``answer`` to the command ``mark``."""
        longest = mark[4]
        # A server that does not know the script is not the one, or not the same run of it, that was asked before.
        is_other = isinstance(answer, Exception)
        if is_other:
            [answer] = client.answers([self._mark(client, marker, "EVAL", longest)])
        if not isinstance(answer, bytes | str) or not answer.isdigit() or len(answer) > LONGEST_TIME:
            client.complain()
        missing_until = int(answer)
        if is_other or missing_until == longest:
            self.outage.lost_all()
            self._mark_others(client, marker)
        self.outage.miss_until(missing_until)

    def _mark_others(self, client: Any, marker: str) -> None:
        """Leave word with the other markers on that server: else each would be found lost when it is first read."""
        others = [each for each in self._markers() if each != marker and client.share_server(each, marker)]
        if others:
            client.answers([self._mark(client, each, "EVAL", self.outage.missing_until) for each in others])

    def _mark(self, client: Any, marker: str, command: str, known: int) -> Command:
        script, digest = _script(marker, client.database)
        text = digest if command == "EVALSHA" else script
        longest = self._milliseconds_in(conf.pinning_seconds)
        return command, text, 1, marker, longest, latest_milliseconds(time.time(), conf.pinning_seconds), known

    def _name(self, key: str) -> str:
        """The key in Redis. In a cluster what is in braces decides on which server that is.

        https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
        """
        return f"{{{zlib.crc32(key.encode()) % BUCKETS}}}{key}" if self._is_cluster else key

    def _marker_of(self, name: str) -> str:
        """The marker that is lost together with the key ``name``."""
        return name[: name.index("}") + 1] + self._marker if self._is_cluster else self._marker

    def _markers(self) -> list[str]:
        return [f"{{{bucket}}}{self._marker}" for bucket in range(BUCKETS)] if self._is_cluster else [self._marker]

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
        except NotImplementedError as error:
            raise SettingError(
                "multidb.E023",
                f"MULTIDB_PIN_STORE names the cache {self._alias!r}, which is not Redis through django-redis.",
                "Name a cache whose BACKEND is django_redis.cache.RedisCache.",
            ) from error

    def _milliseconds_in(self, seconds: float) -> int:
        return math.ceil((time.time() + seconds) * 1000)


def _merge(debt: Debt) -> Command:
    now, seconds = time.time(), conf.pinning_seconds
    milliseconds = min(max(1, math.ceil(debt.until - now * 1000)), math.ceil(seconds * 1000))
    latest, longest = latest_milliseconds(now, seconds), latest_milliseconds(0, seconds)
    # Not eval(), which the pipeline of a Redis Cluster refuses, though the script is for one key.
    return "EVAL", MERGE, 1, debt.key, debt.text, milliseconds, latest, longest


def _check_written(client: Any, answers: list[Any]) -> None:
    if any(answer not in OK for answer in answers):
        client.complain()


@lru_cache(BUCKETS * 4)
def _script(marker: str, database: int) -> tuple[str, str]:
    """The script for ``marker``, and what Redis knows it by. No other site on that server has the same."""
    script = f"{MARK}-- {marker} in {database}"
    return script, hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
