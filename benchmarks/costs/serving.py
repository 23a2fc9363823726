"""What a worker does for its own memory: it serves many clients, each of which writes and then reads."""

import gc
import resource
from pathlib import Path

from costs import pages
from costs.requests import cookies_set, in_middleware, wsgi_request


def serve(first: int, count: int) -> None:
    """Serve ``count`` requests, two of each client, of which the first has the number ``first``.

    Routing alone. A client sends a header of its own, and the cookies that it was given.
    """
    handler = in_middleware(pages.routed)
    for number in range(first, first + count // 2):
        header = f"Token {number}"
        response = handler(wsgi_request("POST", HTTP_AUTHORIZATION=header))
        handler(wsgi_request("GET", HTTP_AUTHORIZATION=header, HTTP_COOKIE=cookies_set(response)))


def resident_bytes() -> int:
    """How much memory this process has, when the garbage is collected."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * resource.getpagesize()
