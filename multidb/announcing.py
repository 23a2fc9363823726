"""Announcing: a signal that is sent where something is noticed, which no receiver can disturb."""

import threading
from contextvars import Context
from typing import Any

from django.db import connections
from django.dispatch import Signal

from multidb import event_loop


def announce(signal: Signal, **told: Any) -> None:
    """Send ``signal`` with what is ``told``. A receiver that raises is logged by Django.

    At once; or, on an event loop, which may end with what it runs now, in a thread of its own, outside any request.
    """
    if not event_loop.is_running():
        signal.send_robust(sender=None, **told)
        return
    # Python waits at its end for all threads but daemons.
    threading.Thread(target=Context().run, args=(_send, signal, told), name="multidb-announcing", daemon=True).start()


def _send(signal: Signal, told: dict[str, Any]) -> None:
    signal.send_robust(sender=None, **told)
    connections.close_all()
