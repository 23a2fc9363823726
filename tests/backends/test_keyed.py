"""The keys of a client: all that apply when writing, any when reading, and nothing secret in the store."""

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.crypto import salted_hmac

from multidb.backends import get_pin_store
from multidb.backends.cache import CachePinStore
from multidb.backends.client_session import is_known
from multidb.pins import Pin, PinStoreUnavailable
from tests.conftest import Clock, lines, use_store

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

TOKEN = "Token 401f7ac837da42b97f613d789819ff93537bee6a"


def keys(request: HttpRequest, **options: Any) -> list[str]:
    return CachePinStore(**options).client(request)


@pytest.fixture
def session(rf: RequestFactory) -> SessionStore:
    session = SessionStore()
    session["_auth_user_id"] = "7"
    session.save()
    return SessionStore(session.session_key)


def with_user(rf: RequestFactory, user: Any) -> HttpRequest:
    request = rf.get("/")
    request.user = user
    return request


@pytest.mark.parametrize("key", ["ada@example.org", "x" * 37, "a b", "é", "a\nb", "\x00"])
def test_an_unusual_primary_key_is_hashed(rf: RequestFactory, key: str) -> None:
    [found] = keys(with_user(rf, SimpleNamespace(is_authenticated=True, pk=key)), keys=["user"])
    assert re.fullmatch(r"multidb:user:#[0-9a-f]{32}", found)


def test_session_keys_and_headers_are_stored_hashed(rf: RequestFactory, session: SessionStore) -> None:
    request = rf.get("/", headers={"authorization": TOKEN})
    request.session = session
    found = keys(request)
    assert [re.sub(r"[0-9a-f]{32}$", "HASH", key) for key in found] == [
        "multidb:user:7",
        "multidb:session:HASH",
        "multidb:authorization:HASH",
    ]
    assert not any(secret in key for key in found for secret in (TOKEN, TOKEN[6:], session.session_key))


def test_one_secret_has_another_hash_under_each_key_and_secret_key(rf: RequestFactory, settings) -> None:
    request = rf.get("/", headers={"authorization": TOKEN})
    names = ["authorization", f"{__name__}.by_header"]
    first = keys(request, keys=names)
    settings.SECRET_KEY = "another"
    second = keys(request, keys=names)
    assert len({key.rsplit(":", 1)[1] for key in [*first, *second]}) == 4


def test_the_hash_is_one_of_sha_256(rf: RequestFactory) -> None:
    [key] = keys(rf.get("/", headers={"authorization": TOKEN}), keys=["authorization"])
    hashed = salted_hmac("multidb.authorization", TOKEN, algorithm="sha256").hexdigest()
    assert key == f"multidb:authorization:{hashed[:32]}"
    [key] = keys(with_user(rf, SimpleNamespace(is_authenticated=True, pk="ada@example.org")), keys=["user"])
    hashed = salted_hmac("multidb.user", "ada@example.org", algorithm="sha256").hexdigest()
    assert key == f"multidb:user:#{hashed[:32]}"


def by_header(request: HttpRequest) -> str | None:
    return request.META.get("HTTP_AUTHORIZATION")


def by_tenant(request: HttpRequest) -> Any:
    return {"none": None, "empty": "", "number": 1, "text": "tenant-1"}[request.GET["tenant"]]


def broken(request: HttpRequest) -> str:
    raise KeyError("tenant")


@pytest.mark.parametrize(("tenant", "count"), [("none", 0), ("empty", 0), ("text", 1)])
def test_a_project_s_own_function(rf: RequestFactory, tenant: str, count: int) -> None:
    found = keys(rf.get("/", {"tenant": tenant}), keys=[f"{__name__}.by_tenant"], prefix="pins")
    assert len(found) == count
    assert all(re.fullmatch(rf"pins:{__name__}.by_tenant:[0-9a-f]{{32}}", key) for key in found)


async def test_a_project_s_own_function_is_called_in_no_event_loop(rf: RequestFactory) -> None:
    """It may ask a database or a cache: then nobody else would be served."""
    request = rf.get("/", {"tenant": "text"})
    store = CachePinStore(keys=[f"{__name__}.by_tenant"])
    with pytest.raises(SynchronousOnlyOperation):
        store.client(request)
    assert len(await sync_to_async(store.client)(request)) == 1


@pytest.mark.parametrize(("function", "tenant"), [("by_tenant", "number"), ("broken", "text")])
def test_a_function_that_fails_is_in_the_log_and_reads_go_to_the_primary(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture, function: str, tenant: str
) -> None:
    store = CachePinStore(keys=[f"{__name__}.{function}"])
    request = rf.get("/", {"tenant": tenant})
    with pytest.raises(PinStoreUnavailable):
        store.client(request)
    with pytest.raises(PinStoreUnavailable):
        store.load(request)
    assert "could not be looked up" in caplog.text


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("user", "'user'"),
        ([], "a list"),
        (["usr"], "'usr'"),
        (["tests.nowhere.function"], "cannot be imported"),
        ([f"{__name__}.TOKEN"], "not a function"),
        ([f"{__name__}.aby_header"], "not a function"),
    ],
    ids=str,
)
def test_keys_that_cannot_be_used_are_refused_by_name(option: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        CachePinStore(keys=option)


async def aby_header(request: HttpRequest) -> str | None:
    return None


def test_a_header_that_is_no_text_is_a_key_like_any_other(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.META["HTTP_AUTHORIZATION"] = "\udcff"
    assert len(keys(request)) == 1


@pytest.mark.parametrize(
    ("names", "may_change"),
    [(["user"], False), (["user", "session", "authorization"], False), (["user", f"{__name__}.by_tenant"], True)],
)
def test_only_a_project_s_own_key_may_change_while_the_user_is_the_same(names: list[str], may_change: bool) -> None:
    assert CachePinStore(keys=names).client_may_change is may_change


@pytest.mark.parametrize("key", ["authorization", "user"])
def test_a_pin_filed_under_a_rotated_secret_key_is_found(
    keyed_store: str, rf: RequestFactory, settings, clock: Clock, key: str
) -> None:
    clients = {
        "authorization": rf.get("/", headers={"authorization": TOKEN}),
        "user": with_user(rf, SimpleNamespace(is_authenticated=True, pk="ada@example.org")),
    }
    client = clients[key]
    get_pin_store().save(client, HttpResponse(), Pin.on(["default"], clock() + 10))
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key"
    assert get_pin_store().load(client) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    get_pin_store().save(client, HttpResponse(), Pin.on(["users"], clock() + 10))
    assert get_pin_store().load(client).holds.keys() == {"default", "users"}


def test_a_pin_is_found_under_any_of_its_keys(
    keyed_store: str, rf: RequestFactory, session: SessionStore, clock: Clock
) -> None:
    request = rf.get("/", headers={"authorization": TOKEN})
    request.session = session
    get_pin_store().save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    by_user = with_user(rf, User(pk=7))
    by_session = rf.get("/")
    by_session.session = session
    by_authorization = rf.get("/", headers={"authorization": TOKEN})
    assert all(get_pin_store().load(each) for each in (by_user, by_session, by_authorization))


def test_pins_under_two_keys_of_one_client_count_together(keyed_store: str, rf: RequestFactory, clock: Clock) -> None:
    pins = {"user": Pin.on(["users"], clock() + 10), "authorization": Pin.on(["default"], clock() + 10)}
    by_user = with_user(rf, User(pk=7))
    by_authorization = rf.get("/", headers={"authorization": TOKEN})
    get_pin_store().save(by_user, HttpResponse(), pins["user"])
    get_pin_store().save(by_authorization, HttpResponse(), pins["authorization"])
    both = rf.get("/", headers={"authorization": TOKEN})
    both.user = User(pk=7)
    assert get_pin_store().load(both).holds.keys() == {"default", "users"}


@pytest.mark.parametrize("prefix", [None, 5, "a b", "a\n", "é", "x" * 65])
def test_a_prefix_that_not_every_cache_takes_is_refused(prefix: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="The option prefix is"):
        CachePinStore(prefix=prefix)


def test_prefixes_keep_projects_apart(
    request: pytest.FixtureRequest, rf: RequestFactory, clock: Clock, real_redis: Any
) -> None:
    client = rf.get("/", headers={"authorization": TOKEN})
    use_store(request, "redis", prefix="one")
    get_pin_store().save(client, HttpResponse(), Pin.on(["default"], clock() + 10))
    use_store(request, "redis", prefix="two")
    assert get_pin_store().load(client) is None


def failing(request: HttpRequest) -> str:
    raise request.failure


def test_a_key_that_cannot_be_told_takes_no_pin_from_the_others(
    request: pytest.FixtureRequest, rf: RequestFactory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    use_store(request, "fake redis", keys=[f"{__name__}.failing", "authorization"])
    post = rf.post("/", headers={"authorization": "Token x"})
    post.failure = ValueError()
    get_pin_store().save(post, HttpResponse(), Pin.on(["default"], clock() + 10))
    [said] = lines(caplog)
    assert said.startswith(f"The key '{__name__}.failing' of a client cannot be told: ValueError:")
    use_store(request, "fake redis")
    assert get_pin_store().load(rf.get("/", headers={"authorization": "Token x"})) is not None


def test_a_setting_that_a_key_finds_impossible_is_raised(
    request: pytest.FixtureRequest, rf: RequestFactory, clock: Clock
) -> None:
    use_store(request, "fake redis", keys=[f"{__name__}.failing"])
    post = rf.post("/")
    post.failure = ImproperlyConfigured()
    with pytest.raises(ImproperlyConfigured):
        get_pin_store().save(post, HttpResponse(), Pin.on(["default"], clock() + 10))


def test_a_pin_for_which_no_session_is_known_while_the_store_is_left_alone_is_missed(
    rf: RequestFactory, session: SessionStore, clock: Clock
) -> None:
    store, request = CachePinStore(), rf.post("/")
    request.session = session
    store.outage.failed(OSError())
    store.save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    assert store.outage.may_miss_pins()
    clock.advance(10.1)
    assert not store.outage.may_miss_pins()


def test_while_the_store_is_left_alone_no_session_is_known_for_it(
    rf: RequestFactory, session: SessionStore, clock: Clock
) -> None:
    """Its server is often the same. What takes no session is filed all the same."""
    store, request = CachePinStore(), rf.post("/", headers={"authorization": TOKEN})
    [key] = store.client(request)
    request.session = session
    store.outage.failed(OSError())
    with pytest.raises(PinStoreUnavailable):
        store.client(request)
    with pytest.raises(PinStoreUnavailable):
        store._keys_to_read(request)
    assert store._keys_to_write(request, 10) == [key]
    assert not is_known(session)
    session.get("anything")
    found = [store.client(request), store._keys_to_read(request), store._keys_to_write(request, 10)]
    assert [len(keys) for keys in found] == [3, 3, 3]


def test_a_store_is_told_what_it_has_not_taken_when_it_is_interrupted(rf: RequestFactory, clock: Clock) -> None:
    told: list[Any] = []

    class Interrupted(CachePinStore):
        def _set(self, keys: list[str], text: str, seconds: float) -> bool:
            raise KeyboardInterrupt

        def _not_taken(self, *arguments: Any) -> None:
            told.extend(arguments)

    store, request = Interrupted(), rf.post("/", headers={"authorization": TOKEN})
    pin = Pin.on(["default"], clock() + 10)
    with pytest.raises(KeyboardInterrupt):
        store.save(request, HttpResponse(), pin)
    assert told == [store.client(request), pin.encode(), pytest.approx(10, abs=5)]


def test_what_could_not_be_told_is_asked_again_before_a_pin_is_filed(rf: RequestFactory) -> None:
    answers: list[Any] = [ConnectionError(), User(pk=42)]

    async def auser() -> User:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    store, request = CachePinStore(keys=["user"]), rf.post("/")
    request.auser = auser
    for _ in range(2):
        with pytest.raises(PinStoreUnavailable):
            store.client(request)
    store.save(request, HttpResponse(), Pin.on(["default"], time.time() + 10))
    assert store.client(request) == ["multidb:user:42"]
