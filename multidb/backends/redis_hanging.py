"""Hanging: a connection on which Redis has not answered in time, and reads on as soon as it can."""

import os
import threading
from collections.abc import Callable
from typing import Any


class Hanging:
    """Keeps one connection on which an answer is due, to post pins there: to send them and to wait for no answer.

    A Redis that hangs, or is slow, carries out what was posted before what it is asked later, though the process that
    has posted it may have ended. ``send(connection, commands)`` sends at once, without waiting, and returns whether it
    could. Safe in threads.
    """

    def __init__(self, send: Callable[[Any, list[Any]], bool]) -> None:
        self.connection: Any = None
        """The one that is kept, which the caller has to close who gets it by ``let_go``."""
        self._send = send
        self._lock = threading.Lock()
        self._process = 0
        self._takes_more = False

    def keep(self, connection: Any) -> bool:
        """Keep ``connection``. Return whether it is kept: not where another is, which was late before."""
        with self._lock:
            if self.connection is not None:
                return False
            self.connection, self._process, self._takes_more = connection, os.getpid(), True
            return True

    def post(self, commands: list[Any]) -> bool:
        """Post ``commands``, and return whether that was possible: a connection is kept, and takes them."""
        with self._lock:
            # A process that was forked has the same connection, on which both would talk at once.
            if self.connection is None or not self._takes_more or self._process != os.getpid():
                return False
            # Where they were cut off in the middle, the server could not read what follows.
            self._takes_more = self._send(self.connection, commands)
            return self._takes_more

    def let_go(self) -> Any:
        """Keep no connection any longer, and return the one that was kept, or ``None``."""
        with self._lock:
            connection, self.connection = self.connection, None
            return connection
