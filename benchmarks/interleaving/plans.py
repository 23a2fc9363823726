"""What is going to happen: plans by chance, half of them of clients that are pinned."""

import random
from collections.abc import Iterator, Sequence

from benchmarks.interleaving.visits import CLOSED_EARLY, STREAMED, Plan, Visit

PAGES = ["view", "aview", "late"]
SYNC_STREAM = "stream"
STREAMS = [SYNC_STREAM, "astream", "nested_stream"]

# How many points at which a view waits a client sits out, at most.
MOST_PATIENCE = 12


def visits(numbers: Sequence[int], endings: Sequence[str], chains: Sequence[str], seed: int) -> Iterator[Visit]:
    """A visit for each of ``numbers``; the same for the same ``seed``."""
    for number in numbers:
        chance = random.Random(f"{seed} {number}")
        ending = chance.choice(endings)
        views = STREAMS if ending in (STREAMED, CLOSED_EARLY) else [*PAGES, *STREAMS]
        plan = Plan(
            number=number,
            pinned=number % 2 == 0,
            method="POST" if chance.random() < 0.15 else "GET",
            declared=chance.random() < 0.15,
            view=chance.choice(views),
            chain=chance.choice(chains),
            ending=ending,
            patience=chance.randint(1, MOST_PATIENCE),
        )
        yield Visit(plan, chance)
