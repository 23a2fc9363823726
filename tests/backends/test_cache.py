"""Any Django cache: what it refuses goes into the cookie."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC
from pickle import UnpicklingError
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import OperationalError, connections
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django_redis import get_redis_connection
from django_redis.cache import RedisCache
from django_redis.exceptions import ConnectionInterrupted

from multidb.backends import get_pin_store
from multidb.backends.waiting import DJANGO_REDIS
from multidb.pins import Pin, PinStoreUnavailable
from tests.conftest import CACHE, Ahead, Clock, lines


class Refusing(LocMemCache):
    """A cache that takes no key, as a Memcached that is down says."""

    def set_many(self, data: Any, timeout: Any = None, version: Any = None) -> list[str]:
        return list(data)


def test_a_pin_that_the_cache_did_not_take_goes_into_the_cookie(rf: RequestFactory, settings, clock: Clock) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.Refusing"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    response = HttpResponse()
    request = rf.get("/", headers={"authorization": "Token x"})
    get_pin_store().save(request, response, Pin.on(["default"], clock() + 10))
    assert response.cookies


class RefusingOne(LocMemCache):
    """A cache that takes all keys but one, as Memcached does of which one server is down."""

    def set_many(self, data: Any, timeout: Any = None, version: Any = None) -> list[str]:
        refused, *taken = data
        super().set_many({key: data[key] for key in taken}, timeout, version)
        return [refused]


def test_a_pin_that_the_cache_took_under_one_key_only_goes_into_the_cookie_too(
    rf: RequestFactory, settings, clock: Clock
) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.RefusingOne", "LOCATION": "one"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    get_pin_store().declare_new()
    request, response = rf.get("/", headers={"authorization": "Token x"}), HttpResponse()
    request.user = User(pk=7)
    get_pin_store().save(request, response, Pin.on(["default"], clock() + 10))
    assert response.cookies
    with pytest.raises(PinStoreUnavailable) as raised:  # Whoever has the other key only may have no cookie.
        get_pin_store().load(request)
    assert raised.value.pin is not None


def test_a_pin_of_less_than_a_second_is_kept(local_cache: None, rf: RequestFactory, settings, clock: Clock) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()
    request = rf.get("/", headers={"authorization": "Token x"})
    get_pin_store().save(request, HttpResponse(), Pin.on(["default"], clock() + 0.9))
    assert get_pin_store().load(request) is not None


def test_a_key_ends_with_its_pin(local_cache: None, rf: RequestFactory, settings, clock: Clock) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    store = get_pin_store()
    request = rf.get("/", headers={"authorization": "Token x"})
    store.save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    keys = store.client(request)
    assert len(store._cache().get_many(keys)) == 1
    clock.advance(11.1)
    assert store._cache().get_many(keys) == {}


class Failing(LocMemCache):
    """A cache that can be told to fail."""

    fails = False

    def get_many(self, keys: Any, version: Any = None) -> dict[str, Any]:
        if type(self).fails:
            raise OSError("the cache is down")
        return super().get_many(keys, version)


@pytest.fixture
def failing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.Failing", "LOCATION": "failing"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    get_pin_store().declare_new()
    return lambda fails: monkeypatch.setattr(Failing, "fails", fails)


def reason() -> str:
    """Of a client with a token and without cookies."""
    return str(Client().get("/read", headers={"authorization": "Token x"}).json()["reason"])


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_pin_that_the_cache_did_not_take_is_missed_by_all_until_it_has_run_out(
    failing: Callable[[bool], None], settings: Any, clock: Clock, monotonic: Ahead
) -> None:
    assert reason() == "replica"
    failing(True)
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "store down"
    failing(False)
    monotonic.now += 6.1
    assert reason() == "store down"
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}  # Another process, which learns of it from the marker.
    assert reason() == "store down"
    clock.advance(15.1)
    assert reason() == "replica"


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_pin_that_the_cache_refused_without_an_error_is_missed_too(settings: Any, clock: Clock) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.Refusing", "LOCATION": "refusing"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    get_pin_store().declare_new()
    assert reason() == "replica"
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "store down"


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_so_is_one_that_the_database_cache_could_not_write(database_cache: None, settings: Any) -> None:
    """Which swallows the error."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()
    Client().post("/nothing", headers={"authorization": "Token y"})
    assert reason() == "replica"
    with connections["default"].cursor() as cursor:
        cursor.execute("CREATE TRIGGER full BEFORE INSERT ON pins BEGIN SELECT RAISE(ABORT, 'full'); END")
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "store down"


def test_a_key_that_the_database_refuses_takes_no_other_with_it(
    database_cache: None, settings: Any, rf: RequestFactory, clock: Clock
) -> None:
    """As by a lock on its row."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER lock BEFORE INSERT ON pins WHEN NEW.cache_key LIKE '%:user:%' "
            "BEGIN SELECT RAISE(ABORT, 'locked'); END"
        )
    request, pin = rf.get("/", headers={"authorization": "Token x"}), Pin.on(["default"], clock() + 10)
    request.user = User(pk=7)
    get_pin_store().save(request, HttpResponse(), pin)
    settings.MULTIDB_PIN_STORE = dict(settings.MULTIDB_PIN_STORE)  # Another process.
    assert get_pin_store().load(rf.get("/", headers={"authorization": "Token x"})) == pin


class FailsOnce(SessionStore):
    """A session that cannot be loaded at first."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.failures = [ConnectionError()]

    def load(self) -> dict[str, Any]:
        while self.failures:
            raise self.failures.pop()
        return {"_auth_user_id": "7"}


def test_a_pin_is_merged_with_what_is_under_the_keys_that_it_takes(
    local_cache: None, settings: Any, rf: RequestFactory, clock: Clock
) -> None:
    """Also where some of these could not be told by the look-up before."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    store, other = get_pin_store(), rf.get("/")
    store.declare_new()
    other.user = User(pk=7)
    store.save(other, HttpResponse(), Pin.on(["users"], clock() + 10))
    request = rf.post("/")
    request.session = FailsOnce("x" * 32)
    with pytest.raises(PinStoreUnavailable):
        store.load(request)
    store.save(request, HttpResponse(), Pin.on(["default"], clock() + 5))
    assert store.load(other).holds.keys() == {"users", "default"}
    clock.advance(6)
    assert store.load(other).holds.keys() == {"users"}


class Unreadable(LocMemCache):
    """What holds an entry, of a header, that another version of its serializer has written."""

    error: Exception

    def get_many(self, keys: Any, version: Any = None) -> dict[str, Any]:
        if any(":authorization:" in key for key in keys):
            raise self.error
        return super().get_many(keys, version)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no JSON"),
        UnpicklingError("no pickle"),
        EOFError("cut off"),
        ModuleNotFoundError("No module"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_read_is_replaced_and_takes_no_other_with_it(
    settings: Any,
    rf: RequestFactory,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(Unreadable, "error", error, raising=False)
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.Unreadable", "LOCATION": "unreadable"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    store, request = get_pin_store(), rf.get("/")
    store.declare_new()
    request.user = User(pk=7)
    store.save(request, HttpResponse(), Pin.on(["users"], clock() + 10))
    request.META["HTTP_AUTHORIZATION"] = "Token x"
    store.save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    for key in store.client(request):
        assert Pin.decode(caches["default"].get(key)).holds.keys() == {"users", "default"}
    assert not store.outage.may_miss_pins()
    [line] = lines(caplog)
    assert line.startswith(f"A pin could not be merged with what is under its key: {type(error).__name__}:")


def test_a_pin_that_has_run_out_is_not_written(
    local_cache: None, settings: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the cache was late."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    store = get_pin_store()
    store.declare_new()
    monkeypatch.setattr(store, "_set", lambda *arguments: pytest.fail("it was written"))
    assert store._set_all(["multidb:user:7"], Pin.on(["default"], clock() - 1).encode(), 0.1)
    assert not store.outage.may_miss_pins()


@pytest.fixture
def expiry(database_cache: None, settings: Any) -> Callable[[], float]:
    """When the row of the pin of a client with a token runs out, where pins are in a table."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()

    def ask() -> float:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT expires FROM pins WHERE cache_key LIKE '%authorization%'")
            [(expires,)] = cursor.fetchall()
        return float(expires.replace(tzinfo=UTC).timestamp())

    return ask


@pytest.mark.parametrize("statement", ["INSERT", "UPDATE"])
@pytest.mark.parametrize("seconds", [10, 0.9])
def test_what_the_database_refuses_once_is_taken_at_the_second_try(
    expiry: Callable[[], float], rf: RequestFactory, statement: str, seconds: float
) -> None:
    """As one of two that insert a row at once. It is there for all of the pin's time, though the table knows whole
    seconds only.
    """
    store, request = get_pin_store(), rf.get("/", headers={"authorization": "Token x"})
    if statement == "UPDATE":
        store.save(request, HttpResponse(), Pin.on(["default"], time.time() + 0.5))
    refusals = iter([True])
    connections["default"].connection.create_function("refused", 0, lambda: next(refusals, False))
    with connections["default"].cursor() as cursor:
        cursor.execute(
            f"CREATE TRIGGER once BEFORE {statement} ON pins WHEN refused() BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    until = time.time() + seconds
    store.save(request, HttpResponse(), Pin.on(["default"], until))
    assert next(refusals, None) is None
    assert not store.outage.may_miss_pins()
    assert until <= expiry() <= time.time() + seconds + 2


@pytest.mark.parametrize("count", [1, 2], ids=["new", "there"])
def test_what_is_not_refused_takes_one_try(
    expiry: Callable[[], float], rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("multidb.backends.cache.AT_ONCE_SECONDS", -1)
    store, request = get_pin_store(), rf.get("/", headers={"authorization": "Token x"})
    for seconds in range(count):
        until = time.time() + 5 + seconds
        store.save(request, HttpResponse(), Pin.on(["default"], until))
        assert not store.outage.may_miss_pins()
        assert until <= expiry() <= time.time() + 5 + seconds + 2


class Sealed(DatabaseCache):
    """A cache of a project's own, which keeps nothing as it is."""

    def set(self, key: str, value: Any, timeout: Any = None, version: Any = None) -> None:
        super().set(key, ("sealed", value), timeout, version)

    def get_many(self, keys: Any, version: Any = None) -> dict[str, Any]:
        return {key: value[1] for key, value in super().get_many(keys, version).items()}


class OfTenant(RedisCache):
    """Another, which keeps all under other keys."""

    def set(self, key: str, *arguments: Any, **options: Any) -> Any:
        return super().set(f"ada:{key}", *arguments, **options)

    def set_many(self, texts: Any, *arguments: Any, **options: Any) -> Any:
        return super().set_many({f"ada:{key}": text for key, text in texts.items()}, *arguments, **options)

    def get_many(self, keys: Any, *arguments: Any, **options: Any) -> Any:
        found = super().get_many([f"ada:{key}" for key in keys], *arguments, **options)
        return {key.removeprefix("ada:"): text for key, text in found.items()}


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize(("fixture", "name"), [("database_cache", "Sealed"), ("real_redis", "OfTenant")])
def test_a_cache_class_of_a_project_s_own_is_asked_in_its_way(
    request: pytest.FixtureRequest, settings: Any, fixture: str, name: str
) -> None:
    request.getfixturevalue(fixture)
    settings.CACHES = {"pins": {**settings.CACHES["pins"], "BACKEND": f"{__name__}.{name}"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()
    assert reason() == "replica"
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "pinned"


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize(("seconds", "tries"), [(0, 2), (0.2, 1)])
def test_a_table_that_is_locked_is_not_waited_for_twice(
    database_cache: None, settings: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, tries: int
) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins", "keys": ["authorization"]}}
    get_pin_store().declare_new()
    now, writes = [10.0], []

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE")):
            writes.append(sql)
            now[0] += seconds
            raise OperationalError("the table is locked")
        return execute(sql, *rest)

    monkeypatch.setattr("multidb.backends.cache.monotonic", lambda: now[0])
    with connections["default"].execute_wrapper(refuse):
        Client().post("/nothing", headers={"authorization": "Token x"})
    assert len(writes) == tries
    assert get_pin_store().outage.may_miss_pins()


@pytest.fixture
def django_redis(settings: Any, real_redis: Any) -> Iterator[Callable[..., None]]:
    """Keep pins in a cache of django-redis on these databases of a server, with these options."""
    before = settings.CACHES

    def use(*databases: int, **options: object) -> None:
        location, _ = before["pins"]["LOCATION"].rsplit("/", 1)
        addresses = [f"{location}/{number}" for number in databases]
        settings.CACHES = {"pins": {"BACKEND": DJANGO_REDIS, "LOCATION": addresses, "OPTIONS": options}}
        settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
        get_pin_store().declare_new()

    yield use
    caches["pins"].client.close()
    settings.CACHES = before


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_so_is_one_for_which_a_redis_has_no_memory_that_ignores_exceptions(django_redis: Callable[..., None]) -> None:
    django_redis(0, IGNORE_EXCEPTIONS=True)
    Client().post("/nothing", headers={"authorization": "Token y"})
    assert reason() == "replica"
    redis = get_redis_connection("pins")
    redis.config_set("maxmemory", 1)
    try:
        Client().post("/nothing", headers={"authorization": "Token x"})
        assert reason() == "store down"
    finally:
        redis.config_set("maxmemory", 0)


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_one_of_django_redis_that_is_down_is_left_alone_though_it_ignores_exceptions(settings: Any) -> None:
    options = {"IGNORE_EXCEPTIONS": True}
    settings.CACHES = {"default": {"BACKEND": DJANGO_REDIS, "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": options}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    assert reason() == "store down"
    assert get_pin_store().outage.is_resting()
    with pytest.raises(ConnectionInterrupted):
        get_pin_store().inspect()


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_of_django_redis_with_replicas_the_primary_is_asked(django_redis: Callable[..., None]) -> None:
    """The second is one that lags for ever."""
    django_redis(0, 1)
    for _ in range(3):
        Client().post("/nothing", headers={"authorization": "Token x"})
        assert reason() == "pinned"
    redis = get_redis_connection("pins")
    [key] = redis.keys("*:authorization:*")
    assert 0 < redis.ttl(key) <= 15


# django-redis itself says this to each of its clients.
@pytest.mark.filterwarnings("ignore:(get|set) on sharded client should not specify client:UserWarning")
@pytest.mark.django_db(transaction=True, databases="__all__")
def test_of_django_redis_with_shards_that_which_has_the_key_is_asked(django_redis: Callable[..., None]) -> None:
    django_redis(0, 1, CLIENT_CLASS="django_redis.client.ShardClient")
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "pinned"


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_the_cache_may_be_one_of_django_redis(real_redis: Any, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "pinned"
    assert Client().get("/read", headers={"authorization": "Token y"}).json()["reason"] == "replica"
    assert not caplog.records


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_cache_that_forgets_all_says_so_once(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Such as one that swallows its errors."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    assert [reason() for _ in range(3)] == ["store down"] * 3
    assert len(caplog.records) == 1


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_cache_that_has_lost_its_pins_is_noticed(failing: Callable[[bool], None], clock: Clock) -> None:
    Client().post("/nothing", headers={"authorization": "Token x"})
    assert reason() == "pinned"
    caches["default"].clear()
    assert reason() == "store down"
    clock.advance(15.1)
    assert reason() == "replica"


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("garbage", ["garbage", 2**53], ids=["text", "of a clock that has jumped"])
def test_a_marker_that_is_none_is_one_that_is_lost(failing: Callable[[bool], None], garbage: Any) -> None:
    caches["default"].set("multidb:marker", garbage)
    assert reason() == "store down"
    assert type(caches["default"].get("multidb:marker")) is int
    assert caches["default"].get("multidb:marker") < 2**53


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_one_that_fails_over_what_its_server_answers_is_left_alone(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    get_pin_store().declare_new()
    asked: list[object] = []

    def trip(cache: Any, keys: Any, version: Any = None) -> Any:
        asked.append(keys)
        raise TypeError("int is not iterable")

    monkeypatch.setattr(type(caches["default"]), "get_many", trip)
    assert [reason() for _ in range(3)] == ["store down"] * 3
    assert len(asked) == 1
    assert len(caplog.records) == 1


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_marker_outlives_the_timeout_of_the_cache(failing: Callable[[bool], None], clock: Clock) -> None:
    """Else a cache that has lost nothing would be taken for one that has, every five minutes."""
    clock.advance(301)
    assert reason() == "replica"
    caches["default"].clear()
    assert reason() == "store down"
    clock.advance(301)
    assert reason() == "replica"


def test_a_store_that_is_declared_gone_leaves_no_marker(local_cache: None, settings) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    get_pin_store().declare_new()
    assert caches["pins"]._cache
    get_pin_store().declare_gone()
    assert not caches["pins"]._cache


def test_the_round_trip_is_timed(local_cache: None, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the cache is asked until it has answered."""
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    store, now, get = get_pin_store(), [10.0], caches["pins"].get

    def slowly(*arguments: Any, **options: Any) -> object:
        now[0] += 0.25
        return get(*arguments, **options)

    monkeypatch.setattr("multidb.backends.cache.monotonic", lambda: now[0])
    monkeypatch.setattr(caches["pins"], "get", slowly)
    assert store.inspect().round_trip == 0.25
