"""Old names are there for a type checker too, of a type that it does not look into."""

from typing import Any, assert_type

import multidb
from multidb import (
    MasterSlaveRouter,
    MultiDBRouter,
    PinningMasterSlaveRouter,
    SlaveManager,
    SlaveMixin,
    SlaveQuerySet,
    get_slave,
)
from multidb.pinning import MultiDBMiddleware, PinningRouter, use_master


def of_the_package() -> None:
    for old in (MasterSlaveRouter, MultiDBRouter, PinningMasterSlaveRouter, SlaveManager, SlaveMixin, SlaveQuerySet):
        assert_type(old, Any)
    assert_type(get_slave(), Any)
    assert_type(multidb.get_slave, Any)


def of_pinning() -> None:
    assert_type(MultiDBMiddleware, Any)
    assert_type(PinningRouter, Any)
    with use_master:
        pass
