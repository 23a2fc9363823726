"""Whatever a client sends: nobody is pinned who did not write, nothing fails, and nothing of it is kept or told.

``benchmarks/fuzz.py`` does the same with many more inputs, and less variety of stores.
"""

import itertools
import json
import logging
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.core import signing
from django.test import AsyncClient, Client, RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from multidb.middleware import pinning_cookie
from multidb.pins import Pin
from tests.conftest import Clock

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

# A fixture starts the store once for all examples, which do not disturb each other.
examples = hypothesis_settings(
    max_examples=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Each character is a byte, as WSGI has it.
as_bytes = st.text(st.characters(max_codepoint=255), max_size=300)
tokens = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&'*+-.^_`|~0123456789", max_size=40)
methods = st.sampled_from(["GET", "get", "Options", "POST", "patch", "DELETE", "QUERY", ""]) | tokens
octal = as_bytes.map(lambda text: '"' + "".join(f"\\{ord(character):03o}" for character in text) + '"')
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.just("default") | st.text(max_size=9), inner),
).map(json.dumps)


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """``text`` with a part of it replaced."""
    start, end = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    return text[:start] + draw(as_bytes | octal) + text[end:]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, of every logger and level."""
    caplog.set_level(logging.DEBUG, "multidb")
    return caplog


def signed_pin(until: float, **how: Any) -> str:
    class Plain:
        def dumps(self, text: str) -> bytes:
            return text.encode()

    how = {"salt": f"multidb.backends.cookie:{pinning_cookie()}", **how}
    return signing.dumps(Pin.on(["default"], until).encode(), serializer=Plain, **how)


def reason(**headers: str) -> str:
    return Client().get("/read", **headers).json()["reason"]


@examples
@given(drawn=st.data())
def test_a_cookie_pins_nobody_unless_it_is_one_that_we_signed(
    store: str, told: pytest.LogCaptureFixture, clock: Clock, drawn: st.DataObject
) -> None:
    ours = signed_pin(clock() + 10)
    assert reason(HTTP_COOKIE=f"{pinning_cookie()}={ours}") == "pinned"
    others = st.sampled_from(
        [
            signed_pin(clock() + 10, key="another secret key"),
            signed_pin(clock() + 10, salt="django.contrib.messages"),
            signed_pin(clock() + 10, salt="multidb.backends.cookie:another_name"),
        ]
    )
    value = drawn.draw(as_bytes | octal | changed(ours) | others | others.flatmap(changed))
    header = f"{pinning_cookie()}={value}"
    is_ours = RequestFactory().get("/", HTTP_COOKIE=header).COOKIES.get(pinning_cookie()) == ours
    assert reason(HTTP_COOKIE=header) == ("pinned" if is_ours else "replica")
    assert not told.records


@examples
@given(text=json_texts | as_bytes | st.integers(1, 2000).map(lambda depth: "[" * depth) | st.just('{"default":[NaN]}'))
def test_what_is_signed_and_no_pin_pins_nobody_and_fails_nothing(store: str, clock: Clock, text: str) -> None:
    """As if the ``SECRET_KEY`` were known: it takes a pin, and one of this time, to pin."""
    with patch.object(Pin, "encode", lambda pin: text):
        cookie = signed_pin(clock() + 10)
    assert reason(HTTP_COOKIE=f"{pinning_cookie()}={cookie}") == "replica"


@examples
@given(
    method=methods,
    cookies=st.lists(
        st.tuples(st.sampled_from([pinning_cookie(), "sessionid", ""]) | tokens, as_bytes | octal), max_size=4
    ),
    authorization=as_bytes | st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)),
    is_async=st.booleans(),
)
def test_no_request_fails_and_nothing_of_it_is_in_the_log(
    store: str,
    told: pytest.LogCaptureFixture,
    method: str,
    cookies: list[tuple[str, str]],
    authorization: str,
    is_async: bool,
) -> None:
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies), "authorization": authorization}
    if is_async:
        response = over_asgi(method, headers)
    else:
        response = Client().generic(method, "/who", **{f"HTTP_{name.upper()}": text for name, text in headers.items()})
    assert response.status_code == 200
    if method.upper() not in ("GET", "HEAD", "OPTIONS", "TRACE"):
        assert response.json()["reason"] == "method"
    assert not told.records


@async_to_sync
async def over_asgi(method: str, headers: dict[str, str]) -> Any:
    as_latin = {name: text.encode("latin-1", "replace").decode("latin-1") for name, text in headers.items()}
    return await AsyncClient().generic(method, "/who", headers=as_latin)


@examples
@given(drawn=st.data())
def test_a_session_id_is_no_other_client_s(keyed_store: str, clock: Clock, drawn: st.DataObject) -> None:
    """Nor is a header: one that differs anywhere pins nobody, though the one that it was made from is pinned."""
    authorization = "Token 401f7ac837da42b97f613d789819ff93537bee6a"
    if drawn.draw(st.booleans()):
        headers = {"HTTP_AUTHORIZATION": authorization}
        other = {"HTTP_AUTHORIZATION": drawn.draw(changed(authorization))}
    else:
        session = Client().get("/remember").cookies["sessionid"].value
        headers = {"HTTP_COOKIE": f"sessionid={session}"}
        other = {"HTTP_COOKIE": f"sessionid={drawn.draw(changed(session))}"}
        if RequestFactory().get("/", **other).COOKIES.get("sessionid") == session:
            return
    Client().post("/nothing", **headers)
    assert reason(**headers) == "pinned"
    assert headers == other or reason(**other) == "replica"


def test_many_cookies_are_looked_at_once(store: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cookies of one name Django takes the last, and only that is verified."""
    verified: list[str] = []
    loads = signing.loads
    monkeypatch.setattr(signing, "loads", lambda text, **how: verified.append(text) or loads(text, **how))
    forged = [f"{pinning_cookie()}={number}:a:b" for number in range(1000)]
    others = [f"c{number}={number}" for number in range(1000)]
    assert reason(HTTP_COOKIE="; ".join(itertools.chain(others, forged))) == "replica"
    assert verified == ["999:a:b"]
