"""The runner as a whole beside a naive model that does one thing after the other.

Hypothesis calls in any order what callers call: submit, let end, cancel, set the limit, pause,
close, open anew, let time pass. After each step all threads come to rest, under an order that
Hypothesis draws as well (see `tests.orders`), and the runner must stand as the model does: who
runs, who waits, what has been heard of each job.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from concurrent.futures import Future
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobInterrupted,
    JobStatus,
    JobTimeout,
    NotRunnable,
    RunnerClosed,
    RunnerFull,
    current_job,
)
from boundedjobs._status import FINAL, STEPS
from tests.orders.baton import Baton
from tests.orders.search import Plan, Schedule, plans

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Figures

PENDING, RUNNING = JobStatus.PENDING, JobStatus.RUNNING
SUCCEEDED, FAILED, CANCELLED = JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED
REJECTED, INTERRUPTED = JobStatus.REJECTED, JobStatus.INTERRUPTED

KINDS = st.sampled_from(["sync", "async", "awaitable", "stubborn"])


class Body:
    """Held until it is let go, and then does as it was told."""

    def __init__(self, machine: Machine, kind: str) -> None:
        self._machine = machine
        self.kind = kind
        self._event = machine.baton.new_event()
        self._rings: asyncio.Future[None] | None = None
        self._how = "return"
        self.is_open = False

    def function(self) -> Callable[..., Any]:
        if self.kind == "sync":
            return self._on_thread
        if self.kind == "awaitable":
            return self._return_awaitable
        return self._on_loop

    def let_go(self, how: str) -> None:
        self._how, self.is_open = how, True
        self._event.set()
        if self._rings is not None and not self._rings.get_loop().is_closed():
            self._rings.get_loop().call_soon_threadsafe(self._ring)

    def _on_thread(self) -> str:
        self._machine.began.append(self)
        if not self.is_open:
            self._event.wait()
        return self._end()

    def _return_awaitable(self) -> Any:
        return self._on_loop()

    async def _on_loop(self) -> str:
        self._machine.began.append(self)
        while not self.is_open:
            self._rings = asyncio.get_running_loop().create_future()
            try:
                await self._rings
            except asyncio.CancelledError:
                if self.kind != "stubborn" or self._machine.baton.is_over:
                    raise
        return self._end()

    def _ring(self) -> None:
        if self._rings is not None and not self._rings.done():
            self._rings.set_result(None)

    def _end(self) -> str:
        if self._how == "raise":
            raise ValueError("as told")
        if self._how == "stop":
            current_job().check_cancelled()
        return self._how


class Modelled:
    """One job, as it must be."""

    def __init__(self, body: Body | None) -> None:
        self.body = body
        self.job: Job[Any] | None = None  # None as long as its submit waits for room
        self.story: list[JobStatus] = []
        self.deadline = inf
        self.is_asked = False  # to stop
        self.is_late = False  # it has timed out
        self.called: list[Future[Any]] = []
        self.callbacks = 0
        self.waiters: list[list[BaseException | None]] = []  # of each, what came of it

    @property
    def status(self) -> JobStatus:
        return self.story[-1]


class Machine(RuleBasedStateMachine):
    """Every call, in any order, and what must come of it."""

    steps = 0
    states: ClassVar[set[object]] = set()

    @initialize(
        limit=st.integers(1, 3),
        max_pending=st.none() | st.integers(0, 2),
        when_full=st.sampled_from(["reject", "wait"]),
        hearing=st.sampled_from(["nobody", "sync", "async", "both", "raising"]),
        timeout=st.sampled_from([None, None, 7]),
        stagger=st.sampled_from([None, None, 3]),
        plan=plans(gap=40, most=8),
    )
    def begin(
        self,
        limit: int,
        max_pending: int | None,
        when_full: Any,
        hearing: str,
        timeout: float | None,
        stagger: float | None,
        plan: Plan,
    ) -> None:
        self.baton = Baton(Schedule(plan))
        self.baton.__enter__()
        self.limit, self.max_pending, self.may_wait = limit, max_pending, when_full == "wait"
        self.timeout, self.stagger = timeout, stagger
        self.paused = self.closed = False
        self.entries = 0
        self.next_start = -inf
        self.close_at: list[float] = []  # deadlines of closings
        self.outside: list[Modelled] = []
        self.let_in: list[Modelled] = []  # since all came to rest
        self.pending: list[Modelled] = []
        self.running: list[Modelled] = []
        self.all: list[Modelled] = []
        self.started: list[Modelled] = []
        self.began: list[Body] = []
        self.sync_heard: list[JobEvent] = []
        self.async_heard: list[JobEvent] = []
        self.raises = hearing == "raising"
        self.told: list[list[JobEvent]] = []
        listeners: list[Any] = []
        if hearing in ("sync", "both", "raising"):
            self.told.append(self.sync_heard)
            listeners.append(self.sync_heard.append if hearing != "raising" else self._raise)
        if hearing in ("async", "both"):
            self.told.append(self.async_heard)
            listeners.append(self._hear)
        self.runner = BoundedRunner(
            limit,
            name="it",
            max_pending=max_pending,
            when_full=when_full,
            on_status=listeners,
            on_progress=listeners,
            timeout=timeout,
            stagger=stagger,
        )

    async def _hear(self, event: JobEvent) -> None:
        await asyncio.sleep(0)
        self.async_heard.append(event)

    def _raise(self, event: JobEvent) -> None:
        self.sync_heard.append(event)
        raise SystemExit

    def do(self, call: Callable[[], Any]) -> Any:
        """Call, and let all come to rest, under the order that was drawn."""
        with self.baton.explored(time_passes=False):
            value = call()
            self.baton.settle()
        self.take_their_places()
        return value

    # The model

    def slots(self) -> int:
        return 0 if self.paused else self.limit

    def has_room(self) -> bool:
        if self.max_pending is None:
            return True
        free = max(0, self.slots() - len(self.running))
        return len(self.pending) < self.max_pending + free

    def go_on(self) -> None:
        """Who gets the free slots, and who is let in then."""
        while True:
            while self.pending and len(self.running) < self.slots() and self._may_start():
                it = self.pending.pop(0)
                self.running.append(it)
                self.started.append(it)
                it.story.append(RUNNING)
                it.deadline = self.baton.now + (self.timeout or inf)
                self.next_start = self.baton.now + (self.stagger or 0)
            if not (self.outside and self.has_room()):
                return
            it = self.outside.pop(0)
            it.story.append(PENDING)
            self.pending.append(it)
            self.let_in.append(it)

    def take_their_places(self) -> None:
        """Those that were let in at once stand as they have taken their places.

        Each does so when its PENDING has been heard, on the thread that submits it: who is first,
        nobody says.
        """
        let_in, self.let_in = self.let_in, []
        if not self.told:
            return
        queue = [*self.runner._core.admission.pending]

        def place(it: Modelled) -> tuple[bool, int]:
            if it.body in self.began:
                return False, self.began.index(it.body)
            return True, queue.index(it.job) if it.job in queue else len(queue)

        as_it_is = dict(zip(let_in, sorted(let_in, key=place), strict=True))
        for places in (self.pending, self.running, self.started):
            places[:] = [as_it_is.get(it, it) for it in places]
        stands = [(it.story, it.deadline) for it in let_in]
        for it, stand in zip(as_it_is.values(), stands, strict=True):
            it.story, it.deadline = stand

    def _may_start(self) -> bool:
        return self.stagger is None or self.baton.now >= self.next_start

    def end(self, it: Modelled, status: JobStatus) -> None:
        """The body has ended: its slot is free. Its job may have had its end before."""
        self.running.remove(it)
        if not it.status.is_final:
            it.story.append(status)

    def let_go_of(self, it: Modelled, status: JobStatus) -> None:
        """The job has its end now; its body is asked to stop, and ends if it is one that can."""
        it.story.append(status)
        if it in self.running:
            it.is_asked = True
            assert it.body is not None
            if it.body.kind in ("async", "awaitable"):
                self.running.remove(it)
        elif it in self.pending:
            self.pending.remove(it)

    def next_due(self) -> float:
        """When something happens by itself."""
        due = [it.deadline for it in self.running if not it.status.is_final]
        if self.pending and len(self.running) < self.slots():
            due.append(self.next_start)
        return min([*due, *self.close_at], default=inf)

    # What callers do

    @rule(kinds=st.lists(KINDS, min_size=1, max_size=4))
    def submit(self, kinds: list[str]) -> None:
        for kind in kinds:
            self._submit(kind)

    def _submit(self, kind: str) -> None:
        body = Body(self, kind)
        it = Modelled(body)
        self.all.append(it)
        if self.closed:
            it.job = self._refused(body, RunnerClosed)
        elif self.has_room() and not self.outside:
            it.story.append(PENDING)
            self.pending.append(it)
            self.go_on()
            it.job = self.do(partial(self.runner.submit, body.function()))
        elif self.may_wait:
            self.outside.append(it)
            self.do(partial(self.baton.call, partial(self._submit_and_wait, it)))
        else:
            it.job = self._refused(body, RunnerFull)

    def _refused(self, body: Body, kind: type[RunnerClosed | RunnerFull]) -> Job[Any]:
        with pytest.raises(kind) as caught:
            self.do(partial(self.runner.submit, body.function()))
        self.baton.settle()
        self.all[-1].story.append(REJECTED)
        assert caught.value.job is not None
        return caught.value.job

    def _submit_and_wait(self, it: Modelled) -> None:
        assert it.body is not None
        try:
            it.job = self.runner.submit(it.body.function())
        except RunnerClosed as exc:
            it.job = exc.job

    @rule()
    def submit_what_can_not_be_run(self) -> None:
        it = Modelled(None)
        self.all.append(it)
        it.story.append(REJECTED)
        with pytest.raises(NotRunnable) as caught:
            self.do(partial(self.runner.submit, _generator))
        self.baton.settle()
        it.job = caught.value.job

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["return", "raise", "stop"]))
    def let_end(self, data: st.DataObject, how: str) -> None:
        it = data.draw(st.sampled_from(self.running))
        assert it.body is not None
        status = {"return": SUCCEEDED, "raise": FAILED}.get(how)
        self.end(it, status or (CANCELLED if it.is_asked else SUCCEEDED))
        self.go_on()
        self.do(partial(it.body.let_go, how))

    @precondition(lambda self: any(it.job is not None for it in self.all))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        it = data.draw(st.sampled_from([it for it in self.all if it.job is not None]))
        assert it.job is not None
        expected = it.status is CANCELLED
        if it.status is PENDING:
            expected = True
            self.pending.remove(it)
            it.story.append(CANCELLED)
        elif it.status is RUNNING:
            it.is_asked = True
            assert it.body is not None
            expected = it.body.kind != "sync"
            if it.body.kind in ("async", "awaitable"):
                self.end(it, CANCELLED)
        self.go_on()
        assert self.do(it.job.cancel) is expected

    @precondition(lambda self: self.pending or self.running)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        it = data.draw(st.sampled_from([*self.pending, *self.running]))
        assert it.job is not None
        if it.status is RUNNING:
            it.story.append(RUNNING)
        self.do(partial(it.job.report, 0.5))

    @precondition(lambda self: self.pending or self.running)
    @rule(data=st.data())
    def wait_for(self, data: st.DataObject) -> None:
        it = data.draw(st.sampled_from([it for it in self.all if it.job is not None]))
        job, outcome = it.job, list[BaseException | None]()
        assert job is not None
        it.waiters.append(outcome)

        def wait() -> None:
            try:
                job.result()
            except BaseException as exc:
                outcome.append(exc)
            else:
                outcome.append(None)

        self.do(partial(self.baton.call, wait))

    @precondition(lambda self: any(it.job is not None for it in self.all))
    @rule(data=st.data())
    def be_called_back(self, data: st.DataObject) -> None:
        it = data.draw(st.sampled_from([it for it in self.all if it.job is not None]))
        assert it.job is not None
        it.callbacks += 1
        self.do(partial(it.job.add_done_callback, it.called.append))

    @rule(limit=st.integers(1, 3))
    def set_limit(self, limit: int) -> None:
        self.limit = limit
        self.go_on()
        self.do(partial(setattr, self.runner, "limit", limit))

    @precondition(lambda self: self.all and not self.paused)
    @rule()
    def pause(self) -> None:
        self.paused = not self.closed
        self.do(self.runner.pause)

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        self.paused = False
        self.go_on()
        self.do(self.runner.resume)

    def _close(self) -> None:
        self.closed, self.paused = True, False
        for it in self.outside:
            it.story.append(REJECTED)
        self.outside = []

    @precondition(lambda self: len(self.all) > 3)
    # The deadline is not the very moment at which a job starts: who is first then, nobody says.
    @rule(cancels=st.booleans(), timeout=st.sampled_from([None, 0, 0.5, 2.5, 4.5]))
    def close(self, cancels: bool, timeout: float | None) -> None:
        if timeout == 0 and self.paused:
            timeout = 0.5
        self._close()
        if cancels:
            for it in self.pending:
                it.story.append(CANCELLED)
            self.pending = []
        self.go_on()
        if timeout is not None:
            self.close_at.append(self.baton.now + timeout)
        self.do(partial(self.runner.shutdown, wait=False, cancel_futures=cancels, timeout=timeout))
        if timeout == 0:
            self.let_time_pass(0)

    @precondition(lambda self: self.closed or not self.entries)
    @rule()
    def enter(self) -> None:
        self.entries += 1
        self.closed = False
        self.close_at = []
        self.do(self.runner.__enter__)

    @precondition(lambda self: self.entries and self.pending)
    @rule()
    def leave(self) -> None:
        self.entries -= 1
        if not self.entries:
            self._close()
            self.go_on()
        self.do(partial(self.baton.call, partial(self.runner.__exit__, None, None, None)))

    @rule(seconds=st.integers(1, 8))
    def let_time_pass(self, seconds: int) -> None:
        end, now = self.baton.now + seconds, self.baton.now
        while (due := self.next_due()) <= end:
            # The clock of both; the runner has seen to what is due when it goes on.
            self.baton.advance(max(0.0, due - self.baton.now))
            for it in [*self.running]:
                if it.deadline <= due and not it.status.is_final:
                    it.is_late = True
                    self.let_go_of(it, FAILED)
            if due in self.close_at:
                self.close_at = []
                for it in [*self.pending, *self.running]:
                    if not it.status.is_final:
                        self.let_go_of(it, INTERRUPTED)
            self.go_on()
            self.take_their_places()
        self.baton.advance(end - self.baton.now)
        assert self.baton.now == now + seconds

    # What must hold

    @invariant()
    def is_counted(self) -> None:
        Machine.steps += 1
        Machine.states.add((repr(self.runner), *(tuple(it.story) for it in self.all)))

    @invariant()
    def who_holds_a_slot_and_who_waits(self) -> None:
        overdue = sum(it.status.is_final for it in self.running)
        state = "closed" if self.closed else "paused" if self.paused else "open"
        late = f"overdue={overdue} " if overdue else ""
        assert repr(self.runner) == (
            f"<BoundedRunner 'it' {state} limit={self.limit} running={len(self.running)} "
            f"{late}pending={len(self.pending)}>"
        )

    @invariant()
    def each_end_is_counted_once(self) -> None:
        seen = self.runner.snapshot()
        ends = Counter(it.story[-1] for it in self.all if it.story)
        assert {s: getattr(seen, s.value) for s in FINAL} == {s: ends[s] for s in FINAL}

    @invariant()
    def first_in_first_out(self) -> None:
        assert len(self.began) == len(self.started)
        bodies = {it.body for it in self.started}
        assert set(self.began) == bodies  # with each step: so those that started together, at most

    @invariant()
    def each_job_stands_as_the_model_has_it(self) -> None:
        for it in self.all:
            if it.job is None:
                assert it in self.outside, "its submit never came back"
                continue
            assert it.job.status is it.status
            assert it.job.done() == it.status.is_final
            assert it.job.cancelled() == (it.status is CANCELLED)
            self._its_waiters_have_heard(it)

    def _its_waiters_have_heard(self, it: Modelled) -> None:
        is_final = it.status.is_final
        expected: dict[JobStatus, Any] = {
            SUCCEEDED: type(None),
            FAILED: JobTimeout if it.is_late else ValueError,
            CANCELLED: JobCancelled,
            INTERRUPTED: JobInterrupted,
            REJECTED: (RunnerClosed, RunnerFull, NotRunnable),
        }
        for outcome in it.waiters:
            assert len(outcome) == is_final
            assert not outcome or isinstance(outcome[0], expected[it.status])
        assert len(it.called) == it.callbacks * is_final

    @invariant()
    def each_step_was_heard_in_order_and_once(self) -> None:
        stories = {it.job.id: it.story for it in self.all if it.job is not None}
        for heard in self.told:
            told: dict[str, list[JobStatus]] = {job_id: [] for job_id in stories}
            for event in heard:
                before = told[event.job_id]
                assert event.previous is (before[-1] if before else None)
                if event.status is not event.previous:  # else it is progress
                    assert event.status in STEPS[event.previous]
                before.append(event.status)
            assert told == stories
        raised = len(self.sync_heard) if self.raises else 0
        assert self.runner.listener_errors == raised

    def teardown(self) -> None:
        if not hasattr(self, "baton"):
            return
        kind, exc, tb = sys.exc_info()
        try:
            if exc is None:
                self._end()
        except BaseException as problem:
            self.baton.__exit__(type(problem), problem, problem.__traceback__)
            raise
        self.baton.__exit__(kind, exc, tb)

    def _end(self) -> None:
        """All bodies go on, and the runner closes: nothing hangs, every job has its end."""
        for it in self.all:
            if it.body is not None:
                it.body.let_go("return")
        self.runner.shutdown()
        self.baton.settle()
        for it in self.all:
            assert it.job is not None
            assert it.job.done()
            story = it.story
            assert it.job.status is (story[-1] if story and story[-1].is_final else it.job.status)
            for heard in self.told:
                statuses = [e.status for e in heard if e.job_id == it.job.id]
                assert statuses[: len(story)] == story
                assert statuses[-1] is it.job.status
                assert sum(status.is_final for status in statuses) == 1
        assert repr(self.runner).endswith("running=0 pending=0>")


def _generator() -> Any:
    yield


@pytest.mark.timeout(600)  # when one fails, to look for the smallest takes minutes
@pytest.mark.parametrize(
    "examples",
    [pytest.param(40, id="some"), pytest.param(2_000, id="many", marks=pytest.mark.proof)],
)
def test_the_runner_stands_as_the_model_does(examples: int, figures: Figures) -> None:
    Machine.steps, Machine.states = 0, set()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
    figures(f"{examples} programs, {Machine.steps} calls, {len(Machine.states)} different states")
