"""The replication of this process: on SQLite, or on PostgreSQL if that is asked for."""

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from board.replication import Replication
from board.sqlite import SQLiteReplication


@cache
def replication() -> Replication:
    """The one object, which replicates nothing before its ``start()``.

    Raises ``ImproperlyConfigured`` if there is nothing to replicate yet.
    """
    if settings.BOARD_POSTGRES_URLS:
        return _of_given_servers()
    return _of_postgresql() if settings.BOARD_POSTGRES else _of_sqlite()


def _of_given_servers() -> Replication:
    from board.standbys import GivenStandbys

    urls = dict(zip(settings.DATABASES, settings.BOARD_POSTGRES_URLS, strict=True))
    return GivenStandbys(urls, settings.BOARD_LAGS)


def _of_postgresql() -> Replication:
    # Imported late: SQLite is there on systems that cannot start servers as this does.
    from board.postgresql import PostgresReplication

    return PostgresReplication(settings.BOARD_LAGS)


def _of_sqlite() -> Replication:
    primary = settings.DATABASES["default"]["NAME"]
    if not primary.exists():
        raise ImproperlyConfigured(
            "There are no databases yet. Make them: python example_project/manage.py setup_board"
        )
    replicas = {alias: settings.DATABASES[alias]["NAME"] for alias in settings.REPLICA_DATABASES}
    return SQLiteReplication(primary, replicas, settings.BOARD_LAGS)
