"""ATOMIC_REQUESTS: which transaction is the one that Django has opened around a view."""

import sys
from contextlib import ContextDecorator
from types import FrameType
from typing import Any

from django.db import connections
from django.db.transaction import Atomic
from django.http import HttpRequest


def is_around_view(block: Atomic, request: HttpRequest) -> bool:
    """Has Django opened ``block`` around the view of ``request``, in which the caller is? So ``ATOMIC_REQUESTS`` asks.

    A block that the code has opened is no other kind of object. But Django decorates the view with its own, so that a
    call of the decorated view is on the stack: https://docs.djangoproject.com/en/stable/topics/db/transactions/
    """
    match = request.resolver_match
    if match is None or block.using is None or not connections.settings[block.using]["ATOMIC_REQUESTS"]:
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _DECORATED and frame.f_locals["self"] is block:
            return _leads_to(frame.f_locals["func"], match.func)
        frame = frame.f_back
    return False


def _leads_to(function: Any, view: Any) -> bool:
    """Is ``function`` the ``view``, or does it wrap it, for another database?"""
    while function is not None and function is not view:
        function = getattr(function, "__wrapped__", None)
    return function is view


# Of every function that a block decorates.
_DECORATED = ContextDecorator()(lambda: None).__code__
