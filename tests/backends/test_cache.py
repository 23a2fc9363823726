"""Any Django cache: what it refuses goes into the cookie."""

from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpResponse
from django.test import RequestFactory

from multidb.backends import get_pin_store
from multidb.pins import Pin
from tests.conftest import CACHE, Clock


class Refusing(LocMemCache):
    """A cache that takes no key, as a Memcached that is down says."""

    def set_many(self, data: Any, timeout: Any = None, version: Any = None) -> list[str]:
        return list(data)


def test_a_pin_that_the_cache_did_not_take_goes_into_the_cookie(rf: RequestFactory, settings, clock: Clock) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.Refusing"}}
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE}
    response = HttpResponse()
    request = rf.get("/", headers={"authorization": "Token x"})
    get_pin_store().save(request, response, Pin.on(["default"], clock() + 10))
    assert response.cookies


def test_a_key_ends_with_its_pin(local_cache: None, rf: RequestFactory, settings, clock: Clock) -> None:
    settings.MULTIDB_PIN_STORE = {"BACKEND": CACHE, "OPTIONS": {"alias": "pins"}}
    store = get_pin_store()
    request = rf.get("/", headers={"authorization": "Token x"})
    store.save(request, HttpResponse(), Pin.on(["default"], clock() + 10))
    keys = store.client(request)
    assert len(store._cache().get_many(keys)) == 1
    clock.advance(11.1)
    assert store._cache().get_many(keys) == {}
