"""Pin: the record that a client wrote."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Self

from multidb.log import say_once

# A pin that ends later than one of MULTIDB_PINNING_SECONDS can was written by a process with more of them, as there are
# while a change of the setting is deployed, or by a clock that has jumped. By this much more it is believed.
DEPLOYED_SECONDS = 3600

_SHORT: Final = json.JSONEncoder(separators=(",", ":"))

# 16 hexadecimal digits (PostgreSQL) or 20 decimal ones (MariaDB): so they sort as the numbers do.
SORTABLE = re.compile(r"[0-9A-F]{16}|[0-9]{20}")


class PinStoreUnavailable(Exception):
    """The pin store cannot tell whether a client is pinned, or not for sure: it does not answer, or may lack pins.

    ``pin`` is what is known all the same: what the store did have, and the signed cookie of the client.
    """

    def __init__(self, pin: "Pin | None" = None) -> None:
        super().__init__("The pin store cannot tell.")
        self.pin = pin


class Hold(NamedTuple):
    """What a pin says of one primary.

    ``until`` is a time in milliseconds since the epoch. ``position`` is ``{stream: sortable text}``; ``None`` is a
    position that is not known, so that only the time can end the hold.
    """

    until: int
    position: Mapping[str, str] | None = None

    def merge(self, other: "Hold") -> "Hold":
        """The hold that ends no sooner than either: the later time and the further position."""
        if self.position is None or other.position is None:
            position = None
        else:
            streams = self.position.keys() | other.position.keys()
            position = {
                stream: max(self.position.get(stream, ""), other.position.get(stream, "")) for stream in sorted(streams)
            }
        return Hold(max(self.until, other.until), position)


class Pin(NamedTuple):
    """Which primaries a client wrote to, until when it reads from them, and (optional) up to which position.

    A value: every method returns a new one. Times are seconds since the epoch, as ``time.time()`` gives them.
    """

    holds: Mapping[str, Hold]

    @classmethod
    def on(cls, primaries: Iterable[str] | Mapping[str, Mapping[str, str] | None], until: float) -> Self:
        """A pin on ``primaries`` that holds until the time ``until``; of a mapping, each up to its position."""
        positions = primaries if isinstance(primaries, Mapping) else dict.fromkeys(primaries)
        return cls({primary: Hold(math.ceil(until * 1000), position) for primary, position in positions.items()})

    @classmethod
    def decode(cls, text: str | bytes) -> Self | None:
        """The pin that ``encode()`` wrote, or ``None`` if ``text`` is not one. Raises nothing."""
        try:
            return cls({primary: _hold(*parts) for primary, parts in json.loads(text).items()})
        except (AttributeError, TypeError, ValueError, RecursionError):
            return None

    def encode(self) -> str:
        """The pin as short JSON: ``{primary: [milliseconds]}``, or ``{primary: [milliseconds, position]}``."""
        holds = {
            primary: [hold.until] if hold.position is None else [hold.until, hold.position]
            for primary, hold in self.holds.items()
        }
        return _SHORT.encode(holds)

    def merge(self, other: "Pin | None") -> "Pin":
        """The pin that holds wherever either does, and never for a shorter time."""
        if other is None:
            return self
        merged = dict(self.holds)
        for primary, hold in other.holds.items():
            merged[primary] = hold.merge(merged[primary]) if primary in merged else hold
        return Pin(merged)

    def by_time(self) -> "Pin":
        """The pin without its positions: only its time ends it."""
        return Pin({primary: Hold(hold.until) for primary, hold in self.holds.items()})

    def held(self, now: float, seconds: float) -> "Pin | None":
        """The part of the pin that holds at ``now``, for at most ``seconds`` more, or ``None``.

        A hold that ends ``DEPLOYED_SECONDS`` later than any pin written now was written by a clock that has jumped, and
        does not count.
        """
        begin = now * 1000
        longest = math.ceil((now + seconds) * 1000)
        latest = latest_milliseconds(now, seconds)
        holds = {
            primary: hold if hold.until <= longest else Hold(longest, hold.position)
            for primary, hold in self.holds.items()
            if begin < hold.until <= latest
        }
        return Pin(holds) if holds else None

    def seconds_left(self, now: float) -> float:
        """For how many seconds from ``now`` the longest hold of the pin lasts; 0 if it has run out."""
        latest = max((hold.until for hold in self.holds.values()), default=0)
        return max(0.0, latest / 1000 - now)


def latest_milliseconds(now: float, seconds: float) -> int:
    """The latest end of a pin that counts at ``now``, in milliseconds, where a pin is of ``seconds``."""
    return math.ceil((now + seconds + DEPLOYED_SECONDS) * 1000)


def _hold(until: Any, position: Any = None) -> Hold:
    if type(until) is not int:
        raise TypeError("until is a whole number of milliseconds")
    return Hold(until, position if position is None else _position(position))


def _position(position: Any) -> dict[str, str] | None:
    """What only looks like a position is one that is not known: the hold is kept, and its time ends it."""
    is_one = (
        isinstance(position, dict)
        and position
        and all(stream and isinstance(text, str) and SORTABLE.fullmatch(text) for stream, text in position.items())
    )
    if not is_one:
        say_once("A pin has a position that is none: it holds for its seconds.")
    return dict(position) if is_one else None
