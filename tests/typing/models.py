"""Models that are routed without a router keep the types of their managers and querysets."""

from typing import Any, assert_type

from django.db import models

from multidb import PinningReplicaRouter, ReplicaManager, ReplicaMixin, ReplicaQuerySet, ReplicaRouter


def of_managers(manager: ReplicaManager[models.Model], queryset: ReplicaQuerySet[models.Model]) -> None:
    assert_type(manager.get(pk=1), models.Model)
    assert_type(queryset.first(), models.Model | None)
    assert_type(manager.db, str)
    assert_type(queryset.db, str)
    assert_type(ReplicaQuerySet.as_manager(), ReplicaManager[Any])


def of_routers(router: ReplicaRouter, pinning: PinningReplicaRouter) -> None:
    assert_type(router.db_for_read(models.Model), str | None)
    assert_type(pinning.db_for_write(models.Model), str)
    assert_type(router.allow_migrate("default", "app"), bool | None)
    assert_type(ReplicaMixin(), ReplicaMixin)
