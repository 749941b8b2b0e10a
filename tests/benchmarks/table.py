"""The figures as a table, in Markdown: read in a terminal as it is, and shown by the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from tests.benchmarks.contest import OURS, Goal, Outcome, Ratio

HEAD = ("what", "", OURS, "peer", "its figure", "ours is better", "goal", "reached")


def table(outcomes: Iterable[Outcome]) -> str:
    """All of it: a line for each figure and peer."""
    return aligned([HEAD, *(row for outcome in outcomes for row in rows(outcome))])


def rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """The lines of one figure; what they have in common is in the first only."""
    figure = outcome.figure
    peers = list(outcome.peers)
    first = (figure.title, figure.unit, shown(outcome.value(OURS)))
    if figure.at_most is not None or not peers:
        bound = figure.at_most
        met = "" if bound is None else reached(outcome.value(OURS) <= bound)
        yield (*first, "", "", "", "" if bound is None else f"at most {bound:g}", met)
        first = ("", "", "")
    for peer, head in zip_longest(peers, [first], fillvalue=("", "", "")):
        ratio, goal = outcome.ratio(str(peer)), figure.goals.get(str(peer))
        verdict = ("", "") if goal is None else (wanted(goal), judged(ratio, goal))
        yield (*head, str(peer), shown(outcome.value(str(peer))), spread(ratio), *verdict)


def spread(ratio: Ratio) -> str:
    """The ratio, and between what it lay."""
    return f"**{times(ratio.median)}** ({times(ratio.lowest)} to {times(ratio.highest)})"


def wanted(goal: Goal) -> str:
    """The goal, and what would be better still."""
    aim = "" if goal.aim is None else f", aim {goal.aim:g}x"
    return f"{goal.at_least:g}x{aim}"


def judged(ratio: Ratio, goal: Goal) -> str:
    """Whether the ratio is what was wanted."""
    if goal.aim is not None and ratio.median >= goal.aim:
        return "yes, the aim too"
    return reached(ratio.median >= goal.at_least)


def reached(is_reached: bool) -> str:
    """A miss is to be seen."""
    return "yes" if is_reached else "**no**"


def times(ratio: float) -> str:
    """As many digits as mean something."""
    return f"{ratio:.3g}x" if ratio < 100 else f"{ratio:.0f}x"


def shown(value: float) -> str:
    """Three digits, or all of a whole number, with its thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Lines of cells as Markdown whose columns stand one below the other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    dashes = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |"
        for line in [lines[0], dashes, *lines[1:]]
    )
