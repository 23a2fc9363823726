"""manage.py runserver: Django's own, and the replication beside it."""

import logging
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError

from board.databases import replication
from board.ending import FailingServer, end_once
from board.status import redis_name
from board.watching import watch

TO_TRY = """
The board: http://{address}/   (Ctrl-C stops it)

What to try first:
  1. Choose "Off" as the pin store and write something: you do not see it until the replica has caught up.
  2. Choose "Cookie" and write again: you see it at once, read from the primary while the pin holds.
  3. Choose "Redis", sign in as ada here and in another browser, and write in one: the other shows it too.
"""


class Command(RunserverCommand):
    def run(self, **options: Any) -> None:
        """On PostgreSQL nothing may end the process before it has ended its servers.

        So it does not watch for changed files: of the two processes that this takes, Ctrl-C has one kill the other.
        """
        if settings.BOARD_POSTGRES:
            options["use_reloader"] = False
            self.server_cls = FailingServer
            end_once()
        super().run(**options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Runs in the process that serves, which is not the one that watches for changed files."""
        try:
            replication().start()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        watch()
        logging.getLogger("django.server").addFilter(_is_worth_a_line)
        self.stdout.write(f"Databases: {replication().description}")
        self.stdout.write(f"Redis: {redis_name()}")
        super().inner_run(*args, **options)

    def on_bind(self, server_port: int) -> None:
        """Say what can be done, when it can be. Serve even if nobody listens to that."""
        host = f"[{self.addr}]" if self._raw_ipv6 else self.addr
        with suppress(OSError):
            super().on_bind(server_port)
            self.stdout.write(TO_TRY.format(address=f"{host}:{server_port}"))


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leaves out what each open page asks for twice a second."""
    return '"GET /status ' not in record.getMessage()
