"""The requests of all users, one after the other."""

import heapq
import math
import random
from collections.abc import Iterator

from benchmarks.simulation.options import Options

Request = tuple[float, int, bool]


def requests(options: Options, chance: random.Random, end: float) -> Iterator[Request]:
    """Until ``end``, in seconds: when, the number of the user, and whether the method is not read-only.

    Users begin visits at any time, each as likely as the others (a Poisson process). A visit goes on after each
    request with the same chance, after an exponential time. So what is going on when the simulation begins can be
    drawn exactly, and the site is at its peak from the first second on.
    """
    goes_on = 1 - 1 / options.visit
    visits_a_second = options.requests_a_second / options.visit
    between_requests = poisson(chance, options.requests_a_second * goes_on * options.think)
    due = [(chance.expovariate(1 / options.think), chance.randrange(options.users)) for _ in range(between_requests)]
    heapq.heapify(due)
    begins = chance.expovariate(visits_a_second)
    while True:
        if due and due[0][0] < begins:
            now, user = due[0]
            is_over = chance.random() >= goes_on
            if is_over:
                heapq.heappop(due)
            else:
                heapq.heapreplace(due, (now + chance.expovariate(1 / options.think), user))
        else:
            now, user = begins, chance.randrange(options.users)
            begins += chance.expovariate(visits_a_second)
            if chance.random() < goes_on:
                heapq.heappush(due, (now + chance.expovariate(1 / options.think), user))
        if now >= end:
            return
        yield now, user, chance.random() < options.writes


def poisson(chance: random.Random, mean: float) -> int:
    """How many of what comes at random there are, where there are ``mean`` on average."""
    if mean > 1000:  # By then nobody can tell it from the normal distribution.
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    count, passed = 0, chance.expovariate(1)
    while passed < mean:
        count += 1
        passed += chance.expovariate(1)
    return count
