"""The board of the example project as a user runs it, and a visitor of it."""

import http.cookiejar
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from servers.processes import Workspace

PROJECT = Path(__file__).resolve().parent.parent / "example_project"
READY_SECONDS = 60


class Answer(NamedTuple):
    status: int
    headers: object
    text: str

    @property
    def json(self):
        return json.loads(self.text)


class Visitor:
    """A browser as far as the board can tell: it keeps cookies and follows redirects."""

    def __init__(self, address):
        self._address = address
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def get(self, path="/"):
        return self._ask(urllib.request.Request(self._address + path))

    def post(self, path, **fields):
        if "csrftoken" not in self.cookies():
            self.get()
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": self.cookies()["csrftoken"]}).encode()
        return self._ask(urllib.request.Request(self._address + path, body))

    def cookies(self):
        return {cookie.name: cookie.value for cookie in self._cookies}

    def _ask(self, request):
        return _answer(self._opener, request)


class Board:
    """A running board."""

    def __init__(self, address):
        self.address = address

    def visitor(self):
        return Visitor(self.address)

    def api(self, method="GET", token="demo-token-ada", body=None, content_type="application/json"):
        headers = {"Content-Type": content_type, **({"Authorization": f"Token {token}"} if token else {})}
        request = urllib.request.Request(f"{self.address}/api/posts", body, headers, method=method)
        return _answer(urllib.request.build_opener(), request)

    def settle(self, store, lag):
        """Use ``store``, with replicas that have everything now and are ``lag`` seconds behind from now on."""
        visitor = self.visitor()
        self._set_lags(visitor, 0)
        visitor.post("/store", store=store)
        self.wait_until_replicated()
        self._set_lags(visitor, lag)

    def wait_until_replicated(self):
        until(lambda: not any(each["behind"] for each in self.visitor().get("/status").json["replicas"]))

    def _set_lags(self, visitor, lag):
        for alias in ("replica-1", "replica-2"):
            assert visitor.post("/lag", replica=alias, lag=lag).status == 200


def _answer(opener, request):
    try:
        with opener.open(request, timeout=READY_SECONDS) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode())


def until(condition):
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def _is_up(address):
    try:
        return Visitor(address).get("/status").status == 200
    except OSError:
        return False


def environment(directory, **more):
    """The environment of a board whose files are in ``directory``, with ``more`` variables set."""
    unknown = ("DJANGO_SETTINGS_MODULE", "REDIS_URL", "BOARD_POSTGRES", "BOARD_POSTGRES_URLS")
    inherited = {name: value for name, value in os.environ.items() if name not in unknown}
    return {**inherited, "BOARD_DIRECTORY": str(directory), **more}


def command(*arguments):
    """The command line of ``manage.py``."""
    return [sys.executable, str(PROJECT / "manage.py"), *arguments]


def run(directory, *arguments, **more):
    """What ``manage.py`` does with ``arguments``, once it has ended."""
    return subprocess.run(
        command(*arguments),
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )


def runserver(address):
    """The command line that serves the board at ``address`` as the demo does."""
    return command("runserver", address, "--noreload")


@contextmanager
def served(directory, end_by=signal.SIGTERM, serve=runserver, **more):
    """A board that is served, by the command line that ``serve`` returns, until it is ended by a signal."""
    log = directory / "server.log"
    with closing(Workspace()) as workspace:
        address = f"127.0.0.1:{workspace.hold_port()}"
        with log.open("wb") as output:
            server = subprocess.Popen(
                serve(address),
                env=environment(directory, **more),
                stdout=output,
                stderr=output,
            )
        try:
            until(lambda: server.poll() is not None or _is_up(f"http://{address}"))
            assert server.poll() is None, log.read_text()
            yield Board(f"http://{address}")
        finally:
            server.send_signal(end_by)
            try:
                server.wait(timeout=READY_SECONDS)
            finally:
                server.kill()  # Does nothing to one that has ended.
                server.wait()
    assert "Traceback" not in log.read_text()


@contextmanager
def on_postgres(directory, end_by=signal.SIGTERM, **more):
    """A board on PostgreSQL, served, of which nothing is left afterwards."""
    with place() as files, served(directory, end_by=end_by, BOARD_POSTGRES="1", TMPDIR=str(files), **more) as board:
        yield board


@contextmanager
def place():
    """A directory that the servers' own user can enter. Afterwards it is empty, and no server uses it."""
    place = Path(tempfile.mkdtemp(prefix="board-"))
    place.chmod(0o755)
    try:
        yield place
        running = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert [line for line in running.splitlines() if str(place) in line] == []
        assert list(place.iterdir()) == []
    finally:
        shutil.rmtree(place)
