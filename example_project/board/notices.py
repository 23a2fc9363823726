"""What the page tells a visitor who has just posted: seen or not, and why."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from board.pin_status import PinStatus
from multidb.routing import Route


class Notice(NamedTuple):
    """Sentences about the post number ``posted``. ``kind``: ``"seen"``, ``"missed"`` or ``"unknown"``."""

    posted: int
    kind: str
    title: str
    text: str


def notice_for(
    posted: int,
    is_on_primary: bool | None,
    listed: Sequence[int],
    route: Route,
    behind: Mapping[str, float | None],
    pin: PinStatus,
    store: str,
) -> Notice:
    """What became of the post ``posted`` on a page that lists the posts ``listed``, which came by ``route``.

    ``is_on_primary``, which is ``None`` if nobody knows, and ``behind``, how far behind each replica was, are of just
    before the posts were read.
    """
    if posted in listed:
        return Notice(posted, "seen", f"You see your own post #{posted}.", _why_seen(route, behind, pin))
    is_older = posted < min(listed, default=0)
    if is_on_primary and behind.get(route.alias) and not is_older:
        return Notice(posted, "missed", "You do not see your own write.", _why_missed(posted, route, behind, store))
    why = _why_unlisted(is_on_primary, is_older, route)
    return Notice(posted, "unknown", f"Post #{posted} is not among these.", why)


def _why_seen(route: Route, behind: Mapping[str, float | None], pin: PinStatus) -> str:
    if route.reason == "pinned":
        return f"When this page was read, you were pinned to the primary {_while(pin)}. {_else(behind)}"
    if route.alias in behind and pin.ends_by_replay:
        return f"{route.alias}, which answered this page, has replayed it, so the primary need not answer you any more."
    if route.alias in behind:
        return f"Nothing pins you, but {route.alias}, which answered this page, had caught up."
    return f"This page was read from the primary, for the reason “{route.reason}”."


def _while(pin: PinStatus) -> str:
    if pin.ends_by_replay:
        return "until a replica is known to have your post"
    return f"for another {_seconds(pin.seconds)}"


def _else(behind: Mapping[str, float | None]) -> str:
    """What a visitor without a pin would have got."""
    late = [f"{alias} {_how_late(seconds)}" for alias, seconds in behind.items() if seconds != 0]
    if not late:
        return "The replicas had it by then, too."
    return f"{' and '.join(late)}, so {'it' if len(late) == 1 else 'either'} might not have had it."


def _how_late(seconds: float | None) -> str:
    return "did not answer" if seconds is None else f"was {_seconds(seconds)} behind"


def _why_missed(posted: int, route: Route, behind: Mapping[str, float | None], store: str) -> str:
    unpinned = "The pin store is off, so nothing pins you" if store == "off" else "No pin holds for you (any more)"
    return (
        f"Your post #{posted} is on the primary, but {route.alias}, which answered this page, "
        f"{_how_late(behind[route.alias])}. {unpinned}: you will see it when the lag has passed."
    )


def _why_unlisted(is_on_primary: bool | None, is_older: bool, route: Route) -> str:
    if is_on_primary is None:
        return "The primary did not answer when it was asked for it."
    if not is_on_primary:
        return "No such post was found on the primary."
    if is_older:
        return "It is older than they are."
    return f"It was on the primary, but not on {route.alias} when that answered this page."


def _seconds(number: float) -> str:
    return f"{number:.1f}\u00a0s"
