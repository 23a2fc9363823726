"""A task of Django's tasks framework reads what was written by the request, or the task, that enqueued it.

For Django 6.0 and later. The framework has no headers, so the pin travels as one more keyword argument, which the
function of the task does not get to see. Derive from ``PinnedTasks`` and from the backend that you use, and name that
class in ``TASKS``:

    class PinnedDatabaseBackend(PinnedTasks, DatabaseBackend):
        pass

It works with each backend whose tasks are of Django's own class, and whose worker runs ``task.call()`` or
``task.acall()``. See ``multidb.job_routing``.
"""

from typing import Any

try:
    from django.tasks import Task, TaskResult
except ImportError as missing:
    raise ImportError("multidb.contrib.tasks needs Django 6.0 or later") from missing

from asgiref.sync import sync_to_async

from multidb.job_routing import job, pin_sent, pin_to_send

ARGUMENT = "multidb_pin"


class PinnedTask(Task):  # type: ignore[type-arg]  # generic in the stubs only
    """A task that is enqueued with the pin of whoever enqueues it, and is run with that.

    Within a request, as with Django's ``ImmediateBackend``, it is part of the request.
    """

    __slots__ = ()

    def enqueue(self, *args: Any, **kwargs: Any) -> "TaskResult[Any, Any]":
        return super().enqueue(*args, **{**kwargs, **_pin()})

    async def aenqueue(self, *args: Any, **kwargs: Any) -> "TaskResult[Any, Any]":
        return await super().aenqueue(*args, **{**kwargs, **await sync_to_async(_pin)()})

    def call(self, *args: Any, **kwargs: Any) -> Any:
        with job(pin_sent(kwargs.pop(ARGUMENT, None))):
            return super().call(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        with job(pin_sent(kwargs.pop(ARGUMENT, None))):
            return await super().acall(*args, **kwargs)


class PinnedTasks:
    """What makes a backend one of ``PinnedTask``: derive from this first, and then from the backend."""

    task_class = PinnedTask


def _pin() -> dict[str, str]:
    pin = pin_to_send()
    return {} if pin is None else {ARGUMENT: pin}
