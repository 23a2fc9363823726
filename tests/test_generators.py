"""A decorated generator reads in its own block at each step, and its consumer in theirs."""

import inspect

import pytest
from asgiref.sync import sync_to_async

from multidb import routing
from multidb.generators import Steps, astepwise
from multidb.pinning import pin_this_thread, unpin_this_thread, use_primary_db, use_replica
from tests.test_pinning import alias


def test_a_generator_reads_in_its_block_and_its_consumer_in_its_own() -> None:
    @use_primary_db
    def work():
        sent = yield alias()
        with use_replica:
            yield sent, alias()
        try:
            yield alias()
        except ValueError:
            yield "caught", alias()
        return "returned"

    assert inspect.isgeneratorfunction(work)
    steps = work()
    assert (next(steps), alias()) == ("primary", "replica")
    assert (steps.send("sent"), alias()) == (("sent", "replica"), "replica")
    assert (next(steps), alias()) == ("primary", "replica")
    assert (steps.throw(ValueError), alias()) == (("caught", "primary"), "replica")
    with pytest.raises(StopIteration) as stopped:
        next(steps)
    assert stopped.value.value == "returned"


def test_what_a_generator_says_of_its_thread_holds_to_its_next_step_only_for_itself() -> None:
    @use_primary_db
    def work():
        unpin_this_thread()
        yield
        yield alias()

    steps = work()
    next(steps)
    assert alias() == "replica"
    pin_this_thread()
    assert next(steps) == "replica"


async def test_what_an_async_generator_says_of_its_thread_holds_to_its_next_step() -> None:
    @use_primary_db
    async def work():
        unpin_this_thread()
        yield
        yield alias()

    steps = work()
    await anext(steps)
    pin_this_thread()
    assert await anext(steps) == "replica"


def test_a_generator_left_open_in_a_block_takes_no_other_block_with_it() -> None:
    """It is not decorated, so its block is around its consumer until it is closed; the consumer's own stays."""

    def work():
        with use_replica:
            yield

    steps = work()
    next(steps)
    with use_primary_db:
        steps.close()
        assert alias() == "primary"
    assert alias() == "replica"
    assert routing.current().outer is None


def test_a_generator_that_is_closed_cleans_up_in_its_block() -> None:
    closed = []

    @use_primary_db
    def work():
        try:
            yield
        finally:
            closed.append(alias())

    steps = work()
    next(steps)
    steps.close()
    assert closed == ["primary"]
    assert alias() == "replica"


def test_a_generator_that_fails_leaves_its_consumer_alone() -> None:
    @use_primary_db
    def work():
        yield 1
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        list(work())
    assert alias() == "replica"


def test_interleaved_generators_do_not_see_each_other() -> None:
    def work():
        for _ in range(3):
            yield alias()

    pairs = zip(use_primary_db(work)(), use_replica(work)(), strict=True)
    assert list(pairs) == [("primary", "replica")] * 3


async def test_an_async_generator_reads_in_its_block_and_its_consumer_in_its_own() -> None:
    closed = []

    @use_primary_db
    async def work():
        try:
            sent = yield alias()
            yield sent, await sync_to_async(alias)()
            try:
                yield alias()
            except ValueError:
                yield "caught"
            yield alias()
        finally:
            closed.append(alias())

    assert inspect.isasyncgenfunction(work)
    steps = work()
    assert (await anext(steps), alias()) == ("primary", "replica")
    assert (await steps.asend("sent"), alias()) == (("sent", "primary"), "replica")
    assert (await anext(steps), alias()) == ("primary", "replica")
    assert (await steps.athrow(ValueError), alias()) == ("caught", "replica")
    await steps.aclose()
    assert closed == ["primary"]
    assert alias() == "replica"


async def test_an_async_generator_ends() -> None:
    @use_primary_db
    async def work():
        yield alias()

    assert [each async for each in work()] == ["primary"]


async def test_an_async_generator_is_closed_that_has_been_closed_inside() -> None:
    """As the end of an event loop closes all generators that are left, in any order."""
    inner = []

    async def work():
        yield alias()

    def made():
        inner.append(work())
        return inner[0]

    steps = astepwise(made, lambda: Steps(routing.current()))()
    await anext(steps)
    await inner[0].aclose()
    await steps.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(steps)
