"""Every old name: it works, and warns on call or instantiation with what to use instead."""

import warnings
from typing import Any

import multidb
from multidb.managers import ReplicaManager, ReplicaMixin, ReplicaQuerySet
from multidb.middleware import PinningRouterMiddleware
from multidb.pinning import ForcedReads
from multidb.routers import PinningReplicaRouter, ReplicaRouter
from multidb.routing import Forced


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated: use {new}.", DeprecationWarning, stacklevel=3)


class MasterSlaveRouter(ReplicaRouter):
    def __init__(self) -> None:
        _warn("multidb.MasterSlaveRouter", "multidb.ReplicaRouter")


class PinningMasterSlaveRouter(PinningReplicaRouter):
    def __init__(self) -> None:
        _warn("multidb.PinningMasterSlaveRouter", "multidb.PinningReplicaRouter")


class MultiDBRouter(PinningReplicaRouter):
    def __init__(self) -> None:
        _warn("multidb.MultiDBRouter", "multidb.PinningReplicaRouter")


class PinningRouter(PinningReplicaRouter):
    def __init__(self) -> None:
        _warn("multidb.pinning.PinningRouter", "multidb.PinningReplicaRouter")


class MultiDBMiddleware(PinningRouterMiddleware):
    def __init__(self, get_response: Any) -> None:
        _warn("multidb.pinning.MultiDBMiddleware", "multidb.middleware.PinningRouterMiddleware")
        super().__init__(get_response)


class SlaveManager(ReplicaManager[Any]):
    def __init__(self) -> None:
        _warn("multidb.SlaveManager", "multidb.ReplicaManager")
        super().__init__()


class SlaveQuerySet(ReplicaQuerySet[Any]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _warn("multidb.SlaveQuerySet", "multidb.ReplicaQuerySet")
        super().__init__(*args, **kwargs)


class SlaveMixin(ReplicaMixin):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _warn("multidb.SlaveMixin", "multidb.ReplicaMixin")
        super().__init__(*args, **kwargs)


def get_slave() -> str:
    _warn("multidb.get_slave()", "multidb.get_replica()")
    return multidb.get_replica()


class _UseMaster(ForcedReads):
    def __enter__(self) -> None:
        _warn("multidb.pinning.use_master", "multidb.pinning.use_primary_db")
        super().__enter__()


use_master = _UseMaster(Forced.PRIMARY)
