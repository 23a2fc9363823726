"""What clients have been told, how long that counts, and which of it their stores lose by design."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from multidb.middleware import READ_ONLY_METHODS, pinning_cookie
from tests.model.choices import SECONDS
from tests.model.processes import Process
from tests.model.visits import Visit


@dataclass(eq=False)
class Promise:
    """A response says: what its request wrote to ``primary``, up to ``position``, is there to be read.

    ``names``: whose requests it is made to; those that have lost it are taken out. ``until``: the time when its pin
    runs out. ``pinned_at``: the moment when that was made.
    """

    primary: str
    position: int
    names: set[str]
    until: float
    pinned_at: int
    visit: Visit

    def is_known_to(self, process: Process) -> bool:
        """Can ``process`` know of it? What Redis did not take is in the memory of the process that made it, until that
        brings it. Only of those that were there when Redis was down others know, as long as they wait for such.
        """
        own = self.visit.process
        return process is own or not own.owes_since(self.pinned_at) or process.waits_for_others()


class Promises:
    """All that was promised: when the pin is kept, and when the response has arrived."""

    def __init__(self) -> None:
        self._made: list[Promise] = []
        self._told: list[Promise] = []
        self._unknown: set[tuple[Promise, Visit]] = set()

    def owed(self, visit: Visit, primary: str) -> int:
        """The position that a read of ``visit`` from ``primary`` or its replicas must not be behind now."""
        now = visit.world.clock()
        promises = [promise for promise in self._told[: visit.told] if promise.primary == primary]
        return max((each.position for each in promises if now < each.until and self._reaches(each, visit)), default=0)

    def _reaches(self, promise: Promise, visit: Visit) -> bool:
        """Is ``promise`` made to the client of ``visit``, and known to its process, as it was at each read before?"""
        names = promise.names & visit.names
        if visit.client.jar_name in names:
            return True  # In its cookie.
        if names and not promise.is_known_to(visit.process):
            self._unknown.add((promise, visit))
        return bool(names) and (promise, visit) not in self._unknown

    def count(self) -> int:
        """How many promises have been told by now."""
        return len(self._told)

    def make(self, visit: Visit) -> None:
        """The request of ``visit`` is over, and its pin kept."""
        self._forget_overwritten_rows(visit)
        if visit.response is None or not _pins(visit):
            return
        for primary in visit.world.choice.primaries:
            position = visit.world.servers[primary].log.position_of(visit.name)
            if position is not None:
                names = _pinned_names(visit, visit.response.cookies)
                self._made.append(
                    Promise(primary, position, names, visit.responded_at + SECONDS, visit.pinned_at, visit)
                )

    def tell(self, visit: Visit) -> None:
        """The response of ``visit`` goes out. Of cookies that race to one browser the one that arrives last stands."""
        assert visit.response is not None
        if pinning_cookie() in visit.response.cookies and visit.client.jar_name is not None:
            self._forget(visit, {visit.client.jar_name}, self._told[visit.told :])
        self._told += [promise for promise in self._made if promise.visit is visit]

    def _forget_overwritten_rows(self, visit: Visit) -> None:
        """A session is loaded and saved as a whole, and a table's row is read and written: what others put there
        in between is lost.
        """
        store = visit.world.choice.store
        if store == "session" and visit.client.session and (visit.touched_session or _pinned(visit)):
            self._forget(visit, {visit.client.session}, self._made_since(visit.began))
        elif store == "table":
            self._forget(visit, visit.names, self._made_since(visit.pinned_at))

    def _made_since(self, moment: int) -> list[Promise]:
        return [promise for promise in self._made if promise.pinned_at > moment]

    def _forget(self, visit: Visit, names: Collection[str], unknown: Collection[Promise]) -> None:
        """The pin of ``visit`` has taken the place of those behind ``unknown``, which it did not know. What it does not
        cover, by being made later, is lost.
        """
        for promise in unknown:
            is_covered = promise.primary in _pinned(visit) and promise.pinned_at <= visit.pinned_at
            if not is_covered:
                promise.names.difference_update(names)


def _pins(visit: Visit) -> bool:
    """Does the documentation say that what ``visit`` wrote pins its client?"""
    return visit.world.choice.trigger == "write" or visit.is_marked or visit.method not in READ_ONLY_METHODS


def _pinned(visit: Visit) -> Collection[str]:
    """The primaries that ``visit`` pins."""
    if visit.world.choice.trigger == "write" and not visit.is_marked:
        return visit.wrote
    return visit.world.choice.primaries if _pins(visit) else ()


def _pinned_names(visit: Visit, cookies: Collection[str]) -> set[Any]:
    """Where the pin of ``visit`` is kept: under the keys of a keyed store, in the session, or in the cookie.

    While a keyed store is down and reads go to a replica then, only the cookie counts.
    """
    store, client = visit.world.choice.store, visit.client
    names = {client.jar_name} if pinning_cookie() in cookies else set()
    if store == "session" and client.session:
        names.add(client.session)
    elif store in ("redis", "cache", "table") and visit.world.choice.store_down == "primary":
        names |= visit.names - {client.jar_name}
    return names - {None}
