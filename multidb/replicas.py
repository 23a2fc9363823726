"""Choosing a replica: whose turn it is, among those that can be asked."""

import itertools
import random
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from multidb import health
from multidb.conf import conf

# A read on the primary costs less than to ask many replicas whether they have replayed a write.
MOST_ASKED = 3


def get_replica(primary: str = DEFAULT_DB_ALIAS) -> str:
    """The alias of the next replica of ``primary``, in turn, that is up; ``primary`` itself where there is none.

    Raises ``ImproperlyConfigured`` if ``REPLICA_DATABASES`` is impossible.
    """
    return choose(primary)


def choose(primary: str, avoided: Collection[str] = ()) -> str:
    """The replica of ``primary`` whose turn it is among those that are up, not too late and not ``avoided``.

    Where there is none, ``primary`` itself. Only where that is down too, a replica that is up, however late.
    """
    for alias in topology().in_turn(primary):
        if alias not in avoided and health.is_usable(alias):
            return alias
    late = [alias for alias in topology().in_turn(primary) if alias not in avoided and health.is_late(alias)]
    if late and not health.connects(primary):
        return next(filter(health.connects, late), primary)
    return primary


def choose_replayed(primary: str, position: Mapping[str, str], avoided: Collection[str] = ()) -> str | None:
    """The replica of ``primary`` that ``choose`` would take, if it has replayed ``position``, or another that has.

    ``None`` if there is none among the first ``MOST_ASKED`` that can be asked.
    """
    candidates = (alias for alias in topology().in_turn(primary) if alias not in avoided and health.is_usable(alias))
    for alias in itertools.islice(candidates, MOST_ASKED):
        if health.has_replayed(alias, position):
            return alias
    return None


class Topology:
    """Which primaries there are, whose replica an alias is, and whose turn it is."""

    def __init__(self, replica_databases: Mapping[str, Mapping[str, int]]) -> None:
        self.primaries = tuple(replica_databases)
        self.primary_of = {replica: primary for primary, weights in replica_databases.items() for replica in weights}
        self._weights = replica_databases
        self._turns = {primary: _turns(weights) for primary, weights in replica_databases.items() if weights}

    def has_replicas(self, primary: str) -> bool:
        return primary in self._turns

    def in_turn(self, primary: str) -> Iterator[str]:
        """The replicas of ``primary``: first the one whose turn it is, then the others in an order by chance, so that
        those share evenly what one that is down leaves to them.
        """
        turns = self._turns.get(primary)
        if turns is None:
            return
        first = next(turns)
        yield first
        others = {alias: weight for alias, weight in self._weights[primary].items() if alias != first}
        yield from sorted(others, key=lambda alias: random.random() ** (1 / others[alias]), reverse=True)


def topology() -> Topology:
    """The topology that ``REPLICA_DATABASES`` describes, built anew only when the setting is another object.

    Raises ``ImproperlyConfigured`` if the setting is impossible.
    """
    global _built
    setting = conf.raw_replica_databases
    if _built is None or _built[0] is not setting:
        if conf.replica_databases_name == "SLAVE_DATABASES":
            warnings.warn(
                "The setting SLAVE_DATABASES is deprecated: use REPLICA_DATABASES.",
                DeprecationWarning,
                stacklevel=2,
            )
        _built = setting, Topology(conf.replica_databases)
    return _built[1]


_built: tuple[Any, Topology] | None = None


def _turns(weights: Mapping[str, int]) -> Iterator[str]:
    """The replicas by weight, spread evenly, from a random start: workers that start together do not all begin
    with the same one.
    """
    aliases = list(weights)
    random.shuffle(aliases)
    round_ = _smooth_round({alias: weights[alias] for alias in aliases})
    start = random.randrange(len(round_))
    return itertools.cycle(round_[start:] + round_[:start])


def _smooth_round(weights: Mapping[str, int]) -> list[str]:
    """One round in which each alias comes ``weight`` times, and not in a row.

    Smooth weighted round-robin, as in nginx: all gain their weight at each step, and who leads pays the total.
    https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1
    """
    total = sum(weights.values())
    credit = dict.fromkeys(weights, 0)
    chosen = []
    for _ in range(total):
        for alias, weight in weights.items():
            credit[alias] += weight
        leader = max(credit, key=credit.__getitem__)
        credit[leader] -= total
        chosen.append(leader)
    return chosen
