"""The thread lane: how many workers, in which order, and what becomes of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobEvent,
    JobInterrupted,
    JobStatus,
    RunnerClosed,
    _submitting,
)
from boundedjobs._here import NO_LATE_THREADS
from boundedjobs._job import job_of
from boundedjobs._lanes import _threads
from boundedjobs._lanes._threads import ThreadLane, Worker
from boundedjobs._todo import Todo
from tests.freeing import ends
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard
from tests.interrupting import interrupted_once

SOON = 0.1
"""Seconds in which what must not happen would."""


def nothing() -> None:
    """A body."""


def workers(runner: BoundedRunner) -> list[threading.Thread]:
    """The threads of a runner, by their names."""
    return [t for t in threading.enumerate() if t.name.startswith(f"{runner.name}-")]


def no_threads(
    monkeypatch: pytest.MonkeyPatch, runner: str, exc: type[Exception] = RuntimeError
) -> None:
    """From now on, the threads of a runner won't start."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(f"{runner}-"):
            raise exc("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


# How many.


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_limit_bodies_run_at_once(limit: int) -> None:
    barrier = threading.Barrier(limit)
    with BoundedRunner(limit) as runner:
        jobs = [runner.submit(barrier.wait, TIMEOUT) for _ in range(limit * 3)]
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
        assert [job.failure for job in jobs] == [None] * limit * 3


@pytest.mark.parametrize("limit", [1, 3])
def test_never_more_than_limit_bodies_run_at_once(limit: int) -> None:
    gate = Gate()
    with BoundedRunner(limit) as runner:
        jobs = [runner.submit(gate) for _ in range(limit * 5)]
        gate.wait_for(limit)
        statuses = [job.status for job in jobs]
        assert statuses == [JobStatus.RUNNING] * limit + [JobStatus.PENDING] * limit * 4
        gate.open()


def test_there_are_never_more_threads_than_the_limit_however_many_jobs_wait() -> None:
    gate = Gate()
    with BoundedRunner(3, name="few") as runner:
        jobs = [runner.submit(gate) for _ in range(10_000)]
        gate.wait_for(3)
        assert len(workers(runner)) == 3
        gate.open()
        concurrent.futures.wait(jobs, TIMEOUT)
        assert len(workers(runner)) == 3


def test_a_runner_without_jobs_has_no_thread() -> None:
    with BoundedRunner(5, name="idle") as runner:
        assert workers(runner) == []


def test_an_idle_thread_is_used_again_before_a_new_one_is_started() -> None:
    with BoundedRunner(100) as runner:
        # The worker may still be on its way to being idle when the next job comes: now and then.
        idents = [runner.submit(threading.get_ident).result(TIMEOUT) for _ in range(60)]
    assert len(set(idents)) < 60


def test_a_thread_that_is_idle_takes_the_next_job() -> None:
    with BoundedRunner(9) as runner:
        threads = getattr(runner, "_core").threads  # noqa: B009
        counts = set()
        for _ in range(9):
            runner.submit(nothing).result(TIMEOUT)
            while threads.spare < len(threads.workers):  # they are on their way to being idle
                os.sched_yield()
            counts.add(len(threads.workers))
    assert len(counts) == 1


def test_threads_are_daemons_named_after_their_runner() -> None:
    with BoundedRunner(1, name="content") as runner:
        thread = runner.submit(threading.current_thread).result(TIMEOUT)
        assert (thread.name, thread.daemon) == ("content-0", True)


def test_a_worker_in_a_callback_counts_as_one_of_the_limit() -> None:
    gate = Gate()
    with BoundedRunner(1, name="busy") as runner:
        first_gate = Gate()
        first = runner.submit(first_gate)
        first.add_done_callback(lambda _: gate())
        second = runner.submit(threading.get_ident)
        first_gate.open()
        gate.wait_for()  # first is done, its worker calls back
        assert first.done()
        third = runner.submit(threading.get_ident)
        assert len(workers(runner)) == 1
        assert not second.done()
        gate.open()
        assert second.result(TIMEOUT) == third.result(TIMEOUT)


def test_a_worker_in_a_callback_keeps_no_job_from_the_other_workers() -> None:
    gate, callback_gate, other_gate = Gate(), Gate(), Gate()
    with BoundedRunner(2) as runner:
        job = runner.submit(gate)
        job.add_done_callback(lambda _: callback_gate())
        other = runner.submit(other_gate)
        waiting = runner.submit(threading.get_ident)
        gate.wait_for()
        other_gate.wait_for()
        gate.open()
        callback_gate.wait_for()
        other_gate.open()
        waiting.result(TIMEOUT)  # while the callback goes on
        other.result(TIMEOUT)
        callback_gate.open()


# In which order.


def test_the_job_that_waits_longest_starts_next() -> None:
    gates = [Gate() for _ in range(8)]
    with BoundedRunner(2) as runner:
        jobs = [runner.submit(gate) for gate in gates]
        for i, gate in enumerate(gates):
            gate.wait_for()
            assert [job.status for job in jobs[i + 2 :]] == [JobStatus.PENDING] * (6 - i)
            if i:  # two have started: the first of them makes room for the next
                gates[i - 1].open()
        gates[-1].open()
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()


def test_with_one_slot_bodies_run_in_the_order_of_their_submission() -> None:
    order: list[int] = []
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        for i in range(500):
            runner.submit(order.append, i)
        gate.open()
    assert order == list(range(500))


def test_cancelled_jobs_leave_the_others_in_their_order() -> None:
    gate = Gate()
    order: list[int] = []
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        jobs = [runner.submit(order.append, i) for i in range(100)]
        assert all(job.cancel() for job in jobs[::3])
        gate.open()
    assert order == [i for i in range(100) if i % 3]


def test_a_slot_is_handed_straight_on_to_who_waits_and_not_to_who_comes() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1) as runner:
        first = runner.submit(gate)
        gate.wait_for()
        second_gate = Gate()
        second = runner.submit(second_gate)
        seen: list[JobStatus] = []
        # The slot is second's already when first is done.
        first.add_done_callback(lambda _: seen.append(runner.submit(nothing).status))
        gate.open()
        first.result(TIMEOUT)
        second_gate.wait_for()
        assert second.status is JobStatus.RUNNING
        second_gate.open()
    assert seen == [JobStatus.PENDING]


def test_with_one_slot_a_single_thread_runs_all_the_jobs_of_a_queue() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        jobs = [runner.submit(threading.get_ident) for _ in range(100)]
        gate.open()
        assert len({job.result(TIMEOUT) for job in jobs}) == 1


def test_a_job_that_is_cancelled_on_its_way_to_a_worker_is_passed_over() -> None:
    ran: list[int] = []
    with BoundedRunner(2) as runner:
        for i in range(500):
            job = runner.submit(ran.append, i)
            if job.cancel():
                assert job.status is JobStatus.CANCELLED
                ran.append(i)
            else:
                job.result(TIMEOUT)
    assert ran == list(range(500))  # each either cancelled or run, and never both


# Where no thread can be started late: Python 3.12.0 and 3.12.1, as the interpreter exits.


async def nothing_async() -> None:
    """The same on a loop."""


@pytest.mark.parametrize(
    ("body", "stuck_after", "threads"),
    [
        (nothing, None, ["runner-0"]),
        (nothing, 60, ["runner-0", "runner-timer"]),
        (nothing_async, None, ["runner-loop"]),
    ],
)
def test_the_threads_of_a_job_are_had_beforehand_where_none_can_be_started_late(
    body: Callable[[], object],
    stuck_after: float | None,
    threads: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("_book", "_core"):
        monkeypatch.setattr(f"boundedjobs.{module}.NO_LATE_THREADS", True)
    with BoundedRunner(1, stuck_after=stuck_after) as runner:
        runner.pause()
        job = runner.submit(body)
        assert sorted(worker.name for worker in workers(runner)) == threads
        no_threads(monkeypatch, runner.name)  # none is needed any more
        jobs = [job, runner.submit(body)]
        runner.resume()
        for each in jobs:
            assert each.exception(TIMEOUT) is None


@pytest.mark.parametrize(
    ("body", "stuck_after", "thread"),
    [(nothing, 60, "runner-timer"), (nothing_async, None, "runner-loop")],
)
def test_another_thread_is_had_beforehand_though_there_is_a_worker(
    body: Callable[[], object],
    stuck_after: float | None,
    thread: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("_book", "_core"):
        monkeypatch.setattr(f"boundedjobs.{module}.NO_LATE_THREADS", True)
    with BoundedRunner(1) as runner:
        runner.submit(nothing).result(TIMEOUT)
        runner.pause()
        runner.wrap(body, stuck_after=stuck_after)()
        assert sorted(worker.name for worker in workers(runner)) == ["runner-0", thread]
        runner.resume()


def test_a_private_loop_is_not_had_beforehand_where_a_job_has_a_loop_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("_book", "_core"):
        monkeypatch.setattr(f"boundedjobs.{module}.NO_LATE_THREADS", True)
    runner = BoundedRunner(1)

    async def main() -> None:
        await runner.wrap(nothing_async, stuck_after=60)()
        assert [worker.name for worker in workers(runner)] == ["runner-timer"]

    asyncio.run(main())
    runner.shutdown()


@pytest.mark.skipif(NO_LATE_THREADS, reason="there, threads are had beforehand")
@pytest.mark.parametrize("body", [nothing, nothing_async])
def test_no_thread_is_had_beforehand_elsewhere(body: Callable[[], object]) -> None:
    with BoundedRunner(1, on_status=Heard()) as runner:
        runner.pause()
        runner.submit(body)
        assert workers(runner) == []
        runner.resume()


# A thread that will not start.


@pytest.mark.parametrize("exc", [RuntimeError, MemoryError])
def test_a_job_whose_thread_does_not_start_is_interrupted(
    exc: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    no_threads(monkeypatch, "runner", exc)
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(nothing)
        with pytest.raises(JobInterrupted) as caught:
            job.result(TIMEOUT)
        assert str(caught.value) == "the job could not be started: can't start new thread"
        assert isinstance(caught.value.__cause__, exc)
        assert job.failure is not None
        assert (job.status, job.failure.phase) == (JobStatus.INTERRUPTED, "start")
    assert heard.statuses() == ["pending", "interrupted"]
    (record,) = (r for r in caplog.records if r.levelno >= logging.ERROR)
    assert record.name == "boundedjobs"
    assert f"job 'nothing' ({job.id}) interrupted at" in record.getMessage()
    assert "can't start new thread" in record.getMessage()


def test_after_a_thread_that_did_not_start_the_next_job_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_threads(monkeypatch, "runner")
    with BoundedRunner(1, max_pending=0) as runner:
        first = runner.submit(nothing)
        assert first.status is JobStatus.INTERRUPTED
        assert first.done()
        monkeypatch.undo()
        assert runner.submit(int, "7").result(TIMEOUT) == 7


def test_the_slots_of_threads_that_did_not_start_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    with BoundedRunner(4, max_pending=0) as runner:
        runner.submit(gate)
        gate.wait_for()
        no_threads(monkeypatch, "runner")
        jobs = [runner.submit(gate) for _ in range(3)]  # an idle thread may be there for one
        lost = [job for job in jobs if job.status is JobStatus.INTERRUPTED]
        assert len(lost) >= 2
        monkeypatch.undo()
        assert all(runner.submit(gate).status is not JobStatus.INTERRUPTED for _ in lost)
        gate.open()


def test_as_long_as_no_thread_starts_every_job_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:

        def submit_all(_: object) -> None:
            jobs.extend(runner.submit(nothing) for _ in range(500))

        # All of them wait when the first one is told that it can't start.
        jobs: list[Job[Any]] = []
        no_threads(monkeypatch, "runner")
        first = runner.wrap(
            nothing, on_status=lambda e: submit_all(e) if e.status == "interrupted" else None
        )()
        jobs.append(first)
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
        assert {job.status for job in jobs} == {JobStatus.INTERRUPTED}
    assert len(jobs) == 501
    assert heard.statuses().count("interrupted") == 501


def test_a_listener_of_a_job_whose_thread_did_not_start_may_submit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = Heard()
    at_once: list[list[str]] = []

    def submit_again(event: JobEvent) -> None:
        if event.status is JobStatus.INTERRUPTED:
            monkeypatch.undo()
            runner.wrap(nothing, name="again", on_status=heard)()
            at_once.append(heard.statuses("again")[:1])

    with BoundedRunner(1) as runner:
        no_threads(monkeypatch, "runner")
        runner.wrap(nothing, on_status=submit_again)()
    assert at_once == [["pending"]]
    assert heard.statuses() == ["pending", "running", "succeeded"]


# What bodies can't do to a worker.


@pytest.mark.parametrize(
    "exc",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(1), MemoryError()],
    ids=lambda exc: type(exc).__name__,
)
def test_no_exception_of_a_body_ends_its_worker(exc: BaseException) -> None:
    def body() -> None:
        raise exc

    with BoundedRunner(1) as runner:
        worker = runner.submit(threading.get_ident).result(TIMEOUT)
        job = runner.submit(body)
        assert job.exception(TIMEOUT) is exc
        assert job.status is JobStatus.FAILED
        assert runner.submit(threading.get_ident).result(TIMEOUT) == worker


def test_sys_exit_in_a_body_fails_the_job_and_not_the_process() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(sys.exit, 3)
        with pytest.raises(SystemExit) as caught:
            job.result(TIMEOUT)
        assert caught.value.code == 3


@pytest.mark.parametrize("exc", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_no_exception_of_a_done_callback_ends_its_worker(exc: BaseException) -> None:
    gate = Gate()

    def callback(_: object) -> None:
        raise exc

    with BoundedRunner(1) as runner:
        job = runner.submit(gate)
        job.add_done_callback(callback)
        after = runner.submit(threading.get_ident)
        gate.open()
        assert after.result(TIMEOUT) == runner.submit(threading.get_ident).result(TIMEOUT)
        assert job.status is JobStatus.SUCCEEDED


# When they go.


def until_gone(threads: list[threading.Thread]) -> None:
    for thread in threads:
        assert ends(thread)


def test_the_workers_have_gone_when_the_runner_is_closed() -> None:
    with BoundedRunner(3, name="closed") as runner:
        barrier = threading.Barrier(3)
        for _ in range(3):
            runner.submit(barrier.wait, TIMEOUT)
        concurrent.futures.wait([runner.submit(nothing)], TIMEOUT)
        threads = workers(runner)
    assert len(threads) == 3
    assert [thread.is_alive() for thread in threads] == [False] * 3


def test_closing_waits_for_a_worker_that_has_left_and_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_left, may_end = threading.Event(), threading.Event()
    run = Worker.run

    def run_long(worker: Worker) -> None:
        run(worker)
        has_left.set()
        assert may_end.wait(TIMEOUT)

    monkeypatch.setattr(Worker, "run", run_long)
    runner = BoundedRunner(1)
    runner.submit(nothing).result(TIMEOUT)
    (worker,) = workers(runner)
    runner.shutdown(wait=False)
    assert has_left.wait(TIMEOUT)
    closing = threading.Thread(target=runner.shutdown)
    closing.start()
    closing.join(SOON)
    assert closing.is_alive()
    may_end.set()
    closing.join(TIMEOUT)
    assert not worker.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_ends_whatever_the_reason_makes_room_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with BoundedRunner(1) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        interrupted_once(monkeypatch, core, "work", SystemExit)
        job = runner.submit(nothing)
        for worker in workers(runner):
            worker.join(TIMEOUT)
        core.mend()  # as after any Ctrl-C
        assert job.exception(TIMEOUT) is None


def test_a_worker_that_has_left_is_kept_by_nobody() -> None:
    runner = BoundedRunner(1)
    with runner:
        worker = runner.submit(lambda: weakref.ref(threading.current_thread())).result(TIMEOUT)
    gc.collect()
    assert worker() is None
    assert repr(runner)


def test_the_workers_go_when_the_runner_is_dropped() -> None:
    runner = BoundedRunner(3, name="dropped")
    barrier = threading.Barrier(4)
    for _ in range(3):
        runner.submit(barrier.wait, TIMEOUT)
    barrier.wait(TIMEOUT)
    threads = workers(runner)
    assert len(threads) == 3
    del runner
    gc.collect()
    until_gone(threads)


def test_the_workers_of_a_dropped_runner_go_without_a_garbage_collection() -> None:
    gc.collect()
    gc.disable()
    try:
        runner = BoundedRunner(1, name="dropped")
        runner.submit(nothing).result(TIMEOUT)
        (thread,) = workers(runner)
        del runner
        until_gone([thread])
    finally:
        gc.enable()


def test_a_dropped_runner_ends_its_jobs_first() -> None:
    runner = BoundedRunner(1, name="dropped")
    gate = Gate()
    first = runner.submit(gate)
    gate.wait_for()
    jobs = [runner.submit(int, str(i)) for i in range(20)]
    threads = workers(runner)
    del runner
    gc.collect()
    gate.open()
    first.result(TIMEOUT)
    assert [job.result(TIMEOUT) for job in jobs] == list(range(20))
    del first, jobs
    gc.collect()
    until_gone(threads)


def test_an_idle_worker_keeps_nothing_of_its_last_job() -> None:
    class Big:
        """Something that can be referred to weakly."""

        def __call__(self, other: Big) -> Big:
            return Big()

    with BoundedRunner(1) as runner:
        fn, argument = Big(), Big()
        job = runner.submit(fn, argument)
        result = job.result(TIMEOUT)
        # The worker lets go a moment after the job is done; it has done so when the next ends.
        runner.submit(nothing).result(TIMEOUT)
        references = [weakref.ref(x) for x in (fn, argument, result)]
        del job, fn, argument, result
        gc.collect()
        assert [reference() for reference in references] == [None] * 3


def test_a_callable_object_is_let_go_of_without_a_garbage_collection() -> None:
    class Body:
        """Has no `__qualname__` of its own."""

        def __call__(self) -> None:
            """Does nothing."""

    gc.collect()
    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            body = Body()
            job = runner.submit(body)
            job.result(TIMEOUT)
            runner.submit(nothing).result(TIMEOUT)
            reference = weakref.ref(body)
            del body
            assert reference() is None
    finally:
        gc.enable()


def test_a_runner_opened_anew_at_once_has_workers_for_its_jobs() -> None:
    runner = BoundedRunner(2)
    barrier = threading.Barrier(2)
    for _ in range(50):
        with runner:
            jobs = [runner.submit(barrier.wait, TIMEOUT) for _ in range(4)]
            assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
            runner.shutdown(wait=False)
            # Opened again while the workers are about to leave, or not yet.
            with runner:
                assert runner.submit(int, "7").result(TIMEOUT) == 7


def test_a_body_that_still_runs_when_the_runner_is_opened_anew_keeps_its_slot() -> None:
    gate = Gate()
    order: list[str] = []

    def body() -> None:
        gate()
        order.append("old")

    runner = BoundedRunner(1)
    abandoned = runner.submit(body)
    gate.wait_for()
    runner.shutdown(timeout=0)
    assert abandoned.status is JobStatus.INTERRUPTED
    with runner:
        job = runner.submit(order.append, "new")
        assert job.status is JobStatus.PENDING
        gate.open()
        job.result(TIMEOUT)
    assert order == ["old", "new"]


# A Ctrl-C while a thread is started.


def ctrl_c_at_start(monkeypatch: pytest.MonkeyPatch, thread: str, *, came_up: bool) -> None:
    """Have the next start of such a thread end in a KeyboardInterrupt, come up or not."""
    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        if not self.name.endswith(thread):
            start(self)
            return
        monkeypatch.setattr(threading.Thread, "start", start)
        if came_up:
            start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)


@pytest.mark.parametrize("came_up", [False, True])
def test_a_ctrl_c_while_a_worker_is_started_loses_no_job(
    monkeypatch: pytest.MonkeyPatch, came_up: bool
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        ctrl_c_at_start(monkeypatch, "-0", came_up=came_up)
        with pytest.raises(KeyboardInterrupt):
            runner.submit(nothing)
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
        assert len(workers(runner)) == 1
    assert heard.statuses("nothing") == ["pending", "running", "succeeded"]


def test_a_worker_that_comes_up_only_after_a_ctrl_c_finds_another_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def interrupt_the_first(self: threading.Thread) -> None:
        started.append(self)
        if len(started) == 1:
            self._ident = 1  # type: ignore[attr-defined]  # the system has it, but it does not run
            raise KeyboardInterrupt
        start(self)

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupt_the_first)
            with pytest.raises(KeyboardInterrupt):
                runner.submit(nothing)
        late, other = started
        assert workers(runner) == [other]
        late.start()
        late.join(TIMEOUT)
        assert not late.is_alive()
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
        assert workers(runner) == [other]
    assert heard.statuses("nothing") == ["pending", "running", "succeeded"]


def test_one_that_fails_to_start_when_there_is_another_in_its_place_loses_no_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()
    with BoundedRunner(1) as runner:

        def refuse_the_first(self: threading.Thread) -> None:
            started.append(self)
            if len(started) == 1:
                getattr(runner, "_core").mend()  # noqa: B009 - as after a Ctrl-C
                raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse_the_first)
            job = runner.submit(nothing)
        assert job.status is JobStatus.PENDING
        start(started[1])  # it takes a while
        job.result(TIMEOUT)
        assert workers(runner) == started[1:2]


def test_one_that_is_being_started_is_left_alone_by_a_thread_that_mends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()
    with BoundedRunner(1) as runner:

        def while_another_mends(self: threading.Thread) -> None:
            started.append(self)
            mender = threading.Thread(target=getattr(runner, "_core").mend)  # noqa: B009
            start(mender)
            mender.join(TIMEOUT)
            start(self)

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", while_another_mends)
            job = runner.submit(nothing)
        job.result(TIMEOUT)
        assert workers(runner) == started
        assert len(started) == 1


@pytest.mark.parametrize("twice", [False, True])
def test_one_that_a_ctrl_c_has_kept_from_being_started_at_all_has_another_in_its_place(
    monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        interrupted_once(monkeypatch, Todo, "add")
        if twice:
            interrupted_once(monkeypatch, getattr(runner, "_core"), "mend")  # noqa: B009
        with pytest.raises(KeyboardInterrupt):
            runner.submit(nothing)
    assert heard.statuses("nothing") == ["pending", "running", "succeeded"]


@pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 1), reason="workers are started beforehand there"
)
@pytest.mark.parametrize("came_up", [False, True])
def test_a_ctrl_c_as_a_worker_is_started_on_a_loop_after_an_async_listener_loses_no_job(
    monkeypatch: pytest.MonkeyPatch, came_up: bool
) -> None:
    heard = Heard()

    async def listener(event: JobEvent) -> None:
        heard(event)

    jobs: list[Job[None]] = []
    gate = Gate()
    runner = BoundedRunner(2)
    runner.submit(gate)  # has the first worker
    gate.wait_for()

    async def main() -> None:
        jobs.append(runner.wrap(nothing, on_status=listener)())
        await asyncio.sleep(TIMEOUT)

    ctrl_c_at_start(monkeypatch, "-1", came_up=came_up)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    gc.collect()  # else asyncio says in a later test that nobody has asked for the Ctrl-C
    assert jobs[0].result(TIMEOUT) is None
    gate.open()
    runner.shutdown()
    # What came when the loop had ended could not be heard there: that is counted.
    statuses = ["pending", "running", "succeeded"]
    assert heard.statuses() == statuses[: len(statuses) - runner.listener_errors]


@pytest.mark.parametrize("came_up", [False, True])
def test_a_ctrl_c_while_the_private_loop_is_started_loses_no_job(
    monkeypatch: pytest.MonkeyPatch, came_up: bool
) -> None:
    async def body() -> None:
        """A body."""

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        ctrl_c_at_start(monkeypatch, "-loop", came_up=came_up)
        with pytest.raises(KeyboardInterrupt):
            runner.wrap(body, name="body")()
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
    assert heard.statuses("body") == ["pending", "running", "succeeded"]


# An idle worker is stirred while its job is made ready.


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is put where idle workers wait, from now on."""
    put: list[Any] = []

    class Recorder(queue.SimpleQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            put.append(item)
            super().put(item, block, timeout)

    monkeypatch.setattr(_threads, "SimpleQueue", Recorder)
    return put


def until_idle(runner: BoundedRunner, count: int) -> ThreadLane:
    """Have so many workers, and wait until they are idle."""
    barrier = threading.Barrier(count)
    for job in [runner.submit(barrier.wait, TIMEOUT) for _ in range(count)]:
        job.result(TIMEOUT)
    threads: ThreadLane = getattr(runner, "_core").threads  # noqa: B009
    end = time.monotonic() + TIMEOUT
    while threads.spare < count:
        assert time.monotonic() < end
        os.sched_yield()
    return threads


def test_a_worker_is_stirred_before_there_is_a_job_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    put = recorded(monkeypatch)
    before: list[Any] = []

    def make(*args: Any) -> Job[Any]:
        before.extend(put)
        return job_of(*args)

    with BoundedRunner(1) as runner:
        until_idle(runner, 1)
        put.clear()
        monkeypatch.setattr(_submitting, "job_of", make)
        job = runner.submit(len, "abc")
        assert job.result(TIMEOUT) == 3
        assert (before, put) == ([_threads._STIR], [_threads._STIR, job])


@pytest.mark.parametrize(("most", "stirs"), [(1, 0), (2, 1)])
def test_none_is_stirred_where_another_one_would_get_the_job(
    most: int, stirs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_threads, "MOST_STIRRED", most)
    put = recorded(monkeypatch)
    with BoundedRunner(2) as runner:
        until_idle(runner, 2)
        put.clear()
        job = runner.submit(len, "abc")
        assert job.result(TIMEOUT) == 3
        assert put == [*[_threads._STIR] * stirs, job]


def test_none_is_stirred_for_a_job_of_a_loop_nor_while_all_slots_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = recorded(monkeypatch)
    gate = AsyncGate()
    with BoundedRunner(1) as runner:
        until_idle(runner, 1)
        put.clear()
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(len, "abc")
        gate.open()
        assert job.result(TIMEOUT) == 3
        assert put == [job]


def test_none_is_stirred_for_what_others_wait_before(monkeypatch: pytest.MonkeyPatch) -> None:
    put = recorded(monkeypatch)
    runner = BoundedRunner(1, stagger=3600)  # a slot is free, and yet they wait for it
    until_idle(runner, 1)
    put.clear()
    for _ in range(3):
        runner.submit(nothing)
    assert put == [_threads._STIR]  # for the first, of which nobody knows that it will wait
    runner.shutdown(cancel_futures=True)


def test_one_that_is_stirred_for_nothing_goes_on_waiting() -> None:
    with BoundedRunner(1, name="stirred") as runner:
        threads = until_idle(runner, 1)
        threads.stir()
        end = time.monotonic() + TIMEOUT
        while not threads.ready.empty():
            assert time.monotonic() < end
            os.sched_yield()
        assert threads.spare == 1
        assert runner.submit(threading.current_thread).result(TIMEOUT).name == "stirred-0"


def test_nobody_is_stirred_once_the_runner_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    put = recorded(monkeypatch)
    with BoundedRunner(1) as runner:
        until_idle(runner, 1)
    put.clear()
    with pytest.raises(RunnerClosed):
        runner.submit(nothing)
    assert put == []  # nobody would take it


def test_nobody_is_stirred_where_nobody_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    put = recorded(monkeypatch)
    threads, _ = lane(1)
    threads.stir()
    assert put == []


# The lane alone


class Lost:
    """In place of a job, and of its runner: is told that the job is lost."""

    def __init__(self) -> None:
        self._keeper = self
        self.why: list[str] = []

    def lose(self, job: Lost, exc: Exception, started: float | None) -> None:
        assert (job, started) == (self, None)
        self.why.append(str(exc))


def lane(limit: int) -> tuple[ThreadLane, Todo]:
    """A lane without a runner, none of whose workers is started before `todo.carry_out()`."""
    todo = Todo()
    return ThreadLane("lane", limit, todo), todo


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_job_that_was_put_for_a_worker_had_beforehand_is_lost_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, todo = lane(1)
    job: Any = Lost()
    with todo.lock:
        threads.prepare()
        threads.put(job)
    assert len(threads.workers) == 1
    monkeypatch.setattr(threading.Thread, "start", refuse)
    todo.carry_out()
    assert job.why == ["can't start new thread"]
    assert (dict(threads.workers), threads.spare, threads.ready.empty()) == ({}, 0, True)


def test_a_stir_is_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, todo = lane(1)
    job: Any = Lost()
    with todo.lock:
        threads.prepare()
        threads.ready.put(_threads._STIR)  # by one who read too early that a worker was idle
        threads.put(job)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    todo.carry_out()
    assert job.why == ["can't start new thread"]


def test_a_worker_had_beforehand_for_which_nothing_was_put_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, todo = lane(1)
    with todo.lock:
        threads.prepare()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    todo.carry_out()
    assert (dict(threads.workers), threads.spare) == ({}, 0)


def test_there_is_one_worker_beforehand_at_most_and_none_more_once_frozen() -> None:
    threads, todo = lane(3)
    job: Any = Lost()
    with todo.lock:
        threads.prepare()
        threads.prepare()
        assert len(threads.workers) == 1
        threads.freeze()
        threads.put(job)
        assert (len(threads.workers), threads.limit) == (1, 1)


def test_it_grows_up_to_the_limit() -> None:
    threads, todo = lane(1)
    jobs: list[Any] = [Lost(), Lost(), Lost(), Lost()]
    with todo.lock:
        for job in jobs:
            threads.put(job)
        threads.limit = 2
        threads.grow()
        assert len(threads.workers) == 2
