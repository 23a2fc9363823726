"""Fixtures: the same site with our middleware and without, and users whom every replica knows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches

from tests.conftest import KEYED, STORES, Replication, use_store
from tests.third_parties.installed import OURS

PASSWORD = "a secret of some length"
NONE = "no middleware"
LATER = 60  # seconds, in which every pin has run out


class Pins(NamedTuple):
    """What a site's pins do: hold for whoever wrote, and be found by the user's other devices and without cookies."""

    hold: bool
    are_keyed: bool


@pytest.fixture(params=["cookie", "session", "redis", NONE])
def pins(request: pytest.FixtureRequest) -> Pins:
    """Those in one store of each kind, and none where our middleware is missing: there the stale read is seen."""
    return _pins_in(request, request.param)


@pytest.fixture(params=[*STORES, NONE])
def every_pins(request: pytest.FixtureRequest) -> Pins:
    """As ``pins``, in every store."""
    return _pins_in(request, request.param)


@pytest.fixture(params=["cookie", NONE])
def cookie_pins(request: pytest.FixtureRequest) -> Pins:
    """As ``pins``, in the cookie, for what has nothing to do with where pins are kept."""
    return _pins_in(request, request.param)


def _pins_in(request: pytest.FixtureRequest, name: str) -> Pins:
    if name == NONE:
        settings = request.getfixturevalue("settings")
        settings.MIDDLEWARE = [middleware for middleware in settings.MIDDLEWARE if middleware != OURS]
        return Pins(hold=False, are_keyed=False)
    use_store(request, name)
    return Pins(hold=True, are_keyed=name in KEYED)


@pytest.fixture
def make_user(replication: Replication) -> Callable[..., User]:
    """Makes a user with ``PASSWORD`` on the primary, of whom the replicas do not know yet."""

    def make(name: str, **fields: Any) -> User:
        return User.objects.create_user(name, password=PASSWORD, **fields)

    return make


@pytest.fixture
def ada(make_user: Callable[..., User], replication: Replication) -> User:
    """A user whom every replica knows."""
    user = make_user("ada", is_staff=True, is_superuser=True)
    make_user("grace", is_staff=True, is_superuser=True)
    replication.catch_up()
    return user


@pytest.fixture(autouse=True)
def _no_cache() -> Any:
    """Sessions and pages of the test before are gone."""
    yield
    if "default" in caches.settings:
        caches["default"].clear()
