"""Every old name works, and warns with what to use instead."""

import pytest
from django.db import models
from django.http import HttpResponse
from django.test.utils import isolate_apps

import multidb
from multidb import pinning
from multidb.middleware import PinningRouterMiddleware
from multidb.pinning import this_thread_is_pinned, use_primary_db

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (multidb.MasterSlaveRouter, multidb.ReplicaRouter),
        (multidb.PinningMasterSlaveRouter, multidb.PinningReplicaRouter),
        (multidb.MultiDBRouter, multidb.PinningReplicaRouter),
        (pinning.PinningRouter, multidb.PinningReplicaRouter),
        (multidb.SlaveManager, multidb.ReplicaManager),
        (multidb.SlaveQuerySet, multidb.ReplicaQuerySet),
    ],
)
def test_an_old_class_is_the_new_one_and_warns_when_made(old: type, new: type) -> None:
    with pytest.warns(
        DeprecationWarning, match=rf"{old.__name__} is deprecated: use multidb\.{new.__name__}"
    ) as caught:
        assert isinstance(old(), new)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_the_old_middleware() -> None:
    with pytest.warns(DeprecationWarning, match=r"use multidb\.middleware\.PinningRouterMiddleware"):
        made = pinning.MultiDBMiddleware(lambda request: HttpResponse())
    assert isinstance(made, PinningRouterMiddleware)


@isolate_apps("tests")
def test_the_old_mixin() -> None:
    class Old(multidb.SlaveMixin, models.Model):
        pass

    with pytest.warns(DeprecationWarning, match=r"use multidb\.ReplicaMixin"):
        assert isinstance(Old(), multidb.ReplicaMixin)


def test_get_slave_calls_get_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multidb, "get_replica", lambda: "replica-9")
    with pytest.warns(DeprecationWarning, match=r"use multidb\.get_replica\(\)"):
        assert multidb.get_slave() == "replica-9"


def test_use_master_is_use_primary_db() -> None:
    assert isinstance(pinning.use_master, type(use_primary_db))
    with pytest.warns(DeprecationWarning, match=r"use multidb\.pinning\.use_primary_db") as caught, pinning.use_master:
        assert this_thread_is_pinned()
    assert len(caught) == 1
    decorated = pinning.use_master(this_thread_is_pinned)
    with pytest.warns(DeprecationWarning, match="use_primary_db"):
        assert decorated()


def test_old_names_are_imported_without_a_warning() -> None:
    from multidb import SlaveManager
    from multidb.pinning import use_master

    assert SlaveManager is multidb.SlaveManager
    assert use_master is pinning.use_master
