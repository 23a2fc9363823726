"""The board's project: Django's settings, and tables, on a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.management.utils import get_random_secret_key
from django.test import override_settings
from servers.postgresql import PostgresCluster, PostgresServer

PRIMARY = "default"

STORES = {
    "cookie": {"BACKEND": "multidb.backends.cookie.SignedCookiePinStore"},
    "session": {"BACKEND": "multidb.backends.session.SessionPinStore"},
    "redis": {"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {"alias": "pins"}},
}

# A query, or connecting to the primary, fails when it takes longer, so that the load comes to an end. A busy machine is
# not taken for a primary that is down.
LONGEST_SECONDS = 10


def set_up(cluster: PostgresCluster, pins: float, store: str, redis_url: str | None) -> None:
    """Configure Django for ``cluster``, with pins of ``pins`` seconds in ``store``, and make the tables."""
    settings.configure(
        SECRET_KEY=get_random_secret_key(),
        INSTALLED_APPS=["multidb", "workload"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "multidb.middleware.PinningRouterMiddleware",
        ],
        ROOT_URLCONF="workload.views",
        DATABASES=databases(cluster),
        DATABASE_ROUTERS=["multidb.PinningReplicaRouter"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            **({"pins": redis_cache(redis_url)} if store == "redis" else {}),
        },
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        # Errors and warnings go to stderr.
        LOGGING_CONFIG=None,
        MULTIDB_PINNING_SECONDS=pins,
        MULTIDB_PIN_STORE=STORES[store],
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    for standby in cluster.standbys:
        standby.wait_until_replayed(cluster.primary)


@contextmanager
def pinning(until: str, trigger: str, count: int) -> Iterator[None]:
    """Inside, the first ``count`` standbys serve, and pins are of this kind."""
    with override_settings(
        REPLICA_DATABASES=replicas(count), MULTIDB_PINNING_UNTIL=until, MULTIDB_PINNING_TRIGGER=trigger
    ):
        yield


def replicas(count: int) -> list[str]:
    """The aliases of the first ``count`` standbys."""
    return [f"replica-{number}" for number in range(1, count + 1)]


def databases(cluster: PostgresCluster) -> dict[str, dict[str, Any]]:
    """``DATABASES`` for a project on ``cluster``."""
    aliases = replicas(len(cluster.standbys))
    standbys = {alias: _database(standby) for alias, standby in zip(aliases, cluster.standbys, strict=True)}
    return {PRIMARY: _database(cluster.primary, connect_timeout=LONGEST_SECONDS), **standbys}


def redis_cache(url: str | None) -> dict[str, Any]:
    """The cache on the Redis at ``url``, or on one in this process."""
    options: dict[str, Any] = {"SOCKET_CONNECT_TIMEOUT": 0.25, "SOCKET_TIMEOUT": 0.25}
    if url is None:
        from fakeredis import FakeRedisConnection

        options["CONNECTION_POOL_KWARGS"] = {"connection_class": FakeRedisConnection}
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url or "redis://in-this-process:6379/0",
        "OPTIONS": options,
    }


def _database(server: PostgresServer, **options: object) -> dict[str, Any]:
    entry = server.django_settings()
    options = {**entry["OPTIONS"], "options": f"-c statement_timeout={LONGEST_SECONDS * 1000}", **options}
    # Connections stay open, as on a busy site: the test client, which sees to that too, is not safe in threads there.
    return {**entry, "CONN_MAX_AGE": None, "OPTIONS": options}
