"""Read from replicas, and let nobody miss what they have just written."""

from django.db import DEFAULT_DB_ALIAS

from multidb.managers import ReplicaManager, ReplicaMixin, ReplicaQuerySet
from multidb.pinning import db_write, this_thread_is_pinned
from multidb.replicas import get_replica
from multidb.routers import PinningReplicaRouter, ReplicaRouter

from multidb._deprecated import (  # isort: skip  # the old names stand on the new ones
    MasterSlaveRouter,
    MultiDBRouter,
    PinningMasterSlaveRouter,
    SlaveManager,
    SlaveMixin,
    SlaveQuerySet,
    get_slave,
)

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
