"""Watch: what serving one visit takes, and what it leaves in the log."""

import hmac
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import redis
from django.db import connections


class Watch(logging.Handler):
    """Counts the work of the visit at hand, and keeps what is logged, of whatever logger."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.logged: list[str] = []
        self.log_records = 0
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    @contextmanager
    def one_visit(self) -> Iterator[None]:
        """Inside, one visit is served, to which what is counted from here on belongs."""
        self.work.clear()
        self.logged.clear()
        yield
        self.most |= self.work

    def emit(self, record: logging.LogRecord) -> None:
        """The text with its traceback, and the values that went into it."""
        self.log_records += 1
        self.logged.append(f"{self.format(record)} {record.args!r}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        root = logging.getLogger()
        with ExitStack() as stack:
            stack.enter_context(patch.object(hmac, "new", self._counted("HMACs", hmac.new)))
            stack.enter_context(patch.object(redis.Redis, "execute_command", self._trip(redis.Redis.execute_command)))
            stack.enter_context(
                patch.object(redis.Connection, "pack_commands", self._trip(redis.Connection.pack_commands))
            )
            for alias in ("default", "replica"):
                stack.enter_context(connections[alias].execute_wrapper(self._query))
            root.addHandler(self)
            stack.callback(root.removeHandler, self)
            yield

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.work[name] += 1
            return function(*args, **kwargs)

        return counted

    def _trip(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A round trip to Redis, of one command or of several that go together."""

        def trip(client: Any, *args: Any, **kwargs: Any) -> Any:
            self.work["Redis round trips"] += 1
            self.work["Redis commands"] += len(args[0]) if isinstance(args[0], list) else 1
            return function(client, *args, **kwargs)

        return trip

    def _query(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.work["queries"] += 1
        return execute(*args)
