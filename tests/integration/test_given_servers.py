"""A site on one PostgreSQL and one Redis: those that ``--postgres`` and ``--redis`` name, or two that are started.

The PostgreSQL is its own replica, as behind a reader endpoint that has no replicas. In what is given tables are made,
and a few keys.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers.postgresql import PostgresCluster

from tests.ordinary import make_project, run_python
from tests.servers import started

SETTINGS = """
ALLOWED_HOSTS = ["testserver"]
MULTIDB_EXPLAIN = True
MULTIDB_PIN_STORE = {{"BACKEND": "multidb.backends.redis.RedisPinStore", "OPTIONS": {{"alias": "pins", "timeout": 5}}}}
CACHES = {{"pins": {{"BACKEND": "django_redis.cache.RedisCache", "LOCATION": {redis!r}}}}}
CACHES["default"] = {{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
"""

VISIT = """
from uuid import uuid4
from django.db import InternalError
from django.test import Client
from notes.models import Note

token = {"authorization": f"Token {uuid4()}"}
Client(headers=token).post("/", {"text": "mine"})
print(Client(headers=token).get("/")["Server-Timing"])  # By the token alone: the cookie is dropped.
print(Client().get("/")["Server-Timing"])
try:
    Note.objects.using("replica-1").create(text="astray")
except InternalError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the PostgreSQL is."""
    if given := request.config.getoption("--postgres"):
        yield given
        return
    for cluster in started(request, partial(PostgresCluster, standbys=0)):
        yield f"postgresql://postgres@127.0.0.1:{cluster.primary.port}/multidb"


@pytest.fixture(scope="module")
def redis_url(request: pytest.FixtureRequest) -> str:
    """Where the Redis is."""
    return request.config.getoption("--redis") or f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/0"


@pytest.fixture(scope="module")
def site(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, whose tables are there."""
    url = urlsplit(postgres_url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.removeprefix("/"),
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.hostname,
        "PORT": url.port,
        "OPTIONS": {"connect_timeout": 5},
    }
    folder = tmp_path_factory.mktemp("site")
    make_project(folder, dict.fromkeys(("default", "replica-1", "replica-2"), database))
    with (folder / "settings.py").open("a") as settings:
        settings.write(SETTINGS.format(redis=redis_url))
    printed(folder, "migrate")
    return folder


def test_the_status_has_both_up(site: Path) -> None:
    found = json.loads(printed(site, "multidb_status", "--format", "json"))
    primary, replica, _ = found["databases"]
    assert (primary["state"], found["pin_store"]["state"], found["pin_store"]["why"]) == ("up", "up", "")
    assert primary["position"]
    assert replica["replication"] == "none"


def test_a_check_that_asks_the_primary_passes(site: Path) -> None:
    printed(site, "check", "--database", "default")


def test_a_client_is_pinned_by_the_redis_and_a_replica_refuses_writes(site: Path) -> None:
    mine, others, refusal = printed(site, "shell", "-c", VISIT).splitlines()[-3:]
    assert mine == 'default-pinned;desc="1 from default (pinned)"'
    assert others.startswith("replica-")
    assert "read-only transaction" in refusal


def printed(site: Path, *command: str) -> str:
    """What ``manage.py command`` prints, which has to succeed."""
    ended = run_python(site, "manage.py", *command)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
