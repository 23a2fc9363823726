"""Visits: requests as a server passes them to Django, over WSGI and over ASGI."""

import asyncio
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http.cookie import SimpleCookie


class Visit(NamedTuple):
    """What a client sends. Headers are texts of which each character is a byte, as in WSGI."""

    method: str
    cookies: tuple[str, ...] = ()
    authorization: str | None = None
    is_async: bool = False


class Answer(NamedTuple):
    status: int
    reason: str
    cookies: dict[str, str]


class Server:
    """Serves visits, one at a time."""

    def __init__(self) -> None:
        self._wsgi = WSGIHandler()
        self._asgi = ASGIHandler()

    def serve(self, visit: Visit) -> Answer:
        """Raises whatever leaves Django's handler."""
        return async_to_sync(self._over_asgi)(visit) if visit.is_async else self._over_wsgi(visit)

    def _over_wsgi(self, visit: Visit) -> Answer:
        environ: dict[str, Any] = {"REQUEST_METHOD": visit.method, "PATH_INFO": "/"}
        if visit.cookies:
            environ["HTTP_COOKIE"] = "; ".join(visit.cookies)
        if visit.authorization is not None:
            environ["HTTP_AUTHORIZATION"] = visit.authorization
        setup_testing_defaults(environ)
        started: list[Any] = []
        response = self._wsgi(environ, lambda status, headers, *_: started.extend([status, headers]))
        body = b"".join(response)
        response.close()
        return _answer(int(started[0].split()[0]), started[1], body)

    async def _over_asgi(self, visit: Visit) -> Answer:
        headers = [(b"cookie", cookie.encode("latin-1")) for cookie in visit.cookies]
        if visit.authorization is not None:
            headers.append((b"authorization", visit.authorization.encode("latin-1", "replace")))
        scope = {"type": "http", "method": visit.method, "path": "/", "query_string": b"", "headers": headers}
        incoming = [{"type": "http.request", "body": b""}]
        outgoing: list[Any] = []

        async def receive() -> Any:
            while not incoming:
                await asyncio.sleep(60)
            return incoming.pop()

        async def send(message: Any) -> None:
            outgoing.append(message)

        await self._asgi(scope, receive, send)
        start, *chunks = outgoing
        sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        return _answer(start["status"], sent, b"".join(chunk.get("body", b"") for chunk in chunks))


def _answer(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    cookies: SimpleCookie = SimpleCookie()
    for name, value in headers:
        if name.lower() == "set-cookie":
            cookies.load(value)
    return Answer(status, body.decode(), {name: morsel.value for name, morsel in cookies.items()})
