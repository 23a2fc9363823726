"""What a request waits for a Redis that fails: the first one that finds out, and those after it.

    .venv/bin/python benchmarks/store_faults.py

A real redis-server is broken in one way after the other. Each round begins with a new store, which knows of no failure:
one request finds out, and a hundred follow while the store is left alone. Prints one table, medians over the rounds in
milliseconds; exit status 1 if a request failed.
"""

import argparse
import logging
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
sys.path.insert(2, str(Path(__file__).resolve().parents[1] / "example_project"))

from servers.redis import RedisServer

FOLLOWING = 100
STORE = "multidb.backends.redis.RedisPinStore"


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(router.db_for_read(object))


urlpatterns = [path("", read)]

Fault = Callable[[RedisServer], AbstractContextManager[str]]


@contextmanager
def nothing(server: RedisServer) -> Iterator[str]:
    yield server.url


@contextmanager
def killed(server: RedisServer) -> Iterator[str]:
    server.kill()
    yield server.url
    server.start()


@contextmanager
def frozen(server: RedisServer) -> Iterator[str]:
    server.pause()
    yield server.url
    server.resume()


@contextmanager
def slow(server: RedisServer) -> Iterator[str]:
    server.execute("CLIENT PAUSE", 1500, "ALL")
    yield server.url
    server.wait_until_ready()


@contextmanager
def out_of_memory(server: RedisServer) -> Iterator[str]:
    server.execute("CONFIG SET", "maxmemory", 1)
    yield server.url
    server.execute("CONFIG SET", "maxmemory", 0)


@contextmanager
def takes_no_connection(server: RedisServer) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listening:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        for each in waiting:
            each.close()


FAULTS: dict[str, Fault] = {
    "none": nothing,
    "killed": killed,
    "frozen (SIGSTOP)": frozen,
    "answers late": slow,
    "out of memory": out_of_memory,
    "takes no connection": takes_no_connection,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="What a request waits for a Redis that fails.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each fault, interleaved (default: 5)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error(f"--rounds is {rounds}: give a number above 0")
    set_up()
    times: dict[str, list[tuple[float, float, int]]] = {fault: [] for fault in FAULTS}
    with RedisServer() as server:
        for _ in range(rounds):
            for name, fault in FAULTS.items():
                times[name].append(measured(fault, server))
    write = sys.stdout.write
    write("| the store | first request | requests after it | ratio to none | failed |\n")
    write("| --- | ---: | ---: | ---: | ---: |\n")
    usual = statistics.median(after for _, after, _ in times["none"])
    for name, rows in times.items():
        first, after = (statistics.median(row[column] for row in rows) for column in (0, 1))
        failed = sum(row[2] for row in rows)
        write(f"| {name} | {first:.1f} ms | {after:.2f} ms | {after / usual:.2f} | {failed} |\n")
    return int(any(row[2] for rows in times.values() for row in rows))


def set_up() -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        SECRET_KEY="of a benchmark",  # noqa: S106  # it signs for a client that this makes, and no other
        INSTALLED_APPS=["multidb"],
        MIDDLEWARE=["multidb.middleware.PinningRouterMiddleware"],
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": database, "replica": database},
        DATABASE_ROUTERS=["multidb.PinningReplicaRouter"],
        REPLICA_DATABASES=["replica"],
        LOGGING_CONFIG=None,
    )
    logging.disable()
    django.setup()


def measured(fault: Fault, server: RedisServer) -> tuple[float, float, int]:
    """The milliseconds of the first request that reads, the median of those after it, and how many of all failed."""
    client: Any = Client(headers={"authorization": "Token x"}, raise_request_exception=False)
    with fault(server) as url, site(url):
        answers = [timed(client) for _ in range(1 + FOLLOWING)]
    return answers[0][0], statistics.median(each for each, _ in answers[1:]), sum(failed for _, failed in answers)


def site(url: str) -> AbstractContextManager[None]:
    return override_settings(
        CACHES={"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}},
        MULTIDB_PIN_STORE={"BACKEND": STORE, "OPTIONS": {"alias": "pins"}},
    )


def timed(client: Client) -> tuple[float, bool]:
    begin = time.perf_counter()
    response = client.get("/")
    return (time.perf_counter() - begin) * 1000, response.status_code != 200


if __name__ == "__main__":
    sys.exit(main())
