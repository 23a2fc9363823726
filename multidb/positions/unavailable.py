"""PositionUnavailable: a database cannot say how far it has got."""


class PositionUnavailable(Exception):
    """A database cannot say how far it has got. The text says why."""
