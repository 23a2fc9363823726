"""The settings of the board: one primary, two replicas, and a pin store that the page can switch.

From the environment: ``BOARD_DIRECTORY``, where the databases are kept; ``REDIS_URL``, the Redis to use in place of the
one in the process; ``BOARD_STORE``, the pin store to begin with: off, cookie, session, redis or cache; ``BOARD_HOSTS``,
the host names to answer to, separated by commas; ``BOARD_POSTGRES``, set to run on PostgreSQL servers, which runserver
starts, in place of SQLite; ``BOARD_POSTGRES_URLS``, a primary and two standbys to run on in place of those.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from servers.programs import driver

PROJECT = Path(__file__).resolve().parent.parent
DIRECTORY = Path(os.environ.get("BOARD_DIRECTORY") or PROJECT / "var")
DIRECTORY.mkdir(parents=True, exist_ok=True)

DEBUG = True
SECRET_KEY = "this demo's key is known to everybody, so never use it anywhere else"
ALLOWED_HOSTS = os.environ.get("BOARD_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
ROOT_URLCONF = "board.urls"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "board",  # before staticfiles: both have a command runserver, and the board's starts the replication too
    "multidb",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "multidb.middleware.PinningRouterMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "board.observing.ObservingMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]


def _sqlite(name: str, **options: object) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / f"{name}.sqlite3",
        "OPTIONS": {"timeout": 10, **options},
    }


def _postgresql(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": {"connect_timeout": 2},
    }


REPLICA_DATABASES = ["replica-1", "replica-2"]
DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]

CSRF_FAILURE_VIEW = "board.views.refuse_old_page"

MULTIDB_PINNING_SECONDS = 15
MULTIDB_RETRY_SECONDS = 1  # Who mends a replica wants to see it answer.

BOARD_POSTGRES_URLS = os.environ.get("BOARD_POSTGRES_URLS", "").split()
BOARD_POSTGRES = bool(BOARD_POSTGRES_URLS) or os.environ.get("BOARD_POSTGRES", "") not in ("", "0")
if BOARD_POSTGRES:
    driver("psycopg", "'psycopg[binary]'")  # Says in a sentence if it is missing, where Django shows a traceback.
    # Where the servers are that the board starts itself is added when it has done so.
    _urls = BOARD_POSTGRES_URLS or [""] * 3
    if len(_urls) != 3:
        raise ImproperlyConfigured(f"BOARD_POSTGRES_URLS names {len(_urls)} servers: name a primary and two standbys.")
    DATABASES = dict(zip(("default", *REPLICA_DATABASES), map(_postgresql, _urls), strict=True))
    MULTIDB_PINNING_UNTIL = "replayed"
    MULTIDB_PINNING_TRIGGER = "write"
    # Signing in writes these, and nobody misses them on a replica.
    MULTIDB_PINNING_IGNORE = ["sessions", "auth.User.last_login"]
else:
    # WAL: who reads does not wait for who writes. IMMEDIATE: two who write wait for each other, and neither fails.
    DATABASES = {
        "default": _sqlite("primary", init_command="PRAGMA journal_mode=WAL", transaction_mode="IMMEDIATE"),
        "replica-1": _sqlite("replica-1"),
        "replica-2": _sqlite("replica-2"),
    }

MULTIDB_PIN_STORE = {
    "BACKEND": "board.stores.SwitchedPinStore",
    "OPTIONS": {"using": os.environ.get("BOARD_STORE", "cookie")},
}

REDIS_URL = os.environ.get("REDIS_URL", "")
_REDIS_OPTIONS: dict[str, object] = {}
if not REDIS_URL:
    from fakeredis import FakeRedisConnection

    _REDIS_OPTIONS["CONNECTION_POOL_KWARGS"] = {"connection_class": FakeRedisConnection}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "redis": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL or "redis://in-this-process:6379/0",
        "OPTIONS": _REDIS_OPTIONS,
    },
    "files": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": DIRECTORY / "pins",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}

# How many seconds each replica is behind the primary at first.
BOARD_LAGS = {"replica-1": 2.0, "replica-2": 5.0}

# Who can sign in with one click, and the token of each for /api/posts.
BOARD_TOKENS = {"demo-token-ada": "ada", "demo-token-grace": "grace", "demo-token-linus": "linus"}
