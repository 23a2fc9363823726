"""The metrics for Prometheus, and the dashboard that shows them."""

import importlib
import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncClient, Client
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from multidb import health, signals
from tests.conftest import REPLICAS

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def _exporting(settings: Any) -> Any:
    """The app is installed, and its receivers are gone afterwards."""
    receivers = [
        signals.request_routed,
        signals.replica_down,
        signals.replica_up,
        signals.pin_store_down,
        signals.pin_store_up,
    ]
    before = [list(signal.receivers) for signal in receivers]
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "multidb.contrib.prometheus.PrometheusConfig"]
    yield
    for signal, known in zip(receivers, before, strict=True):
        signal.receivers = known
        signal.sender_receivers_cache.clear()


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def counted(reason: str, name: str = "multidb_reads_total") -> float:
    return sum(value(name, database=alias, reason=reason) for alias in ("default", *REPLICAS))


async def test_reads_are_counted_by_database_and_reason() -> None:
    """Of sync requests and of async ones."""
    before = counted("replica")
    await AsyncClient().get("/databases")
    assert counted("replica") > before


def test_reads_of_a_dry_run_are_counted_apart(settings: Any) -> None:
    settings.MULTIDB_ROUTING = "dry run"
    reads, dry_run_reads = counted("replica"), counted("replica", "multidb_dry_run_reads_total")
    Client().get("/databases")
    assert counted("replica") == reads
    assert counted("replica", "multidb_dry_run_reads_total") > dry_run_reads


def test_each_replica_is_up_until_it_is_left_alone() -> None:
    assert apps.is_installed("multidb.contrib.prometheus")
    assert [value("multidb_replica_down", database=alias) for alias in REPLICAS] == [0, 0]
    health._breaker.failed("replica-1", "no reason")
    assert [value("multidb_replica_down", database=alias) for alias in REPLICAS] == [1, 0]
    health._breaker.succeeded("replica-1")
    assert [value("multidb_replica_down", database=alias) for alias in REPLICAS] == [0, 0]


def test_the_pin_store_is_up_until_it_is_left_alone() -> None:
    assert value("multidb_pin_store_down") == 0
    signals.pin_store_down.send(None, store="RedisPinStore", why=OSError())
    assert value("multidb_pin_store_down") == 1
    signals.pin_store_up.send(None, store="RedisPinStore")
    assert value("multidb_pin_store_down") == 0


def test_workers_that_are_forked_from_one_that_has_loaded_the_site_begin_with_nothing_down(tmp_path: Path) -> None:
    """As those of ``gunicorn --preload`` are. The metrics are exported with the files of all processes."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == ["0.0 0.0", "1.0 0.0"], ended.stderr


FORKED = """
import os
import django
from django.conf import settings
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

MEMORY = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
settings.configure(
    DATABASES={"default": MEMORY, "replica-1": MEMORY},
    REPLICA_DATABASES=["replica-1"],
    INSTALLED_APPS=["multidb", "multidb.contrib.prometheus.PrometheusConfig"],
)
django.setup()
from multidb import signals

def show():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    replica = registry.get_sample_value("multidb_replica_down", {"database": "replica-1"})
    print(replica, registry.get_sample_value("multidb_pin_store_down"), flush=True)

pid = os.fork()
if pid == 0:
    signals.replica_up.send(None, alias="replica-1")
    show()
    signals.replica_down.send(None, alias="replica-1", why="")
    show()
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_impossible_replicas_stop_no_process(settings: Any) -> None:
    """``manage.py check`` has to live to report them."""
    settings.REPLICA_DATABASES = ["no-such-alias"]
    apps.get_app_config("multidb_prometheus").ready()


def test_each_metric_on_the_dashboard_is_exported(settings: Any) -> None:
    for mode in (True, "dry run"):
        settings.MULTIDB_ROUTING = mode
        Client().get("/databases")
    exported = {
        sample.name
        for family in text_string_to_metric_families(generate_latest().decode())
        for sample in family.samples
    }
    panels = json.loads(resources.files("multidb.contrib").joinpath("grafana.json").read_text())["panels"]
    shown = {name for panel in panels for name in re.findall(r"multidb_\w+", panel["targets"][0]["expr"])}
    assert shown <= exported
    assert len(shown) == 4


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "multidb.contrib.prometheus")
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django-multidb-pinning\[prometheus\]"'):
        importlib.import_module("multidb.contrib.prometheus")
