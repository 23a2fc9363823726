"""Each event loop has a client of its own, over whose connections it posts."""

import asyncio
from types import SimpleNamespace
from typing import Any

from multidb.backends.owed import Debt
from multidb.backends.redis_loops import AsyncRedisClients

DEBT = Debt("multidb:user:7", "{}", 0)


async def test_each_event_loop_posts_on_its_own_connections() -> None:
    """The one that runs here at once, before there is an answer to the client. One that has been closed has none."""
    clients, here, other = AsyncRedisClients(), asyncio.get_running_loop(), asyncio.new_event_loop()
    posted: list[Any] = []

    def late(name: str, is_late: bool = True) -> Any:
        return SimpleNamespace(is_late=is_late, post=lambda debts: posted.append((name, debts))), None

    clients._clients = {
        object(): None,
        object(): late("in time", is_late=False),
        other: late("other"),
        here: late("here"),
    }
    clients.post([DEBT])
    assert posted == [("here", [DEBT])]
    other.call_soon(other.stop)
    await asyncio.to_thread(other.run_forever)
    assert posted == [("here", [DEBT]), ("other", [DEBT])]
    other.close()
    clients.post([DEBT])
    assert posted[2:] == [("here", [DEBT])]
