"""The databases of the sites: one SQLite file, which is primary and replicas in one, or PostgreSQL and its standbys."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from servers.postgresql import PostgresCluster

from costs.subjects import PLAIN
from costs.workers import started

REPLICAS = 2


@contextmanager
def sqlite(replicas: int = REPLICAS) -> Iterator[dict[str, Any]]:
    """``DATABASES`` for a primary and ``replicas``, filled, to the end of the block."""
    with tempfile.TemporaryDirectory(prefix="multidb-") as directory:
        path = Path(directory) / "pages.sqlite3"
        path.write_bytes(_filled())
        yield dict.fromkeys(aliases(replicas), _entry(path))


@contextmanager
def postgresql(standbys: int) -> Iterator[dict[str, Any]]:
    """``DATABASES`` for a primary and ``standbys``, which have replayed how it was filled, to the end of the block."""
    with PostgresCluster(standbys) as cluster, ExitStack() as stack:
        servers = [cluster.primary, *cluster.standbys]
        databases = {
            alias: {**server.django_settings(), "CONN_MAX_AGE": None}
            for alias, server in zip(aliases(standbys), servers, strict=True)
        }
        started(stack, PLAIN, PLAIN.settings(databases)).ask("costs.pages.fill")
        for standby in cluster.standbys:
            standby.wait_until_replayed(cluster.primary)
        yield databases


def aliases(replicas: int) -> list[str]:
    return ["default", *(f"replica-{number}" for number in range(1, replicas + 1))]


@lru_cache
def _filled() -> bytes:
    """What is in the file: a site fills one, once."""
    with tempfile.TemporaryDirectory(prefix="multidb-") as directory, ExitStack() as stack:
        path = Path(directory) / "filled.sqlite3"
        started(stack, PLAIN, PLAIN.settings({"default": _entry(path)})).ask("costs.pages.fill")
        return path.read_bytes()


def _entry(path: Path) -> dict[str, Any]:
    """Connections stay open, as on a busy site, and no write waits for the disk."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY"},
    }
