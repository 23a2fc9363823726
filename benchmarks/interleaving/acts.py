"""What a view does: a random course of reads, blocks, generators, tasks and threads, in a sync and an async form."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.contenttypes.models import ContentType

from benchmarks.interleaving.visits import CUT_SHORT, Visit
from multidb.pinning import pin_this_thread, unpin_this_thread, use_primary_db, use_replica
from multidb.routing import Forced

BLOCKS = {Forced.PRIMARY: use_primary_db, Forced.REPLICA: use_replica}
DEEPEST = 1
MEETING_SECONDS = 0.0005


def act(visit: Visit, forced: Forced | None = None, depth: int = 0) -> None:
    """Take some steps inside ``forced``, the innermost block around, if there is one."""
    for _ in range(visit.chance.randint(1, 2)):
        visit.read(forced)
        pause(visit)
        step = visit.chance.choice(STEPS if depth < DEEPEST else FLAT_STEPS)
        step(visit, forced, depth + 1)
        visit.read(forced)


async def aact(visit: Visit, forced: Forced | None = None, depth: int = 0) -> None:
    """The async twin of ``act``."""
    for _ in range(visit.chance.randint(1, 2)):
        visit.read(forced)
        await apause(visit)
        step = visit.chance.choice(ASYNC_STEPS if depth < DEEPEST else ASYNC_FLAT_STEPS)
        await step(visit, forced, depth + 1)
        visit.read(forced)


def pause(visit: Visit) -> None:
    """Let other requests go on: at times until another one comes to the same point."""
    if visit.chance.random() < 0.1:
        with _meeting:
            _meeting.notify_all()
            _meeting.wait(MEETING_SECONDS)


async def apause(visit: Visit) -> None:
    """The async twin of ``pause``; when its patience ends, the client hangs up here."""
    if visit.chance.random() < 1 / (1 + visit.plan.patience):
        visit.hang_up()
    await asyncio.sleep(visit.chance.choice([0, 0, 0, MEETING_SECONDS]))


_meeting = threading.Condition()


def _read(visit: Visit, forced: Forced | None, depth: int) -> None:
    visit.read(forced)


async def _aread(visit: Visit, forced: Forced | None, depth: int) -> None:
    visit.read(forced)


def _block(visit: Visit, forced: Forced | None, depth: int) -> None:
    inner = visit.chance.choice(list(BLOCKS))
    with BLOCKS[inner]:
        act(visit, inner, depth)


async def _ablock(visit: Visit, forced: Forced | None, depth: int) -> None:
    inner = visit.chance.choice(list(BLOCKS))
    with BLOCKS[inner]:
        await aact(visit, inner, depth)


def _decorated(visit: Visit, forced: Forced | None, depth: int) -> None:
    inner = visit.chance.choice(list(BLOCKS))
    BLOCKS[inner](act)(visit, inner, depth)


async def _adecorated(visit: Visit, forced: Forced | None, depth: int) -> None:
    inner = visit.chance.choice(list(BLOCKS))
    await BLOCKS[inner](aact)(visit, inner, depth)


def _by_thread(visit: Visit, forced: Forced | None, depth: int) -> None:
    """``pin_this_thread`` or ``unpin_this_thread``, which hold to the end of the block."""
    with use_replica:
        pin_this_thread()
        visit.read(Forced.PRIMARY)
        unpin_this_thread()
        act(visit, Forced.UNPINNED, depth)


async def _aby_thread(visit: Visit, forced: Forced | None, depth: int) -> None:
    with use_primary_db:
        unpin_this_thread()
        visit.read(Forced.UNPINNED)
        pin_this_thread()
        await aact(visit, Forced.PRIMARY, depth)


def numbers(visit: Visit, forced: Forced | None) -> Callable[[], Generator[bytes, None, None]]:
    """A generator function that reads at each step and at its end, in ``forced`` and in a block of its own."""

    def steps() -> Generator[bytes, None, None]:
        try:
            for number in range(2):
                visit.read(forced)
                pause(visit)
                yield b"%d" % number
                with use_primary_db:
                    visit.read(Forced.PRIMARY)
                    yield b"."
                    visit.read(Forced.PRIMARY)
        finally:
            visit.read(forced)

    return steps


def anumbers(visit: Visit, forced: Forced | None) -> Callable[[], AsyncGenerator[bytes, None]]:
    """The async twin of ``numbers``."""

    async def steps() -> AsyncGenerator[bytes, None]:
        try:
            for number in range(2):
                visit.read(forced)
                await apause(visit)
                yield b"%d" % number
                with use_primary_db:
                    visit.read(Forced.PRIMARY)
                    yield b"."
                    visit.read(Forced.PRIMARY)
        finally:
            visit.read(forced)

    return steps


def _generator(visit: Visit, forced: Forced | None, depth: int) -> None:
    """Consumed for some steps, and then ended, closed or dropped."""
    inner = visit.chance.choice(list(BLOCKS))
    steps = BLOCKS[inner](numbers(visit, inner))()
    for _ in range(visit.chance.randint(0, 5)):
        next(steps, None)
        visit.read(forced)
        pause(visit)
    if visit.chance.random() < 0.5:
        steps.close()


async def _agenerator(visit: Visit, forced: Forced | None, depth: int) -> None:
    inner = visit.chance.choice(list(BLOCKS))
    async with aclosing(BLOCKS[inner](anumbers(visit, inner))()) as steps:
        for _ in range(visit.chance.randint(0, 5)):
            await anext(steps, None)
            visit.read(forced)
            await apause(visit)


async def _tasks(visit: Visit, forced: Forced | None, depth: int) -> None:
    await asyncio.gather(*(aact(visit, forced, depth) for _ in range(2)))


async def _thread(visit: Visit, forced: Forced | None, depth: int) -> None:
    await sync_to_async(act, thread_sensitive=visit.chance.random() < 0.8)(visit, forced, depth)


def _loop(visit: Visit, forced: Forced | None, depth: int) -> None:
    # Of a thread that waits for such a loop while its request is cancelled asgiref may lose track, and wait for ever.
    if visit.plan.ending not in CUT_SHORT:
        async_to_sync(aact)(visit, forced, depth)


def _query(visit: Visit, forced: Forced | None, depth: int) -> None:
    row: Any = ContentType.objects.first()
    visit.compare(row._state.db, None, forced)


async def _aquery(visit: Visit, forced: Forced | None, depth: int) -> None:
    row: Any = await ContentType.objects.afirst()
    visit.compare(row._state.db, None, forced)


FLAT_STEPS = [_generator, _by_thread, _read, _read]
STEPS = [_block, _decorated, _loop, _query, *FLAT_STEPS]
ASYNC_FLAT_STEPS = [_agenerator, _aread, _aread]
ASYNC_STEPS = [_ablock, _adecorated, _aby_thread, _tasks, _thread, _aquery, *ASYNC_FLAT_STEPS]
