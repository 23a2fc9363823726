"""JobRouting: the routing of one job, which a worker does for whoever sent it.

A job reads as a request does whose client has the pin that came with the job. So it keeps one replica of each primary
to its end, and sees one state of the data; once it has written, it reads from the primary.

The pin travels as the text that stores keep, and is not signed. Whoever can put it where a worker finds it can run any
job there with any arguments, and a pin can do less: the reads of that one job go to the primary. What is no pin, or one
that has run out, pins nobody.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest

from multidb import routing
from multidb.conf import conf
from multidb.pins import Pin
from multidb.replicas import topology
from multidb.request_routing import RequestRouting
from multidb.rollout import Mode, constant_mode
from multidb.routing import OUTSIDE, Forced, Scope
from multidb.writes import positions_after

# Far more than pins are, and far less than what RabbitMQ takes of a message's headers, one frame of 128 KiB.
# https://www.rabbitmq.com/docs/configure#config-items
LONGEST_TEXT = 16_384


class JobRouting(RequestRouting):
    """The routing of one job that came with ``pin``, or with none.

    A function in ``MULTIDB_ROUTING`` is not asked, since there is no request: then its reads go to the primary.
    """

    def __init__(self, pin: Pin | None) -> None:
        super().__init__(HttpRequest(), _Message(pin), writes=False)
        self.declare_mode(constant_mode() or Mode.OFF)


class _Message:
    """The pin store of a job is the message that it came in, of one client who stays the same."""

    knows_clients = False
    client_may_change = False
    may_wait = False

    def __init__(self, pin: Pin | None) -> None:
        self._pin = pin

    def load(self, request: HttpRequest) -> Pin | None:
        return self._pin

    def client(self, request: HttpRequest) -> Collection[str]:
        return ()


def begin(pin: Pin | None) -> Scope:
    """From here on a job runs that came with ``pin``. Returns what to ``routing.end`` with.

    If ``pin_this_thread()`` was called in this thread before any job, it holds for this one too. What a job before has
    left behind does not.
    """
    outer = routing.current()
    if isinstance(outer.routing, JobRouting):
        outer = Scope(OUTSIDE)  # Its end was not seen.
    routing.resume(Scope(JobRouting(pin), outer.forced))
    return outer


@contextmanager
def job(pin: Pin | None) -> Iterator[None]:
    """Inside, a job runs that came with ``pin``; or goes on what runs here, a request or another job."""
    if isinstance(routing.current().routing, RequestRouting):
        yield
        return
    outer = begin(pin)
    try:
        yield
    finally:
        routing.end(outer)


def pin_to_send(pins_all: bool = False) -> str | None:
    """The text of the pin for a job that is sent from here, so that it reads what has been written here; or ``None``.

    It holds the primaries that this request or job has written to so far, each up to its position by now, and what the
    pin holds that it came with. It holds all primaries if ``pins_all``, inside ``use_primary_db``, in a ``db_write``
    view, if the method alone pins (``MULTIDB_PINNING_TRIGGER``), or if the store cannot tell. Inside a transaction
    there is no position yet, so that only the seconds end the pin.

    One query to each primary that was written to, if ``MULTIDB_PINNING_UNTIL`` is ``"replayed"``. One look-up in the
    store, if this request has made none yet and does not pin all primaries by itself. Raises ``ImproperlyConfigured``
    if a setting is impossible.
    """
    state = routing.current().routing
    primaries = topology().primaries
    written = primaries if pins_all else _written()
    if len(written) < len(primaries):
        state.look_up()
        written = primaries if state.store_down else written
    positions = positions_after(written)
    now = time.time()
    pin = Pin.on(positions, now + conf.pinning_seconds).merge(state.pin).held(now, conf.pinning_seconds)
    if pin is None:
        return None
    text = pin.encode()
    return text if len(text) <= LONGEST_TEXT else pin.by_time().encode()


def pin_sent(text: Any) -> Pin | None:
    """The pin that ``pin_to_send`` has made, as far as it still holds; ``None`` for whatever else ``text`` is.

    Raises ``ImproperlyConfigured`` if ``MULTIDB_PINNING_SECONDS`` is impossible.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        return None
    pin = Pin.decode(text)
    return pin and pin.held(time.time(), conf.pinning_seconds)


def pin_on_all() -> Pin:
    """A pin on all primaries for ``MULTIDB_PINNING_SECONDS`` from now."""
    return Pin.on(topology().primaries, time.time() + conf.pinning_seconds)


def _written() -> Collection[str]:
    """The primaries that may have been written to here."""
    scope = routing.current()
    state = scope.routing
    method_pins = state.writes and conf.pinning_trigger == "method"
    if scope.forced is Forced.PRIMARY or state.wrote or method_pins:
        return topology().primaries
    return [primary for primary in topology().primaries if primary in state.written]
