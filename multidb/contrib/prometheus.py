"""Metrics for Prometheus: where reads went and why, which replicas are left alone, whether the pin store is.

Put ``"multidb.contrib.prometheus.PrometheusConfig"`` into ``INSTALLED_APPS``. The metrics are in the default registry
of ``prometheus_client``, which the site exports as it does its others. ``grafana.json``, beside this file, shows them.
"""

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

from multidb import signals
from multidb.conf import conf
from multidb.replicas import topology

try:
    from prometheus_client import Counter, Gauge
except ImportError as error:
    raise ImproperlyConfigured(
        "multidb.contrib.prometheus needs prometheus-client: "
        f'pip install "django-multidb-pinning[prometheus]" ({error})'
    ) from error

reads = Counter("multidb_reads", "Reads of requests, by where they went, and why.", ["database", "reason"])
dry_run_reads = Counter(
    "multidb_dry_run_reads",
    "Reads of requests in a dry run, by where they would have gone, and why.",
    ["database", "reason"],
)
# What is down, and not what is up: a process that is forked begins with 0, and of several the one counts that sees the
# worst. https://prometheus.github.io/client_python/multiprocess/
replica_down = Gauge(
    "multidb_replica_down", "1 while a replica is left alone.", ["database"], multiprocess_mode="livemax"
)
pin_store_down = Gauge("multidb_pin_store_down", "1 while the pin store is left alone.", multiprocess_mode="livemax")


class PrometheusConfig(AppConfig):
    """Counts from now on, in this process."""

    name = "multidb.contrib.prometheus"
    label = "multidb_prometheus"

    def ready(self) -> None:
        signals.request_routed.connect(_count)
        signals.replica_down.connect(_note_replica_down)
        signals.replica_up.connect(_note_replica_up)
        signals.pin_store_down.connect(_note_pin_store_down)
        signals.pin_store_up.connect(_note_pin_store_up)
        if not list(conf.replica_database_errors()):
            for alias in topology().primary_of:
                replica_down.labels(alias)


def _count(counts: Mapping[tuple[str, str], int], dry_run_counts: Mapping[tuple[str, str], int], **kwargs: Any) -> None:
    for counter, counted in ((reads, counts), (dry_run_reads, dry_run_counts)):
        for (alias, reason), number in counted.items():
            counter.labels(alias, reason).inc(number)


def _note_replica_down(alias: str, **kwargs: Any) -> None:
    replica_down.labels(alias).set(1)


def _note_replica_up(alias: str, **kwargs: Any) -> None:
    replica_down.labels(alias).set(0)


def _note_pin_store_down(**kwargs: Any) -> None:
    pin_store_down.set(1)


def _note_pin_store_up(**kwargs: Any) -> None:
    pin_store_down.set(0)
