"""The board's own replication: which files, and how far apart at first."""

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from board.replication import Replicator


@cache
def replicator() -> Replicator:
    """The replicator of this process. It copies nothing before ``start_replication()``."""
    primary = settings.DATABASES["default"]["NAME"]
    if not primary.exists():
        raise ImproperlyConfigured(
            "There are no databases yet. Make them: python example_project/manage.py setup_board"
        )
    replicas = {alias: settings.DATABASES[alias]["NAME"] for alias in settings.REPLICA_DATABASES}
    return Replicator(primary, replicas, settings.BOARD_LAGS)


def start_replication() -> None:
    """Begin to copy the primary to the replicas, in a thread that ends with the process."""
    replicator().start()
