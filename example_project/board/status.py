"""What the page shows of the pin, the replicas and Redis."""

import math
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

from board.databases import replicator
from board.models import Post
from board.stores import SwitchedPinStore
from multidb.backends import get_pin_store
from multidb.backends.cookie import SignedCookiePinStore
from multidb.pins import PinStoreUnavailable


def behind() -> dict[str, float]:
    """For how many seconds each replica has lacked a change of the primary, in tenths, 0 only if it lacks none."""
    return {alias: math.ceil(replicator().behind(alias) * 10) / 10 for alias in settings.REPLICA_DATABASES}


def pin(request: HttpRequest) -> dict[str, object]:
    """For how many seconds the client of ``request`` is pinned, whether the store is down, and whether the longest pin
    is the one in the cookie, be that the store in use or the one that a visitor without a key falls back to.
    """
    try:
        found = get_pin_store().load(request)
    except PinStoreUnavailable:
        return {"seconds": 0.0, "down": True, "in_cookie": False}
    if found is None:
        return {"seconds": 0.0, "down": False, "in_cookie": False}
    in_cookie = SignedCookiePinStore().load(request) == found
    return {"seconds": round(found.seconds_left(time.time()), 1), "down": False, "in_cookie": in_cookie}


def replicas() -> list[dict[str, object]]:
    """Each replica: its alias, the lag it is kept at, and how far behind it is now."""
    lags = replicator().lags
    return [{"alias": alias, "lag": lags[alias], "behind": seconds} for alias, seconds in behind().items()]


def newest_posts() -> dict[str, int]:
    """The number of the newest post that each database has; 0 for none."""
    return {alias: Post.objects.using(alias).values_list("pk", flat=True).first() or 0 for alias in settings.DATABASES}


def everything(request: HttpRequest) -> dict[str, object]:
    """What the page asks for twice a second."""
    return {
        "store": SwitchedPinStore.in_use.name,
        "pin": pin(request),
        "replicas": replicas(),
        "newest_posts": newest_posts(),
    }


def redis_name() -> str:
    """Which Redis the store would use; no password is shown."""
    if not settings.REDIS_URL:
        return "in this process (fakeredis)"
    address = urlsplit(settings.REDIS_URL)
    return f"server at {address.hostname}:{address.port or 6379}" if address.hostname else f"server at {address.path}"
