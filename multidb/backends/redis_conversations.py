"""What is said to Redis about pins, and what is made of its answers, whoever carries it there: a thread or a task."""

import hashlib
import math
import re
import time
import zlib
from collections.abc import Generator, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

from multidb.backends.outage import Outage
from multidb.backends.owed import Debt, Owed
from multidb.backends.redis_scripts import MARK, MERGE
from multidb.conf import conf
from multidb.pins import latest_milliseconds

# A cluster has so many markers, each in the slot of the keys that it stands for, and so on the server that has them.
BUCKETS = 16

MERGE_DIGEST = hashlib.sha1(MERGE.encode(), usedforsecurity=False).hexdigest()

# The answer to a script that has written, of a client that decodes or not.
OK = (b"OK", "OK")

# Until when pins may be missing, in milliseconds, for some thousand years; and whether they were lost.
TOLD = re.compile(r"([0-9]{1,15})( lost)?")

# What goes beyond the pins that may be missing is to others a read on the primary for nothing.
WORD_MILLISECONDS = 5000

# How many of the pins that are owed each request brings, beside what it asks for itself.
MOST_BROUGHT = 50

Result = TypeVar("Result")

Command = Sequence[Any]

# Yields the commands of one round trip, and is sent the answers. Raises ``RedisError`` of those that are none.
Conversation = Generator[list[Command], list[Any], Result]


class Word(NamedTuple):
    """That pins may be missing ``until`` then, in milliseconds since the epoch, and the command that says so."""

    mark: Command
    until: int


class Server(Protocol):
    """What a conversation needs to know of the server, or servers, that it is held with."""

    @property
    def database(self) -> int: ...

    def share_server(self, key: str, other: str) -> bool: ...


class Conversations:
    """The conversations with the Redis of ``client``, which says what is where.

    What they learn of lost pins goes to ``outage``, and what is ``owed`` they bring along. ``marker`` is lost with the
    pins.
    """

    def __init__(self, client: Server, outage: Outage, owed: Owed, marker: str, is_cluster: bool) -> None:
        self._client = client
        self._outage = outage
        self._owed = owed
        self._marker = marker
        self._is_cluster = is_cluster

    def get(self, keys: list[str]) -> Conversation[Iterable[str | bytes | None]]:
        """Ask for the texts under ``keys``. One round trip, and a second where pins may have been lost."""
        names = [self._name(key) for key in keys]
        answers = yield from self._answers(names, [("GET", name) for name in names])
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    def set(self, keys: list[str], text: str, seconds: float) -> Conversation[None]:
        """Keep ``text`` under ``keys`` for ``seconds``, merged with what is there. The same round trips."""
        debts = self.debts(keys, text, seconds)
        answers = yield from self._answers([debt.key for debt in debts], [merge(debt) for debt in debts])
        self._check_written(answers)

    def declare_new(self) -> Conversation[None]:
        """Say that no pin can be missing."""
        markers = self._markers()
        yield [*(("SET", marker, 0) for marker in markers), *(self._mark(marker, "EVAL", 0) for marker in markers)]

    def declare_gone(self) -> Conversation[None]:
        """Take the markers back."""
        yield [("DEL", marker) for marker in self._markers()]

    def debts(self, keys: list[str], text: str, seconds: float) -> list[Debt]:
        """What is owed where ``text`` was not taken."""
        until = _milliseconds_in(seconds)
        return [Debt(self._name(key), text, until) for key in keys]

    def word(self, seconds: float) -> Word:
        """That a pin may be missing that holds for ``seconds``; not of a cluster. Some seconds more, so that as many as
        write within them are told of once.
        """
        until = math.ceil(_milliseconds_in(seconds) / WORD_MILLISECONDS) * WORD_MILLISECONDS
        [marker] = self._markers()
        return Word(self._mark(marker, "EVALSHA", until), until)

    def _answers(self, names: list[str], commands: list[Command]) -> Conversation[list[Any]]:
        """The answers to ``commands`` about ``names``. First, what is owed is brought; last, markers are read."""
        now = _milliseconds_in(0)
        debts = self._owed.oldest(now, MOST_BROUGHT)
        # Other processes do not know of what is owed still.
        missing_until = max(self._outage.missing_until, self._owed.until(without=debts))
        may_miss = missing_until > now
        # Word is left with all markers, for each says so to those who read the keys that it stands for.
        markers = self._markers() if may_miss else list(dict.fromkeys(map(self._marker_of, names)))
        marks = [self._mark(marker, "EVALSHA", missing_until if may_miss else 0) for marker in markers]
        answers = yield [*map(merge, debts), *commands, *marks]
        self._check_written(answers[: len(debts)])
        self._owed.settle(debts)
        for marker, mark, answer in zip(markers, marks, answers[len(debts) + len(commands) :], strict=True):
            yield from self._note_mark(marker, mark, answer)
        return answers[len(debts) : len(debts) + len(commands)]

    def _check_written(self, answers: list[Any]) -> None:
        if any(answer not in OK for answer in answers):
            raise _nonsense()

    def _note_mark(self, marker: str, mark: Command, answer: Any) -> Conversation[None]:
        """Take note of what ``marker`` says, by ``answer`` to the command ``mark``."""
        # A server that does not know the script is not the one, or not the same run of it, that was asked before.
        is_other = isinstance(answer, Exception)
        if is_other:
            [answer] = yield [self._mark(marker, "EVAL", mark[4])]
        told = TOLD.fullmatch(_text(answer)) if isinstance(answer, bytes | str) else None
        if told is None:
            raise _nonsense()
        missing_until = int(told[1])
        if is_other or told[2]:
            self._outage.lost_all()
            yield from self._mark_others(marker)
        self._outage.miss_until(missing_until)

    def _mark_others(self, marker: str) -> Conversation[None]:
        """Leave word with the other markers on that server: else each would be found lost when it is first read."""
        others = [each for each in self._markers() if each != marker and self._client.share_server(each, marker)]
        if others:
            yield [self._mark(each, "EVAL", self._outage.missing_until) for each in others]

    def _mark(self, marker: str, command: str, known: int) -> Command:
        script, digest = _script(marker, self._client.database)
        text = digest if command == "EVALSHA" else script
        longest = _milliseconds_in(conf.pinning_seconds)
        return command, text, 1, marker, longest, latest_milliseconds(time.time(), conf.pinning_seconds), known

    def _name(self, key: str) -> str:
        """The key in Redis. In a cluster what is in braces decides on which server that is.

        https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
        """
        return f"{{{zlib.crc32(key.encode()) % BUCKETS}}}{key}" if self._is_cluster else key

    def _marker_of(self, name: str) -> str:
        """The marker that is lost together with the key ``name``."""
        return name[: name.index("}") + 1] + self._marker if self._is_cluster else self._marker

    def _markers(self) -> list[str]:
        return [f"{{{bucket}}}{self._marker}" for bucket in range(BUCKETS)] if self._is_cluster else [self._marker]


def merge(debt: Debt, is_known: bool = False) -> Command:
    """The command that keeps ``debt``, merged with the pin that is there. ``is_known``: the server has the script."""
    now, seconds = time.time(), conf.pinning_seconds
    milliseconds = min(max(1, math.ceil(debt.until - now * 1000)), math.ceil(seconds * 1000))
    latest, longest = latest_milliseconds(now, seconds), latest_milliseconds(0, seconds)
    # Not eval(), which the pipeline of a Redis Cluster refuses, though the script is for one key.
    script = ("EVALSHA", MERGE_DIGEST) if is_known else ("EVAL", MERGE)
    return *script, 1, debt.key, debt.text, milliseconds, latest, longest


@lru_cache(BUCKETS * 4)
def _script(marker: str, database: int) -> tuple[str, str]:
    """The script for ``marker``, and what Redis knows it by. No other site on that server has the same."""
    script = f"{MARK}-- {marker} in {database}"
    return script, hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _nonsense() -> Exception:
    """What is raised where no Redis answers."""
    # Imported late: where redis-py is missing the store can be made, and its check says what to install.
    from redis.exceptions import ConnectionError

    from multidb.backends.redis_answers import NONSENSE

    return ConnectionError(NONSENSE)


def _text(answer: bytes | str) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def _milliseconds_in(seconds: float) -> int:
    return math.ceil((time.time() + seconds) * 1000)
