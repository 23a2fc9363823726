"""AsyncRedisClients: an AsyncRedisClient for each event loop."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from multidb import event_loop
from multidb.backends.owed import Debt
from multidb.backends.redis_async import AsyncRedisClient, can_be_awaited
from multidb.backends.redis_client import RedisClient
from multidb.backends.redis_conversations import Word


class AsyncRedisClients:
    """A client for each event loop that is seen again: to connect for one request costs more than a thread.

    Safe in threads, each of which may run loops.
    """

    def __init__(self) -> None:
        self._clients: dict[asyncio.AbstractEventLoop, tuple[AsyncRedisClient, AsyncGenerator[None, None]] | None] = {}

    async def get(self, client: RedisClient) -> AsyncRedisClient | None:
        """The client for the server of ``client``, or ``None`` where a thread has to ask: for the first request of an
        event loop, which may be its only one, and where it cannot be awaited.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            for each in list(self._clients):
                if each.is_closed():
                    self._clients.pop(each, None)
            self._clients[loop] = None
            return None
        known = self._clients.get(loop)
        if known is not None and known[0].client is client:
            return known[0]
        if not can_be_awaited(client):
            return None
        made = AsyncRedisClient(client)
        open_ = self._open(loop, made)
        self._clients[loop] = made, open_
        await anext(open_)
        if known is not None:
            await known[1].aclose()
        return made

    def post(self, letters: Sequence[Debt | Word]) -> None:
        """Post ``letters`` on each event loop on which Redis has not answered in time: at once on the one that runs
        here, and on the others as the next thing that they do.
        """
        here = asyncio.get_running_loop() if event_loop.is_running() else None
        for loop, known in list(self._clients.items()):
            if known is None or not known[0].is_late:
                continue
            if loop is here:
                known[0].post(letters)
            else:
                with suppress(RuntimeError):  # It has been closed.
                    loop.call_soon_threadsafe(known[0].post, letters)

    async def _open(self, loop: asyncio.AbstractEventLoop, client: AsyncRedisClient) -> AsyncGenerator[None, None]:
        """A generator that is not exhausted: event loops close those when they shut down, as ``asyncio.run`` does.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.shutdown_asyncgens
        """
        try:
            yield
        finally:
            known = self._clients.get(loop)
            if known is not None and known[0] is client:
                self._clients.pop(loop, None)
            with suppress(RedisError):  # Over TLS it would say good-bye, to a server that hangs.
                await client.pool.disconnect()
