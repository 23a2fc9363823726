"""Read from replicas, and let nobody miss what they have just written."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from multidb.managers import ReplicaManager, ReplicaMixin, ReplicaQuerySet
from multidb.pinning import db_write, this_thread_is_pinned
from multidb.replicas import get_replica
from multidb.routers import PinningReplicaRouter, ReplicaRouter

__all__ = [
    "DEFAULT_DB_ALIAS",
    "MasterSlaveRouter",
    "MultiDBRouter",
    "PinningMasterSlaveRouter",
    "PinningReplicaRouter",
    "ReplicaManager",
    "ReplicaMixin",
    "ReplicaQuerySet",
    "ReplicaRouter",
    "SlaveManager",
    "SlaveMixin",
    "SlaveQuerySet",
    "db_write",
    "get_replica",
    "get_slave",
    "this_thread_is_pinned",
]

__version__ = "1.0.0"
VERSION = (1, 0, 0)

_OLD_NAMES = (
    "MasterSlaveRouter",
    "MultiDBRouter",
    "PinningMasterSlaveRouter",
    "SlaveManager",
    "SlaveMixin",
    "SlaveQuerySet",
    "get_slave",
)


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported late: who uses none of them need not wait for what they stand on.
    from multidb import _deprecated

    return getattr(_deprecated, name)
