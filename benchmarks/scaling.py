"""What pins cost a site with 10,000,000 users: Redis, the primary, the replicas, and the wire.

Simulates the peak of a day, request by request; nothing of it is sampled. Users begin visits as a Poisson process. A
visit is requests with exponential pauses, each of which writes with the same chance. A user who wrote is pinned for the
seconds. A replica's lag is drawn anew each second, log-normal, by its median and 99th percentile. All four ways to pin
see the same requests. Memory is that of the visits that go on and of the pins that hold, not that of the users.

What is the library's: ``Pin`` (made, merged, encoded, decoded and asked whether it holds) for one user of 50, beside
the arithmetic that is done for all, and the number of times that the two differ; how many replicas are asked; the
cookie; the keys and commands of Redis, and the bytes that 5000 clients take in a real ``redis-server``, which is
started where there is one (else the bound of ``docs/security.md``). All else is arithmetic: no database is asked.

Prints two tables in Markdown. The same seed gives the same figures. A request is one unit of load, whatever it reads.
The exit status is 1 if the library and the arithmetic differ.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1] / "example_project"))
sys.path.insert(1, str(Path(__file__).parents[1]))

from benchmarks.simulation.options import parse


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments, __doc__)
    from benchmarks.simulation.report import tables
    from benchmarks.simulation.run import UNTIL, run
    from benchmarks.simulation.stores import cookie_bytes, redis_figures, set_up

    set_up()
    load = run(options)
    redis = {until: redis_figures(options, until) for until in UNTIL}
    cookies = {until: cookie_bytes(options, until) for until in UNTIL}
    sys.stdout.write(tables(options, load, redis, cookies))
    return int(load.differing > 0)


if __name__ == "__main__":
    sys.exit(main())
