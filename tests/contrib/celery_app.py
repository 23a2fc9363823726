"""The Celery app of the tests' project, in the test and in a worker."""

import os

from celery import Celery

from multidb.contrib import celery

app = Celery("tests.contrib", set_as_current=False, include=["tests.contrib.jobs"])
app.conf.update(
    broker_url=os.environ.get("WORKER_BROKER"),
    result_backend=os.environ.get("WORKER_BROKER"),
    broker_connection_retry_on_startup=True,
)
if "WORKER_WITHOUT_PINS" not in os.environ:
    celery.install()
