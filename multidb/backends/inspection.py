"""Inspection: what a look at the server of a pin store tells."""

from typing import NamedTuple


class Inspection(NamedTuple):
    """The server has answered."""

    round_trip: float | None
    """How many seconds one question took; ``None`` where there is no server to ask."""

    pins: int | None = None
    """How many pins are kept that have not run out, as many as were counted; ``None`` where that cannot be told.

    A client with several keys, such as a user with a session, has one under each.
    """

    counted_all: bool = True
    """Whether there are no more than ``pins``."""
