"""What a task begins with and leaves, and a task that runs inside a request."""

import os
import runpy
import subprocess
import sys
import time
from typing import Any

import pytest
from celery.app.trace import build_tracer
from django.test import Client

from multidb import routing
from multidb.contrib import celery as pins
from multidb.contrib.celery import HEADER
from multidb.job_routing import LONGEST_TEXT
from multidb.pins import Pin
from tests.blocks import ROOT, block
from tests.conftest import Replication
from tests.contrib import jobs
from tests.contrib.workers import use_broker

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def _broker(redis_port: int) -> None:
    """The one that the other tests use: an app keeps its connections."""
    use_broker(redis_port)


def run(task: Any, **request: Any) -> Any:
    """What ``task`` returns, run here by what runs it in a worker."""
    trace = build_tracer(task.name, task, app=jobs.app)
    return trace("the id", [], {}, {"ignore_result": True, **request}).retval


NO_PINS = [
    "",
    "y",
    "{",
    "null",
    "[" * 5000,
    '{"default": "soon"}',
    '{"default": [1e400]}',
    Pin.on(["default"], time.time() - 1).encode(),
    Pin.on(["default"], time.time() + 10**9).encode(),
    Pin.on(["default", "x" * LONGEST_TEXT], time.time() + 60).encode(),
    5,
    None,
    ["default"],
    {"default": [2**60]},
]


@pytest.mark.parametrize("headers", [*({HEADER: text} for text in NO_PINS), "y"])
def test_a_header_that_is_no_pin_or_an_old_one_does_no_harm(headers: Any) -> None:
    assert run(jobs.read, headers=headers)["reason"] == "replica"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"headers": {HEADER: Pin.on(["default"], time.time() + 3600).encode()}}, "pinned"),
        ({"delivery_info": {"redelivered": True}}, "pinned"),
        ({"delivery_info": {"redelivered": False}}, "replica"),
        ({}, "replica"),
    ],
)
def test_what_pins_a_task_and_that_all_is_as_before_when_it_ends(request_: dict[str, Any], reason: str) -> None:
    before = routing.current()
    assert run(jobs.read, **request_)["reason"] == reason
    assert routing.current() is before


@pytest.mark.urls("tests.contrib.urls")
def test_an_eager_task_reads_as_the_request_does_and_disturbs_nothing(replication: Replication) -> None:
    """It runs in the request: what it writes, the request has written."""
    jobs.app.conf.task_always_eager = True
    try:
        said = Client().get("/run").json()
        before, inside, after = said["tasks"]
    finally:
        jobs.app.conf.task_always_eager = False
    assert before["reason"] == "replica"
    assert inside["reason"] == "forced"
    assert after == said["own"] == {"texts": ["by a task"], "alias": "default", "reason": "wrote"}
    assert routing.current().outer is None


def test_without_celery_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(ImportError, match=r'pip install "django-multidb-pinning\[celery\]"'):
        runpy.run_path(pins.__file__)


def test_it_is_installed_before_settings_are_configured() -> None:
    """As in the module that makes the Celery app."""
    code = """
from django.conf import settings
from multidb.contrib.celery import install
install()
print(settings.configured)
"""
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "False"


def test_the_module_in_the_documentation_sends_pins() -> None:
    code = block("docs/tasks.md", "celery").replace("mysite.settings", "tests.settings")
    asked = (
        "from celery import signals; print(app.main, [each[0][0] for each in signals.before_task_publish.receivers])"
    )
    said = subprocess.run([sys.executable, "-c", code + asked], cwd=ROOT, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "mysite ['multidb']"
