"""The project that the tests run: a primary with two replicas, and a second primary with one."""

import os
import tempfile
from pathlib import Path

_PRIMARY = Path(tempfile.gettempdir()) / f"multidb-test-{os.getpid()}.sqlite3"
_SQLITE = {"ENGINE": "django.db.backends.sqlite3"}

DATABASES = {
    # A file, so that threads share it without SQLite's table locks of shared memory.
    "default": {**_SQLITE, "NAME": ":memory:", "TEST": {"NAME": str(_PRIMARY)}},
    "replica-1": {**_SQLITE, "NAME": ":memory:"},
    "replica-2": {**_SQLITE, "NAME": ":memory:"},
    "users": {**_SQLITE, "NAME": ":memory:"},
    "users-replica": {**_SQLITE, "NAME": ":memory:"},
}
DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]
REPLICA_DATABASES = ["replica-1", "replica-2"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "multidb",
    "tests",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "multidb.middleware.PinningRouterMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.urls"
SECRET_KEY = "the tests' secret key, long enough for Django's own check of it: 0123456789"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
USE_TZ = True
