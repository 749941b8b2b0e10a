"""The figures as a table, in Markdown: read in a terminal as it is, and shown by the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from tests.benchmarks.contest import OURS, Goal, Outcome, Ratio

HEAD = ("what", "unit", OURS, "peer", "peer's", "ratio (lowest to highest)", "goal", "reached")


def table(outcomes: Iterable[Outcome]) -> str:
    """All of it: a line for each figure and peer."""
    return aligned([HEAD, *(row for outcome in outcomes for row in rows(outcome))])


def rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """The lines of one figure; what they have in common is in the first only."""
    figure, ours = outcome.figure, outcome.value(OURS)
    heads = [(figure.title, figure.unit, shown(ours))]
    if figure.at_most is not None:
        verdict = reached(is_reached=ours <= figure.at_most)
        yield (*heads.pop(), "", "", "", f"at most {figure.at_most:g}", verdict)
    for peer, head in zip_longest(outcome.peers, heads, fillvalue=""):
        ratio, goal = outcome.ratio(str(peer)), figure.goals.get(str(peer))
        yield (
            *(head or ("", "", "")),
            str(peer),
            shown(outcome.value(str(peer))),
            spread(ratio),
            "" if goal is None else wanted(goal),
            "" if goal is None else judged(ratio, goal),
        )


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
        return "yes, and the aim"
    return reached(is_reached=goal.is_reached(ratio.median))


def reached(*, is_reached: bool) -> str:
    """A miss is to be seen."""
    return "yes" if is_reached else "**no**"


def times(ratio: float) -> str:
    """A ratio, with as many digits as mean something."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def shown(value: float) -> str:
    """Three digits, or all of a whole number, with its thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Lines of cells as Markdown whose columns stand one below the other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    dashes = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |"
        for line in [lines[0], dashes, *lines[1:]]
    )
