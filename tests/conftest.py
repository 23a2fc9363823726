"""Fixtures: replicas that lag, and each pin store."""

import asyncio
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.cache import caches
from django.core.checks.registry import registry
from django.core.management import call_command
from django.db import connections

from multidb import health, log, routing, signals
from multidb.backends import get_pin_store
from multidb.backends.keyed import KeyedPinStore

pytest_plugins = ["tests.servers"]

REPLICAS = ["replica-1", "replica-2"]
COOKIE = "multidb.backends.cookie.SignedCookiePinStore"
SESSION = "multidb.backends.session.SessionPinStore"
REDIS = "multidb.backends.redis.RedisPinStore"
CACHE = "multidb.backends.cache.CachePinStore"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--services", action="store_true", help="fail, instead of skip, where a server is missing")
    parser.addoption("--pictures", action="store_true", help="make the README's picture anew")
    parser.addoption("--postgres", metavar="URL", help="the server for test_given_servers.py, which makes tables there")
    parser.addoption("--redis", metavar="URL", help="the server for test_given_servers.py, which leaves keys there")


@pytest.fixture(autouse=True, scope="module")
def _no_checks_of_others() -> Iterator[None]:
    """What an app that a test installs has to say in ``manage.py check`` is gone with it."""
    registered = set(registry.registered_checks)
    yield
    registry.registered_checks = registered


@pytest.fixture(autouse=True)
def _unrouted() -> Iterator[None]:
    """Each test begins outside any request or block, and with all replicas up, whatever the test before left."""
    health.forget()
    log.forget()
    outer = routing.current()
    routing.resume(routing.Scope(routing.OUTSIDE))
    yield
    routing.resume(outer)


# Each name, and the fixture that starts what it needs.
REDISES = {
    "redis": "real_redis",
    "redis, awaited": "real_redis",
    "fake redis": "fake_redis",
    "redis sentinel": "sentinel_redis",
    "redis cluster": "cluster_redis",
}
KEYED = ["redis", "fake redis", "local cache", "file cache", "database cache"]
STORES = ["cookie", "session", *KEYED]
# Those too on which the contract of the stores is shown, but not every test that needs some store.
MORE_KEYED = [*KEYED, "redis, awaited", "redis sentinel", "redis cluster"]
MORE_STORES = ["cookie", "session", *MORE_KEYED]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """The name of each store in turn, which ``MULTIDB_PIN_STORE`` then is."""
    use_store(request, request.param)
    return request.param


@pytest.fixture(params=KEYED)
def keyed_store(request: pytest.FixtureRequest) -> str:
    """The name of each store that files pins under keys, which ``MULTIDB_PIN_STORE`` then is."""
    use_store(request, request.param)
    return request.param


def use_store(request: pytest.FixtureRequest, name: str, **options: Any) -> None:
    """Set ``MULTIDB_PIN_STORE`` to the store called ``name``, and start what it needs."""
    settings = request.getfixturevalue("settings")
    backend = {"cookie": COOKIE, "session": SESSION, **dict.fromkeys(REDISES, REDIS)}.get(name, CACHE)
    if backend in (REDIS, CACHE):
        options = {"alias": "pins", **options}
    if name == "redis cluster":
        options = {"cluster": True, **options}
    if backend == REDIS:
        # That this machine is busy is no failure of Redis.
        options = {"timeout": 5, **options}
        request.getfixturevalue(REDISES[name])
    if backend == CACHE:
        request.getfixturevalue(name.replace(" ", "_"))
    settings.MULTIDB_PIN_STORE = {"BACKEND": backend, "OPTIONS": options}
    store = get_pin_store()
    if isinstance(store, KeyedPinStore):
        store.declare_new()
    if name == "redis, awaited":
        await_store(request, store)


def await_store(request: pytest.FixtureRequest, store: Any) -> None:
    """Have ``load`` and ``save`` of ``store`` ask by their async twins, on an event loop that is seen again."""
    runner = asyncio.Runner()
    request.addfinalizer(runner.close)
    for _ in range(2):
        runner.run(store._awaitable())

    def awaited(twin: Callable[..., Any]) -> Callable[..., Any]:
        def ask(request: Any, *arguments: Any) -> Any:
            store.client(request)  # Which loads the session: else a thread would ask.
            return runner.run(twin(request, *arguments), context=copy_context())

        return ask

    store.load, store.save = awaited(store.aload), awaited(store.asave)


@pytest.fixture
def local_cache(settings: Any) -> Iterator[None]:
    """The cache ``pins`` in this process."""
    settings.CACHES = {"pins": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "pins"}}
    yield
    caches["pins"].clear()


@pytest.fixture
def file_cache(settings: Any, tmp_path: Path) -> None:
    """The cache ``pins`` in files."""
    settings.CACHES = {
        "pins": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path / "pins")}
    }


@pytest.fixture
def database_cache(settings: Any, transactional_db: None) -> Iterator[None]:
    """The cache ``pins`` in a table of the primary."""
    settings.CACHES = {"pins": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "pins"}}
    call_command("createcachetable", verbosity=0)
    yield
    with connections["default"].cursor() as cursor:
        cursor.execute("DROP TABLE pins")


class Replication:
    """Replicas that are files of their own: what is written to the primary reaches them when the test says so."""

    def __init__(self, directory: Path) -> None:
        self._names = {alias: connections[alias].settings_dict["NAME"] for alias in ("default", *REPLICAS)}
        for alias in REPLICAS:
            self.connect(alias, str(directory / f"{alias}.sqlite3"))
        self.catch_up()

    def catch_up(self, *aliases: str) -> None:
        """Copy the primary to every replica, or to these."""
        with closing(self._file("default")) as primary:
            for alias in aliases or REPLICAS:
                with closing(self._file(alias)) as replica:
                    primary.backup(replica)

    def end(self) -> None:
        """Make the replicas mirrors of the primary again."""
        for alias, name in self._names.items():
            self.connect(alias, name)

    def connect(self, alias: str, name: str) -> None:
        """From now on ``alias`` is the database in the file ``name``."""
        connections[alias].close()
        # The thread that sync_to_async runs on has connections of its own.
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()
        connections[alias].settings_dict["NAME"] = name

    def _file(self, alias: str) -> sqlite3.Connection:
        return sqlite3.connect(connections[alias].settings_dict["NAME"])


@pytest.fixture
def replication(transactional_db: None, tmp_path: Path) -> Iterator[Replication]:
    """Replicas that lag until ``catch_up()`` is called."""
    replication = Replication(tmp_path)
    yield replication
    replication.end()


class Clock:
    """The time that Python tells, which a test can put forward."""

    def __init__(self) -> None:
        self._time = time.time
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture(scope="session")
def certificate(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The directory of ``cert.pem`` and ``key.pem`` for 127.0.0.1, which the account of a server may read."""
    if shutil.which("openssl") is None:
        reason = "openssl is missing (Debian and Ubuntu: apt install openssl)"
        pytest.fail(reason) if request.config.getoption("services") else pytest.skip(reason)
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(where / "key.pem"), "-out", str(where / "cert.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files], check=True)
        for path in (where, *where.iterdir()):
            path.chmod(0o755)
        yield where


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


@pytest.fixture
def refuse(replication: Replication, tmp_path: Any) -> Callable[[str], None]:
    """Makes a database refuse every connection from now on."""
    return lambda alias: replication.connect(alias, str(tmp_path / "no such directory" / "file"))


class Ahead:
    """``monotonic`` as the library reads it, which a test can put forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    ahead = Ahead()
    monkeypatch.setattr("multidb.breaker.monotonic", ahead)
    monkeypatch.setattr("multidb.lag.monotonic", ahead)
    monkeypatch.setattr("multidb.backends.outage.monotonic", ahead)
    return ahead


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The signals, in their order."""
    received: list[tuple[str, str]] = []

    def note_down(*, why: object, alias: str = "", store: str = "", **kwargs: Any) -> None:
        received.append(("down", alias or store))
        raise RuntimeError("a receiver that fails fails no request")

    def note_up(*, alias: str = "", store: str = "", **kwargs: Any) -> None:
        received.append(("up", alias or store))
        raise RuntimeError("a receiver that fails fails no request")

    notes = {
        signals.replica_down: note_down,
        signals.replica_up: note_up,
        signals.pin_store_down: note_down,
        signals.pin_store_up: note_up,
    }
    for each, note in notes.items():
        each.connect(note)
    yield received
    for each, note in notes.items():
        each.disconnect(note)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "multidb"]
