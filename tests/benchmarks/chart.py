"""The ratios as a picture: an SVG without a background, in colours that are read on white and on black.

GitHub's theme is a setting of its site and need not be that of the browser, which is all that an
image could ask for (`prefers-color-scheme`). So there is one set of colours, fit for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from tests.benchmarks.contest import Goal, Outcome, Ratio
from tests.benchmarks.table import times

GREY = "#6f7a86"
BETTER = "#3583d1"
WORSE = "#cc7722"

WIDTH = 900
LEFT, RIGHT = 420, 730
"""Where the scale begins and ends: titles are to the left of it, ratios to the right."""
TOP, LINE, BAR = 58, 20, 11


@dataclass(frozen=True, slots=True)
class Bar:
    """We beside one peer."""

    title: str
    peer: str
    ratio: Ratio
    goal: Goal | None


def chart(outcomes: Sequence[Outcome], caption: str) -> str:
    """A bar for each figure and peer: none is left out for how it looks."""
    bars = [bar for outcome in outcomes for bar in bars_of(outcome)]
    return "\n".join(lines(bars, caption)) + "\n"


def bars_of(outcome: Outcome) -> Iterator[Bar]:
    """Those of one figure; what has a goal of its own, whatever others have, is the table's."""
    if outcome.figure.at_most is None:
        for peer in outcome.peers:
            goal = outcome.figure.goals.get(peer)
            yield Bar(outcome.figure.title, peer, outcome.ratio(peer), goal)


@dataclass(frozen=True, slots=True)
class Scale:
    """Logarithmic, so that twice and half are as far from the middle."""

    first: float
    last: float

    @classmethod
    def around(cls, bars: Sequence[Bar]) -> Scale:
        """Room for all of them, in steps of 1, 2 and 5."""
        ends = [end for bar in bars for end in (bar.ratio.lowest, bar.ratio.highest)]
        goals = [bar.goal.at_least for bar in bars if bar.goal is not None]
        found = [1.0, *ends, *goals]
        every = steps(floor(log10(min(found))), ceil(log10(max(found))))
        return cls(
            max((step for step in every if step <= min(found)), default=every[0]),
            min((step for step in every if step >= max(found) and step > 1), default=2.0),
        )

    def x(self, ratio: float) -> float:
        """Where a ratio stands."""
        part = log10(ratio / self.first) / log10(self.last / self.first)
        return round(LEFT + part * (RIGHT - LEFT), 1)

    @property
    def ticks(self) -> list[float]:
        """What is written along the top."""
        every = steps(floor(log10(self.first)), ceil(log10(self.last)))
        return [step for step in every if self.first <= step <= self.last]


def steps(first: int, last: int) -> list[float]:
    """1, 2 and 5 of each power of ten, and the next power."""
    found = [float(f"{digit}e{power}") for power in range(first, last) for digit in (1, 2, 5)]
    return [*found, float(f"1e{last}")]


def lines(bars: Sequence[Bar], caption: str) -> Iterator[str]:
    """The elements, from the top down."""
    height = TOP + LINE * len(bars) + 30
    scale = Scale.around(bars)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{GREY}">'
    )
    yield "<title>How many times as good as others boundedjobs is</title>"
    yield text(8, 16, "How many times as good as the peer: its figure by ours", size=14, bold=True)
    yield text(WIDTH - 8, 16, "thick mark: the goal; thin line: lowest to highest", anchor="end")
    bottom = TOP + LINE * len(bars)
    for tick in scale.ticks:
        x, is_one = scale.x(tick), tick == 1
        yield text(x, TOP - 10, f"{tick:g}", anchor="middle", bold=is_one)
        yield line(x, TOP - 4, x, bottom, GREY, width=1.5 if is_one else 0.5, faint=not is_one)
    for number, bar in enumerate(bars):
        yield from drawn(bar, scale, TOP + LINE * number + LINE / 2)
    yield text(8, height - 8, caption, size=11)
    yield "</svg>"


def drawn(bar: Bar, scale: Scale, middle: float) -> Iterator[str]:
    """One bar, from 1 to its ratio, with its words on both sides."""
    colour = BETTER if bar.ratio.median >= 1 else WORSE
    begin, end = sorted((scale.x(1), scale.x(bar.ratio.median)))
    lowest, highest = scale.x(bar.ratio.lowest), scale.x(bar.ratio.highest)
    top = middle - BAR / 2
    yield text(LEFT - 12, middle + 4, f"{bar.title} / {bar.peer}", anchor="end", size=11)
    yield (
        f'<rect x="{begin}" y="{top}" width="{end - begin:.1f}" height="{BAR}" rx="2" '
        f'fill="{colour}"/>'
    )
    yield line(lowest, middle, highest, middle, GREY)
    words = times(bar.ratio.median)
    yield text(RIGHT + 62, middle + 4, words, anchor="end", bold=True, colour=colour)
    if bar.goal is not None:
        x = scale.x(bar.goal.at_least)
        yield line(x, top - 3, x, top + BAR + 3, GREY, width=3)
        yield text(RIGHT + 76, middle + 4, f"goal {bar.goal.at_least:g}x")


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 12,
    bold: bool = False,
    colour: str = GREY,
) -> str:
    """Words at a place."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}>'
        f"{escape(words)}</text>"
    )


def line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    colour: str,
    *,
    width: float = 1,
    faint: bool = False,
) -> str:
    """A straight one."""
    opacity = ' stroke-opacity="0.5"' if faint else ""
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" '
        f'stroke-width="{width}"{opacity}/>'
    )
