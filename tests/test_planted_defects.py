"""Each proof finds the defects that are planted for it: that it finds none else is no blindness.

In a copy of the code one guard is something else; what holds without (`test_orders`,
`test_model`, `test_admission`) must fail with it, and for that reason.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from boundedjobs import BoundedRunner, _closing, _pace
from boundedjobs._admission import Admission
from boundedjobs._bodies import Bodies
from boundedjobs._book import Book
from boundedjobs._core import Core
from boundedjobs._ending import Ending
from boundedjobs._flight import Flight, Turn
from boundedjobs._future import LazyFuture
from boundedjobs._lanes._loops import LoopLane
from boundedjobs._watching import Watching
from tests import test_admission, test_model, test_orders
from tests.orders.baton import Baton, Deadlock
from tests.orders.planted import plant
from tests.orders.search import CutOff, Schedule, explore

if TYPE_CHECKING:
    from collections.abc import Iterable


class Defect(NamedTuple):
    """A guard, and what stands in its place."""

    owner: Any
    name: str
    guard: str
    instead: str


class Shown(NamedTuple):
    """By which play of `test_orders`, under how many deviations at the least, and what it says."""

    scene: str
    where: str
    hearing: str
    deviations: int
    reason: str
    at_lines: bool = False


IN_ORDERS = {
    "a cancelled job is started all the same": (
        Defect(Book, "claim", "if job._status is not PENDING:", "if job._settled is None:"),
        # What fails is the package itself: the job has let go of its context.
        Shown("submit_and_cancel_against_a_worker", "threads", "nobody", 0, "no attribute 'run'"),
    ),
    "a body that ends late ends its job once more": (
        Defect(Bodies, "_succeeded", "is_late = job._status is not RUNNING", "is_late = False"),
        Shown("finish_against_deadline", "threads", "sync", 1, "is succeeded, and heard was"),
    ),
    "the timer ends a job that has just ended": (
        Defect(Watching, "_time_out", "is not JobStatus.RUNNING", "is None"),
        Shown("finish_against_deadline", "threads", "sync", 2, "succeeded -> failed"),
    ),
    "a closing does not wait for who is about to run": (
        Defect(Book, "rest", "self.admission.closed and self.is_quiet()", "self.admission.closed"),
        Shown("submit_against_a_closing_that_waits", "threads", "nobody", 1, "not all have ended"),
    ),
    "who waits does not look again when it has lain down": (
        Defect(LazyFuture, "_join", "return not self._settled", "return True"),
        Shown("waiter_against_finish", "threads", "nobody", 2, "threads are left"),
    ),
    "a higher limit starts nobody": (
        Defect(_pace, "_let_run", "core.hand_over(admission.start())", "pass"),
        Shown("limit_change_against_finish", "threads", "nobody", 0, "a slot is not used"),
    ),
    "to look whether it is done, and to add a callback, are two steps": (
        Defect(LazyFuture, "add_done_callback", "with self._keeper.lock:", "if True:"),
        # There is no lock any more that would be a point: it shows at lines only.
        Shown("callback_against_finish", "threads", "nobody", 2, "Right contains one more", True),
    ),
    "a loop is woken for the first errand only": (
        Defect(LoopLane, "_see_to_inbox", "self._waking = False", "pass"),
        Shown("cancel_against_start", "private_loop", "sync", 0, "a slot is lost"),
    ),
    "a cancel that comes while RUNNING is heard is forgotten": (
        Defect(Bodies, "drive", "exc = await self._until_told(job)", "await self._until_told(job)"),
        Shown("cancel_against_start", "home_loop", "async", 1, "what cancel.. said is not so"),
    ),
    "who has read the inputs rings for nobody": (
        Defect(Turn, "end", "bells = [*flight.bells]", "bells = []"),
        Shown("taking_one_against_iterating", "threads", "nobody", 1, "was not woken"),
    ),
    "who leaves does not wake who iterates": (
        Defect(Flight, "close", "for bell in bells:", "for bell in ():"),
        Shown("leaving_against_iterating", "threads", "nobody", 1, "was not woken"),
    ),
    "who iterates does not look again before it waits": (
        Defect(Turn, "_is_waiting", "if flight.landed or flight.closed:", "if flight.closed:"),
        Shown("iterating_against_finish", "threads", "nobody", 1, "was not woken"),
    ),
    "who is stuck is told after the end": (
        Defect(Watching, "_tell_stuck", "job._status is not running or ", ""),
        Shown("stuck_against_finish", "threads", "sync", 2, "heard"),
    ),
}


def quick(names: Iterable[str]) -> list[Any]:
    """Those for the plain suite: a search at each line takes many seconds."""
    return [
        pytest.param(name, marks=pytest.mark.proof) if IN_ORDERS[name][1].at_lines else name
        for name in names
    ]


@pytest.mark.parametrize("name", quick(IN_ORDERS))
def test_a_search_through_orders_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    defect, shown = IN_ORDERS[name]
    plant(monkeypatch, *defect)
    play = partial(
        test_orders.play, shown.scene, shown.where, shown.hearing, at_lines=shown.at_lines
    )
    with pytest.raises((AssertionError, AttributeError)) as caught:
        explore(play, deviations=shown.deviations, at_most=3_000)
    assert not isinstance(caught.value, CutOff)
    assert re.search(shown.reason, str(caught.value))
    if shown.deviations:  # the plain course of things does not show it
        explore(play, deviations=0, at_most=1)


IN_BOTH = {
    "one more than the limit runs": Defect(
        Admission, "start", "len(self.running) < self.slots", "len(self.running) <= self.slots"
    ),
    "last in, first out": Defect(
        Admission, "start", "next(iter(self.pending))", "next(reversed(self.pending))"
    ),
}
IN_ADMISSION = {
    **IN_BOTH,
    "who waits outside is overtaken": Defect(
        Admission, "submit", "self._has_room() and not self.outside", "self._has_room()"
    ),
    "who was held back is queued last": Defect(Admission, "hold_back", "last=False", "last=True"),
}
IN_RUNNER = {
    **IN_BOTH,
    "a job is accepted though the runner has closed": Defect(
        Core, "submit", "admission.closed\n", "False\n"
    ),
    "a body that was overdue keeps its slot": Defect(
        Ending, "release", "self.hand_over(self.admission.remove(job), worker=worker)", "None"
    ),
    "closing leaves the pause": Defect(_closing, "_close", "resume(core)", "pass"),
    "a deadline lets go of who waits only": Defect(
        _closing, "let_go", "*admission.pending, *admission.running]", "*admission.pending]"
    ),
    "a job that has timed out stays running": Defect(
        Watching, "_time_out", "self.note(job, JobStatus.FAILED)", "pass"
    ),
    "stagger is forgotten": Defect(
        Book, "claim", "self.next_start = moment + self.stagger", "pass"
    ),
}


def finds(machine: type[RuleBasedStateMachine]) -> None:
    """At the latest in the 3,000th example, always the same ones, an assertion fails."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=3_000,
                stateful_step_count=30,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                report_multiple_bugs=False,
                suppress_health_check=[*HealthCheck],
            ),
        )


def some(names: Iterable[str]) -> list[Any]:
    """The first is for the plain suite; the others take seconds each."""
    first, *others = names
    return [first, *(pytest.param(name, marks=pytest.mark.proof) for name in others)]


@pytest.mark.parametrize("name", some(IN_ADMISSION))
def test_the_model_of_the_admission_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *IN_ADMISSION[name])
    finds(test_admission.Machine)


@pytest.mark.parametrize("name", some(IN_RUNNER))
def test_the_model_of_the_runner_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *IN_RUNNER[name])
    finds(test_model.Machine)


def test_a_search_that_is_cut_off_does_not_say_that_it_holds() -> None:
    play = partial(test_orders.play, "two_cancels", "threads", "nobody")
    with pytest.raises(CutOff) as caught:
        explore(play, deviations=None, at_most=5)
    assert "more are left" in str(caught.value)


def test_a_search_goes_through_each_schedule_once() -> None:
    """Three places with two, three and two options: 12 ways, of which each is gone once."""
    seen: list[tuple[int, ...]] = []
    explored = explore(
        lambda schedule: seen.append(tuple(schedule(options) for options in (2, 3, 2))),
        deviations=None,
        at_most=12,
    )
    assert len({*seen}) == len(seen) == explored.schedules == 12


def test_a_search_is_told_when_the_same_plan_leads_elsewhere() -> None:
    options = iter([2, 2, 2, 3, 3, 3, 3])
    with pytest.raises(AssertionError) as caught:
        explore(lambda schedule: [schedule(next(options)) for _ in "ab"], deviations=1, at_most=9)
    assert str(caught.value).startswith("the same plan led elsewhere")


def test_a_deadlock_is_told_with_the_stacks_of_all() -> None:
    with (
        pytest.raises(Deadlock) as caught,
        Baton(Schedule({})) as baton,
        BoundedRunner(1) as runner,
    ):
        runner.submit(baton.new_event().wait)
    assert str(caught.value).startswith("nobody can go on:\nmain:\n")
    assert "in drain\n" in str(caught.value)
    assert "in _run\n" in str(caught.value)


def test_a_thread_that_is_left_is_told() -> None:
    with pytest.raises(AssertionError) as caught, Baton(Schedule({})) as baton:
        baton.call(baton.new_event().wait, "waiter")
        baton.settle()
    assert str(caught.value).startswith("threads are left that nobody has ended:\nwaiter:\n")


def test_time_passes_when_nobody_else_can_go_on_and_the_first_gives_up_first() -> None:
    order: list[tuple[str, float]] = []
    with Baton(Schedule({})) as baton:
        began, event = baton.now, baton.new_event()

        def wait(name: str, seconds: float) -> None:
            event.wait(seconds)
            order.append((name, baton.now - began))

        for name, seconds in [("late", 9), ("early", 4)]:
            baton.call(partial(wait, name, seconds), name)
        baton.settle()
        order.append(("main", baton.now - began))
        baton.new_event().wait(20)
    assert order == [("main", 0), ("early", 4), ("late", 9)]


def test_what_a_thread_raises_fails_the_test() -> None:
    with pytest.raises(ZeroDivisionError), Baton(Schedule({})) as baton:
        baton.together(lambda: 1 // 0)
