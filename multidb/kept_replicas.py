"""KeptReplicas: the replicas that one request reads from to its end, so that it sees one state of the data."""

from collections.abc import Mapping

from django.core.exceptions import SynchronousOnlyOperation

from multidb import event_loop, health
from multidb.health import Link
from multidb.replicas import choose, choose_replayed, topology


class KeptReplicas:
    """The replicas that one request keeps.

    ``kept``: that of each primary, or the primary itself where none could be asked. ``has_ended``: the request has
    ended, and what goes on keeps a replica only while that can be asked.
    """

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.has_ended = False
        self._links: dict[str, Link] = {}
        self._proposed: dict[str, str] = {}
        # The primaries of whose replicas none has replayed the position.
        self._unreplayed: dict[str, Mapping[str, str]] = {}
        self._dead: set[str] = set()

    def choose(self, primary: str) -> str:
        """The replica of ``primary`` that is kept, or is from now on."""
        if self.has_ended:
            self._let_go(primary)
        kept = self.kept.get(primary)
        if kept is not None:
            return kept
        proposed = self._proposed.get(primary)
        if proposed is None or proposed in self._dead or not health.is_usable(proposed):
            proposed = choose(primary, self._dead)
        return self._keep(primary, proposed)

    def has_replayed(self, primary: str, position: Mapping[str, str]) -> bool:
        """Has the replica of ``primary`` that is kept, or is from now on, replayed ``position``?"""
        if self.is_known_behind(primary, position):
            return False
        if self.has_ended:
            self._let_go(primary)
        kept = self.kept.get(primary)
        try:
            if kept is None:
                kept = choose_replayed(primary, position, self._dead)
            elif kept == primary or not health.has_replayed(kept, position):
                kept = None
        except SynchronousOnlyOperation:
            return False  # On the event loop: unknown for this read, but a later one on a thread can ask.
        if kept is None:
            self._unreplayed[primary] = position
            return False
        return self._keep(primary, kept) == kept

    def is_known_behind(self, primary: str, position: Mapping[str, str]) -> bool:
        """Had no replica of ``primary`` replayed ``position`` at an earlier read? Then none is asked again: the request
        sees one state of the data.
        """
        return self._unreplayed.get(primary) == position

    def lose(self, error: Exception) -> str | None:
        """The replica that died under the query which ``error`` has ended. It is not chosen again.

        ``None`` if ``error`` is not that of a replica's connection, or that lives.
        """
        connection = health.connection_of(error)
        if connection is None or connection.alias not in topology().primary_of:
            return None
        if not health.has_died(connection, self._links.get(connection.alias)):
            return None
        self.kept = {primary: alias for primary, alias in self.kept.items() if alias != connection.alias}
        self._dead.add(connection.alias)
        return connection.alias

    def _let_go(self, primary: str) -> None:
        """Keep the replica of ``primary`` no longer, unless it can be asked."""
        kept = self.kept.get(primary)
        if kept is not None and (kept == primary or not health.is_usable(kept)):
            self.kept.pop(primary, None)

    def _keep(self, primary: str, chosen: str) -> str:
        """Keep ``chosen``, unless another thread of this request has kept another. Return which.

        One that nobody could ask, as on an event loop, is only proposed to the thread that asks next.
        """
        link = None if chosen == primary else health.link_to(chosen)
        if link is not None and link.driver_connection is None and event_loop.is_running():
            self._proposed[primary] = chosen
            return chosen
        kept = self.kept.setdefault(primary, chosen)
        if link is not None and kept == chosen:
            self._links[kept] = link
        return kept
