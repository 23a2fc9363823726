"""Hanging: a connection on which Redis has not answered in time, and reads on as soon as it can."""

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from multidb.backends.owed import Debt
from multidb.backends.redis_conversations import merge

# So many bytes Redis reads of a connection before it looks at the others: PROTO_IOBUF_LEN of its server.h. What is
# behind them may come after what others ask, and is lost where the connection has been closed meanwhile.
MOST_BYTES = 16 * 1024


class Hanging:
    """Keeps one connection on which an answer is due, to post debts there: to send them and to wait for no answer.

    A Redis that was frozen carries out what was posted before what it is asked later, though the process that has
    posted it may have ended. ``send(connection, packed)`` sends without waiting, and returns whether it could. Safe in
    threads.
    """

    def __init__(self, send: Callable[[Any, list[bytes]], bool]) -> None:
        self.is_keeping = False
        self._send = send
        self._lock = threading.Lock()
        self._connection: Any = None
        self._process = 0
        self._room = 0
        self._has_script = False

    def keep(self, connection: Any, sent: int) -> bool:
        """Keep ``connection``, over which ``sent`` bytes were sent, and return ``True``, unless another is kept."""
        with self._lock:
            if self.is_keeping and self._is_ours():
                return False
            self._connection, self._process = connection, os.getpid()
            self._room, self._has_script = MOST_BYTES - sent, False
            self.is_keeping = True
            return True

    def post(self, debts: Iterable[Debt]) -> bool:
        """Post ``debts``, and return whether all could be sent: a connection is kept, and has room for them."""
        with self._lock:
            return self.is_keeping and self._is_ours() and all(map(self._posted, debts))

    def let_go(self) -> Any:
        """Keep no connection any longer. Returns the one that was kept, for the caller to close, or ``None``."""
        with self._lock:
            connection, self._connection = self._connection, None
            self.is_keeping = False
            return connection

    def _is_ours(self) -> bool:
        """Not that of the process from which this one was forked: both would talk on it at once."""
        return self._process == os.getpid()

    def _posted(self, debt: Debt) -> bool:
        # The first has the script, by whose digest the others name it.
        packed = b"".join(self._connection.pack_command(*merge(debt, is_known=self._has_script)))
        # None, where this is cut off: the server could not read what follows.
        room, self._room = self._room, 0
        if len(packed) > room or not self._send(self._connection, [packed]):
            return False
        self._room, self._has_script = room - len(packed), True
        return True
