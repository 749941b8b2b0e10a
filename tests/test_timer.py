"""The timer alone: when it looks, and when its thread is there."""

from __future__ import annotations

import gc
import threading
import weakref
from math import inf
from threading import Event, Thread

import pytest

from boundedjobs._timer import Timer
from boundedjobs._todo import Todo
from tests.clock import FakeClock
from tests.gates import TIMEOUT


class Owner:
    """Has a timer, and keeps a list of when it was looked at."""

    def __init__(self, clock: FakeClock, *, every: float = inf) -> None:
        self.todo = Todo()
        self.timer = Timer("owner", self.todo, weakref.ref(self))
        self.clock = clock
        self.every = every
        self.looks: list[float] = []
        self.refusals: list[Exception] = []
        self.finalizer = weakref.finalize(self, self.timer.dismiss)

    def look(self) -> None:
        self.looks.append(self.clock.now)
        with self.todo.lock:
            self.timer.due = self.clock.now + self.every

    def look_without_timer(self, exc: Exception) -> None:
        self.refusals.append(exc)

    def at(self, seconds: float) -> None:
        with self.todo.lock:
            self.timer.at(self.clock.now + seconds)
        self.todo.carry_out()
        self.clock.settle()


def threads() -> list[Thread]:
    return [t for t in threading.enumerate() if t.name == "owner-timer"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


def test_there_is_no_thread_until_something_is_to_be_waited_for(clock: FakeClock) -> None:
    owner = Owner(clock)
    assert threads() == []
    owner.at(5)
    assert [t.daemon for t in threads()] == [True]


def test_it_looks_when_the_time_has_come_and_not_before(clock: FakeClock) -> None:
    owner = Owner(clock)
    owner.at(5)
    clock.advance(4.999)
    assert owner.looks == []
    clock.advance(0.001)
    assert owner.looks == [1005]


def test_what_is_due_before_all_others_is_looked_at_first(clock: FakeClock) -> None:
    owner = Owner(clock)
    owner.at(60)
    owner.at(5)
    owner.at(30)
    clock.advance(5)
    assert owner.looks == [1005]


def test_it_goes_on_from_look_to_look_on_one_thread(clock: FakeClock) -> None:
    owner = Owner(clock, every=2)
    owner.at(2)
    (thread,) = threads()
    for _ in range(3):
        clock.advance(2)
    assert (owner.looks, threads()) == ([1002, 1004, 1006], [thread])


def test_an_idle_timer_does_not_keep_its_owner_and_goes_with_it(clock: FakeClock) -> None:
    owner = Owner(clock)
    owner.at(5)
    (thread,) = threads()
    clock.advance(5)  # it has looked, and so referred to its owner
    gone = Event()
    weakref.finalize(owner, gone.set)
    del owner
    assert gone.wait(TIMEOUT)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_an_owner_that_is_collected_while_something_is_due_is_not_looked_at(
    clock: FakeClock,
) -> None:
    owner = Owner(clock)
    owner.at(5)
    owner.finalizer.detach()
    (thread,) = threads()
    del owner
    gc.collect()
    clock.advance(5)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_what_it_keeps_lives_until_it_is_dismissed(clock: FakeClock) -> None:
    owner = Owner(clock)
    owner.at(5)
    timer, gone = owner.timer, weakref.ref(owner)
    timer.keeps = owner
    del owner
    assert gone() is not None
    timer.dismiss()
    gc.collect()
    assert gone() is None


def test_dismissed_it_leaves_and_looks_no_more(clock: FakeClock) -> None:
    owner = Owner(clock)
    owner.at(5)
    (thread,) = threads()
    owner.timer.dismiss()
    owner.timer.dismiss()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert owner.timer.stopping is thread
    clock.advance(5)
    assert owner.looks == []


def test_after_it_was_dismissed_a_new_thread_is_started(clock: FakeClock) -> None:
    owner = Owner(clock)
    owner.at(5)
    (first,) = threads()
    owner.timer.dismiss()
    owner.at(3)
    first.join(TIMEOUT)
    assert first not in threads()
    clock.advance(3)
    assert owner.looks == [1003]


def test_a_thread_can_be_had_beforehand(clock: FakeClock) -> None:
    owner = Owner(clock)
    for _ in range(2):
        with owner.todo.lock:
            owner.timer.prepare()
        owner.todo.carry_out()
    clock.settle()
    assert len(threads()) == 1
    owner.at(5)
    clock.advance(5)
    assert owner.looks == [1005]


def test_its_owner_is_told_that_no_thread_can_be_started_and_the_next_time_it_is_tried_again(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    owner = Owner(clock)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with owner.todo.lock:
            owner.timer.at(clock.now + 5)
        owner.todo.carry_out()
    assert [str(exc) for exc in owner.refusals] == ["can't start new thread"]
    with owner.todo.lock:
        owner.timer.at(clock.now + 7)
    owner.todo.carry_out()
    assert len(threads()) == 1
    owner.timer.dismiss()


def test_no_word_of_it_where_the_owner_is_gone(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    owner = Owner(clock)
    todo, timer = owner.todo, owner.timer
    with todo.lock:
        timer.at(clock.now + 5)
    owner.finalizer.detach()
    del owner
    monkeypatch.setattr(threading.Thread, "start", refuse)
    todo.carry_out()
    assert threads() == []


@pytest.mark.parametrize("mends", ["here", "another thread"])
def test_a_ctrl_c_before_the_thread_is_up_does_not_leave_it_unstarted(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, mends: str
) -> None:
    def interrupted(thread: Thread) -> None:
        thread._ident = 1  # type: ignore[attr-defined]  # the system has it, but it does not run
        raise KeyboardInterrupt

    owner = Owner(clock)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with owner.todo.lock:
            owner.timer.at(clock.now + 5)
        with pytest.raises(KeyboardInterrupt):
            owner.todo.carry_out()
    me = threading.get_ident()

    def mend() -> None:
        with owner.todo.lock:
            owner.timer.mend(None if mends == "here" else me)
        owner.todo.carry_out()

    if mends == "here":
        mend()
    else:
        mender = Thread(target=mend)
        mender.start()
        mender.join(TIMEOUT)
    assert len(threads()) == 1
    owner.timer.dismiss()


def test_a_start_that_a_ctrl_c_has_kept_anyone_from_is_taken_up(clock: FakeClock) -> None:
    owner = Owner(clock)
    with owner.todo.lock:
        owner.timer.at(clock.now + 5)
    owner.todo.added.clear()  # it came when the call had been taken out to be made
    with owner.todo.lock:
        owner.timer.mend(None)
    owner.todo.carry_out()
    assert len(threads()) == 1
    owner.timer.dismiss()


def test_a_ctrl_c_mends_nothing_where_nothing_is_due(clock: FakeClock) -> None:
    owner = Owner(clock)
    with owner.todo.lock:
        owner.timer.mend(None)
    owner.todo.carry_out()
    assert threads() == []
