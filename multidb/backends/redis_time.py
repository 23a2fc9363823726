"""How long a Redis may take in all, in however many steps it is asked, and however slowly its answers come."""

import math
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from time import monotonic
from typing import Any

from redis import Connection, ConnectionPool

_ends: ContextVar[float] = ContextVar("multidb_redis_ends", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is asked inside takes ``seconds`` at most, over connections that are ``punctual``: else it fails, as by a
    timeout of redis-py's own, which is one for each part of an answer. A block in another ends with that, or sooner.
    """
    outer = _ends.set(min(_ends.get(), monotonic() + seconds))
    try:
        yield
    finally:
        _ends.reset(outer)


def at_once() -> AbstractContextManager[None]:
    """What is sent inside, over connections that are ``punctual``, is sent without waiting, or fails."""
    return within(-math.inf)


@lru_cache(maxsize=8)
def punctual(connection_class: Any) -> Any:
    """``connection_class``, but for connections that end when the block of ``within`` does."""

    class Punctual(connection_class):  # type: ignore[misc]  # mypy takes no parameter for a base
        @property
        def socket_connect_timeout(self) -> float | None:
            """That of each address of a name that has several: asked for anew with each."""
            return _seconds_left(self._socket_connect_timeout)

        @socket_connect_timeout.setter
        def socket_connect_timeout(self, timeout: float | None) -> None:
            self._socket_connect_timeout = timeout  # Where redis-py keeps it itself since version 7.

        def _connect(self) -> Any:
            if _ends.get() == -math.inf:
                raise TimeoutError  # To look for the address could take its time already.
            connected = super()._connect()
            return PunctualSocket(connected) if isinstance(connected, socket.socket) else connected

    return Punctual


class PunctualPool(ConnectionPool):
    """A pool of connections that are ``punctual``."""

    def __init__(self, connection_class: Any = Connection, **parameters: Any) -> None:
        super().__init__(punctual(connection_class), **parameters)


class PunctualSocket:
    """``wrapped``, each of whose calls ends by its own timeout or with the block of ``within``, whichever is sooner."""

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped
        self._timeout = wrapped.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._wrapped.settimeout(timeout)

    def recv(self, *args: Any) -> bytes:
        self._wrapped.settimeout(_seconds_left(self._timeout))
        return self._wrapped.recv(*args)

    def recv_into(self, *args: Any) -> int:
        self._wrapped.settimeout(_seconds_left(self._timeout))
        return self._wrapped.recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self._wrapped.settimeout(_seconds_left(self._timeout))
        self._wrapped.sendall(*args)


def _seconds_left(timeout: float | None) -> float | None:
    """``timeout``, or until the block of ``within`` ends, if that is sooner. Raises ``TimeoutError`` if it is over."""
    ends = _ends.get()
    if timeout == 0 or ends == math.inf:
        return timeout
    if ends == -math.inf:
        return 0
    left = ends - monotonic()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(timeout, left)
