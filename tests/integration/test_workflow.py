"""``.github/workflows/test.yml``: what it runs on service containers runs on servers of ours."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack

import yaml
from servers.postgresql import PostgresCluster
from servers.redis import RedisServer

from tests.blocks import ROOT

JOB = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]["servers"]
COMMAND = JOB["steps"][-1]["run"]


def test_each_server_that_is_named_is_a_service_which_is_waited_for() -> None:
    services = JOB["services"]
    assert {*re.findall(r"(?:@|redis://)([\w-]+)", COMMAND)} == {*services}
    assert f":{services['postgres']['env']['POSTGRES_PASSWORD']}@" in COMMAND
    assert all("--health-cmd" in service["options"] for service in services.values())


def test_the_command_passes_on_servers_that_it_is_given() -> None:
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresCluster(standbys=0)).primary
        redis = stack.enter_context(RedisServer())
        postgres_url = f"postgresql://postgres@127.0.0.1:{postgres.port}/multidb"
        command = re.sub(r"postgresql://\S+", postgres_url, re.sub(r"redis://\S+", redis.url, COMMAND))
        _, *arguments = shlex.split(command)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST", "DJANGO"))}
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=kept, capture_output=True, text=True, check=False
        )
        assert " 3 passed in " in ended.stdout, ended.stdout
        assert postgres.execute("SELECT text FROM notes_note") == [("mine",)]
        assert redis.client().dbsize() > 0
