"""Tests that leave each other no pins."""

import inspect
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.test import override_settings

from multidb import health, routing
from multidb.backends import get_pin_store
from multidb.backends.keyed import KeyedPinStore
from multidb.conf import conf
from multidb.routing import OUTSIDE, Scope


@contextmanager
def isolated_routing() -> Iterator[None]:
    """Inside, nobody is pinned yet, no thread was pinned by hand, and no replica or store is known to have failed.

    Pins that the store keeps by user, session or header are kept under a prefix of their own, and forgotten afterwards:
    in a fresh test database the next user has the same primary key. A store of the project's own that takes no option
    ``prefix`` is only made anew. Raises ``ImproperlyConfigured`` if ``MULTIDB_PIN_STORE`` is impossible.
    """
    outer = routing.current()
    health.forget()
    routing.resume(Scope(OUTSIDE))
    try:
        with _own_pin_store():
            yield
    finally:
        routing.resume(outer)
        health.forget()


@contextmanager
def _own_pin_store() -> Iterator[None]:
    options = dict(conf.pin_store.options)
    keyed = isinstance(get_pin_store(), KeyedPinStore)
    if keyed and "prefix" in inspect.signature(type(get_pin_store())).parameters:
        options["prefix"] = f"test-{uuid.uuid4().hex}"
    with override_settings(MULTIDB_PIN_STORE={"BACKEND": conf.pin_store.backend, "OPTIONS": options}):
        store = get_pin_store()
        if not isinstance(store, KeyedPinStore):
            yield
            return
        # One that cannot be reached is down in this test, as it may be in production.
        with suppress(Exception):
            store.declare_new()
        try:
            yield
        finally:
            with suppress(Exception):
                store.declare_gone()
