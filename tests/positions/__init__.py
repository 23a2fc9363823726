"""A connection whose server says what the test says: real servers are asked in tests/integration."""

from collections.abc import Sequence
from typing import Any


class Scripted:
    """A connection, and its only cursor, to a server that answers each question with the same rows, or fails."""

    in_atomic_block = False

    def __init__(
        self, display_name: str, rows: Sequence[tuple[Any, ...]] | Exception, columns: Sequence[str] = ()
    ) -> None:
        self.display_name = display_name
        self.description = [(name, None, None, None, None, None, None) for name in columns] or None
        self.asked: list[str] = []
        self._rows = rows

    def cursor(self) -> "Scripted":
        return self

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def execute(self, sql: str) -> None:
        self.asked.append(sql)
        if isinstance(self._rows, Exception):
            raise self._rows

    def fetchone(self) -> tuple[Any, ...]:
        return self.fetchall()[0]

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        assert self.asked, "an answer is read before a question is asked"
        assert not isinstance(self._rows, Exception)
        return self._rows
