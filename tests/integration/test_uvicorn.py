"""Under uvicorn and load, no request takes another's state, and none leaves its own behind."""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers.processes import READY_SECONDS, wait_until
from servers.redis import RedisServer

from tests.servers import started

ROOT = Path(__file__).resolve().parents[2]

CLIENTS = 24
REQUESTS = 60


@pytest.fixture(scope="module")
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a site that uvicorn serves in one process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    for redis in started(request, RedisServer):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SITE_DATABASE": str(tmp_path_factory.mktemp("site") / "site.sqlite3"),
            "SITE_REDIS": redis.url,
        }
        server = [sys.executable, "-m", "uvicorn", "tests.integration.asgi_site:application", "--lifespan", "off"]
        options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        with subprocess.Popen([*server, *options], env=environment, cwd=ROOT) as process:
            try:
                wait_until(lambda: answers(port), READY_SECONDS, "uvicorn does not answer")
                yield port
            finally:
                process.terminate()


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(connection: http.client.HTTPConnection, method: str, address: str, token: str) -> dict[str, Any]:
    connection.request(method, address, headers={"Authorization": token})
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return dict(json.loads(body))


def visit(port: int, number: int) -> int:
    """Make requests as one client without cookies, which writes at some time, and look at each. Return how many."""
    chance, token, is_pinned = random.Random(number), f"Token {number}", False
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(REQUESTS):
            writes = number % 2 == 0 and chance.random() < 0.1
            said = ask(connection, *(("POST", "/write") if writes else ("GET", "/read")), token)
            reason = "method" if writes else "pinned" if is_pinned else "replica"
            assert said["reasons"] == [reason], (number, writes, is_pinned, said)
            assert (said["token"], said["is_own"], len(said["aliases"])) == (token, True, 1)
            is_pinned = is_pinned or writes
            if chance.random() < 0.02:
                hang_up(port, token)
    return REQUESTS


def hang_up(port: int, token: str, method: str = "GET") -> None:
    """Ask for what takes long, and do not wait for it."""
    lines = [f"{method} /wait HTTP/1.1", "Host: 127.0.0.1", f"Authorization: {token}", "Content-Length: 0", "", ""]
    with closing(socket.create_connection(("127.0.0.1", port))) as impatient:
        impatient.sendall("\r\n".join(lines).encode())


def test_no_request_takes_or_leaves_state(port: int) -> None:
    with ThreadPoolExecutor(CLIENTS) as threads:
        made = sum(threads.map(lambda number: visit(port, number), range(CLIENTS)))
    assert made == CLIENTS * REQUESTS

    def is_clean() -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            return bool(ask(connection, "GET", "/left", "Token x") == {"routings": 1})

    wait_until(is_clean, 10, "Requests have left their routings behind")


def test_those_who_hang_up_while_they_write_are_pinned_and_nobody_else(port: int) -> None:
    """What they asked for may be done all the same; the view would take far longer than this test waits."""
    tokens = {method: [f"{method} {number}" for number in range(CLIENTS)] for method in ("POST", "GET")}
    with ThreadPoolExecutor(CLIENTS) as threads, closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for method, impatient in tokens.items():
            list(threads.map(lambda token, method=method: hang_up(port, token, method), impatient))

        def reasons(method: str) -> list[list[str]]:
            return [ask(connection, "GET", "/read", token)["reasons"] for token in tokens[method]]

        wait_until(lambda: reasons("POST") == [["pinned"]] * CLIENTS, 20, "Not all who wrote are pinned")
        assert reasons("GET") == [["replica"]] * CLIENTS
