"""A session that goes, spoils or cannot be loaded: no request fails that Django alone answers, and no pin is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path

from multidb.backends import get_pin_store
from multidb.middleware import pinning_cookie
from tests.conftest import use_store
from tests.models import Post
from tests.views import read

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.urls(__name__)]

PINNING = "multidb.middleware.PinningRouterMiddleware"


class SessionStore(db.SessionStore):
    """An engine that fails for those sessions whose keys are in ``failing``."""

    failing: set[str | None] = set()

    def load(self) -> Any:
        self._fail()
        return super().load()

    def save(self, must_create: bool = False) -> None:
        self._fail()
        super().save(must_create)

    def _fail(self) -> None:
        if self.session_key in self.failing:
            raise OSError("The session store is down.")


class Meanwhile(NamedTuple):
    """What happens to the session while a view runs, and whether that is after the view has used it."""

    happens: Callable[[Any], None]
    after: str


meanwhile: list[Meanwhile] = []


def remember(request: HttpRequest) -> JsonResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({})


def work(request: HttpRequest) -> JsonResponse:
    for happens, after in meanwhile:
        if after == "the database was read":
            assert Post.objects.count() == 0
        if after == "it was read":
            assert request.session["visits"]
        if after == "it was changed":
            request.session["visits"] += 1
        happens(request.session)
    return JsonResponse({"posts": Post.objects.count()})


urlpatterns = [path("remember", remember), path("work", work), path("read", read)]


@pytest.fixture(autouse=True)
def _nothing_happens() -> Any:
    yield
    meanwhile.clear()
    SessionStore.failing.clear()


def delete(session: Any) -> None:
    type(session)().delete(session.session_key)


def expire(session: Any) -> None:
    other = type(session)(session.session_key)
    other.set_expiry(-1)
    other.save()


def spoil(session: Any) -> None:
    """As another release of Django or another ``SECRET_KEY`` does."""
    Session.objects.filter(pk=session.session_key).update(session_data="garbage")
    if hasattr(session, "cache_key"):
        cache.set(session.cache_key, "garbage")
    if hasattr(session, "_key_to_file"):
        Path(session._key_to_file()).write_text("garbage")


def fail(session: Any) -> None:
    SessionStore.failing.add(session.session_key)


FAULTS = {"deleted": delete, "expired": expire, "unreadable": spoil, "failing": fail}
ENGINES = ["db", "cached_db", "cache", "file"]
CASES = [
    *((engine, fault) for engine in ENGINES for fault in ("deleted", "expired", "unreadable")),
    ("ours", "failing"),
]


@pytest.fixture(params=["session", "redis"])
def pins(request: pytest.FixtureRequest) -> str:
    """Where pins are: in the session, or in Redis under the user and the session."""
    use_store(request, request.param, **({} if request.param == "session" else {"keys": ["user", "session"]}))
    return str(request.param)


@pytest.fixture
def engine(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> str:
    name: str = request.param
    settings.SESSION_ENGINE = __name__ if name == "ours" else f"django.contrib.sessions.backends.{name}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return name


@pytest.fixture(params=[False, True], ids=["saved as needed", "SESSION_SAVE_EVERY_REQUEST"])
def _saved(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = request.param


def visitor() -> Client:
    """A client with a session."""
    client = Client(raise_request_exception=False)
    assert client.get("/remember").status_code == 200
    return client


class Answered(NamedTuple):
    """What a client is told: ``session_cookie`` is ``"set"``, ``"deleted"`` or ``"left alone"``."""

    status: int
    session_cookie: str


def answer(method: str, fault: str, when: str) -> tuple[Client, Answered]:
    """A client to whose session ``fault`` happens, and how its request is answered."""
    client = visitor()
    meanwhile.clear()
    if when == "before":
        FAULTS[fault](client.session)
    else:
        meanwhile.append(Meanwhile(FAULTS[fault], when))
    response = getattr(client, method)("/work")
    meanwhile.clear()
    SessionStore.failing.clear()
    cookie = response.cookies.get(settings.SESSION_COOKIE_NAME)
    session_cookie = "left alone" if cookie is None else "set" if cookie.value else "deleted"
    return client, Answered(response.status_code, session_cookie)


@pytest.mark.parametrize("when", ["before", "nothing", "the database was read", "it was read", "it was changed"])
@pytest.mark.parametrize(("engine", "fault"), CASES, indirect=["engine"])
@pytest.mark.usefixtures("_saved")
def test_no_request_fails_that_django_answers_and_no_pin_is_lost(
    pins: str, engine: str, fault: str, when: str, settings: Any
) -> None:
    """Of one that Django itself fails, the client is not told that its write succeeded."""
    with_library = settings.MIDDLEWARE
    settings.MIDDLEWARE = [name for name in with_library if name != PINNING]
    expected = {method: answer(method, fault, when)[1] for method in ("get", "post")}
    settings.MIDDLEWARE = with_library
    for method in ("get", "post"):
        client, answered = answer(method, fault, when)
        assert answered == expected[method]
        if method == "post" and answered.status == 200:
            assert client.get("/read").json()["reason"] in ("pinned", "store down")
    assert reason_of_another() == "replica"


def reason_of_another() -> str:
    """Where somebody else reads, with a session of their own."""
    return str(visitor().get("/read").json()["reason"])


@pytest.mark.parametrize("cookie", ["garbage", "", "a:b:c", "\x00"])
def test_a_session_in_a_cookie_that_is_none(pins: str, settings: Any, cookie: str) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client = visitor()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert client.get("/read").json()["reason"] == "replica"
    response = client.post("/work")
    assert pinning_cookie() in response.cookies
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize("engine", ["ours"], indirect=True)
def test_a_session_store_that_fails_for_one_client_is_no_outage_for_the_others(
    pins: str, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who cannot be told apart is asked to wait at the primary, and pinned by the cookie."""
    client, other = visitor(), visitor()
    fail(client.session)
    for _ in range(3):
        assert client.get("/read").json()["reason"] == "store down"
        assert other.get("/read").json()["reason"] == "replica"
    response = client.post("/work")
    assert pinning_cookie() in response.cookies
    assert client.get("/read").json()["reason"] == "pinned"
    assert other.get("/read").json()["reason"] == "replica"
    other.post("/work")
    assert other.get("/read").json()["reason"] == "pinned"
    assert get_pin_store().outage.may_ask()
    assert "is left alone" not in caplog.text


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("after", ["it was read", "it was changed"])
@pytest.mark.usefixtures("_saved")
def test_of_two_requests_that_save_the_session_at_once_both_are_answered_and_pin(
    pins: str, engine: str, after: str
) -> None:
    """The one writes, and changes the session, while the view of the other, which writes as well, has it loaded."""
    client = visitor()
    second = Client(raise_request_exception=False)
    second.cookies = client.cookies

    def save_too(session: Any) -> None:
        meanwhile.clear()
        meanwhile.append(Meanwhile(lambda session: None, "it was changed"))
        assert second.post("/work").status_code == 200

    meanwhile.append(Meanwhile(save_too, after))
    assert client.post("/work").status_code == 200
    meanwhile.clear()
    for each in (client, second):
        assert each.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_a_request_that_only_reads_and_saves_the_session_ends_no_pin_that_another_has_set(
    pins: str, engine: str
) -> None:
    """It had the session loaded before the other wrote, and saves it afterwards."""
    client = visitor()
    second = Client()
    second.cookies = client.cookies
    meanwhile.append(Meanwhile(lambda session: write_by(second), "it was changed"))
    assert client.get("/work").status_code == 200
    assert client.get("/read").json()["reason"] == "pinned"


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.usefixtures("_saved")
def test_a_session_that_the_view_has_not_used_is_saved_as_others_have_left_it(pins: str, engine: str) -> None:
    """Though a store has looked at it before, for the keys of the client."""
    client = visitor()
    second = Client()
    second.cookies = client.cookies
    meanwhile.append(Meanwhile(lambda session: second.get("/remember"), "the database was read"))
    assert client.get("/work").status_code == 200
    assert client.session["visits"] == 2


def write_by(client: Client) -> None:
    meanwhile.clear()
    assert client.post("/work").status_code == 200
