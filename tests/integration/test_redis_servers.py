"""The Redis servers that other tests break are real: they crash, freeze, come back empty, and are promoted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel
from servers import ServersMissing
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster
from servers.redis_sentinels import RedisSentinels

from tests.servers import started

EXAMPLE_PROJECT = Path(__file__).parents[2] / "example_project"

# Starts a server, tells where it is, and ends without stopping it.
FORGETFUL = """
from servers.redis import RedisServer
server = RedisServer()
server.start()
server.pause()
print(server.directory, server.port)
"""


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Any:
    yield from started(request, RedisServer)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_server_that_was_ended_comes_back_empty_on_its_port(server: RedisServer, end: str) -> None:
    server.execute("SET", "key", "value")
    getattr(server, end)()
    with pytest.raises(redis.ConnectionError, match="refused"):
        server.execute("PING")
    server.start()
    assert (server.execute("GET", "key"), server.execute("SET", "key", "value")) == (None, True)


def test_a_frozen_server_answers_nobody_until_it_goes_on(server: RedisServer) -> None:
    server.execute("SET", "key", "value")
    server.pause()
    with server.client(socket_timeout=0.2) as client, pytest.raises(redis.TimeoutError):
        client.get("key")
    server.resume()
    assert server.execute("GET", "key") == "value"


def test_options_are_those_of_redis(server: RedisServer) -> None:
    """A server that keeps its keys on disk has them after a crash."""
    with RedisServer("--maxmemory", "10mb", appendonly="yes", appendfsync="always") as lasting:
        lasting.execute("SET", "key", "value")
        lasting.kill()
        lasting.start()
        assert lasting.execute("GET", "key") == "value"
        assert lasting.execute("CONFIG GET", "maxmemory") == {"maxmemory": str(10 * 1024 * 1024)}
        directory = lasting.directory
    assert not lasting.is_running
    assert not directory.parent.exists()


def test_nothing_is_left_of_a_server_that_was_forgotten(server: RedisServer) -> None:
    """Not even of a frozen one, when the interpreter exits."""
    told = subprocess.run(
        [sys.executable, "-c", FORGETFUL], cwd=EXAMPLE_PROJECT, capture_output=True, text=True, check=True
    )
    directory, port = told.stdout.split()
    assert not Path(directory).parent.exists()
    with redis.Redis(port=int(port), retry=None) as client, pytest.raises(redis.ConnectionError, match="refused"):
        client.ping()


@pytest.mark.parametrize("kind", [RedisServer, RedisCluster, RedisSentinels])
def test_where_redis_is_missing_it_says_what_to_install(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("servers.redis.PLACES", ())
    with pytest.raises(ServersMissing, match="apt install redis-server"), kind():
        pass


def test_the_nodes_of_a_cluster_share_the_keys(redis_cluster: RedisCluster) -> None:
    """A cluster without one of its nodes is down, and is up again with it."""
    with redis_cluster.client() as client:
        for number in range(60):
            client.set(f"key-{number}", number)
        assert all(node.execute("DBSIZE") for node in redis_cluster.nodes)
        first, second, third = redis_cluster.nodes
        second.kill()
        third_of_all = {number for number in range(60) if first.execute("CLUSTER KEYSLOT", f"key-{number}") > 2 * 5461}
        assert {number for number in third_of_all if client.get(f"key-{number}")} == third_of_all
        second.start()
        redis_cluster.wait_until_ready()
        assert [node.execute("DBSIZE") > 0 for node in (first, second, third)] == [True, False, True]


def test_sentinels_promote_the_replica_of_a_primary_that_is_gone(redis_sentinels: RedisSentinels) -> None:
    """Clients of the sentinels find what was written before; the old primary becomes the replica."""
    before = redis_sentinels.primary, redis_sentinels.replica
    asked = Sentinel(redis_sentinels.sentinel_addresses)
    with asked.master_for(redis_sentinels.service_name) as client:
        client.set("key", "value")
        assert client.wait(1, 1000) == 1
    redis_sentinels.primary.kill()
    redis_sentinels.wait_until_promoted()
    assert (redis_sentinels.replica, redis_sentinels.primary) == before
    with asked.master_for(redis_sentinels.service_name) as client:
        assert client.get("key") == b"value"
        redis_sentinels.replica.start()
        redis_sentinels.wait_until_ready()
        assert redis_sentinels.replica.execute("GET", "key") == "value"
        client.flushall()
    for sentinel in asked.sentinels:
        sentinel.close()
