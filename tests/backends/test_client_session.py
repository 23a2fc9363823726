"""What a store may know of a session without loading it."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.db import SessionStore as DatabaseSession
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest

from multidb.backends.client_session import is_loaded, peek, session_key


def test_the_key_is_that_of_the_session() -> None:
    request = HttpRequest()
    request.session = SessionStore("x" * 32)
    assert session_key(request) == "x" * 32
    assert not is_loaded(request.session)


def test_a_session_is_loaded_by_whoever_reads_it_first() -> None:
    session = SessionStore("x" * 32)
    assert not is_loaded(session)
    session.get("anything")
    assert is_loaded(session)


@pytest.mark.parametrize("attributes", [{}, {"session": None}, {"session": {}}])
def test_without_a_session_of_django_there_is_no_key(attributes: dict[str, Any]) -> None:
    request = HttpRequest()
    vars(request).update(attributes)
    assert session_key(request) is None


@pytest.mark.parametrize("is_known", [False, True])
def test_on_an_event_loop_only_what_is_loaded_is_looked_at(is_known: bool) -> None:
    session = SessionStore("x" * 32)
    if is_known:
        session["user"] = "ada"

    async def look() -> Any:
        return peek(session)

    if is_known:
        assert async_to_sync(look)() == {"user": "ada"}
        return
    with pytest.raises(SynchronousOnlyOperation):
        async_to_sync(look)()


@pytest.mark.django_db(databases="__all__")
def test_a_session_that_is_gone_is_asked_for_once(django_assert_num_queries: Any) -> None:
    """It keeps the key that the client sent, and whoever uses it finds out for themselves."""
    session = DatabaseSession("gone" * 8)
    with django_assert_num_queries(1):
        assert [peek(session), peek(session)] == [None, None]
    assert session.session_key == "gone" * 8
    assert not is_loaded(session)
