"""What code may ask for: where its reads go, whether its view writes, whether its client is pinned."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from multidb import routing
from multidb.generators import Steps, astepwise, stepwise
from multidb.replicas import topology
from multidb.rollout import Mode
from multidb.routing import Forced

__all__ = [
    "db_read",
    "db_routing",
    "db_write",
    "mark_as_write",
    "pin_this_thread",
    "this_thread_is_pinned",
    "unpin_this_thread",
    "use_primary_db",
    "use_replica",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Response = TypeVar("Response")


def this_thread_is_pinned() -> bool:
    """Whether reads go to the primary here: a block forces it, the request writes, or its client is pinned; and always
    where ``MULTIDB_ROUTING`` is off or a dry run.

    In a request this looks the pin up, if no read has yet.
    """
    here = routing.current()
    request = here.routing
    if here.forced is Forced.PRIMARY or request.mode is not Mode.ON:
        return True
    if here.forced is not None:
        return False
    if request.writes or request.wrote:
        return True
    return any(primary in request.written or request.pin_reason(primary) for primary in topology().primaries)


def pin_this_thread() -> None:
    """Send reads to the primary from here on: to the end of the block, of the request, or of the thread."""
    routing.force(Forced.PRIMARY)


def unpin_this_thread() -> None:
    """Send reads to a replica from here on, whatever the request's method or pin says."""
    routing.force(Forced.UNPINNED)


def mark_as_write(response: Response) -> Response:
    """Mark ``response`` as one whose request wrote, so that it pins its client. Returns ``response``."""
    response._db_write = True  # type: ignore[attr-defined]  # the mark that django-multidb-router documents
    return response


def db_write(view: Function) -> Function:
    """A view that writes, whatever its method: it reads from the primary, and its client is pinned.

    For sync and async function views and for methods of class-based views. Pins even if the view raises; a
    ``response._db_write`` set by hand decides.
    """

    def declare() -> None:
        routing.current().routing.declare_write()

    def mark(response: Any) -> Any:
        if not hasattr(response, "_db_write"):
            with suppress(AttributeError):
                mark_as_write(response)
        return response

    return _around_view(use_primary_db(view), declare, mark)


def db_read(view: Function) -> Function:
    """A view that does not write, whatever its method: it reads as a ``GET`` does, and its response pins nobody.

    For sync and async function views and for methods of class-based views. A ``db_write`` inside it wins.
    """

    def declare() -> None:
        routing.current().routing.declare_read()

    return _around_view(view, declare, lambda response: response)


def db_routing(mode: bool | str) -> Callable[[Function], Function]:
    """A view whose reads are routed (``True``), go to the primary (``False``), or go there while log and metrics say
    where they would have gone (``"dry run"``), whatever ``MULTIDB_ROUTING`` says.

    For sync and async function views and for methods of class-based views. Raises ``ValueError`` for another mode.
    """
    chosen = Mode(mode)

    def declare() -> None:
        routing.current().routing.declare_mode(chosen)

    return lambda view: _around_view(view, declare, lambda response: response)


class ForcedReads:
    """Forces where reads go, as a context manager and as a decorator.

    Blocks nest, and the innermost wins. Decorates sync and async functions and generators. Holds no state, so that one
    object serves every thread and task; of two blocks of one kind that end out of order, the inner one ends first.
    """

    def __init__(self, forced: Forced) -> None:
        self._forced = forced

    def __enter__(self) -> None:
        routing.push(self._forced, self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        routing.pop(self)

    def __call__(self, function: Function) -> Function:
        if inspect.isasyncgenfunction(function):
            forced: Callable[..., Any] = astepwise(function, self._steps)
        elif inspect.isgeneratorfunction(function):
            forced = stepwise(function, self._steps)
        elif iscoroutinefunction(function):
            forced = self._coroutine(function)
        else:
            forced = self._function(function)
        return cast("Function", wraps(function)(forced))

    def _steps(self) -> Steps:
        with self:
            return Steps(routing.current())

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def forced(*args: Any, **kwargs: Any) -> Any:
            with self:
                result = function(*args, **kwargs)
            return self._awaited(result) if inspect.iscoroutine(result) else result

        return forced

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def forced(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return forced

    async def _awaited(self, awaitable: Awaitable[Any]) -> Any:
        with self:
            return await awaitable


use_primary_db = ForcedReads(Forced.PRIMARY)
"""Reads inside go to the primary."""

use_replica = ForcedReads(Forced.REPLICA)
"""Reads inside go to a replica, even when the client is pinned: for reports and exports that may be a moment old."""


def _around_view(view: Function, declare: Callable[[], None], mark: Callable[[Any], Any]) -> Function:
    """``view`` with ``declare`` called before it and ``mark`` called on its response."""

    async def marked(response: Awaitable[Any]) -> Any:
        return mark(await response)

    def declared(*args: Any, **kwargs: Any) -> Any:
        declare()
        response = view(*args, **kwargs)
        return marked(response) if inspect.isawaitable(response) else mark(response)

    async def adeclared(*args: Any, **kwargs: Any) -> Any:
        return await declared(*args, **kwargs)

    return cast("Function", wraps(view)(adeclared if iscoroutinefunction(view) else declared))


_OLD_NAMES = ("MultiDBMiddleware", "PinningRouter", "use_master")


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported late, because the old names stand on this module.
    from multidb import _deprecated

    return getattr(_deprecated, name)
