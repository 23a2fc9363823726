"""PinStore: where pins are kept between requests."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.asyncio import async_unsafe
from django.utils.functional import cached_property

from multidb.backends.failures import asking_in_transaction_of_view, reading, saving
from multidb.backends.inspection import Inspection
from multidb.backends.outage import Outage
from multidb.backends.unsent import UnsentResponse as UnsentResponse  # Its documented place is here.
from multidb.conf import conf
from multidb.log import complain, say_once
from multidb.pins import Pin, PinStoreUnavailable

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class PinStore(ABC):
    """Keeps a client's pin from the response that set it to the requests that follow.

    A backend writes ``_read`` and ``_write``, which know of text only. Decoding, expiry, merging, errors, the breaker
    and the fallback are here. A store holds no state of a request: one object serves all of them, in all threads. What
    ``OPTIONS`` names in ``MULTIDB_PIN_STORE`` is passed to ``__init__`` as keyword arguments.
    """

    fallback: "PinStore | None" = None
    """Takes every pin too, for the client itself; ``get_pin_store()`` sets it to a ``SignedCookiePinStore``."""

    merges = False
    """Whether ``_write`` itself merges with the pin that is there, so that it need not be read first."""

    asks_by_itself = False
    """Whether ``_read`` and ``_write`` call ``_asked`` where they ask a server, if they do: else they are so called."""

    @cached_property
    def outage(self) -> Outage:
        """What this process knows of the failures of this store."""
        # Not made in __init__, which a project's own store need not call. Two threads that come at once get the same.
        outage: Outage = vars(self).setdefault("outage", Outage(type(self).__name__))
        return outage

    def load(self, request: HttpRequest) -> Pin | None:
        """The pin of the client that sent ``request``, as far as it still holds, or ``None``.

        Raises ``PinStoreUnavailable``, with what is known, if the store is down or may lack a pin of this client.
        """
        known = self.fallback.load(request) if self.fallback is not None else None
        try:
            pin = self._stored(request)
        except PinStoreUnavailable as unavailable:
            raise PinStoreUnavailable(_merged(unavailable.pin, known)) from unavailable
        return _merged(pin, known)

    def save(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        """Keep ``pin`` for the client of ``request``, merged with the one it has. Never raises for a store that fails.

        Every pin goes to the fallback too: the store may have no place for it, fail to take it, or file it under what
        the client no longer has by its next request, as after a log-in.
        """
        self._save_here(request, response, pin)
        if self.fallback is not None:
            self.fallback.save(request, response, pin)

    def save_otherwise(self, request: HttpRequest, response: HttpResponseBase, pin: Pin, error: Exception) -> None:
        """Keep ``pin`` for the client itself, where a ``save`` of a project's own has raised ``error``."""
        complain("The pin of a client could not be saved:", error)
        if self.fallback is not None:
            self.fallback.save(request, response, pin)

    async def aload(self, request: HttpRequest) -> Pin | None:
        """The async twin of ``load``, which is called instead where a subclass has its own."""
        if not self._has_ours("load"):
            return await sync_to_async(self.load)(request)
        known = await self.fallback.aload(request) if self.fallback is not None else None
        try:
            pin = await self._astored(request)
        except PinStoreUnavailable as unavailable:
            raise PinStoreUnavailable(_merged(unavailable.pin, known)) from unavailable
        return _merged(pin, known)

    async def asave(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        """The async twin of ``save``, which is called instead where a subclass has its own."""
        if not self._has_ours("save"):
            await sync_to_async(self.save)(request, response, pin)
            return
        await self._asave_here(request, response, pin)
        if self.fallback is not None:
            await self.fallback.asave(request, response, pin)

    knows_clients = True
    """Whether pins are filed under who the client is, as ``client`` tells, which may turn out during a request."""

    client_may_change = False
    """Whether ``client`` may answer otherwise during a request though ``request.user`` is the same."""

    @cached_property
    def may_wait(self) -> bool:
        """Whether ``load``, or telling the ``client``, may keep an event loop waiting, as it is a project's own: then a
        thread asks.
        """
        # Where it is not called by ``_asked``, which refuses on an event loop.
        of_asking = ("_read", "_may_have_one_of") if self.asks_by_itself else ()
        return not self._has_ours("load", "client", *of_asking)

    def client(self, request: HttpRequest) -> Collection[str]:
        """What pins of this client are filed under, as far as ``request`` knows by now; empty if that never changes.

        When the answer changes during a request, the pin is looked up again. Raises ``PinStoreUnavailable`` if that
        cannot be told.
        """
        return ()

    def check(self) -> list[CheckMessage]:
        """What ``manage.py check`` has to say about this store."""
        return []

    def prepare(self) -> None:  # noqa: B027  # a hook that most stores leave empty, as Django's own are
        """Import what ``inspect`` needs, which may take longer than the answer."""

    def inspect(self) -> Inspection | None:
        """Look at the server that keeps the pins, over a connection of its own, and whether it is left alone or not.

        ``None`` where a store cannot tell. May raise anything, if the server is down.
        """
        return None

    @abstractmethod
    def _read(self, request: HttpRequest) -> Iterable[str | bytes | None]:
        """The texts that ``_write`` kept for the client of ``request``. May raise anything.

        What ends with ``PinStoreUnavailable`` are texts, but perhaps not all that there were.
        """

    @abstractmethod
    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> object:
        """Keep ``text`` for the client of ``request``, for ``seconds`` (a number above 0). May raise anything.

        Where there is nothing to file it under for this client, do nothing. What is returned does not matter.
        """

    def _has_ours(self, *names: str) -> bool:
        """Are the methods ``names`` the library's? Those of a project's own may wait, and are called in a thread."""
        return _are_ours(type(self), names)

    @async_unsafe("A pin store would keep the event loop waiting: use its async methods, or sync_to_async.")
    def _asked(self, ask: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        """What ``ask`` returns, which asks the server that keeps the pins. It is not called while that is left alone.

        Raises ``PinStoreUnavailable`` then, and if the server fails, and ``SynchronousOnlyOperation`` on an event loop.
        """
        with self.outage.asking():
            return ask(*args, **kwargs)

    def _may_have_one_of(self, request: HttpRequest) -> bool:
        """May there be a pin of the client of ``request``? ``_read`` is called only then."""
        return True

    def _stored(self, request: HttpRequest) -> Pin | None:
        return self._pin_of(self._read_texts(request)) if self._may_have_one_of(request) else None

    async def _astored(self, request: HttpRequest) -> Pin | None:
        return await sync_to_async(self._stored)(request)

    def _pin_of(self, texts: Iterable[str | bytes | None]) -> Pin | None:
        """The pin of all ``texts``. Where these end with ``PinStoreUnavailable``, so does this, with what is known."""
        merged: Pin | None = None
        try:
            for text in texts:
                pin = Pin.decode(text) if text else None
                if text and pin is None:
                    say_once(f"What {type(self).__name__} holds for a client is no pin: it pins nobody.")
                # One that does not count takes no other with it.
                merged = _merged(_held(pin), merged)
        except PinStoreUnavailable as unavailable:
            raise PinStoreUnavailable(merged) from unavailable
        return merged

    def _with_known(self, request: HttpRequest, pin: Pin) -> Pin:
        """``pin``, merged with what it takes the place of."""
        if self.merges:
            return pin
        try:
            return pin.merge(self._stored(request))
        except PinStoreUnavailable as unavailable:
            if self.outage.is_resting():
                # If it is back in the next moment, what is written then takes the place of a pin that nobody has seen.
                self.outage.miss_for(conf.pinning_seconds)
            return pin.merge(unavailable.pin)

    def _read_texts(self, request: HttpRequest) -> Iterator[str | bytes | None]:
        with reading():
            if self.asks_by_itself:
                yield from self._read(request)
                return
            yield from self._asked(self._read_all, request)
            if self.outage.may_miss_pins():
                raise PinStoreUnavailable

    def _read_all(self, request: HttpRequest) -> list[str | bytes | None]:
        with asking_in_transaction_of_view():
            return list(self._read(request))

    def _save_here(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        with saving():
            pin = self._with_known(request, pin)
            self._write_text(request, response, pin.encode(), pin.seconds_left(time.time()))

    async def _asave_here(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        await sync_to_async(self._save_here)(request, response, pin)

    def _write_text(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds_left: float) -> None:
        seconds = min(seconds_left, conf.pinning_seconds)
        if self.asks_by_itself:
            self._write(request, response, text, seconds)
            return
        try:
            self._asked(self._write_it, request, response, text, seconds)
        except PinStoreUnavailable:
            self.outage.miss_for(seconds)
            raise

    def _write_it(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> None:
        with asking_in_transaction_of_view():
            self._write(request, response, text, seconds)


@cache
def _are_ours(store_class: type[PinStore], names: Sequence[str]) -> bool:
    return all(getattr(store_class, name).__module__.startswith("multidb.backends.") for name in names)


def _merged(pin: Pin | None, other: Pin | None) -> Pin | None:
    return other if pin is None else pin.merge(other)


def _held(pin: Pin | None) -> Pin | None:
    return pin and pin.held(time.time(), conf.pinning_seconds)
