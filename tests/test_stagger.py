"""Stagger: so many seconds at least between two starts, and no more than needed."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import threading
import time
from typing import Any

import pytest

from boundedjobs import BoundedRunner, JobStatus
from boundedjobs._lanes._threads import Worker
from tests.clock import FakeClock
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard
from tests.interrupting import interrupted_once

PENDING = JobStatus.PENDING

timer_starts_late = pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 1),
    reason="3.12.0 and 3.12.1 can start no thread at exit: it is started beforehand",
)

SOON = 0.1
"""Seconds in which what must not happen would."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


def nothing() -> None:
    """A body."""


@pytest.mark.parametrize("value", [True, "5", [5]])
def test_what_is_no_number_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        BoundedRunner(1, stagger=value)
    assert str(caught.value) == f"stagger must be a number of seconds or None, got {value!r}"


@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_what_is_not_more_than_zero_is_a_value_error(value: float) -> None:
    with pytest.raises(ValueError) as caught:
        BoundedRunner(1, stagger=value)
    assert str(caught.value) == f"stagger must be more than 0 seconds, got {value!r}"


def test_for_ever_is_a_value_error() -> None:
    with pytest.raises(ValueError) as caught:
        BoundedRunner(1, stagger=math.inf)
    assert str(caught.value) == "stagger must be a finite number of seconds, got inf"


@pytest.mark.parametrize("heard", [False, True])
def test_a_job_starts_exactly_when_the_time_has_come(heard: bool, clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(4, stagger=5, on_status=Heard() if heard else None) as runner:
        jobs = [runner.submit(gate) for _ in range(3)]
        gate.wait_for()
        clock.settle()
        for number in (1, 2):
            clock.advance(4.9)
            assert jobs[number].status is PENDING
            clock.advance(0.1)
            gate.wait_for()
            clock.settle()
        assert [job.waited for job in jobs] == [0, 5, 10]
        gate.open()


def test_a_job_that_comes_when_the_time_has_passed_starts_at_once(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(2, stagger=5) as runner:
        runner.submit(gate)
        gate.wait_for()
        clock.advance(5)
        runner.submit(gate)
        gate.wait_for()
        gate.open()


@timer_starts_late
def test_there_is_no_timer_as_long_as_no_job_waits_for_its_time(clock: FakeClock) -> None:
    with BoundedRunner(1, stagger=5) as runner:
        runner.submit(nothing).result(TIMEOUT)
        names = [t.name for t in threading.enumerate()]
    assert "runner-timer" not in names


def test_a_slot_that_is_free_again_is_not_handed_on_before_the_time(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, stagger=5) as runner:
        first = runner.submit(nothing)
        second = runner.submit(gate)
        first.result(TIMEOUT)
        clock.settle()
        clock.advance(4)
        assert second.status is PENDING
        clock.advance(1)
        gate.wait_for()
        gate.open()


def test_an_idle_worker_takes_no_job_before_the_time(clock: FakeClock) -> None:
    with BoundedRunner(2, stagger=5) as runner:
        runner.submit(nothing).result(TIMEOUT)
        deadline = time.monotonic() + TIMEOUT
        while runner._core.threads.spare < 1:  # its worker is about to be idle
            assert time.monotonic() < deadline
        second = runner.submit(nothing)
        with pytest.raises(TimeoutError):
            second.result(SOON)
        clock.settle()
        clock.advance(5)
        second.result(TIMEOUT)


def test_a_slot_that_gets_free_late_is_handed_on_at_once(clock: FakeClock) -> None:
    gate, second = Gate(), Gate()
    with BoundedRunner(1, stagger=5) as runner:
        runner.submit(gate)
        gate.wait_for()
        runner.submit(second)
        clock.settle()
        clock.advance(50)
        gate.open()
        second.wait_for()
        second.open()


def test_more_than_the_limit_never_run(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, stagger=5) as runner:
        runner.submit(gate)
        waiting = runner.submit(gate)
        gate.wait_for()
        clock.settle()
        clock.advance(5)
        assert waiting.status is PENDING
        gate.open()


def test_a_cancelled_job_does_not_hold_back_the_next(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(3, stagger=5) as runner:
        runner.submit(gate)
        gate.wait_for()
        cancelled, following = runner.submit(gate), runner.submit(gate)
        assert cancelled.cancel()
        clock.settle()
        clock.advance(5)
        gate.wait_for()
        assert following.waited == 5
        gate.open()


def test_a_job_cancelled_between_its_slot_and_its_start_does_not_hold_back_the_next(
    clock: FakeClock,
) -> None:
    gate = AsyncGate()

    async def main() -> None:
        async with BoundedRunner(3, stagger=5) as runner:
            cancelled = runner.submit(gate)  # has its slot; this loop has not come to it yet
            following = runner.submit(gate)
            assert cancelled.cancel()
            await asyncio.to_thread(gate.wait_for)
            assert following.waited == 0
            gate.open()

    asyncio.run(main())


def test_coroutines_are_spaced_too(clock: FakeClock) -> None:
    gate = AsyncGate()

    async def main() -> None:
        async with BoundedRunner(3, stagger=5) as runner:
            jobs = [runner.submit(gate) for _ in range(3)]
            for _ in range(2):
                await asyncio.to_thread(gate.wait_for)
                await asyncio.to_thread(clock.settle)
                await asyncio.to_thread(clock.advance, 5)
            await asyncio.to_thread(gate.wait_for)
            assert [job.waited for job in jobs] == [0, 5, 10]
            gate.open()

    asyncio.run(main())


def test_the_time_counts_from_a_start_that_was_late(clock: FakeClock) -> None:
    blocks, gate = Gate(), AsyncGate()

    async def main() -> None:
        async with BoundedRunner(3, stagger=5) as runner:
            late = runner.submit(gate)
            sync = runner.submit(blocks)
            clock.advance(7)  # this loop is busy meanwhile
            assert sync.status is PENDING
            await asyncio.to_thread(gate.wait_for)
            await asyncio.to_thread(clock.settle)
            await asyncio.to_thread(clock.advance, 4.9)
            assert (late.waited, sync.status) == (7, PENDING)
            await asyncio.to_thread(clock.advance, 0.1)
            await asyncio.to_thread(blocks.wait_for)
            gate.open()
            blocks.open()

    asyncio.run(main())


def test_a_worker_that_is_slow_to_begin_has_the_timer_started_when_it_does(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, may_begin = Gate(), threading.Event()
    run = Worker.run

    def run_late(worker: Worker) -> None:
        assert may_begin.wait(TIMEOUT)
        run(worker)

    monkeypatch.setattr(Worker, "run", run_late)
    with BoundedRunner(2, stagger=5) as runner:
        first, second = runner.submit(gate), runner.submit(gate)
        clock.advance(3)
        may_begin.set()
        gate.wait_for()
        clock.settle()
        clock.advance(5)
        gate.wait_for()
        assert (first.waited, second.waited) == (3, 8)
        gate.open()


def test_who_waits_for_room_gets_it_and_starts_in_time(clock: FakeClock) -> None:
    gate, jobs = Gate(), list[Any]()
    with BoundedRunner(1, stagger=5, max_pending=0, when_full="wait") as runner:
        first = runner.submit(gate)
        gate.wait_for()
        waiter = threading.Thread(target=lambda: jobs.append(runner.submit(gate)))
        waiter.start()
        gate.open()
        first.result(TIMEOUT)
        waiter.join(TIMEOUT)
        clock.settle()
        assert jobs[0].status is PENDING
        clock.advance(5)
        jobs[0].result(TIMEOUT)


def test_closing_drains_in_the_same_pace(clock: FakeClock) -> None:
    runner = BoundedRunner(2, stagger=5)
    jobs = [runner.submit(nothing) for _ in range(3)]
    jobs[0].result(TIMEOUT)
    runner.shutdown(wait=False)
    for job in jobs[1:]:
        clock.settle()
        clock.advance(5)
        job.result(TIMEOUT)
    assert [job.waited for job in jobs] == [0, 5, 10]
    runner.shutdown()


def test_what_waits_for_its_time_runs_though_nobody_refers_to_the_runner(
    clock: FakeClock,
) -> None:
    ran = threading.Event()
    runner = BoundedRunner(1, stagger=5)
    runner.submit(nothing).result(TIMEOUT)
    runner.submit(ran.set)
    clock.settle()
    del runner
    gc.collect()
    clock.advance(5)
    assert ran.wait(TIMEOUT)


@timer_starts_late
def test_a_ctrl_c_that_keeps_the_timer_from_starting_keeps_no_job_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    with BoundedRunner(2, stagger=SOON) as runner:
        runner.submit(gate)
        gate.wait_for()
        interrupted_once(monkeypatch, threading.Thread, "start")
        with pytest.raises(KeyboardInterrupt):
            runner.submit(gate)
        gate.wait_for()
        gate.open()


def test_where_no_timer_can_be_started_jobs_start_though_none_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_no_timer(monkeypatch)
    first, second = Gate(), Gate()
    with BoundedRunner(2, stagger=1000) as runner:
        job = runner.submit(first)
        runner.submit(second)
        second.wait_for()
        assert job.running()
        first.open()
        second.open()


def test_where_no_timer_can_be_started_jobs_start_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_no_timer(monkeypatch)
    with BoundedRunner(2, stagger=1000) as runner:
        jobs = [runner.submit(nothing) for _ in range(4)]
        for job in jobs:
            job.result(TIMEOUT)
    errors = {r.getMessage() for r in caplog.records if r.levelno == logging.ERROR}
    assert any(e.endswith("can't start new thread") for e in errors)


def start_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-timer"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
