"""How contenders are compared: in turns, in one process, by the medians of several rounds.

Each round lets every contender of a workload run once, and the next round begins with another
one, so that no one profits from its place. A ratio is taken within a round, between neighbours in
time, and the median of these is reported beside their lowest and highest: what slows the machine
for a while slows both. `statistics.median` is all the statistics there is to it; pyperf would run
each contender in processes of its own, where that pairing is lost.

The garbage collector is on, as users have it. A full collection before each run keeps one
contender's garbage from being collected at the next one's cost.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median

OURS = "boundedjobs"

Measure = Callable[[int], Mapping[str, float]]
"""Runs so many jobs, and returns figures by their keys: the smaller, the better."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who is measured; `needs` is a module that may not be installed."""

    name: str
    measure: Measure
    needs: str | None = None

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        return self.needs is None or find_spec(self.needs) is not None


@dataclass(frozen=True, slots=True)
class Goal:
    """How many times as good as a peer we want to be: `at_least`, and better still `aim`."""

    at_least: float
    aim: float | None = None

    def is_reached(self, ratio: float) -> bool:
        """Whether that is good enough."""
        return ratio >= self.at_least


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that a workload measures, and what we want of it, by the name of the peer.

    `at_most` is a goal for our own figure, whatever others have.
    """

    title: str
    unit: str
    goals: Mapping[str, Goal] = field(default_factory=dict)
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """What is measured, of whom (ourselves first), and how much of it: in full, and in short."""

    name: str
    figures: Mapping[str, Figure]
    contenders: Sequence[Contender]
    size: int
    short_size: int
    rounds: int = 7
    short_rounds: int = 2


@dataclass(frozen=True, slots=True)
class Ratio:
    """Their figure by ours, paired by rounds: 2 is "half the time of theirs"."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One figure of one workload: of each contender, ourselves first, the value of each round."""

    workload: str
    key: str
    figure: Figure
    values: Mapping[str, Sequence[float]]

    def value(self, name: str) -> float:
        """A contender's median."""
        return median(self.values[name])

    @property
    def peers(self) -> list[str]:
        """All but ourselves."""
        return [name for name in self.values if name != OURS]

    def ratio(self, peer: str) -> Ratio:
        """How many times as good as that peer we are."""
        pairs = zip(self.values[peer], self.values[OURS], strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        return Ratio(median(ratios), min(ratios), max(ratios))


def run(workload: Workload, *, short: bool) -> Iterator[Outcome]:
    """Measure a workload; yield what came of each of its figures."""
    contenders = [each for each in workload.contenders if each.is_installed]
    size = workload.short_size if short else workload.size
    for each in contenders:  # imports what it needs, and warms up
        each.measure(min(size, workload.short_size))
    found: dict[str, list[Mapping[str, float]]] = {each.name: [] for each in contenders}
    for number in range(workload.short_rounds if short else workload.rounds):
        first = number % len(contenders)
        for each in contenders[first:] + contenders[:first]:
            gc.collect()
            found[each.name].append(each.measure(size))
    for key, figure in workload.figures.items():
        values = {
            name: [result[key] for result in results]
            for name, results in found.items()
            if all(key in result for result in results)
        }
        if OURS in values:  # not every figure is measured in short, or on a small machine
            yield Outcome(workload.name, key, figure, values)
