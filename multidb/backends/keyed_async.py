"""AsyncKeyedPinStore: a keyed store whose server can be asked from an event loop, without a thread."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends.failures import reading, saving
from multidb.backends.keyed import KeyedPinStore
from multidb.backends.keys import ask_again, await_user
from multidb.conf import conf
from multidb.pins import Pin, PinStoreUnavailable

# The methods that the twins here go round.
WITH_TWINS = ("_read", "_write", "_get", "_set", "_keys_to_read", "_keys_to_write", "_may_have_one_of")


class AsyncKeyedPinStore(KeyedPinStore):
    """Asks by the twins ``_aget`` and ``_aset`` on an event loop.

    Where it takes a session that is not loaded, or a project's own function, to tell the keys, a thread asks.
    """

    async def _astored(self, request: HttpRequest) -> Pin | None:
        with reading():
            client = await self._client_for(request)
            keys = None if client is None else self._told_here(self._keys_to_read, request)
            if keys is None:
                return await super()._astored(request)
            if not keys:
                return None
            self._refuse_while_it_rests()
            async with client.in_turn():
                with self.outage.asking():
                    texts = await self._aget(client, keys)
        return self._pin_of(self._told(texts))

    async def _asave_here(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        with saving():
            ask_again(request)
            client = await self._client_for(request)
            seconds = min(pin.seconds_left(time.time()), conf.pinning_seconds)
            keys = None if client is None else self._told_here(self._keys_to_write, request, seconds)
            if keys is None:
                await super()._asave_here(request, response, pin)
            elif keys:
                text = pin.encode()
                with self._owing(keys, text, seconds):
                    self._refuse_while_it_rests()
                # Who is cancelled here is owed nothing: the middleware begins anew, in a task that nobody cancels. Else
                # clients that hang up at once would be so many debts that others' reads would go to the primary.
                async with client.in_turn():
                    with self._owing(keys, text, seconds), self.outage.asking():
                        await self._aset(client, keys, text, seconds)

    async def _client_for(self, request: HttpRequest) -> Any:
        """What can be asked about the client of ``request`` here, or ``None`` where a thread has to ask.

        Django loads sessions in a thread, and a project's own key functions and methods expect one.
        """
        if self.client_may_change or self._would_load_session(request) or not self._has_ours(*WITH_TWINS):
            return None
        if "user" in self._functions:
            await await_user(request)
        return await self._awaitable()

    # Its server is no database of Django's, of which a transaction could be open.

    def _get_all(self, keys: list[str]) -> list[str | bytes | None]:
        return list(self._get(keys))

    def _set_all(self, keys: list[str], text: str, seconds: float) -> bool:
        return self._set(keys, text, seconds)

    def _refuse_while_it_rests(self) -> None:
        if self.outage.is_resting():
            raise PinStoreUnavailable

    def _told_here(self, tell: Callable[..., list[str]], *arguments: Any) -> list[str] | None:
        """The keys that ``tell`` returns, or ``None`` where that would keep the event loop waiting."""
        try:
            return tell(*arguments)
        except SynchronousOnlyOperation:
            return None

    @abstractmethod
    async def _awaitable(self) -> Any:
        """What can be asked from the event loop that runs, or ``None`` where a thread has to ask."""

    @abstractmethod
    async def _aget(self, client: Any, keys: list[str]) -> Iterable[str | bytes | None]:
        """The async twin of ``_get``."""

    @abstractmethod
    async def _aset(self, client: Any, keys: list[str], text: str, seconds: float) -> None:
        """The async twin of ``_set``, which raises where not all keys were taken."""
