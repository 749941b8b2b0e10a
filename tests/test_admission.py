"""Slots, queue and overflow against a naive model: what is decided, exhaustively."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from boundedjobs._admission import Admission, Verdict

if TYPE_CHECKING:
    from tests.conftest import Figures


class Machine(RuleBasedStateMachine):
    """Every call, in any order, beside plain lists that do the arithmetic by hand."""

    steps = 0

    @initialize(limit=st.integers(1, 4), max_pending=st.none() | st.integers(0, 4))
    def begin(self, limit: int, max_pending: int | None) -> None:
        self.it: Admission[int] = Admission(limit, max_pending)
        self.limit, self.max_pending, self.highest = limit, max_pending, limit
        self.closed = self.paused = False
        self.held: list[int] = []
        self.outside: list[int] = []
        self.arriving: list[int] = []
        self.pending: list[int] = []
        self.running: list[int] = []
        self.gone: list[int] = []
        self.count = 0

    def room(self) -> bool:
        if self.max_pending is None:
            return True
        free = self.free()
        waiting = len(self.arriving) + len(self.pending) - free
        return waiting < self.max_pending

    def free(self) -> int:
        return 0 if self.paused else max(0, self.limit - len(self.running))

    def started(self) -> list[int]:
        """Who gets the free slots, in their order."""
        free = self.free()
        first, self.pending = self.pending[:free], self.pending[free:]
        self.running += first
        return first

    @rule(may_wait=st.booleans(), arrived=st.lists(st.booleans(), min_size=1, max_size=3))
    def submit(self, may_wait: bool, arrived: list[bool]) -> None:
        for has_its_place in arrived:
            self._submit(may_wait)
            if has_its_place and self.arriving:
                self._place(self.arriving[-1])

    def _submit(self, may_wait: bool) -> None:
        item, self.count = self.count, self.count + 1
        verdict = self.it.submit(item, may_wait=may_wait)
        if self.closed:
            expected = Verdict.CLOSED
        elif self.room() and not self.outside:
            expected = Verdict.ACCEPTED
            self.arriving.append(item)
        elif may_wait:
            expected = Verdict.WAIT
            self.outside.append(item)
        else:
            expected = Verdict.FULL
        if expected in (Verdict.CLOSED, Verdict.FULL):
            self.gone.append(item)
        assert verdict is expected

    @precondition(lambda self: self.arriving)
    @rule(data=st.data())
    def place(self, data: st.DataObject) -> None:
        self._place(data.draw(st.sampled_from(self.arriving)))

    def _place(self, item: int) -> None:
        self.arriving.remove(item)
        self.pending.append(item)
        assert self.it.place(item) == self.started()

    @precondition(lambda self: self.pending or self.running or self.gone or self.outside)
    @rule(data=st.data())
    def place_what_does_not_arrive(self, data: st.DataObject) -> None:
        others = [*self.outside, *self.pending, *self.running, *self.gone]
        assert self.it.place(data.draw(st.sampled_from(others))) == []

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._remove(data.draw(st.sampled_from(self.running)))

    @precondition(lambda self: self.count)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self._remove(data.draw(st.integers(0, self.count - 1)))

    def _remove(self, item: int) -> None:
        for place in (self.outside, self.arriving, self.pending, self.running):
            if item in place:
                place.remove(item)
                self.gone.append(item)
        assert self.it.remove(item) == self.started()

    @rule()
    def start(self) -> None:
        assert self.it.start() == []  # whoever could start has been told to

    @rule(limit=st.integers(1, 4))
    def set_limit(self, limit: int) -> None:
        self.limit = self.it.limit = limit
        self.highest = max(self.highest, limit)
        self.it.slots = self.it.slots and limit
        assert self.it.start() == self.started()

    @precondition(lambda self: not self.paused)
    @rule()
    def pause(self) -> None:
        self.paused, self.it.slots = True, 0

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        self.paused, self.it.slots = False, self.limit
        assert self.it.start() == self.started()

    @precondition(lambda self: self.paused and self.running)
    @rule(data=st.data())
    def hold_back(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, len(self.running)))):
            self._hold_back(data.draw(st.sampled_from(self.running)))

    def _hold_back(self, item: int) -> None:
        self.running.remove(item)
        self.held = [each for each in self.held if each in self.pending] + [item]
        self.pending = self.held + [each for each in self.pending if each not in self.held]
        self.it.hold_back(item)

    @rule()
    def let_in(self) -> None:
        accepted: list[int] = []
        while self.outside and self.room():
            accepted.append(self.outside.pop(0))
            self.arriving.append(accepted[-1])
        assert self.it.let_in() == accepted

    @precondition(lambda self: not self.closed)
    @rule()
    def close(self) -> None:
        self.closed = True
        refused, self.outside = self.outside, []
        self.gone += refused
        assert self.it.close() == refused

    @precondition(lambda self: self.closed)
    @rule()
    def open(self) -> None:
        self.closed = False
        self.it.open()

    @rule()
    def give_up(self) -> None:
        waiting = [*self.arriving, *self.pending]
        self.gone += waiting
        self.arriving, self.pending = [], []
        assert self.it.give_up() == waiting

    @invariant()
    def is_counted(self) -> None:
        Machine.steps += 1

    @invariant()
    def stands_as_the_model(self) -> None:
        it = self.it
        assert (list(it.outside), list(it.arriving)) == (self.outside, self.arriving)
        assert (list(it.pending), list(it.running)) == (self.pending, self.running)
        assert it.closed is self.closed

    @invariant()
    def never_more_than_the_highest_limit_run(self) -> None:
        assert len(self.it.running) <= self.highest

    @invariant()
    def no_slot_is_free_while_somebody_waits_for_one(self) -> None:
        assert not self.it.pending or self.free() == 0

    @invariant()
    def nothing_is_lost_and_nothing_is_in_two_places(self) -> None:
        it = self.it
        everywhere = [*it.outside, *it.arriving, *it.pending, *it.running, *self.gone]
        assert sorted(everywhere) == list(range(self.count))


@pytest.mark.parametrize(
    "examples",
    [pytest.param(60, id="some"), pytest.param(2_000, id="many", marks=pytest.mark.proof)],
)
def test_it_decides_as_the_model_does(examples: int, figures: Figures) -> None:
    Machine.steps = 0
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )
    figures(f"{examples} programs, {Machine.steps} calls")


def filled(limit: int, max_pending: int | None, items: int) -> Admission[int]:
    admission: Admission[int] = Admission(limit, max_pending)
    for item in range(items):
        assert admission.submit(item, may_wait=False) is Verdict.ACCEPTED
        admission.place(item)
    return admission


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("max_pending", [0, 1, 5])
def test_exactly_limit_plus_max_pending_fit(limit: int, max_pending: int) -> None:
    admission = filled(limit, max_pending, limit + max_pending)
    assert admission.submit(-1, may_wait=False) is Verdict.FULL
    assert len(admission.running) == limit


def test_those_who_arrive_count_before_they_have_their_place() -> None:
    admission: Admission[int] = Admission(2, 1)
    verdicts = [admission.submit(item, may_wait=False) for item in range(4)]
    assert verdicts == [Verdict.ACCEPTED] * 3 + [Verdict.FULL]
    assert not admission.running


def test_a_slot_goes_to_whoever_waits_longest() -> None:
    admission = filled(1, None, 5)
    order = [admission.remove(item) for item in range(5)]
    assert order == [[1], [2], [3], [4], []]


def test_one_who_is_taken_out_of_the_midst_is_passed_over() -> None:
    admission = filled(1, None, 4)
    assert admission.remove(2) == []
    assert admission.remove(0) == [1]
    assert admission.remove(1) == [3]


def test_nobody_overtakes_those_who_wait_outside() -> None:
    admission = filled(1, 0, 1)
    assert admission.submit(1, may_wait=True) is Verdict.WAIT
    assert admission.remove(0) == []
    assert admission.submit(2, may_wait=False) is Verdict.FULL
    assert admission.submit(3, may_wait=True) is Verdict.WAIT
    assert admission.let_in() == [1]
    assert admission.place(1) == [1]


def test_who_still_runs_keeps_the_slot_across_closing_and_opening() -> None:
    admission = filled(1, None, 2)
    admission.close()
    assert admission.give_up() == [1]
    admission.open()
    assert admission.submit(2, may_wait=False) is Verdict.ACCEPTED
    assert admission.place(2) == []
    assert admission.remove(0) == [2]


def test_what_was_accepted_before_closing_still_runs() -> None:
    admission = filled(1, None, 2)
    admission.close()
    assert admission.remove(0) == [1]


def paused(limit: int, max_pending: int | None, items: int) -> Admission[int]:
    """`limit` run, and no slot is handed on."""
    admission = filled(limit, max_pending, items)
    assert admission.limit == limit
    admission.slots = 0
    return admission


def resumed(admission: Admission[int]) -> list[int]:
    """Who starts when it goes on."""
    admission.slots = admission.limit
    return admission.start()


def test_who_was_held_back_has_no_slot_and_is_first_to_get_one_again() -> None:
    admission = paused(1, None, 3)
    admission.hold_back(0)
    assert list(admission.running) == []
    assert resumed(admission) == [0]


def test_those_who_were_held_back_go_on_in_the_order_in_which_they_were() -> None:
    admission = paused(3, None, 5)
    for item in (1, 2, 0):
        admission.hold_back(item)
    assert list(admission.pending) == [1, 2, 0, 3, 4]


def test_where_starts_are_spaced_each_holds_back_the_next() -> None:
    admission = paused(3, None, 5)
    for item in (0, 1, 2):
        admission.remove(item)
    admission.spaced = True
    assert resumed(admission) == [3]
    assert admission.start() == []
    admission.held = False
    assert admission.start() == [4]


def test_more_than_there_are_slots_take_no_room_from_those_who_wait() -> None:
    admission = paused(2, 2, 3)
    assert admission.submit(3, may_wait=False) is Verdict.ACCEPTED
    assert admission.submit(4, may_wait=False) is Verdict.FULL


class Interrupted(OrderedDict[int, None]):
    """Raises once, as Ctrl-C may, in the midst of a change of place: before or after a step."""

    when: str | None = None

    def step(self, when: str) -> None:
        if self.when == when:
            self.when = None
            raise KeyboardInterrupt

    def __setitem__(self, item: int, value: None) -> None:
        self.step("before entering")
        super().__setitem__(item, value)
        self.step("after entering")

    def __delitem__(self, item: int) -> None:
        self.step("before leaving")
        super().__delitem__(item)
        self.step("after leaving")


CUTS = ["before entering", "after entering", "before leaving", "after leaving"]
at_each_step = pytest.mark.parametrize("cut", CUTS)


def interrupt(admission: Any, entered: str, left: str, cut: str) -> None:
    """Have the change from the place `left` to the place `entered` be cut off."""
    place = entered if cut.endswith("entering") else left
    interrupted = Interrupted(getattr(admission, place))
    interrupted.when = cut
    setattr(admission, place, interrupted)


def run_dry(admission: Admission[int]) -> list[int]:
    """Let everybody run to the end, whoever is first; return the order."""
    order = []
    while admission.running:
        order.append(next(iter(admission.running)))
        admission.remove(order[-1])
        for item in admission.let_in():
            admission.place(item)
    return order


@at_each_step
def test_a_start_that_was_cut_off_can_be_done_again_and_loses_nobody(cut: str) -> None:
    admission = filled(2, None, 5)
    interrupt(admission, "running", "pending", cut)
    with pytest.raises(KeyboardInterrupt):
        admission.remove(0)
    admission.start()
    assert len(admission.running) == 2
    assert run_dry(admission) == [1, 2, 3, 4]
    assert not admission.pending


@at_each_step
def test_a_placing_that_was_cut_off_can_be_done_again_and_loses_nobody(cut: str) -> None:
    admission = filled(1, None, 2)
    admission.submit(2, may_wait=False)
    interrupt(admission, "pending", "arriving", cut)
    with pytest.raises(KeyboardInterrupt):
        admission.place(2)
    assert admission.place(2) == []
    assert not admission.arriving
    assert run_dry(admission) == [0, 1, 2]


@at_each_step
def test_a_letting_in_that_was_cut_off_can_be_done_again_and_loses_nobody(cut: str) -> None:
    admission = filled(1, 0, 1)
    for item in (1, 2):
        assert admission.submit(item, may_wait=True) is Verdict.WAIT
    admission.remove(0)
    interrupt(admission, "arriving", "outside", cut)
    with pytest.raises(KeyboardInterrupt):
        admission.let_in()
    admission.let_in()
    assert 1 in admission.arriving
    assert admission.place(1) == [1]
    assert run_dry(admission) == [1, 2]
    assert not admission.outside
