"""Requests that are made without a server, and the middleware that takes them."""

from collections.abc import Callable
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.utils.module_loading import import_string

from costs import pages

# What is requested, by kind; of the kinds, a pinned one is of a client that has just written.
METHODS = {"reading": "GET", "pinned": "GET", "writing": "POST"}

# Two that have nothing to do with pins, as most clients have some.
COOKIES = "sessionid=1vr6lxlhjb4e0yv9hq2r0dn0x6ffw4ws; csrftoken=Bq3UNBmHhMdPqvzHQmAjVtwCj7Kc1b8T"


def wsgi_request(method: str, path: str = "routed", **headers: str) -> WSGIRequest:
    """``headers`` are named as in WSGI's environ."""
    return WSGIRequest(environ(method, path, **headers))


def asgi_request(method: str, path: str, **headers: str) -> ASGIRequest:
    """``headers`` are named as in WSGI's environ."""
    sent = [
        (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode())
        for name, value in {"HTTP_HOST": "127.0.0.1", **headers}.items()
    ]
    scope = {"type": "http", "method": method, "path": f"/{path}", "query_string": b"", "headers": sent}
    return ASGIRequest(scope, BytesIO())


def environ(method: str, path: str, **headers: str) -> dict[str, Any]:
    """WSGI's environ of a request, which is used once."""
    environ = {"REQUEST_METHOD": method, "PATH_INFO": f"/{path}", **headers}
    setup_testing_defaults(environ)
    return environ


def headers_of(kind: str) -> dict[str, str]:
    """What a client sends with a request of ``kind``: a token of its own, two cookies of others, and what the site has
    just pinned it by if it is pinned.
    """
    headers = {"HTTP_AUTHORIZATION": f"Token of a {kind} client", "HTTP_COOKIE": COOKIES}
    if kind == "pinned":
        response = in_middleware(pages.routed)(wsgi_request("POST", **headers))
        headers["HTTP_COOKIE"] += f"; {cookies_set(response)}"
    return headers


def cookies_set(response: HttpResponse) -> str:
    """What a client sends as ``Cookie`` after ``response``."""
    return "; ".join(f"{name}={morsel.coded_value}" for name, morsel in response.cookies.items())


def in_middleware(view: Callable[..., Any]) -> Callable[..., Any]:
    """``view`` inside the site's middleware, and nothing else of Django."""
    for path in reversed(settings.MIDDLEWARE):
        view = import_string(path)(view)
    return view
