"""What multidb tells the project, in each process: what is down is told once at each change.

Receivers get keyword arguments. One that raises is logged, and fails no request. Those of what is down and up are
called where that is noticed; where that is an event loop, soon after, in a thread of their own.
"""

from django.dispatch import Signal

pinned = Signal()
"""A response pins its client. ``request``, ``response``: its own, or one that is not sent where the client has gone.
``pin``: the ``multidb.pins.Pin`` that was given to the store. Under ASGI as ``request_routed``; receivers that are
awaited come to their end, also where the client has gone meanwhile.
"""

replica_down = Signal()
"""A replica is left alone from now on. ``alias``: its alias. ``why``: the error, or what is wrong in words."""

replica_up = Signal()
"""A replica that was left alone is used again. ``alias``: its alias."""

pin_store_down = Signal()
"""The pin store is left alone from now on. ``store``: the name of its class. ``why``: the error."""

pin_store_up = Signal()
"""The pin store that was left alone is used again. ``store``: the name of its class."""

request_routed = Signal()
"""A request has ended. ``request``, ``response``: its own. ``counts``: how many reads went to each database for each
reason, ``{(alias, reason): number}``. ``dry_run_counts``: of those in a dry run, how many would have gone there.

On an event loop Django calls a receiver that is no coroutine function in a thread. Of a stream it is sent when that has
been sent, and then receivers must not be coroutine functions. Reads are counted only while there is a receiver.
"""
