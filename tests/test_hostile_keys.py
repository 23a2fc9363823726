"""What a keyed store keeps of a client that sends anything: hashes, for the seconds, under keys of its own."""

import hmac
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from django.core.cache import caches
from django.db import connections
from django.http import HttpResponse
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from multidb.backends import get_pin_store
from multidb.backends.cache import CachePinStore
from multidb.pins import Pin
from tests.conftest import Clock, use_store
from tests.test_hostile import as_bytes, examples

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

CLIENT_KEY = re.compile(r"multidb:(user:[A-Za-z0-9_-]{1,36}|(user:#|session:|authorization:)[0-9a-f]{32})")


@examples
@given(authorization=as_bytes.map("Token secret {}".format), user=st.text(max_size=80))
def test_what_is_stored_tells_nothing_and_ends_with_the_seconds(
    request: pytest.FixtureRequest, in_store: Any, authorization: str, user: str, clock: Clock
) -> None:
    caches["pins"].clear()
    client = RequestFactory().post("/", HTTP_AUTHORIZATION=authorization)
    client.user = SimpleNamespace(is_authenticated=True, pk=user)
    get_pin_store().save(client, HttpResponse(), Pin.on(["default"], clock() + 15))
    stored = [(key, text, seconds) for key, text, seconds in in_store() if key != "multidb:marker"]
    assert len(stored) == (2 if user else 1)
    for key, text, seconds in stored:
        assert CLIENT_KEY.fullmatch(key)
        assert Pin.decode(text).holds.keys() == {"default"}
        assert authorization not in key + text
        assert 0 < seconds <= 16


@pytest.fixture(params=["redis", "fake redis", "database cache"])
def in_store(request: pytest.FixtureRequest) -> Any:
    """A function that yields each key of a client in the store, what is under it, and the seconds that it has left."""
    use_store(request, request.param)
    if request.param == "database cache":
        return _in_database
    client = caches["pins"].client.get_client()

    def in_redis() -> Iterator[tuple[str, str, float]]:
        for key in client.keys("multidb:*:*"):
            yield key.decode(), client.get(key).decode(), client.pttl(key) / 1000

    return in_redis


def _in_database() -> Iterator[tuple[str, str, float]]:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT cache_key, (julianday(expires) - julianday('now')) * 86400 FROM pins")
        for key, seconds in cursor.fetchall():
            plain = key.removeprefix(":1:")
            if plain != "multidb:marker":
                yield plain, caches["pins"].get(plain), seconds


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_a_long_header_makes_no_long_key_and_takes_no_more_hashes(
    keyed_store: str, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    hashes: list[int] = []
    new = hmac.new
    monkeypatch.setattr(hmac, "new", lambda *args, **kwargs: hashes.append(1) or new(*args, **kwargs))
    request = rf.get("/", HTTP_AUTHORIZATION="x" * size)
    [key] = get_pin_store().client(request)
    get_pin_store().load(request)
    assert len(key) == len("multidb:authorization:") + 32
    assert len(hashes) == 2


identities = st.tuples(
    st.sampled_from(["user", "session", "authorization"]),
    st.text(max_size=40) | st.sampled_from(["session:x", "user:1", "1", "authorization:1", ":", "multidb:user:1"]),
)


@examples
@given(first=identities, second=identities)
def test_no_client_has_the_key_of_another(rf: RequestFactory, first: tuple[str, str], second: tuple[str, str]) -> None:
    """Whatever a primary key, session key or header looks like, and of whichever kind it is."""
    keys = [_key(rf, *identity) for identity in (first, second)]
    assert None in keys or (keys[0] == keys[1]) == (first == second)


def test_no_primary_key_is_the_hash_of_another(rf: RequestFactory) -> None:
    key = _key(rf, "user", "ada@example.org")
    assert key is not None
    assert _key(rf, "user", key.removeprefix("multidb:user:")) != key
    assert _key(rf, "user", key.removeprefix("multidb:user:#")) != key


def _key(rf: RequestFactory, kind: str, value: str) -> str | None:
    request = rf.get("/")
    functions = {kind: lambda request: value} if kind == "session" else {}
    if kind == "user":
        request.user = SimpleNamespace(is_authenticated=True, pk=value)
    if kind == "authorization":
        request.META["HTTP_AUTHORIZATION"] = value
    with patch.dict("multidb.backends.keyed.KEYS", functions):
        keys = CachePinStore(keys=[kind]).client(request)
    return keys[0] if keys else None
