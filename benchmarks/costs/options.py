"""The options of the command."""

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """``rounds``: of each table; ``None`` is what the table itself takes. ``slice_seconds``: of one measurement."""

    tables: Sequence[str] = ()
    rounds: int | None = None
    slice_seconds: float = 0.02
    processes: int = 3
    load_seconds: int = 3
    pins: int = 1_000_000
    requests: int = 1_000_000
    calls: int = 1000
    shows_list: bool = False


def parsed(description: str, tables: Collection[str], arguments: Sequence[str] | None = None) -> Options:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Options()

    def add(option: str, least: float, help: str) -> None:
        value = getattr(default, option.replace("-", "_"))
        shown = "" if value is None else " (default: %(default)s)"
        kind = float if isinstance(value, float) else int
        parser.add_argument(f"--{option}", type=_number(kind, least), default=value, help=f"{help}{shown}")

    parser.add_argument("tables", nargs="*", metavar="table", help="those to print (default: all)")
    parser.add_argument("--list", dest="shows_list", action="store_true", help="say which tables there are")
    add("rounds", 1, "instead of as many as each table takes")
    add("slice-seconds", 0.0001, "of CPU time that one measurement takes")
    add("processes", 1, "of each site, which take the rounds by turns")
    add("load-seconds", 1, "of each load of the throughput")
    add("pins", 1000, "in Redis, for its memory")
    add("requests", 1000, "of a worker, for its memory")
    add("calls", 1, "of which the instructions are counted")
    options = Options(**vars(parser.parse_args(arguments)))
    if unknown := [name for name in options.tables if name not in tables]:
        parser.error(f"no table is called {unknown[0]!r}: there are {', '.join(tables)}")
    return options


def _number(kind: Callable[[str], float], least: float) -> Callable[[str], float]:
    def checked(text: str) -> float:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    return checked
