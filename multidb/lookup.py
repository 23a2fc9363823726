"""Lookup: what the pin store knows of the client of one request."""

import threading
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest

from multidb import event_loop
from multidb.conf import conf
from multidb.log import complain, say_once
from multidb.pins import Pin, PinStoreUnavailable
from multidb.replicas import topology
from multidb.routing import Forced, pop, push
from multidb.users import user_so_far


class PinSource(Protocol):
    """What a look-up needs of the pin store."""

    def load(self, request: HttpRequest) -> Pin | None: ...

    def client(self, request: HttpRequest) -> Collection[str]: ...

    @property
    def knows_clients(self) -> bool: ...

    @property
    def client_may_change(self) -> bool: ...

    @property
    def may_wait(self) -> bool: ...


class Lookup:
    """The pin of the client of ``request``, as ``store`` has it. Reads made while it is looked up go to the primary.

    ``pin``: what was found, which includes what was found before. ``positions``: for each primary that it holds, what
    has to be replayed; ``None`` where only the time ends the hold. ``is_down``: the store cannot tell, and reads go to
    the primary then. ``user``: the user object, as far as it was known when the store was asked last. ``auser``:
    ``request.auser`` as it was then. ``client_may_change``: the client may be another at any moment, for all that its
    user tells.
    """

    def __init__(self, request: HttpRequest, store: PinSource) -> None:
        self.pin: Pin | None = None
        self.positions: dict[str, Mapping[str, str] | None] = {}
        self.is_down = False
        self.user: Any = _UNASKED
        self.auser: Any = None
        self.client_may_change = store.client_may_change
        self._request = request
        self._store = store
        self._client: Collection[str] | None = None
        self._has_failed = False

    def refresh(self) -> bool:
        """Look the pin up, if nobody has, or the client may have become another for the store since.

        Return whether it has become another, so that what was decided before may be wrong.
        """
        auser = self._request.__dict__.get("auser")
        user = user_so_far(self._request)
        if user is self.user and not self.client_may_change:
            self.auser = auser
            return False
        before = self._client
        push(Forced.PRIMARY, self)
        try:
            self._look()
        except SynchronousOnlyOperation:
            # On the event loop: unknown for this read. The next one on a thread asks, also where one has meanwhile.
            self.is_down, self.user = True, _UNASKED
            return False
        finally:
            pop(self)
        self.user = user  # And not one whom another thread has loaded meanwhile.
        self.auser = auser  # After the user: another thread that sees it sees whom it has told.
        return before is not None and self._client != before

    def _look(self) -> None:
        """Ask the store about the client, unless that is the one that it was asked about last."""
        if self._store.may_wait and event_loop.is_running():
            raise SynchronousOnlyOperation
        client = self._client_so_far()
        self.client_may_change = self._store.client_may_change and client is not _UNKNOWN_CLIENT
        if client != self._client:
            self._load(client)
        self.is_down = self._has_failed

    def _client_so_far(self) -> Collection[str]:
        try:
            return self._store.client(self._request)
        except (SynchronousOnlyOperation, ImproperlyConfigured):
            raise
        except PinStoreUnavailable:
            return _UNKNOWN_CLIENT
        except Exception as error:
            complain("What pins of a client are filed under cannot be told:", error)
            return _UNKNOWN_CLIENT

    def _load(self, client: Collection[str]) -> None:
        try:
            pin, is_sure = self._store.load(self._request), client is not _UNKNOWN_CLIENT
        except (SynchronousOnlyOperation, ImproperlyConfigured):
            raise
        except PinStoreUnavailable as unavailable:
            pin, is_sure = unavailable.pin, False
        except Exception as error:
            complain("The pin of a client could not be looked up:", error)
            pin, is_sure = None, False
        self._has_failed = not is_sure and conf.pin_store_down == "primary"
        if pin is not None:
            with _MERGING:  # Another thread of this request may have asked about another client.
                self.pin = pin if self.pin is None else pin.merge(self.pin)
                self.positions = _positions(self.pin)
        # After the pin: another thread of this request that sees it asks no more.
        self._client = client


_UNASKED = object()

_MERGING = threading.Lock()

_UNKNOWN_CLIENT = ("unknown",)


def _positions(pin: Pin) -> dict[str, Mapping[str, str] | None]:
    until_replayed = conf.pinning_until == "replayed"
    if pin.holds.keys() - topology().primaries:
        say_once("A pin names what is no primary in REPLICA_DATABASES: that part pins nobody.")
    return {primary: hold.position if until_replayed else None for primary, hold in pin.holds.items()}
