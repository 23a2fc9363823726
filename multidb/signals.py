"""What multidb tells the project: each signal is sent once at each change, in each process.

Receivers get keyword arguments. One that raises is logged, and fails no request.
"""

from django.dispatch import Signal

replica_down = Signal()
"""A replica is left alone from now on. ``alias``: its alias. ``why``: the error, or what is wrong in words."""

replica_up = Signal()
"""A replica that was left alone is used again. ``alias``: its alias."""

pin_store_down = Signal()
"""The pin store is left alone from now on. ``store``: the name of its class. ``why``: the error."""

pin_store_up = Signal()
"""The pin store that was left alone is used again. ``store``: the name of its class."""
