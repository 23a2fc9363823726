"""The app registers its checks and makes replicas mirrors of their primary in tests."""

from typing import Any

import pytest
from django.apps import apps
from django.core.checks.registry import registry
from django.db import connections

from tests.conftest import REPLICAS
from tests.models import Post


def test_its_checks_are_registered() -> None:
    assert "multidb" in registry.tags_available()
    assert "multidb" in registry.tags_available(deployment_checks=True)


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("replica", REPLICAS)
def test_a_replica_is_a_mirror_of_its_primary_in_tests_without_a_setting(replica: str) -> None:
    Post.objects.create(text="seen")
    assert connections[replica].settings_dict["NAME"] == connections["default"].settings_dict["NAME"]
    assert Post.objects.using(replica).get().text == "seen"


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The ``TEST`` settings of each alias, as they are before the app is ready."""
    mirrors = {alias: {"MIRROR": None} for alias in connections.settings}
    for alias, test in mirrors.items():
        monkeypatch.setitem(connections.settings[alias], "TEST", test)
    return mirrors


def ready() -> None:
    apps.get_app_config("multidb").ready()


def test_each_replica_mirrors_its_own_primary(mirrors: dict[str, Any], settings) -> None:
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
    ready()
    assert mirrors["replica-1"]["MIRROR"] == "default"
    assert mirrors["users-replica"]["MIRROR"] == "users"
    assert mirrors["replica-2"]["MIRROR"] is mirrors["default"]["MIRROR"] is None


def test_a_mirror_that_the_project_has_set_stays(mirrors: dict[str, Any]) -> None:
    mirrors["replica-1"]["MIRROR"] = "replica-2"
    ready()
    assert mirrors["replica-1"]["MIRROR"] == "replica-2"


def test_impossible_settings_do_not_stop_the_project_from_being_checked(mirrors: dict[str, Any], settings) -> None:
    settings.REPLICA_DATABASES = ["replica-3"]
    ready()
    assert mirrors["replica-1"]["MIRROR"] is None
