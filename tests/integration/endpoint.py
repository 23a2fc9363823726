"""One address for several servers, as a reader endpoint is: each connection leads to the next of them."""

import itertools
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from servers.processes import HOST

CHUNK = 65536


class Endpoint:
    """Listens on ``port``, in a ``with`` block, and carries what comes to one of ``ports`` and back."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._turns = itertools.cycle(ports)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        carriers = []
        with suppress(OSError):  # The end of the block.
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, next(self._turns)))
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    carriers.append(threading.Thread(target=_carry, args=(source, target), daemon=True))
                    carriers[-1].start()
        for carrier in carriers:
            carrier.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
