"""Fixtures: the tests' project on real PostgreSQL and MariaDB, whose replicas lag, pause, die and come back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.authtoken.models import Token
from servers.mariadb import MariaDBCluster
from servers.postgresql import PostgresCluster

from multidb.pinning import use_primary_db
from tests.servers import started


@pytest.fixture(scope="session")
def postgres_cluster(request: pytest.FixtureRequest) -> Iterator[PostgresCluster]:
    """A primary and two standbys, which the tests share."""
    yield from started(request, PostgresCluster)


@pytest.fixture(scope="session")
def mariadb_cluster(request: pytest.FixtureRequest) -> Iterator[MariaDBCluster]:
    """A primary and a replica, which the tests share."""
    yield from started(request, MariaDBCluster)


@pytest.fixture
def postgres(
    postgres_cluster: PostgresCluster, settings: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[PostgresCluster]:
    """The project on PostgreSQL: ``default``, ``replica-1`` and ``replica-2``, none of which lags, and no rows."""
    with project_on(postgres_cluster, settings, django_db_blocker):
        yield postgres_cluster


@pytest.fixture
def mariadb(
    mariadb_cluster: MariaDBCluster, settings: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[MariaDBCluster]:
    """The project on MariaDB: ``default`` and ``replica-1``, which does not lag, and no rows."""
    settings.REPLICA_DATABASES = ["replica-1"]
    with project_on(mariadb_cluster, settings, django_db_blocker):
        yield mariadb_cluster


@contextmanager
def project_on(cluster: Any, settings: Any, blocker: DjangoDbBlocker) -> Iterator[None]:
    """All servers run, the replicas have caught up and do not lag, there are no rows, and pins hold until replayed."""
    for server in (cluster.primary, *replicas_of(cluster)):
        server.start()
    for replica in replicas_of(cluster):
        replica.set_lag(0)
        replica.resume()
    settings.MULTIDB_PINNING_UNTIL = "replayed"
    with blocker.unblock(), connected_to(databases_of(cluster)):
        with use_primary_db:
            call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
            call_command("flush", verbosity=0, interactive=False)
        catch_up(cluster)
        yield


def databases_of(cluster: Any) -> dict[str, Any]:
    """``DATABASES`` for a project on ``cluster``."""
    replicas = {f"replica-{number}": replica for number, replica in enumerate(replicas_of(cluster), 1)}
    return {alias: server.django_settings() for alias, server in {"default": cluster.primary, **replicas}.items()}


@contextmanager
def connected_to(databases: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Inside, Django's connections of these aliases lead to other servers, in every thread."""
    before = {alias: connections.settings[alias] for alias in databases}
    entries = {alias: dict(entry) for alias, entry in databases.items()}
    complete = connections.configure_settings({"default": {}, **entries})
    connections.settings.update({alias: complete[alias] for alias in databases})
    with ExitStack() as stack:
        stack.callback(connections.settings.update, before)
        for run in (_here, _on_the_thread_of_sync_to_async):
            set_aside = run(lambda: _take(databases))
            stack.callback(run, partial(_put_back, set_aside))
        yield


def _here(function: Callable[[], Any]) -> Any:
    return function()


def _on_the_thread_of_sync_to_async(function: Callable[[], Any]) -> Any:
    return SyncToAsync.single_thread_executor.submit(function).result()


def _take(aliases: Iterable[str]) -> dict[str, Any]:
    """This thread's connections, which are opened anew when they are used next."""
    taken = {alias: getattr(connections._connections, alias, None) for alias in aliases}
    for alias in (alias for alias, connection in taken.items() if connection is not None):
        del connections[alias]
    return taken


def _put_back(taken: dict[str, Any]) -> None:
    for connection in _take(taken).values():
        if connection is not None:
            connection.close()
    for alias, connection in taken.items():
        if connection is not None:
            connections[alias] = connection


def replicas_of(cluster: Any) -> list[Any]:
    """The replicas of a cluster of either kind."""
    return list(getattr(cluster, "standbys", None) or [cluster.replica])


def catch_up(cluster: Any) -> None:
    """Wait until every replica that runs has replayed what the primary has."""
    for replica in replicas_of(cluster):
        if replica.is_running:
            replica.wait_until_replayed(cluster.primary)


def in_threads(work: Callable[[int], Any], threads: int) -> list[Any]:
    """What ``work`` returns for each number, each in a thread whose connections are closed after it."""

    def run(number: int) -> Any:
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


@pytest.fixture(params=["postgres", "mariadb"])
def cluster(request: pytest.FixtureRequest) -> Any:
    """Each kind of cluster in turn, with the project on it."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def users(cluster: Any) -> list[User]:
    """Users with the tokens ``ada's`` and ``grace's``, whom every replica knows."""
    made = [User.objects.create_user(name) for name in ("ada", "grace")]
    for user in made:
        Token.objects.create(user=user, key=f"{user.username}'s")
    catch_up(cluster)
    return made
