"""Does everybody read what they have written, while things break?

Starts a PostgreSQL primary, two standbys that lag, a Redis that keeps the pins, and processes that serve a site. Each
client of the site writes to a register of its own and reads it, and each request goes to any of the processes. Some
clients keep their cookies, with a session or without one; others send an Authorization header and drop their cookies.
Meanwhile replicas, Redis and the processes are killed, frozen, paused, emptied and started again, by a plan that
``--seed`` repeats. Redis keeps what it takes on disk: killed, it comes back with its pins or, as another kind of fault,
without them. Then each client's history is checked: a read shows what its client was told is written, no such
write is lost, and they took effect in their order. A write that was not answered with success may have taken effect or
not.

Prints one table in Markdown, and on stderr the faults, violations and failures with their times. The exit status is 1
if a promise was broken or a read failed, and 2 if the servers cannot be started. With ``--store-down replica`` nothing
is promised to clients that drop their cookies.
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event

sys.path.insert(1, str(Path(__file__).parents[1]))
sys.path.insert(2, str(Path(__file__).parents[1] / "example_project"))

from history.checker import violations
from history.clients import COOKIE_KINDS, KINDS, Client, make_clients
from history.faults import LASTING, Injector, plan
from history.options import parser
from history.project import make_tables, registers, set_up, site_settings
from history.report import Run, conditions, details, table
from history.workers import Worker
from servers import ServerFailed, ServersMissing
from servers.postgresql import PostgresCluster
from servers.processes import Workspace
from servers.redis import RedisServer
from workload.report import surroundings

# How late each standby replays, in seconds.
LAGS = (0.05, 0.2)

POLL_SECONDS = 0.02


def main() -> int:
    options = parser(str(__doc__)).parse_args()
    # The servers are stopped, as they are by Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with PostgresCluster(len(LAGS)) as cluster, RedisServer(**LASTING) as redis, closing(Workspace()) as workspace:
            [(version,)] = cluster.primary.execute("SHOW server_version")
            run = _run(cluster, redis, workspace, options)
    except (ServersMissing, ServerFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    sys.stderr.write(details(run))
    sys.stdout.write(f"{table(run, list(KINDS))}\n{conditions(run)}{_choices(options)}{surroundings(version)}\n")
    promised = run.of(list(KINDS) if options.store_down == "primary" else COOKIE_KINDS)
    return int(bool(promised.violations or run.failed_reads))


def _run(cluster: PostgresCluster, redis: RedisServer, workspace: Workspace, options: argparse.Namespace) -> Run:
    sessions = workspace.directory / "sessions"
    sessions.mkdir()
    site = site_settings(cluster, redis, sessions, options)
    set_up(site)
    make_tables(cluster)
    for standby, lag in zip(cluster.standbys, LAGS, strict=True):
        standby.set_lag(lag)
    workers = [Worker(workspace, f"worker-{number}", site) for number in range(1, options.workers + 1)]
    for worker in workers:
        worker.launch()
    for worker in workers:
        worker.wait_until_ready()
    clients = make_clients(options.clients, workers, options.seed)
    begin = time.monotonic()
    with Injector(cluster, redis, workers) as injector:
        _load(clients, injector, options)
        seconds = time.monotonic() - begin
    history = [operation for client in clients for operation in client.history]
    return Run(begin, seconds, history, injector.done(), violations(history, registers(cluster)))


def _load(clients: Sequence[Client], injector: Injector, options: argparse.Namespace) -> None:
    """Let the clients work, and make the faults, until there were enough operations or the time is over."""
    faults = plan(options.faults, random.Random(options.seed), options.kinds)
    stop, begin, progress = Event(), time.monotonic(), 0.0
    with ThreadPoolExecutor(len(clients)) as threads, ExitStack() as stack:
        stack.callback(stop.set)
        working = [threads.submit(client.work, stop) for client in clients]
        while progress < 1 and not any(each.done() for each in working):
            time.sleep(POLL_SECONDS)
            operations = sum(len(client.history) for client in clients)
            progress = max(operations / options.operations, (time.monotonic() - begin) / options.seconds)
            while faults and faults[0].at <= progress:
                injector.make(faults.pop(0))
            injector.check()
    for each in working:
        each.result()


def _choices(options: argparse.Namespace) -> str:
    lags = " and ".join(f"{lag:g}" for lag in LAGS)
    return (
        f"{options.clients} clients, {options.workers} workers, lags of {lags} s, pins of {options.pins:g} s, "
        f'MULTIDB_PINNING_UNTIL "{options.until}", MULTIDB_PIN_STORE_DOWN "{options.store_down}"'
        f"{f', one pin in {options.lose_pins} lost on purpose' if options.lose_pins else ''}. --seed {options.seed}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
