"""The report: what the clients did, what went wrong, and what was broken."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from workload.project import PRIMARY

from history.checker import Promise, Violation
from history.faults import KINDS as FAULTS
from history.faults import Done
from history.operations import Operation, Outcome

# The others of a kind are counted only.
LONGEST_LIST = 10


class Run(NamedTuple):
    """What a run has shown: from ``begin`` (by ``time.monotonic()``), for so many ``seconds``."""

    begin: float
    seconds: float
    history: Sequence[Operation]
    faults: Sequence[Done]
    violations: Sequence[Violation]

    def of(self, kinds: Sequence[str]) -> "Run":
        """Only what clients of these kinds have seen."""
        return self._replace(
            history=[operation for operation in self.history if operation.kind in kinds],
            violations=[violation for violation in self.violations if violation.operation.kind in kinds],
        )

    @property
    def failed_reads(self) -> list[Operation]:
        """Reads that were answered with an error, or not at all though the worker was not killed."""
        return [each for each in self.history if not each.writes and _has_failed(each)]

    @property
    def failed_writes(self) -> list[Operation]:
        """As ``failed_reads``."""
        return [each for each in self.history if each.writes and _has_failed(each)]


COLUMNS: Mapping[str, Callable[[Run], str]] = {
    "operations": lambda run: f"{len(run.history)}",
    "writes": lambda run: f"{sum(each.writes for each in run.history)}",
    "reads on the primary": lambda run: f"{_primary_share(run.history):.1%}",
    "stale reads": lambda run: f"{_count(run, Promise.READ_YOUR_WRITES)}",
    "invented reads": lambda run: f"{_count(run, Promise.NOTHING_INVENTED)}",
    "lost writes": lambda run: f"{_count(run, Promise.NOTHING_LOST)}",
    "writes out of order": lambda run: f"{_count(run, Promise.MONOTONIC_WRITES)}",
    "failed reads": lambda run: f"{len(run.failed_reads)}",
    "failed writes": lambda run: f"{len(run.failed_writes)}",
    "unanswered by a killed worker": lambda run: f"{sum(each.outcome is Outcome.KILLED for each in run.history)}",
}


def table(run: Run, kinds: Sequence[str]) -> str:
    """A row for each of these kinds of clients, and one for all of them, in Markdown."""
    lines = [["clients", *COLUMNS], ["---", *["---:"] * len(COLUMNS)]]
    rows = {**{kind: run.of([kind]) for kind in kinds}, "all": run}
    lines += [[name, *(cell(row) for cell in COLUMNS.values())] for name, row in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def conditions(run: Run) -> str:
    """How fast it was, what was broken how often, and by which rules reads were routed."""
    made = Counter(fault.kind for fault in run.faults)
    faults = ", ".join(f"{kind} {made[kind]}" for kind in FAULTS)
    reasons = Counter(reason for operation in run.history for _, reason in operation.routes)
    shares = ", ".join(f"{reason} {count / reasons.total():.1%}" for reason, count in reasons.most_common())
    rate = len(run.history) / run.seconds
    return (
        f"{len(run.history)} operations in {run.seconds:.0f} s, {rate:.0f} a second.\n"
        f"{len(run.faults)} faults: {faults}.\n"
        f"Reasons of the reads: {shares or 'none'}.\n"
    )


def details(run: Run) -> str:
    """Each fault, the first violations, and the first failures, each with its seconds since the begin of the run."""
    lines = [
        f"{fault.begin - run.begin:8.3f} to {fault.end - run.begin:8.3f}  {fault.kind}: {fault.server}"
        for fault in sorted(run.faults, key=lambda fault: fault.begin)
    ]
    broken = sorted(run.violations, key=lambda violation: violation.operation.start)
    lines += [f"{each.promise}, not {each.expected}: {_line(run, each.operation)}" for each in broken[:LONGEST_LIST]]
    failed = [*run.failed_reads[:LONGEST_LIST], *run.failed_writes[:LONGEST_LIST]]
    lines += [f"failed: {_line(run, operation)}" for operation in failed]
    return "".join(f"{line}\n" for line in lines)


def _line(run: Run, operation: Operation) -> str:
    kind = "write" if operation.writes else "read"
    routes = " ".join(f"{alias} ({reason})" for alias, reason in operation.routes)
    return (
        f"{operation.start - run.begin:8.3f} to {operation.end - run.begin:8.3f}  {operation.client} on"
        f" {operation.worker}: {kind} {operation.value} {operation.outcome} {routes} {operation.detail}"
    )


def _has_failed(operation: Operation) -> bool:
    return operation.outcome in (Outcome.FAILED, Outcome.UNANSWERED)


def _count(run: Run, promise: Promise) -> int:
    return sum(violation.promise is promise for violation in run.violations)


def _primary_share(history: Sequence[Operation]) -> float:
    reads = [operation for operation in history if operation.routes]
    return sum(any(alias == PRIMARY for alias, _ in read.routes) for read in reads) / max(len(reads), 1)
