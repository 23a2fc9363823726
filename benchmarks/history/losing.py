"""A pin store that is broken on purpose, to show that the checker notices."""

from itertools import count
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.redis import RedisPinStore
from multidb.pins import Pin


class LosingPinStore(RedisPinStore):
    """Does not keep every ``one_in``-th of the pins that it should."""

    def __init__(self, *, one_in: int, **options: Any) -> None:
        super().__init__(**options)
        self._one_in = one_in
        self._saves = count(1)

    def save(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        is_for_a_cookie = not self.client(request)
        if is_for_a_cookie or next(self._saves) % self._one_in:
            super().save(request, response, pin)
