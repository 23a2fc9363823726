"""What is simulated: the options of the command, their defaults and what they may be."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Number = TypeVar("Number", int, float)

SECONDS_OF_A_DAY = 86_400

# Each request is a step of Python: with more of them a run takes longer than a few minutes.
MOST_REQUESTS = 20_000_000


@dataclass(frozen=True)
class Options:
    """A site at its peak. Times are seconds."""

    users: int = 10_000_000
    actions: float = 50
    peak: float = 3
    visit: float = 20
    think: float = 10
    writes: float = 0.03
    empty: float = 0.2
    seconds: float = 15
    lag: float = 0.1
    lag_tail: float = 2
    replicas: int = 4
    keys: int = 2
    duration: float = 60
    seed: int = 1

    @property
    def requests_a_second(self) -> float:
        return self.users * self.actions / SECONDS_OF_A_DAY * self.peak


def parse(arguments: Sequence[str] | None, description: str | None) -> Options:
    """The options that the command was given. Ends the process if they are impossible, and says why."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(name: str, kind: Callable[[str], float], help: str) -> None:
        default = getattr(Options, name)
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, default=default, type=kind, help=f"{help} (default: {default})")

    add("users", _number(int, 1, 1_000_000_000), "of the site")
    add("actions", _number(float, 0.001, 10_000), "requests of a user and day")
    add("peak", _number(float, 1, 100), "requests a second at the peak over those of the day's mean")
    add("visit", _number(float, 1, 10_000), "requests of a visit, mean")
    add("think", _number(float, 0.01, 3600), "seconds between two requests of a visit, mean")
    add("writes", _number(float, 0, 1), "share of requests whose method is not read-only")
    add("empty", _number(float, 0, 1), "share of those that change nothing")
    add("seconds", _number(float, 1, 3600), "that a pin holds at most: MULTIDB_PINNING_SECONDS")
    add("lag", _number(float, 0.0001, 3600), "of the replicas, median, in seconds")
    add("lag_tail", _number(float, 0.0001, 3600), "of the replicas, 99th percentile, at least the median")
    add("replicas", _number(int, 1, 1000), "of the primary")
    add("keys", _number(int, 1, 2), "that a client's pin is filed under in Redis: 1 without, 2 with a user")
    add("duration", _number(float, 1, 3600), "seconds that are counted, after those of a pin, which are not")
    add("seed", _number(int, 0, 2**63), "of everything that is by chance")
    options = Options(**vars(parser.parse_args(arguments)))
    if options.lag_tail < options.lag:
        parser.error(f"argument --lag-tail: {options.lag_tail} is not from {options.lag} (--lag) to 3600")
    requests = options.requests_a_second * (options.duration + options.seconds)
    if requests > MOST_REQUESTS:
        parser.error(
            f"argument --duration: {options.duration} makes {requests:,.0f} requests, and at most {MOST_REQUESTS:,} "
            "are simulated"
        )
    return options


def _number(kind: Callable[[str], Number], least: float, most: float) -> Callable[[str], Number]:
    def checked(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:  # Which what is no number at all, nan, is not either.
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:,} to {most:,}")
        return value

    return checked
