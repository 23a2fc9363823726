"""What a worker counts of its requests: what they send to Redis, and their queries."""

import time
from contextlib import ExitStack
from typing import Any

from django.db import connections
from redis.connection import AbstractConnection

from costs import pages
from costs.requests import METHODS, cookies_set, headers_of, in_middleware, wsgi_request

# By then a standby on the same machine has replayed what was written.
REPLAYED_SECONDS = 1


def round_trips(kind: str) -> int:
    """How often a request of ``kind`` asks Redis; one of the kind ``nothing`` does not read."""
    handler = in_middleware(pages.answer if kind == "nothing" else pages.routed)
    headers = headers_of("reading" if kind == "nothing" else kind)
    sent: list[Any] = []
    send = AbstractConnection.send_packed_command

    def noted(connection: AbstractConnection, command: Any, check_health: bool = True) -> None:
        sent.append(command)
        send(connection, command, check_health)

    handler(wsgi_request(METHODS.get(kind, "GET"), **headers))  # Which connects.
    AbstractConnection.send_packed_command = noted
    try:
        handler(wsgi_request(METHODS.get(kind, "GET"), **headers))
    finally:
        AbstractConnection.send_packed_command = send
    return len(sent)


def queries() -> list[int]:
    """How many queries each request makes beside those of its page: of a client that writes and then, when the replicas
    have replayed that, reads three times; and of one that only reads.
    """
    for connection in connections.all():
        connection.ensure_connection()
    response, of_writing = _served("POST")
    time.sleep(REPLAYED_SECONDS)
    pinned = cookies_set(response)
    counts = [of_writing - 1, *(_served("GET", pinned)[1] for _ in range(3)), _served("GET")[1]]
    return [count - pages.READS for count in counts]


def _served(method: str, cookies: str = "") -> tuple[Any, int]:
    """The response to a request of a page, and how many queries were made for it."""
    made: list[str] = []

    def note(execute: Any, sql: str, *arguments: Any) -> Any:
        made.append(sql)
        return execute(sql, *arguments)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(note))
        return in_middleware(pages.page)(wsgi_request(method, "page", HTTP_COOKIE=cookies)), len(made)
