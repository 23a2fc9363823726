"""AsyncRedisClient: the server of a RedisClient, asked from an event loop, whose thread waits for nothing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from functools import lru_cache
from inspect import signature
from typing import Any, TypeVar

from redis import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis import asyncio as redis_asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from multidb.backends.owed import Debt
from multidb.backends.redis_answers import as_told, checked
from multidb.backends.redis_client import RedisClient
from multidb.backends.redis_connections import UNDISTURBED
from multidb.backends.redis_conversations import Command, Conversation, Word
from multidb.backends.redis_hanging import Hanging
from multidb.pins import PinStoreUnavailable

Result = TypeVar("Result")

# The ways to a server that redis-py has for event loops too.
CONNECTIONS: Mapping[Any, Any] = {
    Connection: redis_asyncio.Connection,
    SSLConnection: redis_asyncio.SSLConnection,
    UnixDomainSocketConnection: redis_asyncio.UnixDomainSocketConnection,
}

# What these take as the others do, in every version.
KNOWN = frozenset(
    [
        "client_name",
        "db",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "host",
        "password",
        "path",
        "port",
        "protocol",
        "socket_keepalive",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "username",
    ]
)

# What is ours to say for both, and what is only of the one.
OTHERWISE = frozenset(
    ["himport_registry", "parser_class", "retry", "socket_connect_timeout", "socket_timeout", *UNDISTURBED]
)

# redis-py 7 knows of it for threads only.
QUIET = {name: UNDISTURBED[name] for name in UNDISTURBED if name in signature(AbstractConnection).parameters}

# Connections of one event loop. Hundreds of requests that all connect at once would be too slow for the timeout.
MOST_AT_ONCE = 16

# By so many seconds an event loop may be late before it is its own fault that an answer was not seen in time.
LATE_SECONDS = 0.05

# What event loops raise where something is sent to a server that has gone: uvloop the first, and many a Python since
# 3.12 the others, https://github.com/python/cpython/issues/136234.
OF_A_LOST_CONNECTION = (RuntimeError, AttributeError, TypeError)

# For so many timeouts no answer may be seen, before it is the server's fault all the same.
MOST_LATE = 2


def can_be_awaited(client: RedisClient) -> bool:
    """Has redis-py a twin for event loops of how ``client``, of no cluster, is connected? Not of Sentinel, and what is
    a project's own.
    """
    pool = client.redis.connection_pool
    return (
        type(pool) is ConnectionPool
        and pool.connection_class.__base__ in CONNECTIONS
        and pool.connection_kwargs.keys() <= KNOWN | OTHERWISE
    )


class AsyncRedisClient:
    """Asks the server of ``client``, which ``can_be_awaited``, from the event loop that runs."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        pool = client.redis.connection_pool
        known = {name: value for name, value in pool.connection_kwargs.items() if name in KNOWN}
        # No timeout of each step: for that redis-py begins a task, and ``hold`` has one for all of them.
        limits = {"socket_timeout": None, "socket_connect_timeout": client.timeout}
        self.pool: Any = redis_asyncio.ConnectionPool(
            connection_class=_of_nobody(CONNECTIONS[pool.connection_class.__base__]),
            **{**known, **QUIET, **limits, "retry": Retry(NoBackoff(), 0)},
        )
        # What redis-py does not take is an error of these lines, and not of what the server answers.
        self.pool.connection_class(**self.pool.connection_kwargs)
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._late_since: float | None = None
        self._hanging = Hanging(_send_at_once)

    @asynccontextmanager
    async def in_turn(self) -> AsyncIterator[None]:
        """Inside, it is the caller's turn to ask.

        Nobody is in turn for longer than the timeout, and who was for so long has the server left alone. So all wait
        for the event loop, if for anything.
        """
        async with self._turns:
            yield

    async def hold(self, conversation: Conversation[Result]) -> Result:
        """What ``conversation`` comes to. All of it takes the timeout at most.

        Raises ``RedisError`` or ``TimeoutError`` for any failure, and ``PinStoreUnavailable`` where it was the event
        loop that was late, and not the server.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.client.timeout
        try:
            async with asyncio.timeout_at(end):
                result = await self._held(conversation)
        except TimeoutError:
            if self._is_late_itself(loop.time(), end):
                raise PinStoreUnavailable from None
            raise
        self._late_since = None
        return result

    @property
    def is_late(self) -> bool:
        """Is an answer due that nobody waits for, and has none come since?"""
        return self._hanging.kept is not None

    def post(self, letters: Sequence[Debt | Word]) -> bool:
        """As that of ``RedisClient``, on the event loop of this one."""
        return self._hanging.post(letters)

    def _is_late_itself(self, now: float, end: float) -> bool:
        """Was it the event loop that has not seen an answer by ``end``? It has the benefit of the doubt for a while."""
        if now <= end + LATE_SECONDS:
            return False
        if self._late_since is None:
            self._late_since = now
        return now <= self._late_since + MOST_LATE * self.client.timeout

    @property
    def database(self) -> int:
        return self.client.database

    def share_server(self, key: str, other: str) -> bool:
        return True

    async def _held(self, conversation: Conversation[Result]) -> Result:
        answers: Any = None  # Which begins it.
        while True:
            try:
                commands = conversation.send(answers)
            except StopIteration as end:
                result: Result = end.value
                return result
            except RedisError:
                # It complains of the answers, of which more may be left.
                await self.pool.disconnect(inuse_connections=False)
                raise
            answers = await self._answers(commands)

    async def _answers(self, commands: list[Command]) -> list[Any]:
        with as_told():
            connection = await self.pool.get_connection()
            try:
                packed = connection.pack_commands(commands)
                await connection.send_packed_command(packed)
                answers = [await _answer(connection) for _ in commands]
            except BaseException as error:
                # Also where this is cancelled, as by the timeout: else the next to use it would get the answers that
                # are left.
                is_late = isinstance(error, asyncio.CancelledError)
                await self._drop(self._kept_out(connection, packed) if is_late else connection)
                raise
            self.client.answered += 1
            try:
                if self._hanging.kept is not None:
                    # Before the one that is open, which is the next to be used.
                    await self._drop(self._hanging.let_go())
            finally:
                await self.pool.release(connection)
        return checked(answers)

    def _kept_out(self, connection: Any, packed: list[bytes]) -> Any:
        """Keep ``connection``, over which ``packed`` was sent. Returns one that is kept no longer, or ``None``."""
        return self._hanging.keep(connection, sum(map(len, packed)), self.client.answered)

    async def _drop(self, connection: Any) -> None:
        """Give back ``connection``, if it is one, so that the next to use it connects anew."""
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self.pool.release(connection)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error


def _send_at_once(connection: Any, packed: list[bytes]) -> bool:
    try:
        return bool(connection.is_connected) and _ends_at_once(connection.send_packed_command(packed))
    except (RedisError, *OF_A_LOST_CONNECTION):
        return False


def _ends_at_once(coroutine: Coroutine[Any, Any, None]) -> bool:
    """Has ``coroutine`` nothing to wait for? It is run as far as to where it would wait, and not further."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    coroutine.close()
    return False


@lru_cache(maxsize=8)
def _of_nobody(connection_class: Any) -> Any:
    """``connection_class``, but for connections that do not keep the context, and so the request, of who opens them."""

    class OfNobody(connection_class):  # type: ignore[misc]  # mypy takes no parameter for a base
        async def _connect(self) -> None:
            try:
                await asyncio.create_task(super()._connect(), context=Context())
            except BaseException:
                await self.disconnect(nowait=True)  # Where it was connected in the moment in which it was cancelled.
                raise

    return OfNobody
