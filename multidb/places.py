"""Places: from which line of the project's code a query was made."""

import asyncio
import inspect
import sys
import sysconfig
import threading
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

# What stands between a query and the code that asks for it, wherever it is installed.
BETWEEN = ("asgiref", "django", "multidb")

# What runs, in a thread that waits for async code, what that code asks to be run there.
EXECUTOR = "asgiref.current_thread_executor"

# Where the files of packages are, and those of Python; and what is no file.
INSTALLED = (*map(sysconfig.get_path, ("purelib", "platlib", "stdlib")), "<")


def place(frame: Any, served: "Served | None" = None) -> str:
    """The module and line, such as ``shop.views:12``, of the innermost code of the project that has led to ``frame``.

    A thread that serves async code has none, so then it is that of the task that is ``served``. Where there is none at
    all, the place is around Django's databases: that of a session that a middleware loads, for example; or, of async
    code under WSGI, empty.
    """
    lines = [*_outwards(frame), *(served.lines() if served is not None else ())]
    for each in lines:
        if each.package not in BETWEEN and not each.code.co_filename.startswith(INSTALLED):
            return str(each)
    around = [each for each in lines if not each.module.startswith(("multidb.", "django.db.", "asgiref."))]
    return str(around[0]) if around else ""


class Served:
    """A task of an event loop, for which threads read from databases."""

    def __init__(self, task: Any) -> None:
        self._coroutine = task.get_coro()
        self._thread = threading.get_ident()

    @classmethod
    def here(cls) -> "Served | None":
        """The task that runs here; ``None`` where no event loop does."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return None
        return None if task is None else cls(task)

    def lines(self) -> list["Line"]:
        """Where the task is at this moment, the innermost first."""
        if inspect.iscoroutine(self._coroutine) and self._coroutine.cr_running:
            return list(_outwards(sys._current_frames().get(self._thread)))
        return list(_inwards(self._coroutine))[::-1]


class Line(NamedTuple):
    """One line of a call stack."""

    module: str
    number: int
    code: CodeType

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.module}:{self.number}"


def _outwards(frame: Any) -> Iterator[Line]:
    """From ``frame`` to the end of its stack, or to where it was begun for async code, with which the rest has nothing
    to do: under WSGI, the middleware.
    """
    while frame is not None and frame.f_globals.get("__name__") != EXECUTOR:
        yield _line(frame)
        frame = frame.f_back


def _inwards(coroutine: Any) -> Iterator[Line]:
    """What ``coroutine`` is suspended in: it awaits another, and so on. The task's stack has only the first."""
    while inspect.iscoroutine(coroutine) and (frame := coroutine.cr_frame) is not None:
        yield _line(frame)
        coroutine = coroutine.cr_await


def _line(frame: Any) -> Line:
    return Line(frame.f_globals.get("__name__", ""), frame.f_lineno, frame.f_code)
