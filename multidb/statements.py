"""What an SQL statement writes to, as far as its text tells. In doubt it writes."""

import re
from functools import lru_cache
from typing import NamedTuple

# Longer ones are bulk inserts and the like, which come once.
LONGEST_REMEMBERED = 2_000
MOST_REMEMBERED = 512

# Statements that change nothing which a replica would have to replay, unless _may_write says otherwise.
_READS = re.compile(
    r"""(?:
        ABORT | BEGIN | CLOSE | COMMIT | DEALLOCATE | DECLARE | DESC | DESCRIBE | DISCARD | END
        | EXPLAIN | FETCH | LISTEN | LOCK | MOVE | NOTIFY | PRAGMA | RELEASE | RESET | ROLLBACK
        | SAVEPOINT | SELECT | SET | SHOW | START | TABLE | UNLISTEN | UNLOCK | USE | VALUES | WITH
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)

# MariaDB runs what is in /*! and /*M! comments, and PostgreSQL's may hold others.
_COMMENT = r"/\*(?!!|M!)(?:(?!\*/|/\*).)*\*/"
_BEFORE = re.compile(rf"(?:\s+|--[^\n\r]*|#[^\n\r]*|{_COMMENT}|\()*", re.DOTALL | re.IGNORECASE)

# What is quoted or a comment is no keyword. Where the vendors disagree on where a quote ends, all of it is looked at.
_QUOTED = re.compile(rf"""{_COMMENT}|--(?=\s)[^\n\r]*|"[^"]*"|`[^`]*`|'[^']*'""", re.DOTALL | re.IGNORECASE)
_DISPUTED = re.compile(r"[\\$#]|--(?!\s)|/\*.*/\*", re.DOTALL)

# To explain with ANALYZE is to run, and SET STATEMENT goes before any other. Else: a common table expression that
# writes, SELECT ... INTO, a second statement. FOR UPDATE only locks.
_KEYWORDS = ("INTO", "DELETE", "UPDATE", "ANALY", "STATEMENT", "PREPARED", ";")
_WRITES = re.compile(
    r"""^(?:EXPLAIN\b .* \bANALY[SZ]E | SET\b .* \bSTATEMENT | (?:COMMIT|ROLLBACK)\b .* \bPREPARED)\b
    | \b(?: INTO | DELETE | (?<!\bFOR\s)(?<!\bKEY\s)UPDATE )\b | ;\s*[^\s;]""",
    re.IGNORECASE | re.VERBOSE,
)

_NAME = r"""(?:"[^"]+"|`[^`]+`|\w+)"""
_SET = rf"{_NAME}\s*=\s*(?:%s|NULL)"
_TARGET = re.compile(
    rf"""
    (?: INSERT (?:\s+OR\s+(?!FAIL\b)\w+ | \s+IGNORE)? \s+INTO | REPLACE\s+INTO | UPDATE | DELETE\s+FROM )
    \s* (?P<table>{_NAME}(?:\s*\.\s*{_NAME}){{0,2}}) (?:\s+AS\s+{_NAME})?
    # What follows tells that it is the only table.
    (?P<alone>(?=
        \s*+ (?: \( | ;?\s*+\Z ) | \s++ (?: SET | WHERE | WITH | VALUES? | SELECT | DEFAULT | RETURNING )\b
    ))?
    (?: \s+ SET \s+ (?P<columns>{_SET} (?:\s*,\s*{_SET})*) (?: \s++WHERE\b | \s*+;?\s*+\Z ) )?
    """,  # noqa: S608  # it reads SQL, and makes none
    re.IGNORECASE | re.VERBOSE,
)
_LED_ELSEWHERE = re.compile(
    r"(?:DELETE|INSERT(?!\s+(?:OR\s+)?IGNORE\b)(?!.*\bON\s+CONFLICT\b)|REPLACE)\b", re.IGNORECASE | re.DOTALL
)
_COLUMN = re.compile(rf"({_NAME})\s*=")


class Write(NamedTuple):
    """What a statement writes.

    ``table``: the only one; ``None`` if nobody knows. ``columns``: those that an update sets; empty if nobody knows.
    ``tells_rows``: the cursor's ``rowcount`` says how many rows it wrote.
    """

    table: str | None
    columns: frozenset[str]
    tells_rows: bool


ANYTHING = Write(None, frozenset(), tells_rows=False)


def write_of(sql: str) -> Write | None:
    """What ``sql`` writes; ``None`` if it only reads."""
    return _parse(sql) if len(sql) > LONGEST_REMEMBERED else _remembered(sql)


def _parse(sql: str) -> Write | None:
    before = _BEFORE.match(sql)
    start = before.end() if before else 0
    if start == len(sql) or _READS.match(sql, start):
        return ANYTHING if _may_write(sql[start:]) else None
    target = _TARGET.match(sql, start)
    if target is None or ";" in sql.rstrip("; \t\r\n"):
        return ANYTHING
    columns = frozenset(_unquoted(name) for name in _COLUMN.findall(target["columns"] or ""))
    table = None if target["alone"] is None else _unquoted(target["table"])
    # An insert that a trigger has led to another table tells of none, and so does a delete that one has made an update.
    tells_rows = not _LED_ELSEWHERE.match(sql, start) and "RETURNING" not in sql.upper()
    return Write(table, columns, tells_rows)


def _may_write(sql: str) -> bool:
    """May a statement that begins as one that reads write all the same?"""
    upper = sql.upper()
    if not any(keyword in upper for keyword in _KEYWORDS):
        return False
    bare = sql if _DISPUTED.search(sql) else _QUOTED.sub(" x ", sql)
    return _WRITES.search(" ".join(bare.split())) is not None


_remembered = lru_cache(MOST_REMEMBERED)(_parse)


def _unquoted(name: str) -> str:
    return re.sub(r"\s*\.\s*", ".", name).replace('"', "").replace("`", "")
