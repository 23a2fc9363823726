"""Owed: pins that the store could not take, to be brought when it is back."""

import threading
from typing import NamedTuple

from multidb.pins import Pin

# Keys. Beyond this many, reads of all clients go by MULTIDB_PIN_STORE_DOWN instead, until the pins have run out.
MOST_OWED = 1000


class Debt(NamedTuple):
    """One text that is owed to one key of the store. ``until``: milliseconds since the epoch."""

    key: str
    text: str
    until: int


class Owed:
    """What this process owes to the store: one debt a key. Safe in threads."""

    def __init__(self) -> None:
        self._debts: dict[str, Debt] = {}
        self._lock = threading.Lock()

    def add(self, debts: list[Debt]) -> int:
        """Owe ``debts``. Return until when the longest pin may hold that had to be dropped for them; 0 if none had."""
        dropped = 0
        with self._lock:
            for debt in debts:
                self._debts[debt.key] = _merged(debt, self._debts.get(debt.key))
            while len(self._debts) > MOST_OWED:
                dropped = max(dropped, self._oldest().until)
        return dropped

    def __bool__(self) -> bool:
        return bool(self._debts)

    def take(self, now: int, most: int) -> list[Debt]:
        """What has been owed for the longest and still holds at ``now``, ``most`` debts of it at most.

        The caller adds again what it cannot bring.
        """
        taken: list[Debt] = []
        with self._lock:
            while self._debts and len(taken) < most:
                debt = self._oldest()
                if debt.until > now:
                    taken.append(debt)
        return taken

    def _oldest(self) -> Debt:
        return self._debts.pop(next(iter(self._debts)))


def _merged(debt: Debt, owed: Debt | None) -> Debt:
    pin = Pin.decode(debt.text)
    if owed is None or pin is None:
        return debt
    return Debt(debt.key, pin.merge(Pin.decode(owed.text)).encode(), max(debt.until, owed.until))
