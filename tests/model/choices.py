"""Choice: the settings of one example, and all that it chooses from."""

from dataclasses import dataclass
from typing import Any

import fakeredis
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

STORES = {
    "cookie": "multidb.backends.cookie.SignedCookiePinStore",
    "session": "multidb.backends.session.SessionPinStore",
    "redis": "multidb.backends.redis.RedisPinStore",
    "cache": "multidb.backends.cache.CachePinStore",
    "table": "tests.model.rows.TablePinStore",
}
REPLICAS = {"default": ["replica-1", "replica-2"], "users": ["users-replica"]}
SECONDS = 15

redis_server = fakeredis.FakeServer()
_REDIS_POOL = {
    "connection_class": fakeredis.FakeRedisConnection,
    "server": redis_server,
    "retry": Retry(NoBackoff(), 0),
}


@dataclass(frozen=True)
class Choice:
    """The settings of one example."""

    store: str
    until: str
    trigger: str
    primaries: tuple[str, ...]
    atomic_requests: bool
    max_replica_lag: float | None
    store_down: str
    processes: int


ANY: dict[str, st.SearchStrategy[Any]] = {
    "store": st.sampled_from([*STORES, "redis", "table"]),
    "until": st.sampled_from(["replayed", "elapsed"]),
    "trigger": st.sampled_from(["method", "write"]),
    "primaries": st.sampled_from([("default",), ("default", "users")]),
    "atomic_requests": st.booleans(),
    "max_replica_lag": st.sampled_from([None, 2.0]),
    "store_down": st.sampled_from(["primary", "primary", "replica"]),
    "processes": st.sampled_from([1, 2]),
}
CHOICES = st.builds(Choice, **ANY)
# Those in which it matters to clients without cookies that Redis goes and comes back.
OUTAGE_CHOICES = st.builds(
    Choice,
    **ANY
    | {
        "store": st.just("redis"),
        "max_replica_lag": st.none(),
        "store_down": st.just("primary"),
    },
)


def settings_of(choice: Choice) -> dict[str, Any]:
    """Django's settings that ``choice`` stands for."""
    store = choice.store
    redis = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://modelled:6379/0",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": _REDIS_POOL},
    }
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "modelled"}
    return {
        "REPLICA_DATABASES": {primary: REPLICAS[primary] for primary in choice.primaries},
        "DATABASE_ROUTERS": ["multidb.PinningReplicaRouter", "tests.model.project.UsersRouter"],
        "MULTIDB_PIN_STORE": {
            "BACKEND": STORES[store],
            "OPTIONS": {"alias": "pins"} if store in ("redis", "cache") else {},
        },
        "MULTIDB_PINNING_SECONDS": SECONDS,
        "MULTIDB_PINNING_UNTIL": choice.until,
        "MULTIDB_PINNING_TRIGGER": choice.trigger,
        "MULTIDB_PINNING_IGNORE": ["sessions"],
        "MULTIDB_MAX_REPLICA_LAG": choice.max_replica_lag,
        "MULTIDB_PIN_STORE_DOWN": choice.store_down,
        "MULTIDB_GUARD_REPLICAS": False,
        "CACHES": {"pins": redis if store == "redis" else local},
        "SESSION_ENGINE": "tests.model.rows",
        "ROOT_URLCONF": "tests.model.project",
        "MIDDLEWARE": [
            "tests.model.project.outer_transaction",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "multidb.middleware.PinningRouterMiddleware",
        ],
        "ALLOWED_HOSTS": ["*"],
    }
