"""Measure by turns, so that what else the machine does meanwhile falls on all alike."""

from collections.abc import Callable, Mapping
from statistics import median, quantiles


class Figures:
    """What each of several measures came to, in each round."""

    def __init__(self, rounds: list[dict[str, float]]) -> None:
        self._rounds = rounds

    def median(self, name: str) -> float:
        return median(each[name] for each in self._rounds)

    def ratio(self, name: str, to: str) -> float:
        """The median of the rounds' ratios, which were measured side by side."""
        return median(each[name] / each[to] for each in self._rounds)

    def middle_ratios(self, name: str, to: str) -> tuple[float, float]:
        """Between which two the ratios of half of the rounds are: the first and the third quartile."""
        ratios = [each[name] / each[to] for each in self._rounds]
        first, _, third = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        return first, third

    def difference(self, name: str, to: str) -> float:
        """The median of the rounds' differences."""
        return median(each[name] - each[to] for each in self._rounds)

    def map(self, compute: Callable[[dict[str, float]], dict[str, float]]) -> "Figures":
        """The figures that ``compute`` makes of those of each round."""
        return Figures([compute(each) for each in self._rounds])


def interleaved(measures: Mapping[str, Callable[[], float]], rounds: int) -> Figures:
    """The figures of ``rounds``, in each of which each measure is taken once, beginning with another one each time."""
    for measure in measures.values():
        measure()  # Whatever is made once, is made now.
    names = list(measures)
    taken = []
    for number in range(rounds):
        turn = number % len(names)
        taken.append({name: measures[name]() for name in names[turn:] + names[:turn]})
    return Figures(taken)
