"""Closing: what was accepted is finished, or let go of at a deadline, and never forgotten."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobDeadlock,
    JobEvent,
    JobInterrupted,
    JobStatus,
    RunnerClosed,
    current_job,
)
from tests.blocking import let_in
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard, on_time

CLOSED = "^cannot schedule new futures after shutdown$"
LET_GO = "^the runner was closed before the job had ended$"
SOON = 0.05
"""Seconds to a deadline that a test wants to see pass."""


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, so that no body outlives its test."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def heard() -> Heard:
    return Heard()


class Held:
    """A listener that stops at a gate when it hears `status`, and notes what it has heard."""

    def __init__(self, gate: Gate, status: str) -> None:
        self.gate = gate
        self.status = status
        self.heard: list[str] = []

    def __call__(self, event: JobEvent) -> None:
        self.heard.append(event.status.value)
        if event.status.value == self.status:
            self.gate()


class Stubborn:
    """A coroutine body that takes no notice of being cancelled until its gate opens."""

    def __init__(self) -> None:
        self.gate = AsyncGate()
        self.asked = threading.Event()

    async def __call__(self) -> str:
        waiting = asyncio.ensure_future(self.gate())
        while not waiting.done():
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                self.asked.set()
        return "after all"


def in_thread(fn: Callable[[], object]) -> concurrent.futures.Future[Any]:
    """Run `fn` on a thread of its own; what came of it."""
    outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(fn())
        except BaseException as exc:
            outcome.set_exception(exc)

    threading.Thread(target=run).start()
    return outcome


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def nothing() -> None:
    """A body."""


async def nothing_async() -> None:
    """A coroutine body."""


# shutdown


def test_shutdown_waits_for_what_runs_and_what_is_pending(gate: Gate) -> None:
    runner = BoundedRunner(1)
    jobs = [runner.submit(gate, number) for number in range(3)]
    gate.wait_for()
    closing = in_thread(runner.shutdown)
    with pytest.raises(TimeoutError):
        closing.result(SOON)
    gate.open()
    closing.result(TIMEOUT)
    assert [job.done() for job in jobs] == [True] * 3
    assert [job.result() for job in jobs] == [0, 1, 2]


def test_shutdown_without_wait_returns_at_once_and_the_jobs_go_on(gate: Gate) -> None:
    runner = BoundedRunner(1)
    jobs = [runner.submit(gate, number) for number in range(3)]
    gate.wait_for()
    runner.shutdown(wait=False)
    assert jobs[0].running()
    gate.open()
    assert [job.result(TIMEOUT) for job in jobs] == [0, 1, 2]


def test_workers_leave_when_the_last_job_of_a_closed_runner_has_ended(gate: Gate) -> None:
    before = set(threading.enumerate())
    runner = BoundedRunner(3)
    jobs = [runner.submit(gate) for _ in range(3)]
    gate.wait_for(3)
    workers = set(threading.enumerate()) - before
    runner.shutdown(wait=False)
    gate.open()
    for worker in workers:
        worker.join(TIMEOUT)
    assert [worker.is_alive() for worker in workers] == [False] * 3
    assert all(job.done() for job in jobs)


def test_idle_workers_leave_when_nobody_waits_for_the_closing() -> None:
    before = set(threading.enumerate())
    runner = BoundedRunner(1)
    runner.submit(nothing).result(TIMEOUT)
    (worker,) = set(threading.enumerate()) - before
    runner.shutdown(wait=False)
    worker.join(TIMEOUT)
    assert not worker.is_alive()


def test_the_private_loop_leaves_when_the_last_job_of_a_closed_runner_has_ended() -> None:
    before = set(threading.enumerate())
    gate = AsyncGate()
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    (thread,) = set(threading.enumerate()) - before
    runner.shutdown(wait=False)
    gate.open()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert job.done()


def test_a_refusal_by_a_closed_runner_leaves_no_thread_behind() -> None:
    heard: list[str] = []

    async def listener(event: JobEvent) -> None:
        heard.append(event.status.value)

    runner = BoundedRunner(1, on_status=listener)
    runner.shutdown()
    before = set(threading.enumerate())
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)
    assert heard == ["rejected"]
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_a_refusal_is_heard_whenever_it_falls_into_the_end_of_the_private_loop() -> None:
    heard: list[str] = []

    async def listener(event: JobEvent) -> None:
        await gate()
        for _ in range(9):  # the time that a loop takes to stop
            await asyncio.sleep(0)
        heard.append(event.status.value)

    def submit() -> None:
        with contextlib.suppress(RunnerClosed):  # it may come in time
            wrapped()

    for number in itertools.count(1):
        gate, runner = AsyncGate(), BoundedRunner(1)
        runner.submit(nothing_async).result(TIMEOUT)  # there is a private loop
        wrapped = runner.wrap(nothing, on_status=listener)
        heard.clear()
        with let_in(number, submit) as outcome:
            runner.shutdown(wait=False)
        gate.open()
        if outcome:
            outcome[0].result(TIMEOUT)
        runner.shutdown()
        assert runner.listener_errors == 0
        if not outcome:
            break
        assert heard in (["rejected"], ["pending", "running", "succeeded"])
    assert number > 5


def test_no_thread_is_left_when_shutdown_returns(gate: Gate) -> None:
    before = set(threading.enumerate())
    runner = BoundedRunner(3)
    for _ in range(3):
        runner.submit(gate)
    runner.submit(nothing_async)  # on the private loop
    gate.wait_for(3)
    gate.open()
    runner.shutdown()
    assert set(threading.enumerate()) == before


def test_cancel_futures_cancels_what_is_pending_and_lets_the_rest_end(
    gate: Gate, heard: Heard
) -> None:
    runner = BoundedRunner(1, on_status=heard)
    first, second, third = (runner.submit(gate) for _ in range(3))
    gate.wait_for()
    closing = in_thread(lambda: runner.shutdown(cancel_futures=True))
    for job in (second, third):
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert not closing.done()
    gate.open()
    closing.result(TIMEOUT)
    assert first.status is JobStatus.SUCCEEDED
    assert heard.statuses().count("cancelled") == 2


def test_cancel_futures_without_wait_has_cancelled_when_shutdown_returns(gate: Gate) -> None:
    runner = BoundedRunner(1)
    runner.submit(gate)
    pending = runner.submit(nothing)
    runner.shutdown(wait=False, cancel_futures=True)
    assert pending.cancelled()


def test_a_second_shutdown_may_ask_for_more_than_the_first(gate: Gate) -> None:
    runner = BoundedRunner(1)
    running, pending = runner.submit(gate), runner.submit(nothing)
    gate.wait_for()
    runner.shutdown(wait=False)
    assert not pending.done()
    runner.shutdown(wait=False, cancel_futures=True)
    assert pending.cancelled()
    runner.shutdown(timeout=0)
    assert running.status is JobStatus.INTERRUPTED


def test_shutdown_can_be_repeated(gate: Gate) -> None:
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.open()
    for _ in range(3):
        runner.shutdown()
    assert job.status is JobStatus.SUCCEEDED


def test_a_runner_that_had_no_job_closes() -> None:
    runner = BoundedRunner(1)
    runner.shutdown()
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)


def test_a_submit_after_closing_is_heard_as_rejected_and_raises(heard: Heard) -> None:
    runner = BoundedRunner(1, on_status=heard)
    runner.shutdown()
    with pytest.raises(RunnerClosed, match=CLOSED) as caught:
        runner.submit(nothing)
    assert heard.statuses() == ["rejected"]
    job = caught.value.job
    assert job is not None
    assert (job.status, job.done()) == (JobStatus.REJECTED, True)
    assert job.failure is not None
    assert job.failure.phase == "admission"
    assert repr(job.exception()) == repr(caught.value)  # a twin: no cycle
    assert isinstance(caught.value, RuntimeError)


def test_the_standard_librarys_executor_says_the_same_after_closing() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match=CLOSED):
        pool.submit(nothing)


def test_a_submitter_that_waits_for_room_is_refused_by_the_closing(
    gate: Gate, heard: Heard
) -> None:
    runner = BoundedRunner(1, max_pending=0, when_full="wait", on_status=heard)
    runner.submit(gate)
    gate.wait_for()
    waiting = in_thread(lambda: runner.submit(nothing))
    with pytest.raises(TimeoutError):
        waiting.result(SOON)
    runner.shutdown(wait=False)
    with pytest.raises(RunnerClosed, match=CLOSED):
        waiting.result(TIMEOUT)
    assert heard.statuses("nothing") == ["rejected"]


def test_a_thread_that_a_ctrl_c_has_left_half_started_is_not_waited_for() -> None:
    runner = BoundedRunner(1)
    core = getattr(runner, "_core")  # noqa: B009
    half_started = threading.Thread()
    half_started._ident = 1  # type: ignore[attr-defined]  # it waits for a lock that none lets go of
    core.threads.workers[half_started] = None
    runner.shutdown()


def test_every_one_of_several_threads_that_close_waits_to_the_end(gate: Gate) -> None:
    runner = BoundedRunner(2)
    jobs = [runner.submit(gate) for _ in range(3)]
    gate.wait_for(2)

    def close() -> list[bool]:
        runner.shutdown()
        return [job.done() for job in jobs]

    closings = [in_thread(close) for _ in range(4)]
    assert not concurrent.futures.wait(closings, SOON).done
    gate.open()
    assert [closing.result(TIMEOUT) for closing in closings] == [[True] * 3] * 4


def test_a_submit_that_races_the_closing_is_run_or_refused_and_nothing_between() -> None:
    for _ in range(20):
        runner = BoundedRunner(2)
        start = threading.Barrier(4)
        ran: list[int] = []

        def submit(
            runner: BoundedRunner = runner,
            start: threading.Barrier = start,
            ran: list[int] = ran,
        ) -> list[Job[None]]:
            accepted: list[Job[None]] = []
            start.wait(TIMEOUT)
            with contextlib.suppress(RunnerClosed):
                while True:
                    accepted.append(runner.submit(ran.append, 1))
            return accepted

        submitters = [in_thread(submit) for _ in range(3)]
        start.wait(TIMEOUT)
        runner.shutdown()
        counted = len(ran)
        jobs = [job for submitter in submitters for job in submitter.result(TIMEOUT)]
        assert {job.status for job in jobs} <= {JobStatus.SUCCEEDED}
        assert len(jobs) == len(ran) == counted


@pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        (-1, ValueError, "^timeout must be at least 0 seconds, got -1$"),
        (math.nan, ValueError, "^timeout must be at least 0 seconds, got nan$"),
        ("1", TypeError, "^timeout must be a number of seconds or None, got '1'$"),
        (True, TypeError, "^timeout must be a number of seconds or None, got True$"),
    ],
)
def test_a_timeout_that_is_none_is_refused_and_the_runner_stays_open(
    timeout: Any, error: type[Exception], message: str
) -> None:
    with BoundedRunner(1) as runner:
        with pytest.raises(error, match=message):
            runner.shutdown(timeout=timeout)
        with pytest.raises(error, match=message):
            asyncio.run(runner.aclose(timeout=timeout))
        runner.submit(nothing).result(TIMEOUT)


# The deadline


def test_at_the_deadline_pending_jobs_are_interrupted_first_and_running_ones_next(
    gate: Gate, heard: Heard
) -> None:
    runner = BoundedRunner(2, on_status=heard)
    jobs = [runner.submit(gate) for _ in range(4)]
    gate.wait_for(2)
    runner.shutdown(timeout=SOON)
    assert [job.status for job in jobs] == [JobStatus.INTERRUPTED] * 4
    ends = [(e.job_id, e.previous) for e in heard.events if e.status is JobStatus.INTERRUPTED]
    assert ends == [
        (jobs[2].id, JobStatus.PENDING),
        (jobs[3].id, JobStatus.PENDING),
        (jobs[0].id, JobStatus.RUNNING),
        (jobs[1].id, JobStatus.RUNNING),
    ]


def test_at_the_deadline_no_slot_is_handed_on(gate: Gate) -> None:
    runner = BoundedRunner(1)
    ran = threading.Event()
    running = runner.submit(gate)
    pending = runner.submit(ran.set)
    gate.wait_for()
    runner.shutdown(timeout=0)
    gate.open()
    runner.shutdown()
    with runner:  # the slot is free again by the end of this
        runner.submit(nothing).result(TIMEOUT)
    assert {running.status, pending.status} == {JobStatus.INTERRUPTED}
    assert not ran.is_set()


def test_at_the_deadline_waiters_wake(gate: Gate) -> None:
    runner = BoundedRunner(1)
    running, pending = runner.submit(gate), runner.submit(nothing)
    gate.wait_for()

    async def wait_async() -> None:
        await running

    waiters = [
        in_thread(lambda: running.result(TIMEOUT)),
        in_thread(lambda: pending.result(TIMEOUT)),
        in_thread(lambda: asyncio.run(wait_async())),
    ]
    both = in_thread(lambda: concurrent.futures.wait([running, pending], TIMEOUT))
    runner.shutdown(timeout=SOON)
    for waiter in waiters:
        with pytest.raises(JobInterrupted, match=LET_GO):
            waiter.result(TIMEOUT)
    assert both.result(TIMEOUT).done == {running, pending}


def test_an_interrupted_job_says_why_as_a_failure_of_the_drain(gate: Gate) -> None:
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    runner.shutdown(timeout=0)
    failure = job.failure
    assert failure is not None
    assert (failure.type, failure.message, failure.phase) == (
        "boundedjobs.errors.JobInterrupted",
        "the runner was closed before the job had ended",
        "drain",
    )


def test_the_log_names_the_jobs_that_the_deadline_has_interrupted(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    runner = BoundedRunner(1, name="content")
    jobs = [runner.wrap(gate, name=name)() for name in ("running", "pending")]
    gate.wait_for()
    runner.shutdown(timeout=0)
    first, second = jobs
    assert messages(caplog, logging.WARNING) == [
        "runner 'content' passed its drain deadline, jobs interrupted: "
        f"'pending' ({second.id}), 'running' ({first.id})"
    ]
    assert not messages(caplog, logging.ERROR)


def test_a_deadline_that_nobody_has_to_be_interrupted_at_is_not_mentioned(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.open()
    runner.shutdown(timeout=TIMEOUT)
    assert job.status is JobStatus.SUCCEEDED
    assert not caplog.records


def test_a_late_result_is_dropped_with_one_warning(
    gate: Gate, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    runner = BoundedRunner(1, on_status=heard)
    job = runner.submit(gate, "late")
    gate.wait_for()
    runner.shutdown(timeout=0)
    caplog.clear()
    gate.open()
    with runner:
        runner.submit(nothing).result(TIMEOUT)  # the slot is free: the body has ended
    assert [on_time(m) for m in messages(caplog, logging.WARNING)] == [
        f"{job!r} had already ended: what its body returns now, 0.0 s late, is dropped"
    ]
    assert job.status is JobStatus.INTERRUPTED
    assert heard.statuses("Gate") == ["pending", "running", "interrupted"]
    with pytest.raises(JobInterrupted, match=LET_GO):
        job.result(0)


def test_a_late_exception_is_dropped_with_one_warning(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        gate()
        raise KeyError("late")

    runner = BoundedRunner(1)
    job = runner.submit(fail)
    gate.wait_for()
    runner.shutdown(timeout=0)
    caplog.clear()
    gate.open()
    with runner:
        runner.submit(nothing).result(TIMEOUT)
    assert [on_time(m) for m in messages(caplog, logging.WARNING)] == [
        f"{job!r} had already ended: what its body raises (KeyError) now, 0.0 s late, is dropped"
    ]
    assert not messages(caplog, logging.ERROR)


def test_a_sync_body_that_checks_stops_when_the_deadline_has_passed(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = threading.Event()

    def body() -> None:
        gate()
        try:
            current_job().check_cancelled()
        except JobCancelled:
            stopped.set()
            raise

    runner = BoundedRunner(1)
    job = runner.submit(body)
    gate.wait_for()
    runner.shutdown(timeout=0)
    caplog.clear()
    gate.open()
    assert stopped.wait(TIMEOUT)
    runner.shutdown()
    assert job.status is JobStatus.INTERRUPTED
    assert not caplog.records  # it has done as it was asked to: nothing is dropped


def test_at_the_deadline_the_task_of_an_async_job_is_cancelled(heard: Heard) -> None:
    started, cleaned_up = threading.Event(), threading.Event()

    async def body() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    runner = BoundedRunner(1, on_status=heard)
    job = runner.submit(body)
    assert started.wait(TIMEOUT)
    runner.shutdown(timeout=0)
    assert job.status is JobStatus.INTERRUPTED
    assert cleaned_up.wait(TIMEOUT)
    assert heard.statuses() == ["pending", "running", "interrupted"]


def test_drain_timeout_is_the_deadline_of_a_closing_that_names_none(gate: Gate) -> None:
    runner = BoundedRunner(1, drain_timeout=SOON)
    job = runner.submit(gate)
    gate.wait_for()
    runner.shutdown()
    assert job.status is JobStatus.INTERRUPTED


def test_a_deadline_that_is_farther_than_any_clock_goes_is_none(gate: Gate) -> None:
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    closing = in_thread(lambda: runner.shutdown(timeout=sys.maxsize))
    with pytest.raises(TimeoutError):
        closing.result(SOON)
    gate.open()
    closing.result(TIMEOUT)
    assert job.status is JobStatus.SUCCEEDED


def test_an_infinite_timeout_is_none_whatever_drain_timeout_says(gate: Gate) -> None:
    runner = BoundedRunner(1, drain_timeout=0)
    job = runner.submit(gate)
    gate.wait_for()
    closing = in_thread(lambda: runner.shutdown(timeout=math.inf))
    with pytest.raises(TimeoutError):
        closing.result(SOON)
    gate.open()
    closing.result(TIMEOUT)
    assert job.status is JobStatus.SUCCEEDED


def test_a_deadline_holds_for_a_closing_that_nobody_waits_for(gate: Gate) -> None:
    runner = BoundedRunner(1)
    running, pending = runner.submit(gate), runner.submit(nothing)
    gate.wait_for()
    runner.shutdown(wait=False, timeout=SOON)
    for job in (running, pending):
        with pytest.raises(JobInterrupted, match=LET_GO):
            job.result(TIMEOUT)


def test_drain_timeout_holds_for_a_closing_that_nobody_waits_for(gate: Gate) -> None:
    runner = BoundedRunner(1, drain_timeout=SOON)
    job = runner.submit(gate)
    runner.shutdown(wait=False)
    with pytest.raises(JobInterrupted, match=LET_GO):
        job.result(TIMEOUT)


def test_a_deadline_is_over_when_the_runner_is_opened_anew_before_it(gate: Gate) -> None:
    before = set(threading.enumerate())
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    runner.shutdown(wait=False, timeout=0.3)
    closers = [t for t in set(threading.enumerate()) - before if t.name.endswith("-closing")]
    with runner:
        for closer in closers:
            closer.join(TIMEOUT)
        assert [closer.is_alive() for closer in closers] == [False]
        assert job.status is JobStatus.RUNNING
        gate.open()
        job.result(TIMEOUT)


def test_a_runner_opened_anew_while_its_deadline_passes_loses_no_job() -> None:
    for number in itertools.count(1):
        gate, heard = Gate(), Heard()
        runner = BoundedRunner(1, on_status=heard)
        runner.submit(gate)
        gate.wait_for()
        with let_in(number, runner.__enter__) as outcome:
            runner.shutdown(timeout=0)
        gate.open()
        if not outcome:
            break
        outcome[0].result(TIMEOUT)
        with contextlib.suppress(RunnerClosed):  # it was opened before it was closed
            runner.wrap(nothing, name="next")().result(TIMEOUT)
        runner.__exit__(None, None, None)
        assert heard.statuses("Gate") in (
            ["pending", "running", "interrupted"],
            ["pending", "running", "succeeded"],
        )
        assert heard.statuses("next") in (["rejected"], ["pending", "running", "succeeded"])
    assert number > 5


def test_an_abandoned_body_keeps_its_slot_across_closing_and_opening_anew(gate: Gate) -> None:
    runner = BoundedRunner(2)
    abandoned = runner.submit(gate)
    gate.wait_for()
    runner.shutdown(timeout=0)
    assert abandoned.status is JobStatus.INTERRUPTED
    inner = Gate()
    with runner:
        first = runner.submit(inner)
        second = runner.submit(inner)
        inner.wait_for()
        assert (first.status, second.status) == (JobStatus.RUNNING, JobStatus.PENDING)
        gate.open()  # now the body has really ended, and its slot is handed on
        inner.wait_for()
        inner.open()
    assert {first.status, second.status} == {JobStatus.SUCCEEDED}


def test_an_abandoned_task_keeps_its_slot_across_closing_and_opening_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = BoundedRunner(1)
    body = Stubborn()
    abandoned = runner.submit(body)
    body.gate.wait_for()
    runner.shutdown(timeout=0)
    assert abandoned.status is JobStatus.INTERRUPTED
    assert body.asked.wait(TIMEOUT)
    with runner:
        following = runner.submit(nothing)
        with pytest.raises(TimeoutError):
            following.result(SOON)
        assert following.status is JobStatus.PENDING
        caplog.clear()
        body.gate.open()
        following.result(TIMEOUT)
    assert [on_time(m) for m in messages(caplog, logging.WARNING)] == [
        f"{abandoned!r} had already ended: what its body returns now, 0.0 s late, is dropped"
    ]


def test_a_body_abandoned_once_does_not_hold_up_later_closings(gate: Gate) -> None:
    runner = BoundedRunner(2)
    runner.submit(gate)
    gate.wait_for()
    runner.shutdown(timeout=0)
    for _ in range(2):
        with runner:
            runner.submit(nothing).result(TIMEOUT)
    in_thread(runner.shutdown).result(TIMEOUT)


# Listeners at the deadline


def test_async_listeners_hear_of_the_deadline_on_the_loop_that_closes() -> None:
    heard: list[tuple[str, object]] = []

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard.append((event.status.value, asyncio.get_running_loop()))

    async def main() -> list[tuple[str, object]]:
        runner = BoundedRunner(1, on_status=listener)
        await runner.__aenter__()
        gate = Gate()
        running, pending = runner.submit(gate), runner.submit(nothing)
        await asyncio.to_thread(gate.wait_for)
        await runner.aclose(timeout=0)
        assert running.done()
        assert pending.done()
        gate.open()
        loop = asyncio.get_running_loop()
        await runner.__aexit__(None, None, None)
        return [(status, loop) for status, _ in heard]

    assert asyncio.run(main()) == heard
    assert sorted(status for status, _ in heard) == sorted(
        ["pending", "running", "pending", "interrupted", "interrupted"]
    )


def test_a_listener_that_never_returns_cannot_hold_up_closing(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Held(gate, "succeeded")
    runner = BoundedRunner(2, name="content", on_status=listener)
    job, other = runner.submit(nothing), runner.submit(nothing)
    gate.wait_for(2)
    in_thread(lambda: runner.shutdown(timeout=SOON)).result(TIMEOUT)
    assert job.result(0) is None  # who waits has been woken
    assert not messages(caplog, logging.WARNING)  # nobody was interrupted
    assert messages(caplog, logging.ERROR) == [
        f"runner 'content' closed before listeners had heard all of: {job!r}, {other!r}"
    ]


def test_what_a_listener_kept_to_itself_does_not_hold_up_later_closings_either(
    gate: Gate,
) -> None:
    runner = BoundedRunner(1, on_status=Held(gate, "succeeded"))
    runner.submit(nothing)
    gate.wait_for()
    runner.shutdown(timeout=SOON)
    in_thread(runner.shutdown).result(TIMEOUT)  # without any deadline


def test_a_callback_that_never_returns_cannot_hold_up_closing(gate: Gate) -> None:
    runner = BoundedRunner(1)
    body = Gate()
    runner.submit(body).add_done_callback(gate)
    body.open()
    gate.wait_for()
    in_thread(lambda: runner.shutdown(timeout=SOON)).result(TIMEOUT)
    in_thread(runner.shutdown).result(TIMEOUT)


def test_closing_takes_no_longer_with_many_hung_listeners_than_with_one(gate: Gate) -> None:
    runner = BoundedRunner(8, on_status=Held(gate, "succeeded"))
    for _ in range(8):
        runner.submit(nothing)
    gate.wait_for(8)
    in_thread(lambda: runner.shutdown(timeout=SOON)).result(4)  # 0.8 s for each would be 6.4


def test_listeners_that_the_deadline_could_not_wait_for_hear_later(gate: Gate) -> None:
    """More hang than are waited for; the last to hear hear of jobs that are long done."""
    listener, body = Held(gate, "interrupted"), Gate()
    runner = BoundedRunner(1, on_status=listener)
    jobs = [runner.submit(body) for _ in range(12)]
    body.wait_for()
    done: concurrent.futures.Future[None] = concurrent.futures.Future()
    done.set_result(None)
    completed = concurrent.futures.as_completed([done, *jobs], TIMEOUT)
    assert next(completed) is done  # from now on it waits for the others
    in_thread(lambda: runner.shutdown(timeout=0)).result(TIMEOUT)
    for job in jobs:
        assert isinstance(job.exception(0), JobInterrupted)
    gate.open()
    body.open()
    gate.wait_for(12)
    for thread in threading.enumerate():
        if thread.name.endswith("-closing"):
            thread.join(TIMEOUT)
    assert listener.heard.count("interrupted") == 12
    assert sorted(map(id, completed)) == sorted(map(id, jobs))  # each once, though settled twice


def test_an_async_listener_that_never_returns_cannot_hold_up_closing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = AsyncGate()

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.SUCCEEDED:
            await gate()

    runner = BoundedRunner(1, name="content", on_status=listener)
    job = runner.submit(nothing)
    gate.wait_for()
    in_thread(lambda: runner.shutdown(timeout=SOON)).result(TIMEOUT)
    assert job.result(0) is None
    assert f"runner 'content' closed before listeners had heard all of: {job!r}" in messages(
        caplog, logging.ERROR
    )
    gate.open()


def test_a_job_whose_pending_nobody_has_finished_hearing_is_interrupted_and_never_runs(
    gate: Gate,
) -> None:
    listener = Held(gate, "pending")
    ran = threading.Event()
    runner = BoundedRunner(1, on_status=listener)
    submitting = in_thread(lambda: runner.submit(ran.set))
    gate.wait_for()
    in_thread(lambda: runner.shutdown(timeout=SOON)).result(TIMEOUT)
    gate.open()
    job = submitting.result(TIMEOUT)
    assert job.status is JobStatus.INTERRUPTED
    runner.shutdown()
    assert not ran.is_set()


def test_a_job_whose_running_nobody_has_finished_hearing_is_interrupted_and_never_runs(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    ran = threading.Event()
    runner = BoundedRunner(1, name="content", on_status=Held(gate, "running"))
    job = runner.submit(ran.set)
    gate.wait_for()
    in_thread(lambda: runner.shutdown(timeout=SOON)).result(TIMEOUT)
    assert job.status is JobStatus.INTERRUPTED
    assert messages(caplog, logging.ERROR) == [  # once
        f"runner 'content' closed before listeners had heard all of: {job!r}"
    ]
    gate.open()
    with runner:  # waits until the slot is free
        runner.wrap(nothing, name="after")().result(TIMEOUT)
    assert not ran.is_set()


def test_a_listener_that_hangs_on_one_job_does_not_keep_the_end_of_others_from_being_heard(
    gate: Gate,
) -> None:
    heard: list[str] = []
    body = Gate()

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.INTERRUPTED:
            if event.name == "hangs":
                gate()
            heard.append(event.name)

    runner = BoundedRunner(2, on_status=listener)
    runner.wrap(body, name="hangs")()
    runner.wrap(body, name="heard")()
    body.wait_for(2)
    runner.shutdown(timeout=0)
    try:
        assert heard == ["heard"]
    finally:
        body.open()


def test_a_job_that_has_returned_and_is_still_heard_does_not_keep_others_from_being_let_go_of(
    gate: Gate,
) -> None:
    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.SUCCEEDED:
            gate()

    runner, body = BoundedRunner(2, on_status=listener), Gate()
    returned = runner.submit(nothing)
    gate.wait_for()
    runs = runner.submit(body)
    body.wait_for()
    runner.shutdown(timeout=0)
    try:
        assert isinstance(runs.exception(TIMEOUT), JobInterrupted)
        assert returned.result(TIMEOUT) is None
    finally:
        body.open()


# Threads that can not be started


class OutOfThreads(threading.Thread):
    """What `threading.Thread` is when there are no more to be had."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_private_loop_that_could_not_be_started_does_not_break_the_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with BoundedRunner(1) as runner:
        monkeypatch.setattr("boundedjobs._lanes._loops.Daemon", OutOfThreads)
        job = runner.submit(nothing_async)
        with pytest.raises(
            JobInterrupted, match=r"^the job could not be started: can't start new thread$"
        ):
            job.result(TIMEOUT)


def test_a_deadline_is_kept_to_where_no_thread_can_be_started_for_it(
    gate: Gate, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = BoundedRunner(1, on_status=heard)
    job = runner.submit(gate)
    gate.wait_for()
    monkeypatch.setattr("boundedjobs._closing.Daemon", OutOfThreads)
    runner.shutdown(timeout=SOON)
    assert job.status is JobStatus.INTERRUPTED
    assert heard.statuses() == ["pending", "running", "interrupted"]


def test_a_job_may_close_its_runner_with_a_deadline_where_no_thread_can_be_started_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = BoundedRunner(1)
    monkeypatch.setattr("boundedjobs._closing.Daemon", OutOfThreads)
    job = runner.submit(runner.shutdown, wait=False, timeout=0)
    assert isinstance(job.exception(TIMEOUT), JobInterrupted)


# Where waiting for the closing could never end


def closing_forms(runner: BoundedRunner) -> dict[str, Callable[[], object]]:
    return {
        "shutdown()": runner.shutdown,
        "leaving 'with'": lambda: runner.__exit__(None, None, None),
    }


@pytest.mark.parametrize("form", ["shutdown()", "leaving 'with'"])
def test_waiting_for_the_closing_inside_a_job_raises_and_the_runner_closes(form: str) -> None:
    runner = BoundedRunner(1, name="content")
    job = runner.submit(closing_forms(runner)[form])
    message = (
        f"{form} inside a job of runner 'content', or in the midst of one of its own steps, would "
        "wait for itself; closing has begun: don't wait, use shutdown(wait=False)"
    )
    error = job.exception(TIMEOUT)
    assert isinstance(error, JobDeadlock)
    assert str(error) == message
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)
    runner.shutdown()


@pytest.mark.parametrize("form", ["aclose()", "leaving 'async with'"])
def test_awaiting_the_closing_inside_a_job_raises_and_the_runner_closes(form: str) -> None:
    runner = BoundedRunner(1, name="content")

    async def body() -> None:
        if form == "aclose()":
            await runner.aclose()
        else:
            await runner.__aexit__(None, None, None)

    error = runner.submit(body).exception(TIMEOUT)
    assert isinstance(error, JobDeadlock)
    assert str(error) == (
        f"{form} inside a job of runner 'content', or in the midst of one of its own steps, would "
        "wait for itself; closing has begun: don't wait, use shutdown(wait=False)"
    )
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)
    runner.shutdown()


def test_waiting_for_the_closing_inside_a_listener_or_a_callback_raises() -> None:
    errors: list[BaseException] = []

    def close(_: object) -> None:
        try:
            runner.shutdown()
        except BaseException as exc:
            errors.append(exc)

    body = Gate()
    runner = BoundedRunner(1, on_status=lambda e: close(e) if e.status.is_final else None)
    job = runner.submit(body)
    job.add_done_callback(close)
    body.open()
    assert job.exception(TIMEOUT) is None
    runner.shutdown()
    assert [type(error) for error in errors] == [JobDeadlock, JobDeadlock]


def test_a_job_may_close_its_runner_without_waiting(heard: Heard) -> None:
    runner = BoundedRunner(1, on_status=heard)
    job = runner.submit(runner.shutdown, wait=False)
    job.result(TIMEOUT)
    runner.shutdown()
    assert job.status is JobStatus.SUCCEEDED


def test_a_job_may_close_another_runner() -> None:
    with BoundedRunner(1) as outer:
        inner = BoundedRunner(1)
        job = inner.submit(nothing)
        outer.submit(inner.shutdown).result(TIMEOUT)
        assert job.done()


@pytest.mark.parametrize("form", ["shutdown()", "leaving 'with'"])
def test_a_sync_closing_on_the_loop_that_a_job_needs_raises_and_names_the_async_form(
    form: str,
) -> None:
    async def main() -> None:
        gate = AsyncGate()
        runner = BoundedRunner(1, name="content")
        job = runner.submit(gate)
        with pytest.raises(JobDeadlock) as caught:
            closing_forms(runner)[form]()
        assert str(caught.value) == (
            f"{form} would block this event loop, which jobs of runner 'content' need to end; "
            "closing has begun: use 'async with' or 'await runner.aclose()'"
        )
        with pytest.raises(RunnerClosed, match=CLOSED):
            runner.submit(nothing)
        gate.open()
        await runner.aclose()
        assert job.status is JobStatus.SUCCEEDED

    asyncio.run(main())


def test_a_sync_closing_on_a_loop_whose_listeners_are_yet_to_hear_raises(gate: Gate) -> None:
    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with BoundedRunner(1, on_status=listener) as runner:
            runner.submit(gate)
            with pytest.raises(JobDeadlock):
                runner.shutdown()
            gate.open()

    asyncio.run(main())


def test_a_sync_closing_on_a_loop_that_no_job_needs_waits_there(gate: Gate) -> None:
    async def main() -> None:
        runner = BoundedRunner(1)
        job = runner.submit(gate)
        gate.open()
        runner.shutdown()
        assert job.status is JobStatus.SUCCEEDED

    asyncio.run(main())


def test_a_sync_closing_on_another_loop_than_the_jobs_waits_there() -> None:
    runner = BoundedRunner(1)
    gate = AsyncGate()
    job = runner.submit(gate)  # on the private loop
    gate.wait_for()

    async def main() -> None:
        gate.open()
        runner.shutdown()

    asyncio.run(main())
    assert job.status is JobStatus.SUCCEEDED


def test_a_body_that_was_let_go_of_keeps_its_slot_and_is_shown_as_overdue() -> None:
    gate = Gate()
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    assert repr(runner) == "<BoundedRunner 'runner' open limit=1 running=1 pending=0>"
    runner.shutdown(timeout=0)
    assert job.status is JobStatus.INTERRUPTED
    assert repr(runner) == "<BoundedRunner 'runner' closed limit=1 running=1 overdue=1 pending=0>"
    with runner:  # opened anew: the slot is still taken
        later = runner.submit(int)
        assert later.status is JobStatus.PENDING
        gate.open()
        assert later.result(TIMEOUT) == 0
    assert repr(runner) == "<BoundedRunner 'runner' closed limit=1 running=0 pending=0>"


def test_a_callback_that_hangs_holds_up_no_closing_and_is_no_unheard_listener(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, hangs = Gate(), Gate()
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    job.add_done_callback(hangs)
    runner.shutdown(timeout=0)
    assert job.status is JobStatus.INTERRUPTED
    assert job.done()
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # names the job
    hangs.open()
    gate.open()


def test_the_callbacks_of_a_job_are_called_by_one_thread_though_two_closings_end_it(
    gate: Gate,
) -> None:
    hangs, called = Gate(), threading.Event()
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    job.add_done_callback(hangs)
    job.add_done_callback(lambda _: called.set())
    runner.shutdown(timeout=0)
    runner.shutdown(timeout=0)
    assert not called.is_set()  # the first is still at it
    hangs.open()
    assert called.wait(TIMEOUT)


def test_a_body_that_ends_whenever_its_job_is_let_go_of_frees_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-closing"):
            raise RuntimeError("can't start new thread")
        start(thread)

    for number in itertools.count(1):
        gate, runner = Gate(), BoundedRunner(1)
        job = runner.submit(gate)
        gate.wait_for()
        job.add_done_callback(lambda _: None)
        monkeypatch.setattr(threading.Thread, "start", refuse)  # this one tells, then
        with let_in(number, gate.open) as outcome:
            runner.shutdown(timeout=0)
        monkeypatch.undo()
        gate.open()
        runner.shutdown()
        for thread in [t for t in threading.enumerate() if t.name == "runner-0"]:
            thread.join(TIMEOUT)
        assert repr(runner) == "<BoundedRunner 'runner' closed limit=1 running=0 pending=0>"
        if not outcome:
            break


def test_a_body_whose_listener_hangs_before_its_first_line_is_let_go_of_with_its_slot() -> None:
    ran: list[str] = []

    async def body() -> None:
        ran.append("body")

    async def main() -> None:
        hangs, hears = asyncio.Event(), asyncio.Event()

        async def listener(event: JobEvent) -> None:
            if event.status is JobStatus.RUNNING:
                hears.set()
                await hangs.wait()

        runner = BoundedRunner(1, on_status=listener)
        job = runner.submit(body)
        async with asyncio.timeout(TIMEOUT):
            await hears.wait()
            await runner.aclose(timeout=0)
            assert job.status is JobStatus.INTERRUPTED
            while not repr(runner).endswith("running=0 pending=0>"):
                await asyncio.sleep(0)
        hangs.set()

    asyncio.run(main())
    assert ran == []


def test_a_job_that_is_let_go_of_just_before_its_body_begins_gives_its_slot_back() -> None:
    """It is RUNNING, and all have heard so; the end is told by another thread, that of the closing."""
    outcomes = [let_go_of_at_call(number) for number in range(1, 12)]
    assert "gave it back" in outcomes


def let_go_of_at_call(number: int) -> str:
    """Close at the `number`-th call or return of the worker when it has heard RUNNING."""
    worker: list[threading.Thread] = []
    went_on, hearing, left = threading.Event(), Gate(), itertools.count(number, -1)

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            worker.append(threading.current_thread())
            sys.setprofile(at_call)
        elif event.status is JobStatus.INTERRUPTED and threading.current_thread() not in worker:
            went_on.set()
            hearing()

    def at_call(_frame: object, event: str, _arg: object) -> None:
        if event in ("call", "return") and next(left) == 1:
            sys.setprofile(None)
            closing.start()
            assert went_on.wait(TIMEOUT)

    def close() -> None:
        runner.shutdown(timeout=0)
        went_on.set()

    def body() -> None:
        sys.setprofile(None)
        begun.append(True)
        went_on.set()

    begun: list[bool] = []
    closing = threading.Thread(target=close)
    runner = BoundedRunner(1, on_status=listener)
    job = runner.submit(body)
    try:
        assert went_on.wait(TIMEOUT)
        if job.done() or begun:
            return "it had begun, or was told by its own thread"
        began = time.monotonic()
        while runner.snapshot().overdue:
            assert time.monotonic() < began + TIMEOUT, "the slot is lost"
            went_on.wait(0.001)
        return "gave it back"
    finally:
        hearing.open()
        if closing.ident is not None:
            closing.join(TIMEOUT)
        runner.shutdown()


def test_an_async_job_that_is_let_go_of_while_running_is_heard_gives_its_slot_back() -> None:
    hearing = AsyncGate()

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            await hearing()

    async def body() -> None:
        raise AssertionError("it has begun")

    runner = BoundedRunner(1, on_status=listener)
    job = runner.submit(body)
    hearing.wait_for()
    closing = threading.Thread(target=runner.shutdown, kwargs={"timeout": 0})
    closing.start()
    pause, began = threading.Event(), time.monotonic()
    while job.status is not JobStatus.INTERRUPTED:
        assert time.monotonic() < began + TIMEOUT
        pause.wait(0.001)
    hearing.open()
    with pytest.raises(JobInterrupted, match=LET_GO):
        job.result(TIMEOUT)
    while runner.snapshot().running:
        assert time.monotonic() < began + TIMEOUT, "the slot is lost"
        pause.wait(0.001)
    closing.join(TIMEOUT)
