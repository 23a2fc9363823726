"""The time for all that is asked of a Redis, over real sockets."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from redis import Connection
from redis.exceptions import RedisError

from multidb.backends import redis_time
from multidb.backends.redis_time import PunctualPool, PunctualSocket, at_once, punctual, within
from tests.conftest import Ahead


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    ahead = Ahead()
    monkeypatch.setattr(redis_time, "monotonic", ahead)
    return ahead


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """One end, and the other, which has sent a few bytes."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"abcdefgh")
        yield near, far


CALLS = {
    "recv": lambda each: each.recv(1),
    "recv_into": lambda each: each.recv_into(bytearray(1)),
    "sendall": lambda each: each.sendall(b"x"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("timeout", "seconds", "waits"), [(5, 3, 3), (3, 5, 3), (None, 5, 5), (0, 5, 0)], ids=str)
def test_a_call_ends_by_its_own_timeout_or_with_the_block(
    sockets: tuple[socket.socket, socket.socket], ahead: Ahead, call, timeout, seconds, waits
) -> None:
    near, _ = sockets
    punctual = PunctualSocket(near)
    punctual.settimeout(timeout)
    assert near.gettimeout() == timeout
    with within(seconds):
        call(punctual)
        assert near.gettimeout() == waits


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_when_the_time_is_up_nothing_is_asked_though_something_is_there(
    sockets: tuple[socket.socket, socket.socket], ahead: Ahead, call
) -> None:
    near, _ = sockets
    near.settimeout(5)
    with within(3):
        ahead.now += 2
        call(PunctualSocket(near))
        assert near.gettimeout() == 1
        ahead.now += 1
        with pytest.raises(TimeoutError):
            call(PunctualSocket(near))


@pytest.mark.parametrize("timeout", [5, None, 0])
def test_outside_of_a_block_only_the_timeout_of_the_socket_counts(
    sockets: tuple[socket.socket, socket.socket], ahead: Ahead, timeout: float | None
) -> None:
    near, _ = sockets
    near.settimeout(timeout)
    with within(1):
        pass
    PunctualSocket(near).recv(1)
    assert near.gettimeout() == timeout


def test_the_connections_of_a_pool_end_with_the_block() -> None:
    assert isinstance(PunctualPool().make_connection(), punctual(Connection))


def test_it_is_a_socket_in_all_else(sockets: tuple[socket.socket, socket.socket]) -> None:
    near, _ = sockets
    assert PunctualSocket(near).fileno() == near.fileno()


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server that takes no more connections: whoever connects waits."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listening, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def made(**parameters: Any) -> Any:
    """A connection that is punctual, of a class that was not before."""
    return PunctualPool(type("Own", (Connection,), {}), **parameters).make_connection()


@pytest.mark.parametrize(("seconds", "waits"), [(9, 0.3), (0.2, 0.2)])
def test_a_connection_is_made_within_its_own_timeout_or_the_block(full: int, seconds: float, waits: float) -> None:
    connection = made(host="127.0.0.1", port=full, socket_connect_timeout=0.4)
    assert connection.socket_connect_timeout == 0.4
    connection.socket_connect_timeout = 0.3
    assert connection.socket_connect_timeout == 0.3
    begun = time.monotonic()
    with within(seconds), pytest.raises(RedisError):
        connection.connect()
    assert waits <= time.monotonic() - begun < waits + 5


def test_the_addresses_of_one_name_share_the_time_of_the_block(full: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not each has its own."""
    timeouts: list[float] = []

    class Noting(socket.socket):
        def settimeout(self, timeout: float | None) -> None:
            timeouts.append(timeout)
            super().settimeout(timeout)

    address = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", full)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: [address] * 9)
    monkeypatch.setattr(socket, "socket", Noting)
    connection = made(host="redis.test", socket_connect_timeout=0.2)
    with within(0.5), pytest.raises((RedisError, TimeoutError)):
        connection.connect()
    # That of the third is cut short, and none is left for the fourth.
    assert [timeout == 0.2 for timeout in timeouts] == [True, True, False]


def test_no_connection_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is its address looked for."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: pytest.fail("it was looked for"))
    connection = made(host="redis.test")
    with at_once(), pytest.raises(RedisError):
        connection.connect()


def test_what_is_sent_at_once_waits_for_nobody(sockets: tuple[socket.socket, socket.socket]) -> None:
    """Neither for the timeout, nor for who has to read before there is room."""
    near, _ = sockets
    near.settimeout(5)
    with at_once():
        PunctualSocket(near).sendall(b"x")
        assert near.gettimeout() == 0
        with pytest.raises(BlockingIOError):
            PunctualSocket(near).sendall(b"x" * 10_000_000)
