"""RedisPinStore: one Redis key a client key, with a time to live."""

import math
import time
from collections.abc import Iterable
from typing import Any, cast

from django.core.cache import InvalidCacheBackendError
from django.core.checks import CheckMessage

from multidb.backends.cache import CachePinStore
from multidb.conf import conf
from multidb.pins import latest_milliseconds
from multidb.setting_error import SettingError

# Keeps what is later and further of the pin that is there and the one that comes, so that the order in which two
# responses arrive does not matter. What is there and is no pin is replaced, and so is a hold later than ARGV[3], the
# latest that a right clock can have written: ``Pin.held`` would not count it, nor what was merged with it.
MERGE = """
local function check(primary, hold)
    local is_whole = type(hold[1]) == 'number' and hold[1] % 1 == 0
    local has_position = hold[2] == nil or type(hold[2]) == 'table'
    assert(type(primary) == 'string' and is_whole and has_position and not hold[3])
end

local function merge(pin, old)
    for primary, hold in pairs(old) do
        check(primary, hold)
        local new = pin[primary]
        if hold[1] > tonumber(ARGV[3]) then
            hold = nil
        elseif new then
            local position = nil
            if new[2] and hold[2] then
                position = new[2]
                for stream, reached in pairs(hold[2]) do
                    if not position[stream] or position[stream] < reached then
                        position[stream] = reached
                    end
                end
            end
            hold = {math.max(new[1], hold[1]), position}
        end
        pin[primary] = hold or new
    end
    return pin
end

local milliseconds = tonumber(ARGV[2])
local _, old = pcall(cjson.decode, redis.call('GET', KEYS[1]) or '')
local is_pin, pin = pcall(merge, cjson.decode(ARGV[1]), old)
if is_pin then
    milliseconds = math.max(milliseconds, redis.call('PTTL', KEYS[1]))
else
    pin = cjson.decode(ARGV[1])
end
redis.call('SET', KEYS[1], cjson.encode(pin), 'PX', milliseconds)
"""


class RedisPinStore(CachePinStore):
    """Keeps pins in Redis, through django-redis but past its cache: a plain client, no pickle.

    ``alias``: the alias in ``CACHES`` whose connection is used; keys are not those of the cache. One round trip to
    read all keys of a request and one to write them, each a command for one key only, so that Redis Cluster and
    Sentinel serve as well.
    """

    merges = True

    def _get(self, keys: list[str]) -> Iterable[str | bytes | None]:
        with self._connection().pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(key)
            return cast("Iterable[str | bytes | None]", pipeline.execute())

    def _set(self, keys: list[str], text: str, seconds: float) -> bool:
        milliseconds = math.ceil(seconds * 1000)
        latest = latest_milliseconds(time.time(), conf.pinning_seconds)
        with self._connection().pipeline(transaction=False) as pipeline:
            for key in keys:
                # Not eval(), which the pipeline of a Redis Cluster refuses, though the script is for one key.
                pipeline.execute_command("EVAL", MERGE, 1, key, text, milliseconds, latest)
            pipeline.execute()
        return True

    def _check_cache(self) -> list[CheckMessage]:
        self._connection()
        return []

    def _connection(self) -> Any:
        try:
            from django_redis import get_redis_connection
        except ImportError as error:
            raise SettingError(
                "multidb.E024",
                f"MULTIDB_PIN_STORE is RedisPinStore, which cannot be used: {error}.",
                "Install django-multidb-pinning[redis].",
            ) from error
        try:
            return get_redis_connection(self._alias, write=True)
        except InvalidCacheBackendError as error:
            raise self._cache_error(error) from error
        except NotImplementedError as error:
            raise SettingError(
                "multidb.E023",
                f"MULTIDB_PIN_STORE names the cache {self._alias!r}, which is not Redis through django-redis.",
                "Name a cache whose BACKEND is django_redis.cache.RedisCache.",
            ) from error
