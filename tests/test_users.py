"""Who the client of a request is, as far as that is known without asking anybody."""

from typing import Any

import pytest
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject, empty

from multidb.users import own_auser, user_so_far


@pytest.fixture
def request_() -> HttpRequest:
    return HttpRequest()


async def auser() -> User:
    return User(pk=1)


def test_a_user_is_known_and_a_lazy_one_when_that_is_loaded(request_: HttpRequest) -> None:
    assert user_so_far(request_) is None
    lazy: Any = SimpleLazyObject(lambda: User(pk=1))
    request_.user = lazy
    assert user_so_far(request_) is empty
    assert lazy.pk == 1
    assert user_so_far(request_) is lazy._wrapped
    request_.user = User(pk=2)
    assert user_so_far(request_) is request_.user


@pytest.mark.parametrize("is_lazy", [False, True])
def test_where_nobody_is_known_the_project_s_own_auser_would_tell(request_: HttpRequest, is_lazy: bool) -> None:
    """Which can be replaced, as a user can."""
    user: Any = SimpleLazyObject(lambda: pytest.fail("the user was loaded")) if is_lazy else None
    request_.user, request_.auser = user, auser
    assert user_so_far(request_) is auser
    request_.user = User(pk=2)
    assert user_so_far(request_) is request_.user


def test_the_auser_of_django_is_no_project_s_own(request_: HttpRequest) -> None:
    assert own_auser(request_) is None
    request_.session = {}  # type: ignore[assignment]  # It only has to be there.
    AuthenticationMiddleware(lambda request: HttpResponse()).process_request(request_)
    assert own_auser(request_) is None
    request_.auser = auser
    assert own_auser(request_) is auser
