"""Settling: the answer for the reads that follow one read, while nothing can send them elsewhere."""

import asyncio
import os
from typing import Any

from django.db import connections
from django.http import HttpRequest
from django.utils.functional import LazyObject

from multidb.routes import Answer, Notes, Route, here


def until_a_transaction(
    route: Route, router: object, alias: str, notes: tuple[Notes, ...], request: HttpRequest | None, known: Any
) -> Answer | None:
    """The answer ``alias``, in this thread, until a transaction is opened on the primary of ``route``.

    If ``request`` is given, also until its user is another, or ``known`` better: as such the store was asked about it
    last. ``None`` if the reads that follow have to be decided each.
    """
    attributes, user, lazy = None, None, None
    if request is not None:
        attributes = vars(request)
        user = attributes.get("user")
        if isinstance(user, LazyObject):
            lazy = object.__getattribute__(user, "__dict__")
        if (user if lazy is None else lazy["_wrapped"]) is not known:
            return None  # Somebody is known by now who has not been looked up.
    if _is_allowed_on_event_loop():
        return None  # Each task has a connection of its own.
    primary = connections[route.primary]
    block = primary.atomic_blocks[-1] if primary.atomic_blocks else None
    return Answer(alias, router, route, notes, primary, here.thread, block, attributes, user, lazy, known)


def _is_allowed_on_event_loop() -> bool:
    """Is this an event loop, and Django told to use databases there all the same?

    https://docs.djangoproject.com/en/stable/topics/async/#envvar-DJANGO_ALLOW_ASYNC_UNSAFE
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return bool(os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"))
