"""A Celery task reads what was written by the request, or the task, that sent it.

Needs ``pip install "django-multidb-pinning[celery]"``. Say ``install()`` once in each process, where the Celery app is
made. From then on the header ``multidb_pin`` of a message carries the pin, and the worker honours it as a request does:
a replica that has replayed the pin's position serves the task, or else the primary. See ``multidb.job_routing``.

A worker without it takes no notice of the header. A worker with it does messages that have none, too: these read from a
replica, the same one to the end of the task. A task that runs inside a request (``task_always_eager``, ``apply()``) is
part of that request.
"""

from collections.abc import MutableMapping
from typing import Any

try:
    from celery import current_task, signals
except ImportError as missing:
    raise ImportError('multidb.contrib.celery needs: pip install "django-multidb-pinning[celery]"') from missing

from multidb import routing
from multidb.job_routing import begin, pin_on_all, pin_sent, pin_to_send
from multidb.pins import Pin
from multidb.writes import watch_connections

HEADER = "multidb_pin"

# Where the scope is kept that a task has to resume at its end.
_OUTER = "multidb_outer_scope"


def install() -> None:
    """Send pins with the tasks that this process sends, and honour those of the tasks that it runs.

    Works before settings are configured, and for all Celery apps of the process. More than once is as good as once.
    """
    watch_connections()
    signals.before_task_publish.connect(_send_pin, dispatch_uid="multidb")
    signals.task_prerun.connect(_begin, dispatch_uid="multidb")
    signals.task_postrun.connect(_end, dispatch_uid="multidb")


def _send_pin(headers: MutableMapping[str, Any], **kwargs: Any) -> None:
    pin = pin_to_send(pins_all=_may_have_siblings())
    if pin is not None:
        headers[HEADER] = pin


def _may_have_siblings() -> bool:
    """Is this sent by a task of a chord's header, whose other tasks may have written too, or in the name of them all?

    It may be the chord's body, which is sent by whichever of them ends last.
    """
    return bool(current_task) and bool(current_task.request.chord or current_task.name == "celery.chord_unlock")


def _begin(sender: Any, **kwargs: Any) -> None:
    request = sender.request
    if not request.is_eager:
        setattr(request, _OUTER, begin(_pin_of(request)))


def _end(sender: Any, **kwargs: Any) -> None:
    outer = vars(sender.request).pop(_OUTER, None)
    if outer is not None:
        routing.end(outer)


def _pin_of(request: Any) -> Pin | None:
    delivery = request.delivery_info
    if isinstance(delivery, dict) and delivery.get("redelivered"):
        return pin_on_all()  # It may have been begun before, and have written then.
    headers = request.headers
    return pin_sent(headers.get(HEADER)) if isinstance(headers, dict) else None
