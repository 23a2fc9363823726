"""What a copy asks of PostgreSQL and MariaDB. What comes of it real servers show: tests/integration/test_lagging.py."""

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from multidb.test import copies
from multidb.test.copies import Copy, MariaDBCopy, PostgreSQLCopy


class Server:
    """A connection to a server that says of its tables what the test says, and refuses what the test names."""

    alias = "default"
    settings_dict = {"NAME": "shop"}
    ops = SimpleNamespace(quote_name="<{}>".format)

    def __init__(self, *tables: tuple[str, ...], refused: str = "nothing") -> None:
        self._tables = tables
        self._refused = refused
        self.asked: list[str] = []

    def ensure_connection(self) -> None:
        self.asked.append("connect")

    def cursor(self) -> "Server":
        return self

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def execute(self, sql: str, parameters: Any = None) -> None:
        self.asked.append(sql if parameters is None else f"{sql} {parameters}")
        if self._refused in sql:
            raise RuntimeError("refused")

    def fetchall(self) -> Iterator[tuple[str, ...]]:
        return iter(self._tables)


def copied(monkeypatch: pytest.MonkeyPatch, copy: type[Copy], server: Server) -> tuple[Copy, str]:
    """A copy of what ``server`` has, and the name that it has there."""
    monkeypatch.setattr(copies, "connections", {"default": server})
    monkeypatch.setattr(copies, "transaction", SimpleNamespace(atomic=lambda using: nullcontext()))
    made = copy("default")
    return made, made._name


def test_of_postgresql_it_is_a_schema_made_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(("public.post", "post"), ('public."Odd"', '"Odd"'))
    copy, name = copied(monkeypatch, PostgreSQLCopy, server)
    assert copy.settings() == {}
    copy.enter(server)
    copy.drop()
    assert server.asked == [
        "connect",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        f"CREATE SCHEMA {name}",
        PostgreSQLCopy.RELATIONS,
        f"CREATE UNLOGGED TABLE {name}.post AS TABLE public.post",
        f'CREATE UNLOGGED TABLE {name}."Odd" AS TABLE public."Odd"',
        f"SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), false) ['{name}']",
        f"DROP SCHEMA {name} CASCADE",
    ]


def test_of_mariadb_it_is_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(("post",), ("tag",))
    copy, name = copied(monkeypatch, MariaDBCopy, server)
    copy.enter(server)
    copy.drop()
    assert server.asked == [
        "connect",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        f"CREATE DATABASE {name}",
        f"CREATE TABLE {name}.<post> AS SELECT * FROM <shop>.<post>",
        f"CREATE TABLE {name}.<tag> AS SELECT * FROM <shop>.<tag>",
        f"USE {name}",
        f"DROP DATABASE {name}",
    ]


def test_of_mariadb_nothing_is_left_of_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(("post",), ("view",), refused="<view>")
    with pytest.raises(RuntimeError, match="refused"):
        copied(monkeypatch, MariaDBCopy, server)
    assert server.asked[-1].startswith("DROP DATABASE multidb_lag_")
