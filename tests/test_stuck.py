"""Stuck detection: a body that runs for long is told of, with where it is, while it lasts."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from typing import Any

import pytest

from boundedjobs import BoundedRunner, JobEvent, JobStatus, JobTimeout, current_job
from tests.clock import FakeClock
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

RUNNING = JobStatus.RUNNING

SOON = 0.1
"""Seconds in which what must not happen would."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


class Reports:
    """An `on_stuck` listener that keeps what it hears, and can be waited for."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self._came = threading.Semaphore(0)

    def __call__(self, event: JobEvent) -> None:
        self.events.append(event)
        self._came.release()

    def wait(self) -> JobEvent:
        assert self._came.acquire(timeout=TIMEOUT), "nobody was told"
        return self.events[-1]


class Warnings(logging.Handler):
    """The warnings, as they come."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._came = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.texts.append(record.getMessage())
            self._came.release()

    def wait(self) -> str:
        assert self._came.acquire(timeout=TIMEOUT), "nothing was logged"
        return self.texts[-1]


@pytest.fixture
def warned() -> Any:
    handler = Warnings()
    logging.getLogger("boundedjobs").addHandler(handler)
    yield handler
    logging.getLogger("boundedjobs").removeHandler(handler)


def begun(clock: FakeClock, gate: Gate | AsyncGate) -> None:
    gate.wait_for()
    clock.settle()


def until_told() -> None:
    """Wait until the threads that tell have done so, or left it to others."""
    for thread in threading.enumerate():
        if thread.name.endswith("-teller"):
            thread.join(TIMEOUT)
            assert not thread.is_alive()


@pytest.mark.parametrize("value", [True, "5", [5]])
def test_what_is_no_number_is_a_type_error(value: Any) -> None:
    text = f"stuck_after must be a number of seconds or None, got {value!r}"
    for ask in (BoundedRunner, BoundedRunner(1).wrap):
        with pytest.raises(TypeError) as caught:
            ask(*[1] * (ask is BoundedRunner), stuck_after=value)
        assert str(caught.value) == text


@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_what_is_not_more_than_zero_is_a_value_error(value: float) -> None:
    text = f"stuck_after must be more than 0 seconds, got {value!r}"
    for ask in (BoundedRunner, BoundedRunner(1).wrap):
        with pytest.raises(ValueError) as caught:
            ask(*[1] * (ask is BoundedRunner), stuck_after=value)
        assert str(caught.value) == text


def test_a_listener_that_is_none_is_a_type_error() -> None:
    with pytest.raises(TypeError) as caught:
        BoundedRunner(1, on_stuck=7)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "on_stuck must be a callable that takes one JobEvent, or several of them, got 7"
    )


def test_a_body_that_is_stuck_is_heard_of_with_its_stack(clock: FakeClock) -> None:
    gate, reports, heard = Gate(), Reports(), Heard()
    with BoundedRunner(1, stuck_after=5, on_stuck=reports, on_status=heard) as runner:
        job = runner.submit(gate)
        begun(clock, gate)
        clock.advance(4.9)
        assert reports.events == []
        clock.advance(0.1)
        event = reports.wait()
        assert (event.job_id, event.previous, event.status) == (job.id, RUNNING, RUNNING)
        assert event.ran == 5.0
        assert "in Gate.__call__\n" in event.stack
        gate.open()
    assert heard.statuses() == ["pending", "running", "succeeded"]
    assert [e.stack for e in heard.events] == [""] * 3


def test_one_warning_is_logged_with_the_stack(clock: FakeClock, warned: Warnings) -> None:
    gate = Gate()
    with BoundedRunner(1, name="content", stuck_after=5) as runner:
        job = runner.wrap(gate, name="slow")()
        begun(clock, gate)
        clock.advance(5)
        text = warned.wait()
        gate.open()
    assert text.startswith(
        f"job 'slow' ({job.id}) has run for 5.0 s and goes on at:\n"
        "Thread 'content-0' (most recent call last):\n"
    )
    assert "in Gate.__call__\n" in text
    assert len(warned.texts) == 1


def test_it_is_repeated_with_doubling_intervals_while_it_lasts(clock: FakeClock) -> None:
    gate, reports = Gate(), Reports()
    with BoundedRunner(1, stuck_after=5, on_stuck=reports) as runner:
        job = runner.submit(gate)
        begun(clock, gate)
        ran = []
        for seconds in (5, 10, 20, 40):
            clock.advance(seconds - 1)
            clock.advance(1)
            ran.append(reports.wait().ran)
        gate.open()
        job.result(TIMEOUT)
        clock.advance(1000)
    assert ran == [5, 15, 35, 75]
    assert len(reports.events) == 4


def test_a_body_that_ends_soon_enough_is_not_told_of(clock: FakeClock) -> None:
    gate, reports = Gate(), Reports()
    with BoundedRunner(1, stuck_after=5, on_stuck=reports) as runner:
        job = runner.submit(gate)
        begun(clock, gate)
        clock.advance(4)
        gate.open()
        job.result(TIMEOUT)
        clock.advance(100)
    assert reports.events == []


def test_a_body_that_ends_while_its_stack_is_asked_for_is_not_told_of(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, warned: Warnings
) -> None:
    gate, reports, asked = Gate(), Reports(), threading.Event()
    with BoundedRunner(1, stuck_after=5, on_stuck=reports) as runner:
        stack = type(runner._core).stack

        def stack_late(core: Any, job: Any) -> str:
            gate.open()
            job.result(TIMEOUT)
            asked.set()
            return stack(core, job)

        monkeypatch.setattr(type(runner._core), "stack", stack_late)
        runner.submit(gate)
        begun(clock, gate)
        clock.advance(5)
        assert asked.wait(TIMEOUT)
    assert (reports.events, warned.texts) == ([], [])


def test_nor_is_one_that_ends_when_its_stack_is_known(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, reports, asked = Gate(), Reports(), threading.Event()
    with BoundedRunner(1, stuck_after=5, on_stuck=reports) as runner:
        stack = type(runner._core).stack

        def stack_early(core: Any, job: Any) -> str:
            known = stack(core, job)
            gate.open()
            job.result(TIMEOUT)
            asked.set()
            return known

        monkeypatch.setattr(type(runner._core), "stack", stack_early)
        runner.submit(gate)
        begun(clock, gate)
        clock.advance(5)
        assert asked.wait(TIMEOUT)
    assert reports.events == []


@pytest.mark.parametrize("own", [2.0, math.inf])
def test_what_wrap_says_is_used_in_place_of_what_the_runner_does(
    own: float, clock: FakeClock
) -> None:
    gate, of_runner, of_wrap = Gate(), Reports(), Reports()
    with BoundedRunner(2, stuck_after=5, on_stuck=of_runner) as runner:
        runner.wrap(gate, stuck_after=own, on_stuck=of_wrap)()
        runner.submit(gate)
        gate.wait_for(2)
        clock.settle()
        if own == 2:
            clock.advance(2)
            assert (of_runner.wait(), of_wrap.wait()) == (of_runner.events[0], of_runner.events[0])
            of_runner.events.clear()
        clock.advance(3 if own == 2 else 5)
        of_runner.wait()
        gate.open()
    assert len(of_runner.events) == 1
    assert len(of_wrap.events) == (own == 2)


def test_timeout_and_stuck_after_may_come_from_different_places(clock: FakeClock) -> None:
    gate, reports = Gate(), Reports()
    with BoundedRunner(1, stuck_after=5, on_stuck=reports) as runner:
        job = runner.wrap(gate, timeout=8)()
        begun(clock, gate)
        clock.advance(5)
        reports.wait()
        clock.advance(3)
        assert isinstance(job.exception(TIMEOUT), JobTimeout)
        gate.open()


def test_the_failure_of_a_timeout_says_where_the_body_was(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, timeout=5) as runner:
        job = runner.submit(gate)
        begun(clock, gate)
        clock.advance(5)
        job.exception(TIMEOUT)
        gate.open()
    assert job.failure is not None
    assert "Thread 'runner-0' (most recent call last):\n" in job.failure.traceback
    assert "in Gate.__call__\n" in job.failure.traceback
    assert job.failure.message == "job 'Gate' ran longer than its timeout of 5 s"


def test_a_body_that_goes_on_after_its_job_has_failed_is_logged_and_not_heard_of(
    clock: FakeClock, warned: Warnings
) -> None:
    gate, reports = Gate(), Reports()
    with BoundedRunner(1, timeout=3, stuck_after=5, on_stuck=reports) as runner:
        job = runner.submit(gate)
        begun(clock, gate)
        clock.advance(3)
        job.exception(TIMEOUT)
        clock.advance(2)
        assert "has run for 5.0 s and goes on at:" in warned.wait()
        gate.open()
    assert reports.events == []


def test_a_listener_that_raises_is_logged_and_changes_nothing(clock: FakeClock) -> None:
    gate, reports = Gate(), Reports()

    def raises(_: JobEvent) -> None:
        raise SystemExit

    with BoundedRunner(1, stuck_after=5, on_stuck=[raises, reports]) as runner:
        job = runner.submit(gate, "done")
        begun(clock, gate)
        clock.advance(5)
        reports.wait()
        gate.open()
        assert (job.result(TIMEOUT), runner.listener_errors) == ("done", 1)


@pytest.mark.parametrize("statuses", [False, True])
def test_a_job_that_ends_while_its_listeners_hear_that_it_is_stuck_ends_after_that(
    statuses: bool, clock: FakeClock
) -> None:
    gate, hears, heard = Gate(), Gate(), list[str]()

    def on_stuck(_: JobEvent) -> None:
        hears()
        heard.append("stuck")

    def on_status(event: JobEvent) -> None:
        heard.append(event.status.value)

    with BoundedRunner(
        1, stuck_after=5, on_stuck=on_stuck, on_status=on_status if statuses else None
    ) as runner:
        job = runner.submit(gate, "done")
        begun(clock, gate)
        clock.advance(5)
        hears.wait_for()
        gate.open()
        with pytest.raises(TimeoutError):
            job.result(SOON)
        hears.open()
        assert job.result(TIMEOUT) == "done"
    assert heard == (["pending", "running", "stuck", "succeeded"] if statuses else ["stuck"])


def test_progress_that_is_being_heard_is_heard_first(clock: FakeClock) -> None:
    gate, hears, reports, heard = Gate(), Gate(), Reports(), list[str]()

    def body() -> None:
        current_job().report(0.5)
        gate()

    def on_progress(_: JobEvent) -> None:
        hears()
        heard.append("progress")

    def on_stuck(event: JobEvent) -> None:
        heard.append("stuck")
        reports(event)

    with BoundedRunner(1, stuck_after=5, on_stuck=on_stuck, on_progress=on_progress) as runner:
        runner.submit(body)
        begun(clock, hears)
        clock.advance(5)
        until_told()
        hears.open()
        reports.wait()
        gate.open()
    assert heard == ["progress", "stuck"]


def test_a_listener_that_hangs_does_not_keep_others_from_hearing_of_other_jobs(
    clock: FakeClock,
) -> None:
    gate, hangs, reports = Gate(), Gate(), Reports()

    def on_stuck(event: JobEvent) -> None:
        if event.name == "hung":
            hangs()
        else:
            reports(event)

    with BoundedRunner(2, stuck_after=5, on_stuck=on_stuck) as runner:
        runner.wrap(gate, name="hung")()
        gate.wait_for()
        runner.submit(gate)
        begun(clock, gate)
        clock.advance(5)
        hangs.wait_for()
        reports.wait()
        clock.advance(10)  # the one that hangs still does
        reports.wait()
        hangs.open()
        gate.open()


def test_an_async_listener_hears_too(clock: FakeClock) -> None:
    gate, reports = AsyncGate(), Reports()

    async def on_stuck(event: JobEvent) -> None:
        await asyncio.sleep(0)
        reports(event)

    async def main() -> None:
        async with BoundedRunner(1, stuck_after=5, on_stuck=on_stuck) as runner:
            runner.submit(gate)
            await asyncio.to_thread(begun, clock, gate)
            await asyncio.to_thread(clock.advance, 5)
            event = await asyncio.to_thread(reports.wait)
            assert "in AsyncGate.__call__\n" in event.stack
            gate.open()

    asyncio.run(main())


def test_a_coroutine_that_blocks_its_loop_is_heard_of(clock: FakeClock) -> None:
    gate, reports = Gate(), Reports()

    async def blocks() -> None:
        gate()

    with BoundedRunner(1, stuck_after=5, on_stuck=reports) as runner:
        runner.submit(blocks)
        begun(clock, gate)
        clock.advance(5)
        assert "in Gate.__call__\n" in reports.wait().stack
        gate.open()


def test_what_follows_of_an_async_job_is_heard_on_its_loop_again(clock: FakeClock) -> None:
    gate, hears, threads = AsyncGate(), Gate(), list[threading.Thread]()

    def on_status(event: JobEvent) -> None:
        if event.status.is_final:
            threads.append(threading.current_thread())

    async def main() -> None:
        async with BoundedRunner(
            1, stuck_after=5, timeout=6, on_stuck=lambda _: hears(), on_status=on_status
        ) as runner:
            job = runner.submit(gate)
            await asyncio.to_thread(begun, clock, gate)
            await asyncio.to_thread(clock.advance, 5)
            await asyncio.to_thread(hears.wait_for)
            await asyncio.to_thread(clock.advance, 1)  # FAILED, while they still hear
            hears.open()
            with pytest.raises(JobTimeout):
                await job

    asyncio.run(main())
    assert threads == [threading.main_thread()]


def test_what_follows_is_heard_all_the_same_if_the_loop_is_closed(clock: FakeClock) -> None:
    gate, hears, heard = AsyncGate(), Gate(), Heard()
    runner = BoundedRunner(1, stuck_after=5, timeout=6, on_stuck=lambda _: hears(), on_status=heard)
    loop = asyncio.new_event_loop()

    async def begin() -> Any:
        job = runner.submit(gate)
        await asyncio.to_thread(begun, clock, gate)
        return job

    job = loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    clock.advance(5)
    hears.wait_for()
    clock.advance(1)
    loop.close()
    hears.open()
    assert isinstance(job.exception(TIMEOUT), JobTimeout)
    assert heard.statuses() == ["pending", "running", "failed"]
    runner.shutdown()


def test_what_follows_is_heard_if_the_loop_stops_and_never_runs_again(clock: FakeClock) -> None:
    gate, hears, heard = AsyncGate(), Gate(), Heard()
    told = threading.Event()

    def on_stuck(_: JobEvent) -> None:
        hears()
        told.set()

    runner = BoundedRunner(1, stuck_after=5, timeout=6, on_stuck=on_stuck, on_status=heard)
    loop = asyncio.new_event_loop()

    async def begin() -> Any:
        job = runner.submit(gate)
        await asyncio.to_thread(begun, clock, gate)
        return job

    job = loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    clock.advance(5)
    hears.wait_for()
    clock.advance(1)
    hears.open()
    assert told.wait(TIMEOUT)
    until_told()
    assert not job.done()  # the rest is for the loop, which is stopped
    loop.close()
    assert isinstance(job.exception(TIMEOUT), JobTimeout)
    assert heard.statuses() == ["pending", "running", "failed"]
    runner.shutdown()
