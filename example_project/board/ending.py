"""Ways to end a process that do not leave running what it has started."""

import signal
import sys
from typing import Any

from django.core.management import CommandError
from django.core.servers.basehttp import WSGIServer


def end_once() -> None:
    """From now on end as a program does that has come to its end, on Ctrl-C, when told to or when the terminal is
    closed; whoever asks a second time has to wait for it.
    """
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    obeyed = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]

    def end(*args: Any) -> None:
        for number in obeyed:
            signal.signal(number, signal.SIG_IGN)
        sys.exit()

    for number in obeyed:
        signal.signal(number, end)


class FailingServer(WSGIServer):
    """Raises an error if it cannot have its port, for which Django's own ends the process on the spot."""

    def server_bind(self) -> None:
        """Raises ``CommandError``."""
        try:
            super().server_bind()
        except OSError as error:
            host, port = self.server_address[:2]
            raise CommandError(f"The board cannot listen on {host}:{port}: {error.strerror}.") from error
