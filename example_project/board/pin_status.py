"""PinStatus: what pins a client at the moment, and the sentences that say so."""

import math
import time
from collections.abc import Mapping
from typing import NamedTuple, Self

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest

from multidb.backends import get_pin_store
from multidb.backends.cookie import SignedCookiePinStore
from multidb.conf import conf
from multidb.pins import PinStoreUnavailable
from multidb.positions import PositionUnavailable, is_replayed, replayed_position


class PinStatus(NamedTuple):
    """``seconds``: how much longer the pin lasts. ``is_down``: the store cannot be reached, so nobody knows.

    ``in_cookie``: the pin is in the cookie too, as it is but for one that was set on another device.
    ``ends_by_replay``: a replica that has replayed the write may answer, and ``replayed_by`` are those.
    """

    seconds: float = 0.0
    is_down: bool = False
    in_cookie: bool = False
    ends_by_replay: bool = False
    replayed_by: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """Ask the pin store, and the replicas if it names a position."""
        try:
            pin = get_pin_store().load(request)
        except PinStoreUnavailable:
            return cls(is_down=True)
        if pin is None:
            return cls()
        position = pin.holds[DEFAULT_DB_ALIAS].position
        return cls(
            seconds=in_tenths(pin.seconds_left(time.time())),
            in_cookie=SignedCookiePinStore().load(request) == pin,
            ends_by_replay=position is not None,
            replayed_by=tuple(alias for alias in settings.REPLICA_DATABASES if position and _has(alias, position)),
        )

    @property
    def seconds_on_primary(self) -> float:
        """For how many seconds at most the pin sends the client to the primary."""
        return 0.0 if self.replayed_by else self.seconds

    @property
    def sentence(self) -> str:
        """What holds now. The number of ``seconds_on_primary``, if there are any, completes it."""
        if self.is_down:
            return "The pin store cannot be reached."
        if not self.seconds:
            return "You are not pinned."
        if not self.ends_by_replay:
            return "You are pinned to the primary for"
        if not self.replayed_by:
            return "You are pinned to the primary until a replica has replayed your post, or the time is up."
        late = [alias for alias in settings.REPLICA_DATABASES if alias not in self.replayed_by]
        if not late:
            return "You are not pinned any more: every replica has replayed your post."
        return f"{' and '.join(self.replayed_by)} has replayed your post and answers you; {' and '.join(late)} has not."


def in_tenths(seconds: float) -> float:
    """``seconds``, rounded up: 0 only if there are none left."""
    return math.ceil(seconds * 10) / 10


def pinning_rule() -> str:
    """What makes a pin and what ends it, by the settings in force."""
    maker = "each request that may write" if conf.pinning_trigger == "method" else "a post alone"
    end = f"for {conf.pinning_seconds:g} s"
    if conf.pinning_until == "replayed":
        end = f"until a replica has replayed it, {end} at most"
    return f"A pin is made by {maker}, and holds {end}."


def _has(alias: str, position: Mapping[str, str]) -> bool:
    try:
        return is_replayed(position, replayed_position(connections[alias]))
    except PositionUnavailable:
        return False
