"""Timeouts: a job whose body takes too long has FAILED, and its slot is free when it returns."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from boundedjobs import (
    BoundedJobsError,
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobStatus,
    JobTimeout,
    current_job,
)
from boundedjobs._event import event_of
from boundedjobs._failure import capture
from tests.clock import FakeClock
from tests.freeing import ends, until
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

FAILED = JobStatus.FAILED

SOON = 0.1
"""Seconds in which what must not happen would."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


def nothing() -> None:
    """A body."""


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def late(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in messages(caplog, logging.WARNING) if each.endswith("is dropped")]


def timers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.endswith("-timer")]


def timed_out(clock: FakeClock, job: Job[Any], gate: Gate | AsyncGate, seconds: float = 5) -> None:
    """Let the body of a job begin, and its time pass; return when the job has ended."""
    gate.wait_for()
    clock.settle()
    clock.advance(seconds)
    assert isinstance(job.exception(TIMEOUT), JobTimeout)


# What is asked for.


def test_no_timer_runs_where_nobody_asked_for_a_timeout() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        assert timers() == []
        gate.open()


@pytest.mark.parametrize("value", [True, "5", [5], 5j])
def test_what_is_no_number_is_a_type_error(value: Any) -> None:
    text = f"timeout must be a number of seconds or None, got {value!r}"
    for ask in (
        lambda: BoundedRunner(1, timeout=value),
        lambda: BoundedRunner(1).wrap(timeout=value),
    ):
        with pytest.raises(TypeError) as caught:
            ask()
        assert str(caught.value) == text


@pytest.mark.parametrize("value", [0, -1, 0.0, math.nan, -math.inf])
def test_what_is_not_more_than_zero_is_a_value_error(value: float) -> None:
    text = f"timeout must be more than 0 seconds, got {value!r}"
    for ask in (
        lambda: BoundedRunner(1, timeout=value),
        lambda: BoundedRunner(1).wrap(timeout=value),
    ):
        with pytest.raises(ValueError) as caught:
            ask()
        assert str(caught.value) == text


@pytest.mark.parametrize("value", [math.inf, 1e300, 10**400])
def test_more_than_any_clock_counts_is_no_timeout(value: float, clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, timeout=value) as runner:
        job = runner.submit(gate, "done")
        gate.wait_for()
        clock.advance(1e9)
        gate.open()
        assert job.result(TIMEOUT) == "done"


@pytest.mark.parametrize("own", [7.0, math.inf])
def test_the_timeout_of_wrap_is_used_in_place_of_the_runners(own: float, clock: FakeClock) -> None:
    gate, wrapped_gate = Gate(), Gate()
    with BoundedRunner(2, timeout=5) as runner:
        wrapped = runner.wrap(timeout=own)(wrapped_gate)()
        wrapped_gate.wait_for()
        timed_out(clock, runner.submit(gate), gate)
        assert wrapped.status is JobStatus.RUNNING
        clock.advance(2)
        if own == 7:
            assert isinstance(wrapped.exception(TIMEOUT), JobTimeout)
        assert wrapped.status is (FAILED if own == 7 else JobStatus.RUNNING)
        gate.open()
        wrapped_gate.open()


def test_a_wrapped_callable_without_one_has_the_runners(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, timeout=5) as runner:
        timed_out(clock, runner.wrap(gate, name="own")(), gate)
        gate.open()


# Sync bodies.


def test_at_the_deadline_and_not_before_the_job_has_failed(clock: FakeClock) -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, timeout=5, on_status=heard) as runner:
        job = runner.submit(gate)
        gate.wait_for()
        clock.settle()
        clock.advance(4.999)
        assert job.status is JobStatus.RUNNING
        clock.advance(0.001)
        error = job.exception(TIMEOUT)
        assert (job.status, job.ran) == (FAILED, 5.0)
        assert str(error) == "job 'Gate' ran longer than its timeout of 5 s"
        assert isinstance(error, JobTimeout)
        assert isinstance(error, TimeoutError)
        assert isinstance(error, BoundedJobsError)
        assert job.failure is not None
        assert (job.failure.type, job.failure.phase, job.failure.message) == (
            "boundedjobs.errors.JobTimeout",
            "timeout",
            "job 'Gate' ran longer than its timeout of 5 s",
        )
        assert heard.statuses() == ["pending", "running", "failed"]
        gate.open()


def test_the_time_is_counted_from_the_start_of_the_body(clock: FakeClock) -> None:
    first, second = Gate(), Gate()
    hears = Gate()

    def on_status(event: JobEvent) -> None:
        if event.name == "second" and event.status is JobStatus.RUNNING:
            hears()

    with BoundedRunner(1, on_status=on_status) as runner:
        runner.submit(first)
        job = runner.wrap(second, name="second", timeout=5)()
        clock.advance(100)  # it waits for a slot
        first.open()
        hears.wait_for()
        clock.advance(100)  # its listeners hear that it runs
        hears.open()
        second.wait_for()
        clock.settle()
        clock.advance(4.9)
        assert job.status is JobStatus.RUNNING
        clock.advance(0.1)
        assert isinstance(job.exception(TIMEOUT), JobTimeout)
        second.open()


def test_check_cancelled_raises_in_a_body_whose_time_is_up(clock: FakeClock) -> None:
    gate, stopped = Gate(), threading.Event()

    def body() -> None:
        gate()
        try:
            current_job().check_cancelled()
        except JobCancelled:
            stopped.set()
            raise

    with BoundedRunner(1, timeout=5) as runner:
        timed_out(clock, runner.submit(body), gate)
        gate.open()
        assert stopped.wait(TIMEOUT)


def test_a_body_that_stops_when_it_is_asked_to_is_not_called_late(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    def body() -> None:
        gate()
        current_job().check_cancelled()

    with BoundedRunner(1, timeout=5) as runner:
        timed_out(clock, runner.submit(body), gate)
        gate.open()
        runner.submit(nothing).result(TIMEOUT)  # the slot is free
    assert late(caplog) == []


def test_the_slot_stays_taken_until_the_body_has_returned(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, timeout=5) as runner:
        timed_out(clock, runner.submit(gate), gate)
        following = runner.submit(nothing)
        assert repr(runner) == (
            "<BoundedRunner 'runner' open limit=1 running=1 overdue=1 pending=1>"
        )
        assert following.status is JobStatus.PENDING
        gate.open()
        following.result(TIMEOUT)


def test_a_body_that_ends_just_before_the_waiters_hear_of_its_timeout_frees_its_slot(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_about_to_tell() -> bool:
        frames = [*sys._current_frames().values()]
        while frames:
            frame = frames.pop()
            if frame.f_code.co_name == "_settle":
                return True
            if frame.f_back is not None:
                frames.append(frame.f_back)
        return False

    gate = Gate()
    with BoundedRunner(1, timeout=5) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        carry_out = core.carry_out

        def carry_out_late() -> None:
            while threading.get_ident() == job._on and job in core.ending:
                os.sched_yield()  # until all have heard
            carry_out()

        job = runner.submit(gate)
        gate.wait_for()
        clock.settle()
        with job._condition:  # as concurrent.futures.wait() does
            clock.advance(5)
            while not is_about_to_tell():
                os.sched_yield()
            monkeypatch.setattr(core, "carry_out", carry_out_late)
            gate.open()
            while job._active:
                os.sched_yield()
        assert runner.submit(len, "abc").result(TIMEOUT) == 3


@pytest.mark.parametrize("fails", [False, True])
def test_what_comes_late_is_dropped_with_one_warning_that_says_how_late(
    fails: bool, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate, heard = Gate(), Heard()

    def body() -> str:
        gate()
        if fails:
            raise KeyError("late")
        return "late"

    with BoundedRunner(1, timeout=5, on_status=heard) as runner:
        job = runner.wrap(body, name="slow")()
        timed_out(clock, job, gate)
        clock.advance(7.5)
        gate.open()
        runner.submit(nothing).result(TIMEOUT)
    what = "raises (KeyError)" if fails else "returns"
    assert late(caplog) == [
        f"<Job 'slow' id={job.id} failed> had already ended: what its body {what} now, 7.5 s late, "
        "is dropped"
    ]
    assert heard.statuses("slow") == ["pending", "running", "failed"]
    assert isinstance(job.exception(), JobTimeout)


def test_a_body_that_goes_on_past_its_timeout_is_warned_of_as_overdue(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    with BoundedRunner(3, timeout=5) as runner:
        runner.submit(gate)
        job = runner.wrap(gate, name="slow")()
        gate.wait_for(2)
        clock.advance(5)
        job.exception(TIMEOUT)
        gate.open()
    message = (
        f"job 'slow' ({job.id}) is overdue: its body goes on, and keeps its slot until it returns "
        "(2 of limit 3)"
    )
    assert message in messages(caplog, logging.WARNING)


def test_the_failure_says_where_the_body_was(clock: FakeClock) -> None:
    gate, async_gate = Gate(), AsyncGate()
    with BoundedRunner(2, timeout=5) as runner:
        jobs = [runner.submit(gate), runner.submit(async_gate)]
        gate.wait_for()
        async_gate.wait_for()
        clock.advance(5)
        for job in jobs:
            assert isinstance(job.exception(TIMEOUT), JobTimeout)
        gate.open()
        where = [job.failure.location for job in jobs if job.failure]
    assert [place.rpartition(" in ")[2] for place in where] == ["Condition.wait", "Event.wait"]


def test_one_error_is_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with BoundedRunner(1, timeout=5) as runner:
        job = runner.wrap(gate, name="slow")()
        timed_out(clock, job, gate)
        gate.open()
    (error,) = messages(caplog, logging.ERROR)
    assert job.failure is not None
    assert error.startswith(
        f"job 'slow' ({job.id}) failed at {job.failure.location}: boundedjobs.errors.JobTimeout: "
        "job 'slow' ran longer than its timeout of 5 s\n"
    )


def test_a_body_that_ends_in_time_is_left_alone(clock: FakeClock) -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, timeout=5, on_status=heard) as runner:
        job = runner.submit(gate, "in time")
        gate.wait_for()
        clock.settle()
        clock.advance(4)
        gate.open()
        assert job.result(TIMEOUT) == "in time"
        clock.advance(100)
        assert job.status is JobStatus.SUCCEEDED
    assert heard.statuses() == ["pending", "running", "succeeded"]


def test_a_job_that_ends_while_its_time_is_up_has_one_end(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, heard = Gate(), Heard()

    def capture_late(exc: BaseException, phase: Any) -> Any:
        gate.open()
        job.result(TIMEOUT)
        return capture(exc, phase)

    with BoundedRunner(1, timeout=5, on_status=heard) as runner:
        job = runner.submit(gate, "just in time")
        gate.wait_for()
        clock.settle()
        monkeypatch.setattr("boundedjobs._watching.capture", capture_late)
        clock.advance(5)
        assert job.result(TIMEOUT) == "just in time"
    assert heard.statuses() == ["pending", "running", "succeeded"]


def test_each_job_has_a_deadline_of_its_own(clock: FakeClock) -> None:
    gates = [Gate(), Gate(), Gate()]
    with BoundedRunner(3) as runner:
        jobs = []
        for gate, seconds in zip(gates, (30, 10, 20), strict=True):
            jobs.append(runner.wrap(gate, timeout=seconds)())
            gate.wait_for()
            clock.settle()
        ended: list[list[bool]] = []
        for job in (jobs[1], jobs[2], jobs[0]):
            clock.advance(10)
            job.exception(TIMEOUT)
            ended.append([j.status is FAILED for j in jobs])
        assert ended == [[False, True, False], [False, True, True], [True, True, True]]
        for gate in gates:
            gate.open()


def test_a_deadline_before_all_others_is_not_missed(clock: FakeClock) -> None:
    slow, quick = Gate(), Gate()
    with BoundedRunner(2) as runner:
        runner.wrap(slow, timeout=60)()
        slow.wait_for()
        clock.settle()
        timed_out(clock, runner.wrap(quick, timeout=5)(), quick)
        slow.open()
        quick.open()


def test_one_timer_serves_all_jobs(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(3, timeout=5) as runner:
        for _ in range(3):
            runner.submit(gate)
        gate.wait_for(3)
        clock.settle()
        assert len(timers()) == 1
        gate.open()


@pytest.mark.parametrize("count", [1, 3])
def test_a_listener_that_hangs_holds_up_no_other_job(count: int, clock: FakeClock) -> None:
    bodies, hangs = Gate(), Gate()

    def on_status(event: JobEvent) -> None:
        if event.status is FAILED and event.name == "hung":
            hangs()

    with BoundedRunner(count + 2, timeout=5, on_status=on_status) as runner:
        for _ in range(count):
            runner.wrap(bodies, name="hung")()
        other = runner.submit(bodies)
        bodies.wait_for(count + 1)
        clock.settle()
        clock.advance(5)
        hangs.wait_for(count)
        assert isinstance(other.exception(TIMEOUT), JobTimeout)
        later = runner.submit(bodies)
        timed_out(clock, later, bodies)
        hangs.open()
        bodies.open()


def test_where_no_thread_can_be_started_the_timer_tells_itself(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    names: list[str] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-teller"):
            raise RuntimeError("can't start new thread")
        start(thread)

    def on_status(event: JobEvent) -> None:
        if event.status is FAILED:
            names.append(threading.current_thread().name)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with BoundedRunner(2, timeout=5, on_status=on_status) as runner:
        jobs = [runner.submit(gate), runner.submit(gate)]
        gate.wait_for(2)
        clock.settle()
        clock.advance(5)
        for job in jobs:
            assert isinstance(job.exception(TIMEOUT), JobTimeout)
        gate.open()
    assert names == ["runner-timer"] * 2


def test_it_is_said_that_the_timer_can_not_be_started_and_the_job_runs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-timer"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with BoundedRunner(1, timeout=5) as runner:
        runner.submit(nothing).result(TIMEOUT)
    (error, *_) = messages(caplog, logging.ERROR)
    assert error == (
        "runner 'runner' could not start its timer, and does not see whose time is up until it "
        "can: can't start new thread"
    )


def test_progress_that_is_being_heard_is_heard_before_the_end(clock: FakeClock) -> None:
    gate, hears, heard = Gate(), Gate(), list[str]()

    def body() -> None:
        current_job().report(0.5)
        gate()

    def on_progress(event: JobEvent) -> None:
        hears()
        heard.append("progress")

    def on_status(event: JobEvent) -> None:
        heard.append(event.status.value)

    with BoundedRunner(1, timeout=5, on_status=on_status, on_progress=on_progress) as runner:
        job = runner.submit(body)
        hears.wait_for()
        clock.settle()
        clock.advance(5)
        hears.open()
        assert isinstance(job.exception(TIMEOUT), JobTimeout)
        gate.open()
    assert heard == ["pending", "running", "progress", "failed"]


def test_a_job_that_is_done_is_not_kept_until_its_deadline(clock: FakeClock) -> None:
    class Thing:
        pass

    def body(_: Thing) -> None: ...

    with BoundedRunner(1, timeout=1e6) as runner:
        thing = Thing()
        gone = threading.Event()
        weakref.finalize(thing, gone.set)
        runner.submit(body, thing).result(TIMEOUT)
        del thing
        assert until(gone.wait)


# Async bodies.


async def until_ended(clock: FakeClock, job: Job[Any], gate: AsyncGate) -> None:
    await asyncio.to_thread(gate.wait_for)
    await asyncio.to_thread(clock.settle)
    await asyncio.to_thread(clock.advance, 5)
    with pytest.raises(JobTimeout):
        await job


def test_the_task_of_an_async_job_is_cancelled(clock: FakeClock) -> None:
    gate, heard, cleaned = AsyncGate(), Heard(), list[str]()

    async def body() -> None:
        try:
            await gate()
        except asyncio.CancelledError:
            cleaned.append("up")
            raise

    async def main() -> None:
        async with BoundedRunner(1, timeout=5, on_status=heard) as runner:
            job = runner.submit(body)
            await until_ended(clock, job, gate)
            assert (job.status, job.ran) == (FAILED, 5.0)
            await runner.submit(asyncio.sleep, 0)  # the slot is free
            assert cleaned == ["up"]

    asyncio.run(main())
    assert heard.statuses()[:3] == ["pending", "running", "failed"]


def test_an_async_job_that_ends_when_it_is_cancelled_is_not_called_late(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = AsyncGate()

    async def main() -> None:
        async with BoundedRunner(1, timeout=5) as runner:
            await until_ended(clock, runner.submit(gate), gate)

    asyncio.run(main())
    assert messages(caplog, logging.WARNING) == []
    assert len(messages(caplog, logging.ERROR)) == 1


def test_an_async_body_that_refuses_to_be_cancelled_keeps_its_slot(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate, refuses = AsyncGate(), AsyncGate()

    async def body() -> str:
        try:
            await gate()
        except asyncio.CancelledError:
            await refuses()
        return "late"

    async def main() -> None:
        async with BoundedRunner(1, timeout=5) as runner:
            await until_ended(clock, runner.wrap(body, name="refuses")(), gate)
            await asyncio.to_thread(refuses.wait_for)
            following = runner.submit(asyncio.sleep, 0)
            assert following.status is JobStatus.PENDING
            assert "overdue=1" in repr(runner)
            refuses.open()
            await following

    asyncio.run(main())
    (warning,) = messages(caplog, logging.WARNING)
    assert warning.endswith("had already ended: what its body returns now, 0.0 s late, is dropped")


def test_the_listeners_of_an_async_job_hear_of_its_timeout_on_its_loop(clock: FakeClock) -> None:
    gate, threads = AsyncGate(), list[threading.Thread]()

    def on_status(event: JobEvent) -> None:
        if event.status is FAILED:
            threads.append(threading.current_thread())

    async def main() -> None:
        async with BoundedRunner(1, timeout=5, on_status=on_status) as runner:
            await until_ended(clock, runner.submit(gate), gate)

    asyncio.run(main())
    assert threads == [threading.main_thread()]


def test_an_async_listener_has_heard_of_the_timeout_before_the_waiters_go_on(
    clock: FakeClock,
) -> None:
    gate, heard = AsyncGate(), list[str]()

    async def on_status(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard.append(event.status.value)

    async def main() -> None:
        async with BoundedRunner(1, timeout=5, on_status=on_status) as runner:
            await until_ended(clock, runner.submit(gate), gate)
            assert heard == ["pending", "running", "failed"]

    asyncio.run(main())


def returns_awaitable(gate: AsyncGate) -> Callable[[], Awaitable[Any]]:
    return lambda: gate()


def test_the_time_of_a_sync_callable_goes_on_in_what_it_returns_to_be_awaited(
    clock: FakeClock,
) -> None:
    called, gate = Gate(), AsyncGate()

    def body() -> Any:
        called()
        return gate()

    with BoundedRunner(1, timeout=5) as runner:
        job = runner.submit(body)
        called.wait_for()
        clock.settle()
        clock.advance(3)
        called.open()
        gate.wait_for()
        clock.advance(1.9)
        assert job.status is JobStatus.RUNNING
        clock.advance(0.1)
        assert isinstance(job.exception(TIMEOUT), JobTimeout)
        assert job.ran == 5.0
        runner.submit(nothing).result(TIMEOUT)  # its task was cancelled, its slot is free


def test_what_a_sync_callable_returns_too_late_is_not_awaited(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    called, gate = Gate(), AsyncGate()

    def body() -> Any:
        called()
        return gate()

    with BoundedRunner(1, timeout=5) as runner:
        timed_out(clock, runner.submit(body), called)
        called.open()
        runner.submit(nothing).result(TIMEOUT)
    with pytest.raises(AssertionError):
        assert gate._arrived.acquire(blocking=False)
    assert len(late(caplog)) == 1


def test_a_job_whose_loop_is_closed_when_its_time_is_up_ends_all_the_same(
    clock: FakeClock,
) -> None:
    gate = AsyncGate()
    runner = BoundedRunner(1, timeout=5)
    loop = asyncio.new_event_loop()

    async def begin() -> Job[Any]:
        job = runner.submit(gate)
        await asyncio.to_thread(gate.wait_for)
        return job

    job = loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    clock.settle()
    clock.advance(5)  # it is for the loop to tell, which is stopped
    assert not job.done()
    loop.close()
    assert isinstance(job.exception(TIMEOUT), JobTimeout)
    runner.shutdown()


def test_a_job_whose_loop_was_closed_before_its_time_was_up_has_one_end(
    clock: FakeClock,
) -> None:
    gate, heard, has_failed = AsyncGate(), Heard(), threading.Event()

    def failed(event: JobEvent) -> None:
        if event.status is FAILED:
            has_failed.set()

    runner = BoundedRunner(1, timeout=5, on_status=[heard, failed])
    loop = asyncio.new_event_loop()

    async def begin() -> Job[Any]:
        job = runner.submit(gate)
        await asyncio.to_thread(gate.wait_for)
        return job

    job = loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    clock.settle()
    clock.advance(5)
    assert has_failed.wait(TIMEOUT)  # though nobody has asked for the job
    assert isinstance(job.exception(TIMEOUT), JobTimeout)
    assert heard.statuses() == ["pending", "running", "failed"]
    runner.shutdown()


def test_an_overdue_job_that_waits_for_a_loop_that_is_closed_gives_its_slot_back(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, is_put = Gate(), threading.Event()

    def wake(*args: Any) -> asyncio.Handle:
        is_put.set()
        return wakes(*args)

    def body() -> Awaitable[None]:
        gate()
        return asyncio.sleep(0)

    async def begin() -> Job[Any]:
        return runner.wrap(body, timeout=5)()

    runner, loop = BoundedRunner(1), asyncio.new_event_loop()
    wakes = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
    job = loop.run_until_complete(begin())
    gate.wait_for()
    gate.open()
    assert is_put.wait(TIMEOUT)
    clock.settle()
    clock.advance(5)
    assert isinstance(job.exception(TIMEOUT), JobTimeout)
    assert "overdue=1" in repr(runner)
    loop.close()
    assert runner.submit(nothing).result(TIMEOUT) is None
    assert "overdue" not in repr(runner)
    runner.shutdown()


def test_a_ctrl_c_while_the_loop_tells_of_a_timeout_leaves_no_job_without_an_end(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, heard = AsyncGate(), Heard()

    def interrupted(job: Any, step: Any, uncalled: Any) -> JobEvent:
        event = event_of(job, step, uncalled)
        if step[1] is FAILED and interrupts:
            interrupts.clear()
            raise KeyboardInterrupt
        return event

    interrupts = [True]
    monkeypatch.setattr("boundedjobs._telling.event_of", interrupted)
    runner = BoundedRunner(1, timeout=5, on_status=heard)
    jobs: list[Job[Any]] = []

    async def main() -> None:
        jobs.append(runner.submit(gate))
        await until_ended(clock, jobs[0], gate)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert isinstance(jobs[0].exception(TIMEOUT), JobTimeout)
    assert heard.statuses() == ["pending", "running", "failed"]
    runner.shutdown()


# Closing.


def test_closing_does_not_wait_for_the_body_of_a_job_whose_time_was_up(clock: FakeClock) -> None:
    gate = Gate()
    runner = BoundedRunner(1, timeout=5)
    timed_out(clock, runner.submit(gate), gate)
    runner.shutdown()
    assert "overdue=1" in repr(runner)
    gate.open()


def test_the_timer_has_left_when_the_runner_is_closed(clock: FakeClock) -> None:
    runner = BoundedRunner(1, timeout=5)
    runner.submit(nothing).result(TIMEOUT)
    clock.settle()
    clock.goes_on.clear()
    closing = threading.Thread(target=runner.shutdown)
    closing.start()
    closing.join(SOON)
    assert closing.is_alive()
    clock.goes_on.set()
    closing.join(TIMEOUT)
    assert timers() == []


def test_timeouts_go_on_while_the_runner_is_drained(clock: FakeClock) -> None:
    gate = Gate()
    runner = BoundedRunner(1, timeout=5)
    job = runner.submit(gate)
    gate.wait_for()
    runner.shutdown(wait=False)
    clock.settle()
    clock.advance(5)
    assert isinstance(job.exception(TIMEOUT), JobTimeout)
    gate.open()
    runner.shutdown()


def test_a_runner_that_is_opened_anew_has_a_timer_again(clock: FakeClock) -> None:
    gate = Gate()
    runner = BoundedRunner(1, timeout=5)
    with runner:
        runner.submit(nothing).result(TIMEOUT)
    with runner:
        timed_out(clock, runner.submit(gate), gate)
        gate.open()


def test_a_runner_that_is_dropped_lets_its_timer_go(clock: FakeClock) -> None:
    runner = BoundedRunner(1, timeout=5)
    runner.submit(nothing).result(TIMEOUT)
    clock.settle()
    (timer,) = timers()
    del runner
    assert ends(timer)
