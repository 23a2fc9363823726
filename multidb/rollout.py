"""Rollout: whether reads are routed at all, and for whom, or only as a trial."""

import enum
import inspect
from typing import Any

from django.db import connections
from django.http import HttpRequest
from django.utils.asyncio import async_unsafe

from multidb.conf import conf
from multidb.log import complain, say_once
from multidb.savepoints import in_passing_on


class Mode(enum.Enum):
    """What becomes of reads, as ``MULTIDB_ROUTING`` says it."""

    ON = True
    """They go where the rules send them."""

    OFF = False
    """They go to the primary."""

    DRY_RUN = "dry run"
    """They go to the primary, and the log and the metrics say where the rules would have sent them."""


def constant_mode() -> Mode | None:
    """The mode that ``MULTIDB_ROUTING`` is for all requests; ``None`` if a function in it has to be asked."""
    value = conf.routing
    if value is True:
        return Mode.ON  # To look it up takes longer.
    return None if callable(value) else Mode(value)


@async_unsafe("A function in MULTIDB_ROUTING may keep the event loop waiting.")
def mode_of(request: HttpRequest) -> Mode:
    """What the function in ``MULTIDB_ROUTING`` says of ``request``.

    ``OFF``, with a line in the log, where it raises or returns no mode. Raises ``SynchronousOnlyOperation`` on an event
    loop, where it is not asked, since it may look into a cache or a database.
    """
    function: Any = conf.routing
    try:
        # An error of the database would else end the transaction of the view.
        with in_passing_on(connections.all(initialized_only=True)):
            return _as_mode(function(request))
    except Exception as error:
        complain("The function in MULTIDB_ROUTING has failed, so reads go to the primary:", error)
        return Mode.OFF


def _as_mode(answer: Any) -> Mode:
    if answer is not None and answer == Mode.DRY_RUN.value:
        return Mode.DRY_RUN
    if answer in (True, False, None):
        return Mode(bool(answer))
    if inspect.iscoroutine(answer):
        answer.close()
    say_once(
        f"The function in MULTIDB_ROUTING has returned a {type(answer).__name__}, so reads go to the primary. "
        "Allowed: True, False and 'dry run'."
    )
    return Mode.OFF
