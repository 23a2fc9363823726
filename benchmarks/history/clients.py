"""The clients, each a thread, which write and read their registers through whichever worker they are sent to."""

import json
import random
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from http.cookies import SimpleCookie
from threading import Event
from time import monotonic, sleep
from urllib.parse import urlencode

from servers.processes import POLL_SECONDS
from workload.project import LONGEST_SECONDS

from history.operations import Operation, Outcome
from history.workers import Worker

# Of each kind: does it keep cookies, begin a session, send an Authorization header?
KINDS = {"session": (True, True, False), "visitor": (True, False, False), "token": (False, False, True)}

COOKIE_KINDS = [kind for kind, (keeps_cookies, _, _) in KINDS.items() if keeps_cookies]

# The shares of operations that write: of a client that writes often, of one that does now and then, and seldom.
WRITES = (0.2, 0.03, 0.005)

# Nobody waits longer for an answer, of which a connection and a query may take the longest each.
PATIENCE = 3 * LONGEST_SECONDS

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def make_clients(count: int, workers: Sequence[Worker], seed: int) -> list["Client"]:
    """So many clients, of each kind with each share of writes about as many."""
    kinds = list(KINDS)
    return [
        Client(number, kinds[number % 3], WRITES[number // 3 % 3], workers, random.Random(f"{seed} {number}"))
        for number in range(count)
    ]


class Client:
    """One client of the site. ``history`` is what it did, operation by operation."""

    def __init__(self, number: int, kind: str, writes: float, workers: Sequence[Worker], chance: random.Random) -> None:
        self.name = f"{kind}-{number}"
        self.kind = kind
        self.history: list[Operation] = []
        self._writes = writes
        self._workers = workers
        self._chance = chance
        self._keeps_cookies, self._begins_session, has_token = KINDS[kind]
        self._headers = {"Authorization": f"Token {self.name}"} if has_token else {}
        self._cookies: dict[str, str] = {}
        self._connections: dict[str, tuple[int, HTTPConnection]] = {}
        self._next_value = 1

    def work(self, stop: Event) -> None:
        """Write or read, one operation after another, until ``stop``."""
        try:
            if self._begins_session:
                self._send(self._worker(), "POST", "/enter")
            while not stop.is_set():
                self.history.append(self._operate(self._chance.random() < self._writes))
        finally:
            for _, connection in self._connections.values():
                connection.close()

    def _operate(self, writes: bool) -> Operation:
        start, value = monotonic(), self._next_value if writes else 0
        self._next_value += writes
        method, body = ("POST", urlencode({"number": value})) if writes else ("GET", None)
        operation: Operation | None = None
        while operation is None:
            worker = self._worker()
            try:
                status, text = self._send(worker, method, f"/registers/{self.name}", body)
            except (OSError, HTTPException) as error:
                killed = worker.was_killed_since(start)
                if killed and isinstance(error, ConnectionRefusedError):
                    continue  # It was not sent: a balancer of load would ask another worker.
                outcome, text = Outcome.KILLED if killed else Outcome.UNANSWERED, repr(error)
            else:
                outcome = Outcome.DONE if status < 400 else Outcome.FAILED
            operation = Operation(
                self.name, self.kind, worker.name, writes, value, start, monotonic(), outcome, detail=text
            )
        return _with_answer(operation) if operation.is_done else operation

    def _worker(self) -> Worker:
        """One of those that serve, at random."""
        while not (serving := [worker for worker in self._workers if worker.is_serving]):
            sleep(POLL_SECONDS)
        return self._chance.choice(serving)

    def _send(self, worker: Worker, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """The status and the text of the response. Raises what says that none came."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {**self._headers, **(FORM if body else {}), **({"Cookie": cookies} if cookies else {})}
        connection = self._connection(worker)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
            if response.getheader("Content-Length") is None:
                raise IncompleteRead(b"")  # Cut off after its first lines, which does not trouble http.client.
        except BaseException:
            connection.close()
            del self._connections[worker.name]
            raise
        self._keep_cookies(response)
        return response.status, text

    def _connection(self, worker: Worker) -> HTTPConnection:
        """That to the worker as it was last started."""
        starts, connection = self._connections.get(worker.name, (0, None))
        if connection is None or starts != worker.starts:
            if connection is not None:
                connection.close()
            connection = HTTPConnection(worker.host, worker.port, timeout=PATIENCE)
            self._connections[worker.name] = worker.starts, connection
        return connection

    def _keep_cookies(self, response: HTTPResponse) -> None:
        for header in response.headers.get_all("Set-Cookie", []) if self._keeps_cookies else []:
            for name, cookie in SimpleCookie(header).items():
                self._cookies[name] = cookie.value
                if cookie["max-age"] == "0":
                    del self._cookies[name]


def _with_answer(operation: Operation) -> Operation:
    """With what was answered to a read."""
    if operation.writes:
        return operation
    answer = json.loads(operation.detail)
    routes = tuple((alias, reason) for alias, reason in answer["routes"])
    return operation._replace(value=answer["value"], routes=routes, detail="")
