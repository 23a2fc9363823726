"""What the page shows of the pin, the replicas and Redis."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error
from django.http import HttpRequest

from board.databases import replication
from board.drawing import drawing, table
from board.models import Post
from board.pin_status import PinStatus, in_tenths
from board.stores import SwitchedPinStore
from board.watching import timeline


def pin(status: PinStatus) -> dict[str, object]:
    """What the page shows of it, the seconds being those on the primary."""
    return {"sentence": status.sentence, "seconds": status.seconds_on_primary, "in_cookie": status.in_cookie}


def replicas() -> list[dict[str, Any]]:
    """Each replica: its alias, the lag it is kept at, is it broken, and for how many seconds it has lacked a change.

    In tenths: 0 only if it lacks none, and ``None`` if nobody knows.
    """
    lags, broken = replication().lags, replication().broken
    return [
        {
            "alias": alias,
            "lag": lags[alias],
            "broken": alias in broken,
            "behind": _behind(alias),
        }
        for alias in settings.REPLICA_DATABASES
    ]


def newest_posts() -> dict[str, int | None]:
    """The number of the newest post that each database has; 0 for none, and ``None`` if it does not answer."""
    return {alias: _newest_post(alias) for alias in settings.DATABASES}


def is_on_primary(number: int) -> bool | None:
    """Whether the primary has the post ``number``; ``None`` if it does not answer."""
    try:
        return Post.objects.using(DEFAULT_DB_ALIAS).filter(pk=number).exists()
    except Error:
        return None


def everything(request: HttpRequest) -> dict[str, object]:
    """What the page asks for twice a second."""
    return {
        "store": SwitchedPinStore.in_use.name,
        "pin": pin(PinStatus.of(request)),
        "replicas": replicas(),
        "newest_posts": newest_posts(),
        "timeline": time_line(),
    }


def time_line() -> dict[str, str]:
    """The time line at this moment, as markup."""
    seen = timeline().seen()
    return {"drawing": drawing(seen), "rows": table(seen)}


def redis_name() -> str:
    """Which Redis the store would use; no password is shown."""
    if not settings.REDIS_URL:
        return "in this process (fakeredis)"
    address = urlsplit(settings.REDIS_URL)
    return f"server at {address.hostname}:{address.port or 6379}" if address.hostname else f"server at {address.path}"


def _behind(alias: str) -> float | None:
    seconds = replication().behind(alias)
    return None if seconds is None else in_tenths(seconds)


def _newest_post(alias: str) -> int | None:
    try:
        return Post.newest_number(alias)
    except Error:
        return None
