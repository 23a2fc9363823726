"""Generators whose steps run in a scope of their own, while whoever consumes them keeps theirs."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from multidb.routing import Scope, current, resume


class Steps:
    """Steps that run in one scope, each as the one before has left it. Whoever takes them keeps theirs."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def take(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """What ``step`` returns, called with ``arguments``."""
        consumers = current()
        resume(self._scope)
        try:
            return step(*arguments)
        finally:
            self._scope = current()
            resume(consumers)

    async def atake(self, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The async twin of ``take``."""
        consumers = current()
        resume(self._scope)
        try:
            return await step(*arguments)
        finally:
            self._scope = current()
            resume(consumers)


def stepwise(
    function: Callable[..., Generator[Any, Any, Any]], begin: Callable[[], Steps]
) -> Callable[..., Generator[Any, Any, Any]]:
    """The generator function ``function``, whose steps are those that ``begin()`` returns at the first one."""

    def stepping(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        steps = begin()
        step: Any = generator.send
        argument: Any = None
        while True:
            try:
                value = steps.take(step, argument)
            except StopIteration as stop:
                return stop.value
            try:
                argument = yield value
                step = generator.send
            except BaseException as error:
                argument = error
                step = generator.throw

    return stepping


def astepwise(
    function: Callable[..., AsyncGenerator[Any, Any]], begin: Callable[[], Steps]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The async twin of ``stepwise``."""

    async def stepping(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        steps = begin()
        step: Any = generator.asend
        argument: Any = None
        while True:
            try:
                value = await steps.atake(step, argument)
            except StopAsyncIteration:
                return
            try:
                argument = yield value
                step = generator.asend
            except GeneratorExit:
                # Not thrown in: one that the end of the event loop has closed before would answer with a value.
                await steps.atake(generator.aclose)
                raise
            except BaseException as error:
                argument = error
                step = generator.athrow

    return stepping
