"""The checker: does a history keep the promises that were made to each client?

Each client is a session of its own with a register of its own. Of two operations, one is before the other if it was
answered before the other was sent; operations that overlap are in no order. A write that was not answered with success
may have taken effect or not, and may do so later.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from history.operations import Operation


class Promise(StrEnum):
    """What a history can break.

    ``READ_YOUR_WRITES``: a read shows what its client was told is written, or what it wrote later.
    ``NOTHING_INVENTED``: a read shows nothing that its client had not begun to write.
    ``NOTHING_LOST``: what a client was told is written is on the primary in the end.
    ``MONOTONIC_WRITES``: a client's writes took effect in the order in which it was told that they are written.
    """

    READ_YOUR_WRITES = "read your writes"
    NOTHING_INVENTED = "nothing invented"
    NOTHING_LOST = "nothing lost"
    MONOTONIC_WRITES = "monotonic writes"


class Violation(NamedTuple):
    """``operation`` breaks ``promise``: ``expected`` is the value that it should have come up to, or come after."""

    promise: Promise
    operation: Operation
    expected: int


def violations(history: Iterable[Operation], registers: Mapping[str, Sequence[int]]) -> list[Violation]:
    """What ``history`` breaks, in no order of its own.

    ``registers`` tells for each client the values that its register has on the primary after all operations, in the
    order in which they took effect.
    """
    clients = defaultdict(list)
    for operation in history:
        clients[operation.client].append(operation)
    return [
        violation
        for client, operations in clients.items()
        for violation in (*_broken_reads(operations), *_broken_writes(operations, registers.get(client, ())))
    ]


def _broken_reads(operations: Sequence[Operation]) -> Iterator[Violation]:
    writes = [each for each in operations if each.writes]
    reads = [each for each in operations if each.is_done and not each.writes]
    for read, told in _with_largest_before(reads, writes, lambda write: write.value):
        if read.value < told:
            yield Violation(Promise.READ_YOUR_WRITES, read, told)
        begun = max((write.value for write in writes if write.start < read.end), default=0)
        if read.value > begun:
            yield Violation(Promise.NOTHING_INVENTED, read, begun)


def _broken_writes(operations: Sequence[Operation], register: Sequence[int]) -> Iterator[Violation]:
    places = {value: place for place, value in enumerate(register, 1)}
    done = [each for each in operations if each.writes and each.is_done]
    kept = [write for write in done if write.value in places]
    for write in done:
        if write.value not in places:
            yield Violation(Promise.NOTHING_LOST, write, write.value)
    for write, place in _with_largest_before(kept, kept, lambda write: places[write.value]):
        if places[write.value] < place:
            yield Violation(Promise.MONOTONIC_WRITES, write, register[place - 1])


def _with_largest_before(
    operations: Iterable[Operation], writes: Iterable[Operation], measure: Callable[[Operation], int]
) -> Iterator[tuple[Operation, int]]:
    """Each of ``operations`` with the largest ``measure`` of the writes that were done before it, or 0."""
    done = sorted((write for write in writes if write.is_done), key=lambda write: write.end)
    largest = before = 0
    for operation in sorted(operations, key=lambda operation: operation.start):
        while before < len(done) and done[before].end <= operation.start:
            largest = max(largest, measure(done[before]))
            before += 1
        yield operation, largest
