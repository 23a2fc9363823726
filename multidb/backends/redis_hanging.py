"""Hanging: a connection on which Redis has not answered in time, and reads on as soon as it can."""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from multidb.backends.owed import Debt
from multidb.backends.redis_conversations import merge

# So many bytes Redis reads of a connection before it looks at the others: PROTO_IOBUF_LEN of its server.h. What is
# behind them may come after what others ask, and is lost where the connection has been closed meanwhile.
MOST_BYTES = 16 * 1024


@dataclass
class Kept:
    """A connection of the process with the id ``process``, with ``room`` for so many bytes. ``has_script``: the server
    was told the script that merges over it.
    """

    connection: Any
    process: int
    room: int
    has_script: bool = False

    @property
    def is_ours(self) -> bool:
        """Not that of the process from which this one was forked: both would talk on it at once."""
        return self.process == os.getpid()


class Hanging:
    """Keeps one connection on which an answer is due, to post debts there: to send them and to wait for no answer.

    A Redis that was frozen carries out what was posted before what it is asked later, though the process that has
    posted it may have ended. ``send(connection, packed)`` sends without waiting, and returns whether it could. Safe in
    threads.
    """

    def __init__(self, send: Callable[[Any, list[bytes]], bool]) -> None:
        self.kept: Kept | None = None
        self._send = send
        self._lock = threading.Lock()

    def keep(self, connection: Any, sent: int) -> bool:
        """Keep ``connection``, over which ``sent`` bytes were sent, and return ``True``, unless another is kept."""
        with self._lock:
            if self.kept is not None and self.kept.is_ours:
                return False
            self.kept = Kept(connection, os.getpid(), MOST_BYTES - sent)
            return True

    def post(self, debts: Iterable[Debt]) -> bool:
        """Post ``debts``, and return whether all could be sent: a connection is kept, and has room for them."""
        with self._lock:
            kept = self.kept
            return kept is not None and kept.is_ours and all(self._is_posted(debt, kept) for debt in debts)

    def let_go(self) -> Any:
        """Keep no connection any longer. Returns the one that was kept, for the caller to close, or ``None``."""
        with self._lock:
            kept, self.kept = self.kept, None
            return kept and kept.connection

    def _is_posted(self, debt: Debt, kept: Kept) -> bool:
        packed = b"".join(kept.connection.pack_command(*merge(debt, is_known=kept.has_script)))
        # There is no room left where this is cut off: the server could not read what follows.
        room, kept.room = kept.room, 0
        if len(packed) > room or not self._send(kept.connection, [packed]):
            return False
        kept.room, kept.has_script = room - len(packed), True
        return True
