"""What a project uses with an optional package."""

from typing import assert_type

from django.apps import AppConfig
from prometheus_client import Counter, Gauge

from multidb.contrib import celery, prometheus
from multidb.contrib.debug_toolbar import RoutingPanel
from multidb.contrib.prometheus import PrometheusConfig
from multidb.contrib.tasks import PinnedTask, PinnedTasks


class Backend(PinnedTasks):
    pass


def of_celery() -> None:
    celery.install()
    celery.install("app")  # type: ignore[call-arg]  # it is for all apps


def of_metrics(config: PrometheusConfig) -> None:
    own: AppConfig = config
    own.ready()
    assert_type(prometheus.reads, Counter)
    assert_type(prometheus.replica_down, Gauge)


def of_the_panel(panel: RoutingPanel) -> None:
    assert_type(panel.nav_subtitle, str)


def of_tasks() -> None:
    assert_type(Backend.task_class, type[PinnedTask])
