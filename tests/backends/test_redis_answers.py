"""What Redis answers, and errors of it that quote nothing."""

import pytest
from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError, TimeoutError

from multidb.backends.redis_answers import NONSENSE, TRIPPED, as_told, checked


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (ResponseError("READONLY You can't write 'secret'"), "ResponseError: READONLY"),
        (ResponseError("OOM"), "ResponseError: OOM"),
        (ResponseError("wrong: 'secret'"), "ResponseError"),
        (ResponseError("SECRETandMORE"), "ResponseError"),
    ],
)
def test_an_error_is_told_by_its_kind_and_code(told: Exception, error: str) -> None:
    with pytest.raises(ResponseError) as raised:
        checked([b"1", told])
    assert str(raised.value) == error
    with pytest.raises(ResponseError) as raised, as_told():
        raise told
    assert str(raised.value) == error
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError("no answer")])
def test_an_error_of_the_way_there_is_told_as_it_is(error: RedisError) -> None:
    with pytest.raises(type(error)) as raised, as_told():
        raise error
    assert raised.value is error


@pytest.mark.parametrize("error", TRIPPED)
def test_what_is_no_answer_is_called_so(error: type[Exception]) -> None:
    with pytest.raises(ConnectionError) as raised, as_told():
        raise error("secret")
    assert str(raised.value) == NONSENSE
    assert raised.value.__suppress_context__


def test_an_error_of_one_key_is_an_answer() -> None:
    answers = [NoScriptError("NOSCRIPT"), ResponseError("WRONGTYPE of a key"), b"1"]
    assert checked(answers) is answers
