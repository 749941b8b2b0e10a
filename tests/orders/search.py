"""Which order a test goes through: told by a plan, found by a search, and counted.

At each *place* of a run where several could go on, 0 stands for what goes on by itself; anything
else is a *deviation*. So a run is told by its few deviations, and not by every step: as
`{17: 1, 40: 2}`. That is short to read, easy to shrink, and bounds a search in the way that finds
most (delay bounding: nearly every known race shows with one or two).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

Plan = dict[int, int]
"""Which of those that could go on does, by place; where nothing is said, the first."""


class Schedule:
    """Chooses as its plan says, and notes how many there were to choose from."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.options: list[int] = []

    def __call__(self, options: int) -> int:
        """Which of so many options is taken."""
        chosen = self.plan.get(len(self.options), 0)
        self.options.append(options)
        return chosen % options


class CutOff(AssertionError):
    """A search ended before all was gone through: nothing is shown to hold."""


@dataclass(frozen=True)
class Explored:
    """All that a search went through."""

    schedules: int
    places: int
    """In the run that had most of them."""
    deviations: int | None
    """At most so many in one run; None: any number."""

    def __str__(self) -> str:
        bound = "" if self.deviations is None else f" with at most {self.deviations} deviations"
        return f"{self.schedules} schedules{bound}, of up to {self.places} places"


def explore(run: Callable[[Schedule], object], *, deviations: int | None, at_most: int) -> Explored:
    """Run under every schedule with so many deviations, each exactly once, depth first.

    What a run raises goes through, with the plan in a note: `run(Schedule(plan))` does it again.
    If more than `at_most` runs were needed, `CutOff` is raised.
    """
    left: list[tuple[Plan, list[int]]] = [({}, [])]
    schedules = places = 0
    while left:
        if schedules == at_most:
            raise CutOff(f"after {Explored(schedules, places, deviations)}: more are left")
        plan, before = left.pop()
        schedule = Schedule(plan)
        try:
            run(schedule)
        except BaseException as exc:
            exc.add_note(f"under {plan}, the {schedules + 1}. schedule of a search")
            raise
        options = schedule.options
        assert options[: len(before)] == before, (
            "the same plan led elsewhere: no search is possible"
        )
        schedules, places = schedules + 1, max(places, len(options))
        if deviations is None or len(plan) < deviations:
            # What deviates before the last deviation has a run of its own.
            left += [
                ({**plan, place: other}, options[: place + 1])
                for place in range(len(before), len(options))
                for other in range(1, options[place])
            ]
    return Explored(schedules, places, deviations)


def plans(*, gap: int, most: int) -> st.SearchStrategy[Plan]:
    """Plans with up to `most` deviations, at most so many places apart."""

    def from_gaps(gaps: list[tuple[int, int]]) -> Plan:
        plan, place = {}, -1
        for skipped, other in gaps:
            place += 1 + skipped
            plan[place] = other
        return plan

    return st.lists(st.tuples(st.integers(0, gap), st.integers(1, 3)), max_size=most).map(from_gaps)
