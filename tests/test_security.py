"""What docs/security.md claims: what is stored, what it costs, and what those can do who have got further in."""

import base64
import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.core.cache import caches
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings

from multidb.backends import get_pin_store
from multidb.checks import check_settings
from multidb.middleware import pinning_cookie
from multidb.pins import DEPLOYED_SECONDS, Pin
from tests.blocks import block
from tests.conftest import REDIS, Clock, use_store

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

PASSWORD = "correct-horse-battery-staple"


def test_the_cookie_names_the_primaries_and_the_time_and_nobody(client: Client) -> None:
    """All of it, and all that whoever has it can read."""
    client.force_login(User.objects.create_user("ada"))
    cookie = client.post("/nothing").cookies[pinning_cookie()].value
    payload = cookie.split(":")[0]
    pin = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert list(pin) == ["default"]
    [[until]] = pin.values()
    assert time.time() < until / 1000 <= time.time() + 16


def test_one_client_s_cookie_pins_another_that_is_given_it() -> None:
    """It is not bound to a client: it can be planted by who can set cookies for the site."""
    cookie = Client().post("/nothing").cookies[pinning_cookie()].value
    assert Client().get("/read", HTTP_COOKIE=f"{pinning_cookie()}={cookie}").json()["reason"] == "pinned"


def test_a_second_cookie_of_the_name_hides_the_first(client: Client) -> None:
    """The site sees the last one of a name: so an attacker who can plant one can also hide one."""
    client.post("/nothing")
    both = f"{pinning_cookie()}={client.cookies[pinning_cookie()].value}; {pinning_cookie()}=none"
    assert Client().get("/read", HTTP_COOKIE=both).json()["reason"] == "replica"


def test_the_cookie_is_one_that_may_be_called_host(client: Client, settings: Any) -> None:
    settings.MULTIDB_PINNING_COOKIE, settings.MULTIDB_PINNING_COOKIE_SECURE = "__Host-pin", True
    cookie = client.post("/nothing").cookies["__Host-pin"]
    assert (cookie["path"], cookie["domain"], cookie["secure"]) == ("/", "", True)


@pytest.mark.parametrize(("trigger", "reason"), [("method", "pinned"), ("write", "replica")])
def test_a_post_that_csrf_protection_refuses_pins_only_by_its_method(settings: Any, trigger: str, reason: str) -> None:
    settings.MULTIDB_PINNING_TRIGGER = trigger
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    victim = Client(enforce_csrf_checks=True)
    assert victim.post("/nothing", headers={"origin": "https://attacker.example"}).status_code == 403
    assert victim.get("/read").json()["reason"] == reason


def test_what_middleware_before_ours_refuses_pins_nobody(settings: Any) -> None:
    settings.MIDDLEWARE = [f"{__name__}.Refuses", *settings.MIDDLEWARE]
    visitor = Client()
    assert visitor.post("/nothing").status_code == 429
    assert visitor.get("/read").json()["reason"] == "replica"


class Refuses:
    """Stands for a rate limit."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        return HttpResponse(status=429) if request.method == "POST" else self._get_response(request)


def test_a_request_with_a_new_header_costs_redis_a_few_hundred_bytes(request: pytest.FixtureRequest) -> None:
    use_store(request, "redis")
    client = caches["pins"].client.get_client()
    before = client.dbsize()
    for number in range(50):
        Client().post("/nothing", HTTP_AUTHORIZATION=f"Token {number}" * 1000)
    keys = client.keys("multidb:authorization:*")
    assert len(keys) == 50
    assert client.dbsize() - before <= 51
    assert max(client.memory_usage(key) for key in keys) <= 300


def test_a_user_who_may_not_ping_is_not_taken_for_a_server_that_is_down(request: pytest.FixtureRequest) -> None:
    use_store(request, "redis")
    port = urlsplit(settings.CACHES["pins"]["LOCATION"]).port or 0
    rights = rights_of("rights")
    for given, ids in ((rights.replace(" +ping", ""), []), (rights.replace(" on ", " off "), ["multidb.W039"])):
        with user_of([port], given), logged_in(port):
            told = [message.id for message in get_pin_store().check()]
            assert [id for id in told if id == "multidb.W039"] == ids


def rights_of(marker: str) -> str:
    """What the page gives the user of the pin store."""
    [rights] = re.findall(r"^ACL SETUSER (multidb .+)$", block("docs/security.md", marker), re.MULTILINE)
    return str(rights)


@pytest.mark.parametrize(
    ("store", "marker", "prefix"),
    [("redis", "rights", "multidb"), ("redis", "rights", "site"), ("redis cluster", "rights in a cluster", "multidb")],
)
def test_the_rights_that_the_page_names_are_all_that_the_store_needs(
    request: pytest.FixtureRequest, clock: Clock, rf: RequestFactory, store: str, marker: str, prefix: str
) -> None:
    rights = rights_of(marker).replace("multidb:*", f"{prefix}:*")
    use_store(request, store, prefix=prefix)
    ports = [urlsplit(address).port or 0 for address in settings.CACHES["pins"]["LOCATION"].split(",")]
    with user_of(ports, rights):
        with logged_in(*ports):
            get_pin_store().declare_new()
            for number in range(50):  # So many clients, twice, that each node of a cluster has some.
                client = rf.get("/", headers={"authorization": f"Token {number % 25}"})
                get_pin_store().save(client, HttpResponse(), Pin.on(["default"], clock() + 10))
                assert get_pin_store().load(client) is not None
            assert not get_pin_store().outage.is_resting()
        with redis.Redis(port=ports[0], username="multidb", password=PASSWORD) as restricted:
            for command in (("KEYS", "*"), ("GET", "other"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    restricted.execute_command(*command)


@contextmanager
def user_of(ports: list[int], rights: str) -> Iterator[None]:
    """Inside, each Redis has the user ``multidb`` with these rights."""
    with ExitStack() as stack:
        for port in ports:
            admin = stack.enter_context(redis.Redis(port=port))
            admin.execute_command("ACL", "SETUSER", *rights.replace("PASSWORD", PASSWORD).split())
            stack.callback(admin.execute_command, "ACL", "DELUSER", "multidb")
        yield


def test_no_password_is_in_the_log(
    request: pytest.FixtureRequest, redis_port: int, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    use_store(request, "redis")
    for port in (redis_port, 1):  # One refuses the password, and on the other nobody listens.
        with logged_in(port):
            assert Client().get("/read", HTTP_AUTHORIZATION="Token of-a-client").status_code == 200
            assert Client().post("/nothing", HTTP_AUTHORIZATION="Token of-a-client").cookies
    assert caplog.text.count("is left alone") == 2
    for secret in (PASSWORD, "of-a-client", settings.SECRET_KEY):
        assert secret not in caplog.text + repr([record.args for record in caplog.records])


@contextmanager
def logged_in(*ports: int) -> Iterator[None]:
    """Inside, the cache ``pins`` is that of the user ``multidb`` of the Redis, or of the cluster, on ``ports``."""
    location = ",".join(f"redis://multidb:{PASSWORD}@127.0.0.1:{port}/0" for port in ports)
    cache = {**settings.CACHES["pins"], "LOCATION": location}
    store = dict(settings.MULTIDB_PIN_STORE)  # Another object, and so another store.
    with override_settings(CACHES={**settings.CACHES, "pins": cache}, MULTIDB_PIN_STORE=store):
        yield
        caches["pins"].client.close()


def test_who_can_write_to_redis_can_pin_but_not_for_longer_than_the_seconds(
    request: pytest.FixtureRequest, clock: Clock
) -> None:
    use_store(request, "redis")
    redis_client = caches["pins"].client.get_client()
    ada = Client()
    ada.force_login(user := User.objects.create_user("ada"))
    key = f"multidb:user:{user.pk}"
    for seconds, reason in [(14, "pinned"), (10**6, "replica")]:
        redis_client.set(key, Pin.on(["default"], clock() + seconds).encode())
        assert ada.get("/read").json()["reason"] == reason
    redis_client.set(key, Pin.on(["default"], clock() + 15 + DEPLOYED_SECONDS - 1).encode())
    request = RequestFactory().get("/")
    request.user = user
    assert get_pin_store().load(request).seconds_left(clock()) <= 15.1


def test_who_can_write_to_redis_can_claim_that_pins_were_lost(request: pytest.FixtureRequest) -> None:
    use_store(request, "redis")
    reader = {"HTTP_AUTHORIZATION": "Token x"}
    assert Client().get("/read", **reader).json()["reason"] == "replica"
    caches["pins"].client.get_client().delete("multidb:marker")
    assert Client().get("/read", **reader).json()["reason"] == "store down"


def test_a_key_ends_although_one_was_there_that_would_have_lasted(
    request: pytest.FixtureRequest, rf: RequestFactory, clock: Clock
) -> None:
    """Not with the seconds, for what was there may be of a process that has more of them."""
    use_store(request, "redis")
    client = caches["pins"].client.get_client()
    post = rf.post("/", headers={"authorization": "Token x"})
    get_pin_store().save(post, HttpResponse(), Pin.on(["default"], clock() + 10))
    [key] = client.keys("multidb:authorization:*")
    client.pexpire(key, 10**9)
    get_pin_store().save(post, HttpResponse(), Pin.on(["default"], clock() + 10))
    assert 9_000 < client.pttl(key) <= (15 + DEPLOYED_SECONDS) * 1000


def test_names_in_a_pin_do_not_fill_the_log(
    client: Client, rf: RequestFactory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever could sign one could send another every time."""
    response = HttpResponse()
    get_pin_store().save(rf.get("/"), response, Pin.on([f"p{number}" for number in range(100)], clock() + 10))
    client.get("/databases", HTTP_COOKIE=f"{pinning_cookie()}={response.cookies[pinning_cookie()].value}")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "setting",
    [
        {"BACKEND": REDIS, "LOCATION": "redis://:s3cret@host"},
        "redis://:s3cret@host",
        {"BACKEND": REDIS, "OPTIONS": {"alias": "pins"}, "PASSWORD": "s3cret"},
        {"BACKEND": REDIS, "OPTIONS": {"alias": "pins"}},
    ],
    ids=["a location", "an address", "a password", "an address that is none"],
)
def test_no_password_is_in_an_error(settings: Any, setting: Any) -> None:
    settings.CACHES = {"pins": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://:s3/cret@host"}}
    settings.MULTIDB_PIN_STORE = setting
    messages = check_settings()
    assert messages
    assert not [message for message in messages if "s3" in f"{message.msg} {message.hint}"]


def test_who_has_the_secret_key_can_pin_any_browser_that_takes_the_cookie(clock: Clock, settings: Any) -> None:
    class Plain:
        def dumps(self, text: str) -> bytes:
            return text.encode()

    pin = Pin.on(["default"], clock() + 10).encode()
    cookie = signing.dumps(pin, salt=f"multidb.backends.cookie:{pinning_cookie()}", serializer=Plain)
    assert Client().get("/read", HTTP_COOKIE=f"{pinning_cookie()}={cookie}").json()["reason"] == "pinned"
    settings.SECRET_KEY = "a new secret key"
    assert Client().get("/read", HTTP_COOKIE=f"{pinning_cookie()}={cookie}").json()["reason"] == "replica"


def test_a_session_pins_its_user_though_nobody_has_checked_it_against_the_password(
    request: pytest.FixtureRequest,
) -> None:
    """By the user in the session: a session that a change of password has ended, until a view asks for the user."""
    use_store(request, "redis")
    user = User.objects.create_user("ada")
    old, new = Client(), Client()
    old.force_login(user)
    user.set_password("another")
    user.save()
    new.force_login(user)
    assert new.get("/read").json()["reason"] == "replica"
    old.post("/nothing")
    assert new.get("/read").json()["reason"] == "pinned"
    assert old.get("/who").json()["user"] == ""
