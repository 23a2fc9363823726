"""With real positions, a task reads from a standby that has replayed what was written, and else from the primary."""

from typing import Any

import pytest
from django.test import Client
from servers.postgresql import PostgresCluster

from tests.contrib.workers import result, use_broker, worker
from tests.integration.conftest import databases_of

WITH_A_POSITION = ["/post-and-send", "/send-on-commit"]
WITHOUT_ONE = ["/send-in-transaction"]


@pytest.fixture
def broker(redis_port: int, settings: Any) -> str:
    settings.ROOT_URLCONF = "tests.contrib.urls"
    settings.MULTIDB_PINNING_SECONDS = 600
    return use_broker(redis_port)


def test_a_task_reads_from_a_standby_that_has_replayed_the_write(postgres: PostgresCluster, broker: str) -> None:
    """In a transaction the position is not known yet: the pin of a task that is sent there holds for its seconds."""
    for standby in postgres.standbys:
        standby.pause()
    addresses = [*WITH_A_POSITION, *WITHOUT_ONE]
    tasks = [Client().post(address).json()["ids"][0] for address in addresses]
    postgres.standbys[1].resume()
    postgres.standbys[1].wait_until_replayed(postgres.primary)
    with worker("threads", broker, databases_of(postgres), until="replayed"):
        reads = [result(task) for task in tasks]
        assert [len(read["texts"]) for read in reads] == [3, 3, 3]
        assert [read["alias"] for read in reads] == ["replica-2", "replica-2", "default"]
        postgres.standbys[1].pause()
        behind = [result(Client().post(address).json()["ids"][0]) for address in addresses]
    assert {(read["alias"], read["reason"]) for read in behind} == {("default", "pinned")}
