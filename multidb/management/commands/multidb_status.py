"""manage.py multidb_status: are the databases and the pin store up, how far are the replicas, what is set?"""

import json
import math
import sys
import time
from argparse import ArgumentTypeError
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from multidb.status import Status, snapshot
from multidb.status_tables import lines

WATCH_SECONDS: Final = 2.0

# To the upper left corner, and clear what is below it:
# https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
CLEAR: Final = "\x1b[H\x1b[J"

RESTING: Final = "RESTING is what this process leaves alone: a command, which routes nothing, leaves nothing alone."


class Command(BaseCommand):
    help = (
        "Shows the primaries and replicas, the pin store and the settings of multidb. The exit status is 1 if a "
        "database or the store is down or hangs, and 2 if a setting is impossible."
    )

    # A probe has to work while databases are down, and the settings are looked at in any case.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--watch",
            nargs="?",
            const=WATCH_SECONDS,
            type=_seconds,
            metavar="SECONDS",
            help=f"Look again after so many seconds ({WATCH_SECONDS:g}), until Ctrl-C.",
        )
        parser.add_argument(
            "--format",
            choices=["table", "json"],
            default="table",
            help="json is for machines: one object, or with --watch one a line.",
        )

    def handle(self, *args: Any, watch: float | None, format: str, **options: Any) -> None:
        show = self._show_json if format == "json" else self._show_tables
        is_ok = True
        try:
            while True:
                status = self._snapshot()
                is_ok = status.ok
                show(status, watch)
                if watch is None:
                    break
                time.sleep(watch)
        except KeyboardInterrupt:
            pass
        if not is_ok:
            sys.exit(1)

    def _snapshot(self) -> Status:
        try:
            return snapshot()
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=2) from error

    def _show_json(self, status: Status, watch: float | None) -> None:
        self.stdout.write(json.dumps(status.as_json(), indent=2 if watch is None else None, allow_nan=False))
        self.stdout.flush()

    def _show_tables(self, status: Status, watch: float | None) -> None:
        text = "\n".join([*lines(status, self.style), "", RESTING])
        if watch is not None:
            text = f"{CLEAR if self.stdout.isatty() else ''}{status.time}\n{text}"
        self.stdout.write(text)
        self.stdout.flush()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 24 * 60 * 60:
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0 and at most a day.")
    return seconds
