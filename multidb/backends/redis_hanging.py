"""Hanging: a connection on which Redis has not answered in time, and reads on as soon as it can."""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from multidb.backends.owed import Debt
from multidb.backends.redis_conversations import Command, Word, merge

# Some five hundred keys, if the sockets have room for them. Redis reads 16 kB of a connection, over TLS one record,
# before it looks at the others (PROTO_IOBUF_LEN of its server.h): what is behind may come after what others ask.
MOST_BYTES = 128 * 1024

# Else Redis would give a connection up, with what it has not read yet, where nobody is left to take an answer.
# https://redis.io/docs/latest/commands/client-reply/
QUIET = ("CLIENT", "REPLY", "OFF")


@dataclass
class Kept:
    """A connection of the process with the id ``process``, with ``room`` for so many bytes. ``answered``: how often the
    server had answered then. ``is_quiet``: it was told to answer nothing over it any more; ``has_script``, the script
    that merges; ``told_until``, until when pins may be missing.
    """

    connection: Any
    process: int
    room: int
    answered: int
    is_quiet: bool = False
    has_script: bool = False
    told_until: int = 0

    @property
    def is_ours(self) -> bool:
        """Not that of the process from which this one was forked: both would talk on it at once."""
        return self.process == os.getpid()


class Hanging:
    """Keeps one connection on which an answer is due, to post there what Redis has to know: to send it and to wait for
    no answer.

    A Redis that was frozen carries out what was posted as soon as it goes on, though the process that has posted it may
    have ended. ``send(connection, packed)`` sends without waiting, and returns whether it could. Safe in
    threads.
    """

    def __init__(self, send: Callable[[Any, list[bytes]], bool]) -> None:
        self.kept: Kept | None = None
        self._send = send
        self._lock = threading.Lock()

    def keep(self, connection: Any, sent: int, answered: int) -> Any:
        """Keep ``connection``, over which ``sent`` bytes were sent, unless another is kept of a server that has
        ``answered`` as often: it may have gone since else. Returns the one that is not kept, for the caller to close,
        or ``None``.
        """
        with self._lock:
            kept = self.kept if self.kept is not None and self.kept.is_ours else None
            if kept is not None and kept.answered == answered:
                return connection
            self.kept = Kept(connection, os.getpid(), MOST_BYTES - sent, answered)
            return kept and kept.connection

    def post(self, letters: Iterable[Debt | Word]) -> bool:
        """Post ``letters``, and return whether they could be sent: a connection is kept, and has room for them."""
        with self._lock:
            kept = self.kept
            return kept is not None and kept.is_ours and self._is_posted(letters, kept)

    def let_go(self) -> Any:
        """Keep no connection any longer. Returns the one that was kept, for the caller to close, or ``None``."""
        with self._lock:
            kept, self.kept = self.kept, None
            return kept and kept.connection

    def _is_posted(self, letters: Iterable[Debt | Word], kept: Kept) -> bool:
        """All at once: over TLS they are one record."""
        commands = _commands(letters, kept)
        packed = b"".join(part for command in commands for part in kept.connection.pack_command(*command))
        # There is no room left where this is cut off: the server could not read what follows.
        room, kept.room = kept.room, 0
        if len(packed) > room or (packed and not self._send(kept.connection, [packed])):
            return False
        kept.room = room - len(packed)
        return True


def _commands(letters: Iterable[Debt | Word], kept: Kept) -> list[Command]:
    """What ``kept`` has to be told yet."""
    commands: list[Command] = []
    for letter in letters:
        if isinstance(letter, Debt):
            commands.append(merge(letter, is_known=kept.has_script))
            kept.has_script = True
        elif letter.until > kept.told_until:
            commands.append(letter.mark)
            kept.told_until = letter.until
    if commands and not kept.is_quiet:
        commands.insert(0, QUIET)
        kept.is_quiet = True
    return commands
