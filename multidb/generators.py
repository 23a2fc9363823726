"""Generators whose steps run in a scope of their own, while whoever consumes them keeps theirs."""

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from multidb.routing import Scope, current, resume


def stepwise(
    function: Callable[..., Generator[Any, Any, Any]], enter: Callable[[], Scope]
) -> Callable[..., Generator[Any, Any, Any]]:
    """The generator function ``function``, each step of which runs in a scope of its own.

    The scope is what ``enter()`` returns at the first step. Whoever consumes the generator keeps theirs.
    """

    def stepping(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        scope = enter()
        step: Any = generator.send
        argument: Any = None
        while True:
            consumers = current()
            resume(scope)
            try:
                value = step(argument)
            except StopIteration as stop:
                return stop.value
            finally:
                scope = current()
                resume(consumers)
            try:
                argument = yield value
                step = generator.send
            except BaseException as error:
                argument = error
                step = generator.throw

    return stepping


def astepwise(
    function: Callable[..., AsyncGenerator[Any, Any]], enter: Callable[[], Scope]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The async twin of ``stepwise``."""

    async def stepping(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        scope = enter()
        step: Any = generator.asend
        argument: Any = None
        while True:
            consumers = current()
            resume(scope)
            try:
                value = await step(argument)
            except StopAsyncIteration:
                return
            finally:
                scope = current()
                resume(consumers)
            try:
                argument = yield value
                step = generator.asend
            except BaseException as error:
                argument = error
                step = generator.athrow

    return stepping
