"""manage.py runserver: Django's own, and the replication beside it."""

import logging
from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError

from board.databases import start_replication
from board.status import redis_name


class Command(RunserverCommand):
    def inner_run(self, *args: Any, **options: Any) -> None:
        """Runs in the process that serves, which is not the one that watches for changed files."""
        try:
            start_replication()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        logging.getLogger("django.server").addFilter(_is_worth_a_line)
        self.stdout.write(f"Redis: {redis_name()}")
        super().inner_run(*args, **options)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leaves out what each open page asks for twice a second."""
    return '"GET /status ' not in record.getMessage()
