"""A pin store that is broken on purpose, to show that the checker notices."""

from itertools import count
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.redis import RedisPinStore
from multidb.pins import Pin, PinStoreUnavailable


class LosingPinStore(RedisPinStore):
    """Does not keep every ``one_in``-th of the pins that it should."""

    def __init__(self, *, one_in: int, **options: Any) -> None:
        super().__init__(**options)
        self._one_in = one_in
        self._saves = count(1)

    def save(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        is_lost = self._has_keys_for(request) and next(self._saves) % self._one_in == 0
        if not is_lost:
            super().save(request, response, pin)

    def _has_keys_for(self, request: HttpRequest) -> bool:
        try:
            return bool(self.client(request))
        except PinStoreUnavailable:  # Of a busy machine, on which Redis is late: the store itself knows what to do.
            return False
