"""What the page tells a visitor who has just posted: seen or not, and why."""

from collections.abc import Mapping
from typing import NamedTuple

from multidb.routing import Route


class Notice(NamedTuple):
    """A sentence for the visitor. ``kind``: ``"seen"``, ``"missed"`` or ``"unknown"``."""

    kind: str
    title: str
    text: str


def notice_for(
    posted: int, is_listed: bool, route: Route, behind: Mapping[str, float], pin_seconds: float, store: str
) -> Notice:
    """What became of the post ``posted`` on a page whose posts came by ``route``.

    ``behind`` says how far behind each replica was just before the posts were read.
    """
    if is_listed:
        return Notice("seen", f"You see your own post #{posted}.", _why_seen(route, behind, pin_seconds))
    if behind.get(route.alias):
        return Notice("missed", "You do not see your own write.", _why_missed(posted, route, behind, store))
    return Notice(
        "unknown",
        f"Post #{posted} is not among these.",
        f"{_name(route.alias)} had every change when it answered, so the post is older than these or does not exist.",
    )


def _why_seen(route: Route, behind: Mapping[str, float], pin_seconds: float) -> str:
    if route.reason == "pinned":
        pinned = f"You were pinned to the primary for {_seconds(pin_seconds)} when this page was read."
        return f"{pinned} {_else(behind)}"
    if route.alias in behind:
        return f"Nothing pins you, but {route.alias}, which answered this page, had caught up."
    return f"This page was read from the primary, for the reason “{route.reason}”."


def _else(behind: Mapping[str, float]) -> str:
    """What a visitor without a pin would have got."""
    late = [f"{alias} was {_seconds(seconds)}" for alias, seconds in behind.items() if seconds]
    if not late:
        return "The replicas had it by then, too."
    return f"{' and '.join(late)} behind, and may have lacked it."


def _why_missed(posted: int, route: Route, behind: Mapping[str, float], store: str) -> str:
    unpinned = "The pin store is off, so nothing pins you" if store == "off" else "No pin holds for you (any more)"
    return (
        f"Your post #{posted} is on the primary, but {route.alias}, which answered this page, "
        f"was {_seconds(behind[route.alias])} behind. {unpinned}: you will see it when the lag has passed."
    )


def _name(alias: str) -> str:
    return "The primary" if alias == "default" else alias


def _seconds(number: float) -> str:
    return f"{number:.1f}\u00a0s"
