"""What a worker does with pins in Redis: it says that there are none, or saves many, for their memory."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

from django.conf import settings

from multidb.backends import get_pin_store
from multidb.backends.owed import Debt
from multidb.backends.redis_conversations import merge
from multidb.conf import conf
from multidb.pins import Pin

BATCH = 500

# Where the change stream of a PostgreSQL primary has got to.
POSITION = {"lsn": "00000001A2B3C4D8"}


def declare_new() -> None:
    """Else reads go to the primary for the seconds of a pin, since Redis might have lost some."""
    get_pin_store().declare_new()


def save_pins(first: int, count: int, keys: list[str], has_position: bool) -> None:
    """Save pins of ``count`` clients, the first with the number ``first``, each under its ``keys``.

    With the commands of the store's own write path, of many clients in one round trip.
    """
    client = get_pin_store()._client()
    commands = []
    for debt in _debts(first, count, keys, has_position):
        commands.append(merge(debt))
        if len(commands) == BATCH:
            client.answers(commands)
            commands = []
    client.answers(commands)


def _debts(first: int, count: int, keys: list[str], has_position: bool) -> Iterator[Debt]:
    store = get_pin_store()
    for number in range(first, first + count):
        until = time.time() + conf.pinning_seconds
        pin = Pin.on({"default": POSITION if has_position else None}, until)
        for key in keys:
            name = store._key(key, _request(number), settings.SECRET_KEY)
            yield Debt(name, pin.encode(), int(until * 1000))


def _request(number: int) -> SimpleNamespace:
    """What of a request says who its client is."""
    user = SimpleNamespace(is_authenticated=True, pk=number)
    return SimpleNamespace(user=user, META={"HTTP_AUTHORIZATION": f"Token {number}"})
