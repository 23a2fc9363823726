"""What a store may know of a session without loading it."""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends import cache, cached_db
from django.contrib.sessions.backends.db import SessionStore as DatabaseSession
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from multidb.backends.client_session import ask_again, is_known, load, peek, session_key
from multidb.pins import PinStoreUnavailable

LOCAL = "django.core.cache.backends.locmem.LocMemCache"


def test_the_key_is_that_of_the_session() -> None:
    request = HttpRequest()
    request.session = SessionStore("x" * 32)
    assert session_key(request) == "x" * 32
    assert not is_known(request.session)


def test_a_session_is_known_by_whoever_reads_it_first() -> None:
    session = SessionStore("x" * 32)
    assert not is_known(session)
    session.get("anything")
    assert is_known(session)


@pytest.mark.parametrize("attributes", [{}, {"session": None}, {"session": {}}])
def test_without_a_session_of_django_there_is_no_key(attributes: dict[str, Any]) -> None:
    request = HttpRequest()
    vars(request).update(attributes)
    assert session_key(request) is None


@pytest.mark.parametrize("is_loaded", [False, True])
def test_on_an_event_loop_only_what_is_known_is_looked_at(is_loaded: bool) -> None:
    session = SessionStore("x" * 32)
    if is_loaded:
        session["user"] = "ada"

    async def look() -> Any:
        return peek(session)

    if is_loaded:
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
    assert is_known(session)
    assert session.get("anything") is None
    assert session.session_key is None


@pytest.mark.django_db(databases="__all__")
def test_whoever_uses_a_session_finds_it_as_it_is_by_then(django_assert_num_queries: Any) -> None:
    """And not as it was when a look was taken at it, which one query is enough for."""
    session = DatabaseSession()
    session["basket"] = "a book"
    session.save()
    looked_at, other = DatabaseSession(session.session_key), DatabaseSession(session.session_key)
    with django_assert_num_queries(1):
        assert [peek(looked_at), peek(looked_at)] == [{"basket": "a book"}] * 2
    other["basket"] = "two books"
    other.save()
    assert looked_at["basket"] == "two books"
    assert peek(looked_at) == {"basket": "two books"}


@pytest.mark.django_db(databases="__all__")
def test_a_session_that_can_never_have_been_is_not_asked_for(django_assert_num_queries: Any) -> None:
    """PostgreSQL would refuse its key."""
    with django_assert_num_queries(0):
        assert peek(DatabaseSession("\x00" * 8)) is None


def test_one_that_is_loaded_needs_no_thread_and_others_do() -> None:
    session = SessionStore()
    session["basket"] = "a book"

    async def content(of: SessionStore) -> Any:
        return load(of)

    assert async_to_sync(content)(session) == {"basket": "a book"}
    with pytest.raises(SynchronousOnlyOperation):
        async_to_sync(content)(SessionStore("x" * 32))


@pytest.mark.django_db(databases="__all__")
def test_under_another_key_is_another_session() -> None:
    session = DatabaseSession("gone" * 8)
    assert peek(session) is None
    session["basket"] = "a book"
    session.create()
    fresh = DatabaseSession("gone" * 8)
    assert peek(fresh) is None
    fresh._session_key = session.session_key
    assert not is_known(fresh)


class Waits(DatabaseSession):
    """Of its objects, the first that is loaded waits until ``go`` is set."""

    began = threading.Event()
    go = threading.Event()

    def load(self) -> Any:
        if not self.began.is_set():
            self.began.set()
            assert self.go.wait(5)
        return super().load()


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_what_a_view_does_with_a_session_meanwhile_stays_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an event loop, beside the thread in which its store looks the pin up."""
    saved = DatabaseSession()
    saved["visits"] = 1
    saved.save()
    for name in ("began", "go"):
        monkeypatch.setattr(Waits, name, threading.Event())
    session = Waits(saved.session_key)

    def look() -> None:
        peek(session)
        connections.close_all()

    looking = threading.Thread(target=look)
    looking.start()
    assert Waits.began.wait(5)
    session["visits"] = 2
    Waits.go.set()
    looking.join()
    assert session.modified
    assert session.accessed
    assert vars(session)["_session_cache"] == {"visits": 2}


class Fails(DatabaseSession):
    """Whose server does not answer."""

    loads = 0

    def load(self) -> Any:
        Fails.loads += 1
        raise OSError("refused")


def test_a_session_that_cannot_be_loaded_is_asked_for_once_and_again_when_much_depends_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each question may take the timeout of its server."""
    monkeypatch.setattr(Fails, "loads", 0)
    request = HttpRequest()
    request.session = Fails("a" * 32)
    for asked in (1, 2):
        for error in (OSError, PinStoreUnavailable, PinStoreUnavailable):
            with pytest.raises(error):
                peek(request.session)
            assert is_known(request.session)
        assert Fails.loads == asked
        ask_again(request)


def test_one_that_cannot_be_loaded_leaves_nothing_behind(without_collection: None) -> None:
    """Else the error would keep the request, and what it is made of, until the next collection."""
    request = HttpRequest()
    request.session = Fails("a" * 32)
    gone = weakref.ref(request)

    def look(of: HttpRequest) -> None:
        with suppress(OSError):
            peek(of.session)

    look(request)
    del request
    assert gone() is None


@pytest.fixture
def without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.django_db(databases="__all__")
def test_a_lazy_session_is_looked_at_as_the_one_that_it_stands_for(django_assert_num_queries: Any) -> None:
    """As a middleware of a project's own makes it."""
    saved = DatabaseSession()
    saved["basket"] = "a book"
    saved.save()
    for look in (peek, load):
        request = HttpRequest()
        request.session = SimpleLazyObject(lambda: DatabaseSession(saved.session_key))
        assert session_key(request) == saved.session_key
        assert not is_known(request.session)
        with django_assert_num_queries(1):
            assert [look(request.session), look(request.session)] == [{"basket": "a book"}] * 2
        assert is_known(request.session)


def test_a_lazy_session_that_could_not_be_loaded_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fails, "loads", 0)
    request = HttpRequest()
    request.session = SimpleLazyObject(lambda: Fails("a" * 32))
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            peek(request.session)
        ask_again(request)
    assert Fails.loads == 2


@pytest.mark.django_db(databases="__all__")
def test_what_is_known_is_not_asked_for_again(django_assert_num_queries: Any) -> None:
    request = HttpRequest()
    request.session = DatabaseSession("gone" * 8)
    with django_assert_num_queries(1):
        assert peek(request.session) is None
        ask_again(request)
        assert peek(request.session) is None


@pytest.mark.parametrize("attributes", [{}, {"session": None}, {"session": {"user": "ada"}}])
def test_what_is_no_session_of_django_holds_nothing(attributes: dict[str, Any]) -> None:
    """As where an API without sessions puts a dict in their place."""
    request = HttpRequest()
    vars(request).update(attributes)
    ask_again(request)
    assert peek(getattr(request, "session", None)) is None


class Made(DatabaseSession):
    """As a project's own session, which is made of more than its key, and knows more than it was made of."""

    def __init__(self, address: str, agent: str, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.address = address

    @classmethod
    def get_model_class(cls) -> Any:
        return Session

    def load(self) -> Any:
        return {"of": self.address, "by": self.tenant, **super().load()}


@pytest.mark.django_db(databases="__all__")
def test_a_session_may_be_made_of_more_than_its_key() -> None:
    stored = Made("127.0.0.1", "a browser")
    stored.tenant = "ada's"
    stored["basket"] = "a book"
    stored.create()
    session = Made("127.0.0.1", "a browser", stored.session_key)
    session.tenant = "ada's"
    assert peek(session) == {"of": "127.0.0.1", "by": "ada's", "basket": "a book"}
    assert "_session_cache" not in vars(session)


@pytest.mark.parametrize("engine", [cache, cached_db])
def test_the_client_of_a_cache_is_not_shared_by_two_threads(settings: Any, engine: Any) -> None:
    """Not of every Memcached client may be."""
    asked: list[Any] = []

    class Noting(LocMemCache):
        def get(self, *arguments: Any, **options: Any) -> Any:
            asked.append(self)
            return {"basket": "a book"}

    settings.CACHES = {"default": {"BACKEND": LOCAL}}
    session = engine.SessionStore("x" * 32)
    caches["default"] = ours = Noting("", {})
    assert peek(session) == {"basket": "a book"}
    assert asked == [ours]


class Elsewhere(cache.SessionStore):
    """Sessions in a cache of their own."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache = caches["sessions"]


def test_a_session_is_looked_for_in_the_cache_in_which_its_class_keeps_it(settings: Any) -> None:
    settings.CACHES = {alias: {"BACKEND": LOCAL, "LOCATION": alias} for alias in ("default", "sessions")}
    stored = Elsewhere()
    stored["basket"] = "a book"
    stored.create()
    assert peek(Elsewhere(stored.session_key)) == {"basket": "a book"}
    caches["sessions"].clear()
    assert peek(Elsewhere(stored.session_key)) is None


class AlsoElsewhere(Elsewhere):
    """Which has another cache, where it is told so."""

    looked_in: ClassVar[list[Any]] = []

    def __init__(self, session_key: str | None = None, other: str = "") -> None:
        super().__init__(session_key)
        if other:
            self.other = caches[other]

    def load(self) -> Any:
        self.looked_in.append(self.other)
        return super().load()


def test_a_cache_that_it_was_told_of_stays_in_another_thread_too(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHES = {alias: {"BACKEND": LOCAL, "LOCATION": alias} for alias in ("default", "sessions", "other")}
    monkeypatch.setattr(AlsoElsewhere, "looked_in", [])
    session = AlsoElsewhere("x" * 32, "other")
    for look in (peek, lambda session: run_in_thread(peek, session)):
        vars(session).pop("_multidb_peeked", None)
        look(session)
    assert session.looked_in == [session.other] * 2


def run_in_thread(function: Any, *arguments: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function, *arguments).result()


class OfTenant(DatabaseSession):
    """A session whose class knows what is usual, where it is told nothing else."""

    def __init__(self, session_key: str | None = None, tenant: str = "public") -> None:
        super().__init__(session_key)
        self.tenant = tenant

    @classmethod
    def get_model_class(cls) -> Any:
        return Session

    def load(self) -> Any:
        return {"of": self.tenant}


@pytest.mark.django_db(databases="__all__")
def test_what_a_session_was_made_of_counts_and_not_what_is_usual() -> None:
    assert peek(OfTenant("x" * 32, "ada's")) == {"of": "ada's"}
