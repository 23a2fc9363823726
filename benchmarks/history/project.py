"""The site's project: Django's settings, which every worker shares, and its tables."""

import argparse
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.management.utils import get_random_secret_key
from servers.postgresql import PostgresCluster
from servers.redis import RedisServer
from workload.project import databases, redis_cache, replicas

REDIS = "multidb.backends.redis.RedisPinStore"
LOSING = "history.losing.LosingPinStore"

# Short, so that what is back is asked soon: a run shows what happens then.
RETRY_SECONDS = 1


def site_settings(
    cluster: PostgresCluster, redis: RedisServer, sessions: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Django's settings, which can be written as JSON. Sessions are files: they outlive every fault."""
    return {
        "SECRET_KEY": get_random_secret_key(),
        "ALLOWED_HOSTS": [redis.host],
        "INSTALLED_APPS": ["multidb", "workload"],
        "MIDDLEWARE": [
            # Tells the length of each response, so that connections are kept.
            "django.middleware.common.CommonMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "multidb.middleware.PinningRouterMiddleware",
        ],
        "ROOT_URLCONF": "history.views",
        "DATABASES": databases(cluster),
        "DATABASE_ROUTERS": ["multidb.PinningReplicaRouter"],
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "CACHES": {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            "pins": redis_cache(redis.url),
        },
        "SESSION_ENGINE": "django.contrib.sessions.backends.file",
        "SESSION_FILE_PATH": str(sessions),
        # Errors and warnings go to stderr.
        "LOGGING_CONFIG": None,
        **_multidb_settings(replicas(len(cluster.standbys)), options),
    }


def set_up(site: dict[str, Any]) -> None:
    """Configure Django with the settings ``site``."""
    settings.configure(**site)
    django.setup()


def make_tables(cluster: PostgresCluster) -> None:
    """Make the tables, and wait until each standby has them."""
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    for standby in cluster.standbys:
        standby.wait_until_replayed(cluster.primary)


def registers(cluster: PostgresCluster) -> dict[str, list[int]]:
    """What each client's register has on the primary, in the order in which it was written."""
    found: dict[str, list[int]] = {}
    for client, number in cluster.primary.execute("SELECT author, number FROM workload_post ORDER BY id"):
        found.setdefault(client, []).append(number)
    return found


def _multidb_settings(replicas: list[str], options: argparse.Namespace) -> dict[str, Any]:
    store = {"BACKEND": REDIS, "OPTIONS": {"alias": "pins"}}
    if options.lose_pins:
        store = {"BACKEND": LOSING, "OPTIONS": {"alias": "pins", "one_in": options.lose_pins}}
    return {
        "REPLICA_DATABASES": replicas,
        "MULTIDB_PINNING_SECONDS": options.pins,
        "MULTIDB_PINNING_UNTIL": options.until,
        "MULTIDB_PINNING_TRIGGER": "write",
        "MULTIDB_PIN_STORE": store,
        "MULTIDB_PIN_STORE_DOWN": options.store_down,
        "MULTIDB_RETRY_SECONDS": RETRY_SECONDS,
    }
