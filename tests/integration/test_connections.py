"""How many connections a thread holds: docs/scaling.md tells of it."""

from typing import Any

import pytest
from django.db import close_old_connections
from django.test import Client
from servers.postgresql import PostgresCluster

from tests.integration.conftest import connected_to, databases_of, in_threads


@pytest.mark.parametrize(("max_age", "kept"), [(None, 1), (0, 0)])
def test_a_thread_keeps_one_to_each_server_that_it_has_used(
    postgres: PostgresCluster, settings: Any, max_age: int | None, kept: int
) -> None:
    """Of requests that only read and are not pinned, none to the primary; and none at all with CONN_MAX_AGE = 0."""
    databases = {alias: {**entry, "CONN_MAX_AGE": max_age} for alias, entry in databases_of(postgres).items()}

    def count(server: Any) -> int:
        [(clients,)] = server.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(clients)

    def read(number: int) -> tuple[int, ...]:
        for _ in range(6):
            assert Client().get("/read").json()["reason"] == "replica"
            close_old_connections()  # As at the end of a request.
        return tuple(map(count, (postgres.primary, *postgres.standbys)))

    with connected_to(databases):
        before = [count(server) for server in (postgres.primary, *postgres.standbys)]
        [after] = in_threads(read, 1)
    assert [late - early for early, late in zip(before, after, strict=True)] == [0, kept, kept]
