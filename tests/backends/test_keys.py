"""What each key says of a request: nothing that takes a query, and nothing of a client that is not known."""

import re
import uuid
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from multidb.backends.keys import ask_again, await_user, key_function, session, user
from multidb.pins import PinStoreUnavailable

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    """Of a client with a session, which names a user."""
    kept = SessionStore()
    kept["_auth_user_id"] = "7"
    kept.save()
    request = rf.get("/")
    request.session = SessionStore(kept.session_key)
    return request


def with_number(number: int) -> SimpleNamespace:
    """A user whose primary key Django writes into the session in a way of its own."""
    meta = SimpleNamespace(pk=SimpleNamespace(value_to_string=lambda user: f"number-{user.pk}"))
    return SimpleNamespace(is_authenticated=True, pk=number, _meta=meta)


def loaded(user: User) -> Any:
    lazy = SimpleLazyObject(lambda: user)
    assert lazy.pk == user.pk
    return lazy


@pytest.mark.parametrize(
    ("known", "key"),
    [
        (User(pk=42), "42"),
        (User(), None),
        (AnonymousUser(), None),
        (SimpleNamespace(is_authenticated=True, pk="a-b_c"), "a-b_c"),
        (SimpleNamespace(pk=1), None),
        (SimpleNamespace(is_authenticated=True), None),
        (with_number(1), "number-1"),
        (SimpleNamespace(is_authenticated=True, pk=uuid.UUID(int=1)), "00000000-0000-0000-0000-000000000001"),
        (loaded(User(pk=42)), "42"),
    ],
    ids=lambda value: str(value)[:40] if type(value) is str else type(value).__name__,
)
def test_the_user_where_it_is_known(request_: HttpRequest, known: Any, key: str | None) -> None:
    request_.user = known
    assert user(request_) == key


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_user_not_yet_loaded_is_known_by_the_session(
    request_: HttpRequest, rf: RequestFactory, is_lazy: bool
) -> None:
    request_.user = SimpleLazyObject(lambda: pytest.fail("the user was loaded")) if is_lazy else None
    assert user(request_) == "7"
    without_session = rf.get("/")
    without_session.user = request_.user
    assert user(without_session) is None


def test_django_s_own_auser_is_not_asked_where_the_session_tells(
    request_: HttpRequest, django_assert_num_queries: Any
) -> None:
    assert request_.session["_auth_user_id"] == "7"
    AuthenticationMiddleware(lambda request: HttpResponse()).process_request(request_)
    with django_assert_num_queries(0):
        assert user(request_) == "7"


@pytest.mark.parametrize(
    ("known", "key"),
    [(User(pk=42), "42"), (AnonymousUser(), "7"), (SimpleNamespace(pk=42), "7"), (None, "7")],
    ids=lambda value: type(value).__name__,
)
def test_whom_an_auser_of_the_project_s_own_returns_comes_before_the_session(
    request_: HttpRequest, known: Any, key: str
) -> None:
    """If they have logged in, as far as that knows."""

    async def auser() -> Any:
        return known

    request_.auser = auser
    assert user(request_) == key


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_an_auser_that_fails_does_not_end_the_transaction_around_it_and_is_asked_once(request_: HttpRequest) -> None:
    asked: list[int] = []

    async def auser() -> Any:
        asked.append(await User.objects.using("default").acount())
        return await User.objects.using("default").acreate(username="ada")

    User.objects.using("default").create(username="ada")
    request_.auser = auser
    with transaction.atomic("default"):
        Group.objects.using("default").create(name="readers")
        for _ in range(2):
            with pytest.raises(PinStoreUnavailable):
                user(request_)
        assert Group.objects.using("default").count() == 1
    assert asked == [1]


async def test_an_auser_is_not_awaited_where_the_user_is_loaded(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user, request.auser = User(pk=42), lambda: pytest.fail("auser was asked")
    await await_user(request)
    assert user(request) == "42"


@pytest.mark.parametrize("fails", [False, True])
def test_what_has_failed_is_asked_again_and_what_has_not_is_not(request_: HttpRequest, fails: bool) -> None:
    answers = [User(pk=1), User(pk=2)]

    async def auser() -> User:
        answer = answers.pop(0)
        if fails and answer.pk == 1:
            raise ConnectionError
        return answer

    request_.auser = auser
    with pytest.raises(PinStoreUnavailable) if fails else nullcontext():
        user(request_)
    ask_again(request_)
    assert user(request_) == ("2" if fails else "1")


class FailsOnce(SessionStore):
    """A session that cannot be loaded at first."""

    failures = iter([ConnectionError()])

    @classmethod
    def get_model_class(cls) -> Any:
        return Session

    def load(self) -> Any:
        for failure in self.failures:
            raise failure
        return {"_auth_user_id": "7"}


def test_a_session_that_could_not_be_loaded_is_asked_again_too(request_: HttpRequest) -> None:
    request_.session = FailsOnce("x" * 32)
    for error in (ConnectionError, PinStoreUnavailable):
        with pytest.raises(error):
            user(request_)
    ask_again(request_)
    assert user(request_) == "7"


def test_a_session_that_is_gone_is_no_key(request_: HttpRequest) -> None:
    assert session(request_) == request_.session.session_key is not None
    request_.session = SessionStore("gonegonegonegonegonegonegonegone")
    assert user(request_) is session(request_) is None


def test_a_session_whose_key_is_its_content_is_no_key(request_: HttpRequest, settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert session(request_) is None


@pytest.mark.parametrize("name", ["nobody", ".nobody", ".tests.nobody"])
def test_a_name_that_is_no_key_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=rf"'{re.escape(name)}'.* Use 'user', 'session', 'authorization', or the dotted"
    ):
        key_function(name)
