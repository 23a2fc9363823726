"""A real Celery worker in a process of its own, on a real Redis."""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers.processes import Workspace

from tests.contrib.celery_app import app

ROOT = Path(__file__).resolve().parents[2]

# How long a task may take that does next to nothing, on a machine that is busy.
PATIENCE = 60


def use_broker(redis_port: int) -> str:
    """Have the app use this Redis, and a database in it that is no store's. Returns its address."""
    address = f"redis://127.0.0.1:{redis_port}/1"
    app.conf.update(broker_url=address, result_backend=address)
    return address


@contextmanager
def worker(
    pool: str,
    broker: str,
    databases: Mapping[str, Any],
    until: str = "elapsed",
    concurrency: int = 1,
    **environment: str,
) -> Iterator[None]:
    """Inside, a worker runs ``concurrency`` tasks at a time in a ``pool`` of this kind."""
    variables = {
        "DJANGO_SETTINGS_MODULE": "tests.contrib.worker_settings",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'example_project'}",
        "WORKER_BROKER": broker,
        "WORKER_DATABASES": json.dumps(databases, default=str),
        "WORKER_PINNING_UNTIL": until,
        **environment,
    }
    options = ["-P", pool, "-c", str(concurrency), "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = [sys.executable, "-m", "celery", "-A", "tests.contrib.celery_app", "worker", *options]
    workspace = Workspace()
    try:
        assigned = [f"{name}={value}" for name, value in variables.items()]
        process = workspace.spawn("worker", "env", *assigned, *command, end_by=signal.SIGKILL)
        process.wait_until(lambda: bool(app.control.ping(timeout=0.2)))
        yield
    finally:
        workspace.close()


def result(task_id: str) -> Any:
    """What the task returns. Raises what it raises."""
    return app.AsyncResult(task_id).get(timeout=PATIENCE)
