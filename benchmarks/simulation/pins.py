"""The pins of all users who have one."""

import math
from collections import deque

from benchmarks.simulation.options import Options
from multidb.pins import Pin
from multidb.positions import is_replayed

PRIMARY = "default"

# One user of so many is kept as the library keeps a pin; of the others there are two numbers.
OF_SO_MANY = 50

# Seconds since the epoch at which the simulation begins: so a pin is as long as it is now.
EPOCH = 1_800_000_000


class Pins:
    """Who is pinned by one ``MULTIDB_PINNING_TRIGGER``. Memory is that of the pins that hold."""

    def __init__(self, options: Options) -> None:
        self._seconds = options.seconds
        self._written: dict[int, float] = {}
        self._ends: deque[tuple[float, int]] = deque()
        self._texts: dict[int, str] = {}
        self.checked = 0
        self.differing = 0

    def __len__(self) -> int:
        return len(self._written)

    def drop_old(self, now: float) -> None:
        """Forget what has run out."""
        while self._ends and self._ends[0][0] <= now:
            end, user = self._ends.popleft()
            if self._written[user] + self._seconds == end:  # Else the user has written again since.
                del self._written[user]
                self._texts.pop(user, None)

    def add(self, user: int, now: float) -> None:
        self._written[user] = now
        self._ends.append((now + self._seconds, user))
        if user % OF_SO_MANY == 0:
            pin = Pin.on({PRIMARY: position(now)}, EPOCH + now + self._seconds)
            known = self._texts.get(user)
            self._texts[user] = pin.merge(None if known is None else Pin.decode(known)).encode()

    def written(self, user: int, now: float) -> float | None:
        """When the user wrote what they are pinned by, or ``None``."""
        written = self._written.get(user)
        if user % OF_SO_MANY == 0:
            self._check(user, now, written)
        return written

    def _check(self, user: int, now: float, written: float | None) -> None:
        """Does the library say the same? Both the end, to its millisecond, and the position."""
        text = self._texts.get(user)
        pin = None if text is None else Pin.decode(text)
        held = None if pin is None else pin.held(EPOCH + now, self._seconds)
        self.checked += 1
        if (held is None) != (written is None):
            self.differing += 1
        elif held is not None and written is not None:
            known = held.holds[PRIMARY].position or {}
            is_same = is_replayed(known, position(written)) and is_replayed(position(written), known)
            self.differing += not is_same


def position(written: float) -> dict[str, str]:
    """The position of what was written then: the log grows by a byte a microsecond."""
    return {"lsn": f"{math.floor(written * 1_000_000):016X}"}
