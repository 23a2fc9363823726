"""Owed: pins that the store could not take, to be brought when it is back."""

import threading
from itertools import islice
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
                dropped = max(dropped, self._debts.pop(next(iter(self._debts))).until)
        return dropped

    def oldest(self, now: int, most: int) -> list[Debt]:
        """What has been owed for the longest and still holds at ``now``, ``most`` debts of it at most.

        They are owed until the caller has brought them, and says so by ``settle``.
        """
        if not self._debts:
            return []
        with self._lock:
            self._debts = {key: debt for key, debt in self._debts.items() if debt.until > now}
            return list(islice(self._debts.values(), most))

    def settle(self, debts: list[Debt]) -> None:
        """``debts`` have been brought."""
        with self._lock:
            for debt in debts:
                if self._debts.get(debt.key) is debt:
                    del self._debts[debt.key]

    def until(self, without: list[Debt]) -> int:
        """Until when the longest pin may hold that is owed, ``without`` some; 0 if no other is."""
        if not self._debts:
            return 0
        brought = {debt.key: debt for debt in without}
        with self._lock:
            # Not what has been merged with it since: that is to be brought still.
            return max((debt.until for key, debt in self._debts.items() if debt is not brought.get(key)), default=0)


def _merged(debt: Debt, owed: Debt | None) -> Debt:
    pin = Pin.decode(debt.text)
    if owed is None or pin is None:
        return debt
    return Debt(debt.key, pin.merge(Pin.decode(owed.text)).encode(), max(debt.until, owed.until))
