"""The time line of this process, and the thread that notes on it when each replica has caught up."""

import threading
import time
from functools import cache

from django.conf import settings
from django.db import Error, connections

from board.databases import replication
from board.models import Post
from board.observing import Observed
from board.timeline import Timeline

POLL_SECONDS = 0.1


@cache
def timeline() -> Timeline:
    """The one object."""
    return Timeline(settings.REPLICA_DATABASES)


def note_read(observed: Observed, posts: list[Post], at: float) -> None:
    """``posts``, the newest first, were read from the time ``at`` on."""
    route = observed.route_of(Post)
    timeline().note_read(route.alias, route.reason, posts[0].pk if posts else 0, at, replication().broken)


def watch() -> None:
    """Ask, in a thread that ends with the process, each replica that lacks a post whether it has it by now."""
    threading.Thread(target=_run, name="time line", daemon=True).start()


def _run() -> None:
    while True:
        late = timeline().late()
        for alias in settings.REPLICA_DATABASES:
            if alias in late:
                _ask(alias)
            else:
                connections[alias].close()
        time.sleep(POLL_SECONDS)


def _ask(alias: str) -> None:
    try:
        timeline().note_newest(alias, Post.newest_number(alias))
    except Error:
        connections[alias].close()
