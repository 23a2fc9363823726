"""Outage: whether the pin store is down, and until when pins may be missing from it."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

from multidb import signals
from multidb.announcing import announce
from multidb.backends.failures import ERRORS_OF_ONE_REQUEST
from multidb.breaker import JITTER, Breaker
from multidb.conf import conf
from multidb.log import logger, without_quotations
from multidb.pins import PinStoreUnavailable, latest_milliseconds


class Outage:
    """What this process knows of the failures of one pin store. Safe in threads."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._breaker = Breaker(lambda: conf.retry_seconds, self._announce_down, self._announce_up)
        self._others_may_owe_until = -math.inf
        self._lock = threading.Lock()
        self.missing_until = 0
        """Until when pins that the store has lost, or never got, may still hold: milliseconds since the epoch."""

    def may_ask(self) -> bool:
        """May the store be asked? Whoever is let through says ``failed``, ``succeeded`` or ``not_asked`` then."""
        return self._breaker.may_ask(self._store)

    def is_resting(self) -> bool:
        """Is the store left alone at this moment?"""
        return self._breaker.is_resting(self._store)

    def not_asked(self) -> None:
        """It did not come to an answer, because of one client: the next may ask."""
        self._breaker.not_asked(self._store)

    def failed(self, error: Exception) -> None:
        """The store did not answer as it should: leave it alone for ``MULTIDB_RETRY_SECONDS``."""
        self._breaker.failed(self._store, error)

    def succeeded(self) -> None:
        """The store has answered."""
        self._breaker.succeeded(self._store)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, the store is asked. Raises ``PinStoreUnavailable`` if it is left alone, and if it fails."""
        if not self.may_ask():
            raise PinStoreUnavailable
        try:
            yield
        except ERRORS_OF_ONE_REQUEST:
            self.not_asked()
            raise
        except (PinStoreUnavailable, SynchronousOnlyOperation, ImproperlyConfigured):
            raise
        except Exception as error:
            self.failed(error)
            raise PinStoreUnavailable from error
        self.succeeded()

    def miss_until(self, milliseconds: int) -> None:
        """Pins may be missing from the store that hold until ``milliseconds`` since the epoch."""
        with self._lock:
            self.missing_until = max(self.missing_until, milliseconds)

    def lost_all(self) -> None:
        """The store has lost every pin that it had: it came back empty, or another server answers in its place."""
        is_known = self.missing_until > time.time() * 1000
        self.miss_for(conf.pinning_seconds)
        if is_known:
            return
        logger.warning(
            "The pin store %s is new, or may have lost pins: until those have run out, for %g seconds, reads go by "
            "MULTIDB_PIN_STORE_DOWN.",
            self._store,
            conf.pinning_seconds,
        )

    def miss_for(self, seconds: float) -> None:
        """Pins may be missing from the store that hold for ``seconds`` from now."""
        self.miss_until(round((time.time() + seconds) * 1000))

    def may_miss_pins(self) -> bool:
        """Is a pin that the store does not have perhaps one that it has lost, or that is still to come?"""
        now = time.time()
        with self._lock:
            if self.missing_until > latest_milliseconds(now, conf.pinning_seconds):
                self.missing_until = 0  # Set by a clock that has jumped.
        return now * 1000 < self.missing_until or monotonic() < self._others_may_owe_until

    def _announce_down(self, store: str, error: object) -> None:
        # What follows the first line are details, as of a row that a database refuses.
        why = without_quotations(str(error).strip().partition("\n")[0])
        logger.warning("The pin store %s is left alone: %s: %s", store, type(error).__name__, why)
        announce(signals.pin_store_down, store=store, why=error)

    def _announce_up(self, store: str) -> None:
        # Another process that saw the same brings the pins that it could not write when it asks again.
        self._others_may_owe_until = monotonic() + min(conf.retry_seconds * (1 + JITTER), conf.pinning_seconds)
        logger.warning("The pin store %s is used again.", store)
        announce(signals.pin_store_up, store=store)
