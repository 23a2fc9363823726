"""Everything that a Redis can fail by: real servers that are ended, frozen or filled, and others in their place."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any

import redis
from servers.redis import RedisServer

from multidb.backends import get_pin_store

Fault = Callable[[RedisServer, Any], AbstractContextManager[None]]


@contextmanager
def is_killed(server: RedisServer, settings: Any) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def is_frozen(server: RedisServer, settings: Any) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def is_frozen_and_asked_anew(server: RedisServer, settings: Any) -> Iterator[None]:
    """Over a new connection, which a server that is frozen accepts."""
    with is_frozen(server, settings):
        get_pin_store()._client().redis.connection_pool.disconnect()
        yield


@contextmanager
def is_slow(server: RedisServer, settings: Any) -> Iterator[None]:
    """It answers each command 2 seconds later."""
    server.execute("CLIENT PAUSE", 2000, "ALL")
    yield
    server.wait_until_ready()


def has(**configuration: str) -> Fault:
    @contextmanager
    def configured(server: RedisServer, settings: Any) -> Iterator[None]:
        names = {name.replace("_", "-"): value for name, value in configuration.items()}
        before = {name: server.execute("CONFIG GET", name)[name] for name in names}
        with server.client() as client:
            for name, value in names.items():
                client.config_set(name, value)
            get_pin_store()._client().redis.connection_pool.disconnect()
            try:
                yield
            finally:
                for name, value in before.items():
                    client.config_set(name, value)

    return configured


@contextmanager
def is_full(server: RedisServer, settings: Any) -> Iterator[None]:
    """It takes no more connections."""
    with server.client() as client:
        client.config_set("maxclients", 1)
        get_pin_store()._client().redis.connection_pool.disconnect()
        try:
            yield
        finally:
            client.config_set("maxclients", 1000)


@contextmanager
def is_read_only(server: RedisServer, settings: Any) -> Iterator[None]:
    """It is the replica of another since a failover."""
    server.execute("REPLICAOF", "127.0.0.1", 1)
    try:
        yield
    finally:
        server.execute("REPLICAOF", "NO", "ONE")


@contextmanager
def is_loading(server: RedisServer, settings: Any) -> Iterator[None]:
    """It has been started again, and reads its file, at 2 milliseconds a key."""
    slowly = {"key-load-delay": 2000, "loading-process-events-interval-bytes": 1024}
    with server.client() as client:
        usual = {name: client.config_get(name)[name] for name in slowly}
        client.mset({f"load:{number}": "x" * 100 for number in range(2000)})
        client.save()
        _configure(client, slowly)
    server.kill()
    server.launch()
    while not _is_loading(server):
        pass
    try:
        yield
    finally:
        with server.client() as client:
            client.config_set("key-load-delay", 0)
            server.wait_until_ready()
            _configure(client, usual)
        (server.directory / "dump.rdb").unlink()


def _configure(client: redis.Redis, configuration: dict[str, Any]) -> None:
    for name, value in configuration.items():
        client.config_set(name, value)
    client.config_rewrite()


def _is_loading(server: RedisServer) -> bool:
    try:
        server.execute("PING")
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    raise AssertionError("It has read its file too fast.")


def answers(answer: bytes | None) -> Fault:
    """Something else listens in its place, which gives ``answer`` to whatever it gets; ``None`` is an echo."""

    def talk(connection: socket.socket) -> None:
        while received := connection.recv(65536):
            connection.sendall(received if answer is None else answer)

    @contextmanager
    def talking(server: RedisServer, settings: Any) -> Iterator[None]:
        with in_its_place(server, settings, talk):
            yield

    return talking


@contextmanager
def in_its_place(server: RedisServer, settings: Any, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=_serve, args=(listening, talk), daemon=True).start()
        location = settings.CACHES["pins"]["LOCATION"]
        _move(settings, location.replace(f":{server.port}/", f":{listening.getsockname()[1]}/"))
        yield
        _move(settings, location)
        listening.shutdown(socket.SHUT_RDWR)


def _move(settings: Any, location: str) -> None:
    settings.CACHES = {"pins": {**settings.CACHES["pins"], "LOCATION": location}}


def _serve(listening: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with closing(connection), suppress(OSError):
                talk(connection)


@contextmanager
def quotes(server: RedisServer, settings: Any) -> Iterator[None]:
    """It knows no command, and says so as Redis does: with the arguments, of which the password is one."""

    def refuse(connection: socket.socket) -> None:
        while received := connection.recv(65536):
            quoted = b", ".join(b"'" + part + b"'" for part in received.split(b"\r\n"))
            connection.sendall(b"-ERR unknown command " + quoted + b"\r\n")

    with in_its_place(server, settings, refuse):
        yield


@contextmanager
def tells_what_it_was_sent(server: RedisServer, settings: Any) -> Iterator[None]:
    """Without any quotation marks, or with some that do not match."""

    def refuse(connection: socket.socket) -> None:
        while received := connection.recv(65536):
            connection.sendall(b"-ERR it's not " + received.replace(b"\r\n", b" ") + b"\r\n")

    with in_its_place(server, settings, refuse):
        yield


@contextmanager
def is_far_away(server: RedisServer, settings: Any) -> Iterator[None]:
    """Each answer takes 0.8 seconds, less than the timeout: to connect and to ask takes several."""

    def relay(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as redis, closing(connection), suppress(OSError):
            while received := connection.recv(65536):
                redis.sendall(received)
                answer = redis.recv(65536)
                time.sleep(0.8)
                connection.sendall(answer)

    def relay_aside(connection: socket.socket) -> None:
        threading.Thread(target=relay, args=(connection.dup(),), daemon=True).start()

    with in_its_place(server, settings, relay_aside):
        yield


@contextmanager
def takes_no_connection(server: RedisServer, settings: Any) -> Iterator[None]:
    """Its queue of connections is full: whoever connects waits."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listening:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        location = settings.CACHES["pins"]["LOCATION"]
        _move(settings, location.replace(f":{server.port}/", f":{listening.getsockname()[1]}/"))
        yield
        _move(settings, location)
        for each in waiting:
            each.close()


NONSENSE: dict[str, bytes | None] = {
    "speaks HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "numbers": b":1\r\n" * 20,
    "an endless line": b"x" * 100_000,
    "lists": b"*1\r\n$1\r\nx\r\n" * 20,
    "text": b"$1\r\nx\r\n" * 20,
    "errors": b"-ERR no\r\n" * 20,
    "a time that is none": (b"$5000\r\n" + b"9" * 5000 + b"\r\n") * 3,
    "bytes": bytes(range(256)) * 4,
    "text that is none": b"$1\r\n\xff\r\n" * 20,
    "an echo": None,
}

FAULTS: dict[str, Fault] = {
    "killed": is_killed,
    "frozen": is_frozen,
    "frozen, new connection": is_frozen_and_asked_anew,
    "slow": is_slow,
    "far away": is_far_away,
    "takes no connection": takes_no_connection,
    "full": is_full,
    "wants a password": has(requirepass="secret"),
    "loading": is_loading,
    "out of memory": has(maxmemory="1"),
    "read-only": is_read_only,
    "too few replicas": has(min_replicas_to_write="1"),
    "quotes": quotes,
    "tells what it was sent": tells_what_it_was_sent,
    **{name: answers(answer) for name, answer in NONSENSE.items()},
}
