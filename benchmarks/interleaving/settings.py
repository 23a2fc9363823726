"""Django's settings for the command; the tests have their own."""

from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.core.management.utils import get_random_secret_key

PRIMARY = "default"
REPLICAS = [f"replica-{number}" for number in range(1, 9)]


def set_up(directory: Path) -> None:
    """Configure Django with one SQLite file in ``directory``, which is the primary and each of its replicas."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / "site.sqlite3"}
    settings.configure(
        SECRET_KEY=get_random_secret_key(),
        INSTALLED_APPS=["django.contrib.contenttypes", "multidb"],
        DATABASES={alias: dict(database) for alias in (PRIMARY, *REPLICAS)},
        DATABASE_ROUTERS=["multidb.PinningReplicaRouter"],
        REPLICA_DATABASES=REPLICAS,
        LOGGING_CONFIG=None,
    )
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
