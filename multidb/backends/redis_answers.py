"""What Redis answers is what was asked for, or an error that says so without what the server may have quoted."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import (
    ConnectionError,
    InvalidResponse,
    NoScriptError,
    RedisError,
    ResponseError,
    TimeoutError,
)

NONSENSE = "The server does not answer as Redis does."

# What redis-py raises where an answer is not of the kind that it expects.
TRIPPED = (ArithmeticError, AttributeError, InvalidResponse, LookupError, TypeError, ValueError)

# What Redis begins its errors with, such as LOADING or OOM.
# https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
CODE = re.compile(r"[A-Z]{2,20}(?= |$)")


@contextmanager
def as_told() -> Iterator[None]:
    """Raise ``RedisError`` for whatever is wrong with an answer, without what that may hold of ours."""
    try:
        yield
    except TRIPPED:
        # Without the error that showed it: its message may hold what we have sent.
        raise ConnectionError(NONSENSE) from None
    except RedisError as error:
        raise _in_own_words(error) from None


def checked(answers: list[Any]) -> list[Any]:
    """``answers``, if none of them is an error but of one key. Raises it if one is."""
    for answer in answers:
        if isinstance(answer, Exception) and not _is_of_one_key(answer):
            raise _in_own_words(answer)
    return answers


def _in_own_words(error: Exception) -> Exception:
    """``error`` without what the server may have quoted in it: a password, or what was sent."""
    if type(error) in (ConnectionError, TimeoutError):
        return error  # Of the way there, in the words of redis-py.
    code = CODE.match(str(error))
    return ResponseError(type(error).__name__ + (f": {code[0]}" if code else ""))


def _is_of_one_key(error: Exception) -> bool:
    return isinstance(error, NoScriptError) or (isinstance(error, ResponseError) and "WRONGTYPE" in str(error))
