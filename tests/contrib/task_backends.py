"""Backends of Django's tasks framework whose tasks are pinned, and the router that one of them needs."""

from typing import Any

from django.tasks.backends.dummy import DummyBackend
from django.tasks.backends.immediate import ImmediateBackend
from django_tasks_db import DatabaseBackend

from multidb.contrib.tasks import PinnedTasks


class PinnedDatabaseBackend(PinnedTasks, DatabaseBackend):
    pass


class PinnedImmediateBackend(PinnedTasks, ImmediateBackend):
    pass


class PinnedDummyBackend(PinnedTasks, DummyBackend):
    pass


class QueueRouter:
    """The table of the queue is read from the primary: its worker locks rows there."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "default" if model._meta.app_label == "django_tasks_database" else None
