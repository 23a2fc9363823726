"""Celery tasks, which tell what they read and from where."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from celery import Task

from multidb.pinning import pin_this_thread, use_primary_db
from tests.contrib.celery_app import app
from tests.models import Post
from tests.views import answer


@app.task
def read(*before: Any) -> dict[str, Any]:
    return answer()


@app.task
def read_often() -> list[tuple[str, str]]:
    """Databases and reasons, of reads among which others get to run."""
    said = []
    for _ in range(6):
        said.append((answer()["alias"], answer()["reason"]))
        time.sleep(0.01)
    return said


@app.task
def texts() -> list[str]:
    """What a read sees, of which a worker without pins cannot tell where it was sent."""
    return list(Post.objects.values_list("text", flat=True))


@app.task
def write(text: str) -> None:
    Post.objects.create(text=text)


@app.task
def write_and_send(text: str) -> str:
    write(text)
    return str(read.delay().id)


@app.task(bind=True)
def write_and_retry(self: Task) -> dict[str, Any]:
    if self.request.retries == 0:
        write("before the retry")
        raise self.retry(countdown=0)
    return answer()


@app.task
def write_and_fail() -> None:
    write("before the failure")
    raise RuntimeError("after the write")


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def write_and_die(self: Task) -> dict[str, Any]:
    """Is begun a second time after its process has died under it."""
    if not self.request.delivery_info["redelivered"]:
        write("before the death")
        os.kill(os.getpid(), signal.SIGKILL)
    return answer()


@app.task
def leave_all_open() -> None:
    """End as badly as can be, for whatever runs in this thread next."""
    pin_this_thread()
    next(left_open)
    raise RuntimeError("with blocks open")


def _blocks() -> Iterator[None]:
    with use_primary_db:
        while True:
            yield


left_open = _blocks()
