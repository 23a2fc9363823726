"""Real replication clusters on free loopback ports, for the demo, the tests and the benchmarks.

Knows nothing of Django. The servers run as an unprivileged user in a directory of their own, and are gone, with all
their files, when the cluster is stopped or the interpreter exits.
"""


class ServersMissing(Exception):
    """A program or a driver that a cluster needs is not installed; says what was looked for and what to install."""


class ServerFailed(Exception):
    """A program did not do what it was started for; ends with the last lines of its log."""
