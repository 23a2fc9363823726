"""The tests' project in a worker, which is a process of its own, on the databases that the test names."""

import json
import os

from tests.settings import *  # noqa: F403  # it is the same project

DATABASES = json.loads(os.environ["WORKER_DATABASES"])
MULTIDB_PINNING_UNTIL = os.environ["WORKER_PINNING_UNTIL"]
MULTIDB_PINNING_SECONDS = 600
MULTIDB_PINNING_TRIGGER = "write"
