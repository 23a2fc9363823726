"""``compose.yaml``: what it names is there, and its scripts and its command serve the board on servers of ours."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.postgresql import PLACES, SETTINGS, PostgresCluster
from servers.processes import Workspace
from servers.programs import directory_of

from tests.boards import PROJECT, Board, served, until
from tests.servers import started

ROOT = PROJECT.parent
SCRIPTS = PROJECT / "compose"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
REPLICAS = ("replica-1", "replica-2")

# A standby has to allow for as much as its primary, which has these settings.
OPTIONS = [option for name, value in SETTINGS.items() for option in ("-c", f"{name}={value}")]


def dockerfile(instruction: str) -> list[str]:
    """What follows each ``instruction`` in the board's Dockerfile."""
    build = SERVICES["board"]["build"]
    text = (ROOT / build["context"] / build["dockerfile"]).read_text()
    return re.findall(rf"^{instruction} (.+)$", text, re.MULTILINE)


def test_what_is_copied_and_mounted_is_there() -> None:
    """Each file and directory that the Dockerfile copies, and that a service mounts, is in the repository, and only
    what .dockerignore lets through is copied.
    """
    copied = [name for line in dockerfile("COPY") for name in line.split()[:-1]]
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert copied
    assert mounted
    assert [name for name in [*copied, *mounted] if not (ROOT / name).exists()] == []
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(let_through)


def test_what_the_board_is_told_is_what_its_settings_read() -> None:
    """A name that is misspelt would be ignored in silence."""
    told = {*SERVICES["board"]["environment"], *(line.partition("=")[0] for line in dockerfile("ENV"))}
    read = re.findall(r'os\.environ\.get\("(\w+)"', (PROJECT / "board" / "settings.py").read_text())
    assert told <= set(read)


def test_each_server_that_is_named_is_a_service() -> None:
    """In the addresses, and among those that have to answer first."""
    addresses = " ".join(
        value for service in SERVICES.values() for value in service.get("environment", {}).values() if "://" in value
    )
    named = {*re.findall(r"(?:@|redis://)([\w-]+)", addresses)}
    awaited = {name for service in SERVICES.values() for name in service.get("depends_on", {})}
    assert {*named, *awaited} <= {*SERVICES}
    assert named == awaited
    assert all("healthcheck" in SERVICES[name] for name in awaited)


def test_compose_takes_the_file() -> None:
    """As far as ``docker compose config`` can tell, where it is installed."""
    command = ["docker", "compose"]
    if shutil.which("docker") is None or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    subprocess.run([*command, "--file", ROOT / "compose.yaml", "config", "--quiet"], check=True)


@pytest.fixture(scope="module")
def primary(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A primary without standbys, in which ``primary.sh`` has been run."""
    for cluster in started(request, lambda: PostgresCluster(standbys=0, database="board")):
        environment = {"PGDATA": str(cluster.primary.directory)}
        subprocess.run(["bash", SCRIPTS / "primary.sh"], env=environment, check=True)
        yield cluster.primary


@pytest.fixture(scope="module")
def urls(primary: Any) -> Iterator[list[str]]:
    """The addresses of the primary, and of two standbys, which ``standby.sh`` has made and runs."""
    programs = directory_of("postgres", "pg_basebackup", places=PLACES, install="PostgreSQL")
    workspace = Workspace(("postgres", "nobody"))
    url = "postgresql://postgres:board@127.0.0.1:{}/board"
    ports = [workspace.hold_port() for _ in REPLICAS]
    try:
        shutil.copy(SCRIPTS / "standby.sh", workspace.directory)
        for name, port in zip(REPLICAS, ports, strict=True):
            files = workspace.directory / name
            workspace.write(files / "made", "")
            (files / "made").unlink()
            settings = [f"PGDATA={files}", f"PRIMARY={url.format(primary.port)}", f"PATH={programs}:/usr/bin:/bin"]
            script = ["bash", workspace.directory / "standby.sh", "-p", str(port), *OPTIONS]
            process = workspace.spawn(name, "env", *settings, *script, end_by=primary._kill_by)
            process.wait_until(partial(answers, url.format(port)))
        yield [url.format(port) for port in (primary.port, *ports)]
    finally:
        workspace.close()


@pytest.fixture(scope="module")
def board(urls: list[str], redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The board, served by the command of the Dockerfile, with the settings of compose.yaml but for the addresses."""
    _, *arguments = json.loads(dockerfile("CMD")[0])

    def serve(address: str) -> list[str]:
        return [sys.executable, "-m", "gunicorn", *arguments, "--chdir", str(PROJECT), "--bind", address]

    settings = {
        **SERVICES["board"]["environment"],
        "BOARD_POSTGRES_URLS": " ".join(urls),
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
    }
    with served(tmp_path_factory.mktemp("board"), serve=serve, **settings) as board:
        yield board


def answers(url: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def test_the_primary_lets_standbys_in(primary: Any) -> None:
    """PostgreSQL understands the line that ``primary.sh`` adds."""
    rules = primary.execute("SELECT database, auth_method, error FROM pg_hba_file_rules WHERE address = 'all'")
    assert rules == [(["replication"], "scram-sha-256", None)]


def test_the_standbys_replicate(primary: Any, board: Board) -> None:
    """Both stream from the primary."""
    until(lambda: primary.execute("SELECT state FROM pg_stat_replication") == [("streaming",)] * 2)


def test_the_page_is_whole(board: Board) -> None:
    """It says what it runs on, and gunicorn serves its style sheet and its script."""
    page = board.visitor().get()
    assert "two streaming standbys" in page.text
    assert re.search(r"Redis: server at 127\.0\.0\.1:\d+", page.text)
    assert "Break replica" not in page.text
    for name in re.findall(r'"(/static/[^"]+)"', page.text):
        assert board.visitor().get(name).status == 200


def test_an_author_sees_the_post_on_every_device_and_others_after_the_lag(board: Board) -> None:
    """Redis holds the pin, the standbys really lag, and the lag is set from the page."""
    board.settle("redis", lag=10)
    phone, laptop, other = board.visitor(), board.visitor(), board.visitor()
    for device in (phone, laptop):
        device.post("/sign-in", username="ada")
    assert "reason: pinned" in phone.post("/posts", text="Posted in a container").text
    assert "Posted in a container" in laptop.get().text
    page = other.get()
    assert "reason: replica" in page.text
    assert "Posted in a container" not in page.text
    board.settle("redis", lag=0)
    assert "Posted in a container" in other.get().text


def test_the_servers_of_others_are_not_broken_from_the_page(board: Board) -> None:
    """Who asks for it all the same is told what to do."""
    for verb in ("break", "mend"):
        answer = board.visitor().post(f"/{verb}", replica="replica-1")
        assert (answer.status, "is not this board's" in answer.text) == (503, True)


def test_a_server_too_few_is_told(tmp_path: Path) -> None:
    """The settings want a primary and two standbys."""
    from tests.boards import run

    result = run(tmp_path, "check", BOARD_POSTGRES_URLS="postgresql://one/board")
    assert result.returncode != 0
    assert "BOARD_POSTGRES_URLS names 1 servers: name a primary and two standbys." in result.stderr
