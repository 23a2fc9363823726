"""PinStore: where pins are kept between requests."""

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from multidb.conf import conf
from multidb.log import logger, say_once
from multidb.pins import Pin, PinStoreUnavailable


class UnsentResponse(HttpResponse):
    """Stands for the response to a client that has gone: nothing that is set on it arrives."""


class PinStore(ABC):
    """Keeps a client's pin from the response that set it to the requests that follow.

    A backend writes ``_read`` and ``_write``, which know of text only. Decoding, expiry, merging, errors and the
    fallback are here. A store holds no state of a request: one object serves all of them, in all threads. What
    ``OPTIONS`` names in ``MULTIDB_PIN_STORE`` is passed to ``__init__`` as keyword arguments.
    """

    fallback: "PinStore | None" = None
    """Takes the pins that this store cannot; ``get_pin_store()`` sets it to a ``SignedCookiePinStore``."""

    merges = False
    """Whether ``_write`` itself merges with the pin that is there, so that it need not be read first."""

    def load(self, request: HttpRequest) -> Pin | None:
        """The pin of the client that sent ``request``, as far as it still holds, or ``None``.

        Raises ``PinStoreUnavailable`` if the store cannot be read and the fallback knows of no pin.
        """
        fallback = self.fallback.load(request) if self.fallback is not None else None
        try:
            with reading():
                pin = self._stored(request)
        except PinStoreUnavailable:
            if fallback is None:
                raise
            return fallback
        return fallback if pin is None else pin.merge(fallback)

    def save(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        """Keep ``pin`` for the client of ``request``, merged with the one it has. Never raises for a store that fails.

        A pin that the store has no place for, or fails to take, goes to the fallback.
        """
        if not self._saved(request, response, pin) and self.fallback is not None:
            self.fallback.save(request, response, pin)

    async def aload(self, request: HttpRequest) -> Pin | None:
        """The async twin of ``load``."""
        return await sync_to_async(self.load)(request)

    async def asave(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> None:
        """The async twin of ``save``."""
        await sync_to_async(self.save)(request, response, pin)

    client_may_change = False
    """Whether ``client`` may answer otherwise during a request though ``request.user`` is the same."""

    def client(self, request: HttpRequest) -> Collection[str]:
        """What pins of this client are filed under, as far as ``request`` knows by now; empty if that never changes.

        When the answer changes during a request, the pin is looked up again.
        """
        return ()

    def check(self) -> list[CheckMessage]:
        """What ``manage.py check`` has to say about this store."""
        return []

    @abstractmethod
    def _read(self, request: HttpRequest) -> Iterable[str | bytes | None]:
        """The texts that ``_write`` kept for the client of ``request``. May raise anything."""

    @abstractmethod
    def _write(self, request: HttpRequest, response: HttpResponseBase, text: str, seconds: float) -> bool:
        """Keep ``text`` for the client of ``request``, for ``seconds`` (a number above 0). May raise anything.

        Return ``False`` if there is nothing to file it under for this client.
        """

    def _stored(self, request: HttpRequest) -> Pin | None:
        merged = None
        for text in self._read(request):
            pin = Pin.decode(text) if text else None
            if text and pin is None:
                say_once(f"What {type(self).__name__} holds for a client is no pin: it pins nobody.")
            merged = merged if pin is None else pin.merge(merged)
        return merged and merged.held(time.time(), conf.pinning_seconds)

    def _saved(self, request: HttpRequest, response: HttpResponseBase, pin: Pin) -> bool:
        try:
            if not self.merges:
                pin = pin.merge(self._stored(request))
            seconds = min(pin.seconds_left(time.time()), conf.pinning_seconds)
            return self._write(request, response, pin.encode(), seconds)
        except ImproperlyConfigured:
            raise
        except Exception:
            logger.exception("The pin store %s could not be written.", type(self).__name__)
            return False


@contextmanager
def reading() -> Iterator[None]:
    """Log whatever goes wrong inside, and raise it as ``PinStoreUnavailable``."""
    try:
        yield
    except (PinStoreUnavailable, SynchronousOnlyOperation, ImproperlyConfigured):
        raise
    except Exception as error:
        logger.exception("The pin store could not be read: reads go to the primary.")
        raise PinStoreUnavailable from error
