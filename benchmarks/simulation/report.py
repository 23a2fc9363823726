"""The figures of a run, as tables in Markdown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.simulation.options import Options
from benchmarks.simulation.run import Load, Way
from benchmarks.simulation.stores import Redis


@dataclass(frozen=True)
class Column:
    """What there is to say of one way to pin. ``cookie``: the bytes that are sent with a pin, and that come back."""

    options: Options
    load: Load
    way: Way
    redis: Redis
    cookie: tuple[int, int]

    @property
    def live(self) -> list[int]:
        return self.load.live[self.way.trigger]

    @property
    def pinning(self) -> int:
        """The requests that pin."""
        return self.load.writes_that_pin(self.way.trigger)

    def a_second(self, count: float) -> str:
        return f"{count / self.options.duration:,.0f}"


def tables(options: Options, load: Load, redis: dict[str, Redis], cookies: dict[str, tuple[int, int]]) -> str:
    """The site, and then what each way to pin comes to. ``redis`` and ``cookies`` are by ``MULTIDB_PINNING_UNTIL``."""
    columns = [Column(options, load, way, redis[way.until], cookies[way.until]) for way in load.ways]
    return "\n".join([*_site(options, load), "", *_ways(columns)]) + "\n"


def little(options: Options, load: Load, trigger: str) -> float:
    """Little's law: as many pins are live as are made in the seconds of one. A user who writes again has one only."""
    return load.writes_that_pin(trigger) / options.duration * options.seconds


def _site(options: Options, load: Load) -> Iterator[str]:
    requests = load.reads + load.writes
    yield "| at the peak | |"
    yield "| --- | ---: |"
    yield f"| users | {options.users:,} |"
    yield f"| requests a second | {requests / options.duration:,.0f} |"
    yield f"| of those, not read-only | {load.writes / options.duration:,.0f} |"
    yield f"| requests that were simulated | {requests:,} |"
    yield f"| look-ups of the library's own pins; that differ | {load.checked:,}; {load.differing} |"


def _ways(columns: list[Column]) -> Iterator[str]:
    names = [f'`"{column.way.trigger}"`, `"{column.way.until}"`' for column in columns]
    yield f"| | {' | '.join(names)} |"
    yield "| --- |" + " ---: |" * len(columns)
    for name, cell in ROWS.items():
        yield f"| {name} | {' | '.join(map(cell, columns))} |"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "none"


def _primary_load(column: Column) -> str:
    writes = column.load.writes
    return _ratio(writes + column.way.reads_on_primary, writes)


def _replica_load(column: Column) -> str:
    even = column.load.reads / column.options.replicas
    return f"{_ratio(min(column.way.reads_of), even)} to {_ratio(max(column.way.reads_of), even)}"


def _commands(column: Column) -> str:
    of_reads = column.load.reads * column.redis.commands_of_a_read
    return column.a_second(of_reads + column.pinning * column.redis.commands_of_a_write)


def _kilobytes(column: Column) -> str:
    sent, returned = column.cookie
    return column.a_second((column.pinning * sent + column.way.pinned_reads * returned) / 1000)


def _redis_bytes(column: Column) -> str:
    return f"{column.redis.bytes_a_key:.0f} ({'measured' if column.redis.is_measured else 'bound'})"


def _redis_megabytes(column: Column) -> str:
    return f"{max(column.live) * column.options.keys * column.redis.bytes_a_key / 1e6:.1f}"


ROWS: dict[str, Callable[[Column], str]] = {
    "live pins: mean": lambda column: f"{sum(column.live) / len(column.live):,.0f}",
    "live pins: most": lambda column: f"{max(column.live):,}",
    "live pins by Little's law: writes a second x seconds": lambda column: (
        f"{little(column.options, column.load, column.way.trigger):,.0f}"
    ),
    "reads on the primary": lambda column: _share(column.way.reads_on_primary, column.load.reads),
    "load of the primary, 1 without pins": _primary_load,
    "load of the replicas, 1 without pins": _replica_load,
    "replicas looked at for a position, a second": lambda column: column.a_second(column.way.questions),
    "Redis: commands a second": _commands,
    "Redis: bytes a key": _redis_bytes,
    "Redis: megabytes at most": _redis_megabytes,
    "cookie: bytes in a response; in a request": lambda column: f"{column.cookie[0]}; {column.cookie[1]}",
    "cookie: kilobytes a second": _kilobytes,
}
