"""Choosing a replica: turn and weight."""

import itertools
import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from multidb.conf import conf


def get_replica(primary: str = DEFAULT_DB_ALIAS) -> str:
    """The alias of the next replica of ``primary``, in turn; ``primary`` itself where it has no replicas.

    Raises ``ImproperlyConfigured`` if ``REPLICA_DATABASES`` is impossible.
    """
    return topology().next_replica(primary)


class Topology:
    """Which primaries there are, whose replica an alias is, and whose turn it is."""

    def __init__(self, replica_databases: Mapping[str, Mapping[str, int]]) -> None:
        self.primaries = tuple(replica_databases)
        self.primary_of = {replica: primary for primary, weights in replica_databases.items() for replica in weights}
        self._turns = {primary: _turns(weights) for primary, weights in replica_databases.items() if weights}

    def next_replica(self, primary: str) -> str:
        """The next replica of ``primary`` in turn; ``primary`` itself where it has none."""
        turns = self._turns.get(primary)
        return primary if turns is None else next(turns)


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
