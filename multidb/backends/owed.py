"""Owed: pins that the store could not take, to be brought when it is back."""

import threading
from collections import deque
from typing import NamedTuple

# Beyond this many, reads of all clients go by MULTIDB_PIN_STORE_DOWN instead, until the pins have run out.
MOST_OWED = 1000


class Debt(NamedTuple):
    """One text that is owed to one key of the store. ``until``: milliseconds since the epoch."""

    key: str
    text: str
    until: int


class Owed:
    """What this process owes to the store. Safe in threads."""

    def __init__(self) -> None:
        self._debts: deque[Debt] = deque()
        self._lock = threading.Lock()

    def add(self, debts: list[Debt]) -> int:
        """Owe ``debts``. Return until when the longest pin may hold that had to be dropped for them; 0 if none had."""
        dropped = 0
        with self._lock:
            self._debts.extend(debts)
            while len(self._debts) > MOST_OWED:
                dropped = max(dropped, self._debts.popleft().until)
        return dropped

    def take(self, now: int) -> list[Debt]:
        """All that is owed and still holds at ``now``; the caller adds again what it cannot bring."""
        if not self._debts:
            return []
        with self._lock:
            debts = [debt for debt in self._debts if debt.until > now]
            self._debts.clear()
        return debts
