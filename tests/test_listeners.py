"""Status callbacks: when they are called, where, in which order; and that they change nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobInterrupted,
    JobStatus,
    NotRunnable,
    RunnerClosed,
    RunnerFull,
    current_job,
)
from boundedjobs._event import event_of
from tests.blocking import let_in
from tests.freeing import made_elsewhere
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

STEPS = ["pending", "running", "succeeded"]


def nothing() -> None:
    """A body."""


async def nothing_async() -> None:
    """A body that yields to its loop."""
    await asyncio.sleep(0)


BODIES: list[Callable[[], Any]] = [nothing, nothing_async, lambda: nothing_async()]
KINDS = ["sync", "async", "returns an awaitable"]
each_kind = pytest.mark.parametrize("body", BODIES, ids=KINDS)


class AsyncHeard(Heard):
    """An async listener that takes its time, then keeps what it has heard."""

    async def __call__(self, event: JobEvent) -> None:  # type: ignore[override]  # async
        for _ in range(3):
            await asyncio.sleep(0)
        self.events.append(event)


class Held:
    """A sync listener that stops at a gate when it hears `status`, and notes what it heard."""

    def __init__(self, status: str, name: str | None = None) -> None:
        self.gate = Gate()
        self.heard: list[str] = []
        self._status = status
        self._name = name

    def __call__(self, event: JobEvent) -> None:
        if event.status == self._status and self._name in (None, event.name):
            self.gate()
        self.heard.append(event.status.value)


class AsyncHeld:
    """The same, async."""

    def __init__(self, status: str) -> None:
        self.gate = AsyncGate()
        self.heard: list[str] = []
        self._status = status

    async def __call__(self, event: JobEvent) -> None:
        if event.status == self._status:
            await self.gate()
        self.heard.append(event.status.value)


@contextlib.contextmanager
def in_thread(fn: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run `fn` on a thread; it must have ended soon after the block has."""
    thread = threading.Thread(target=fn)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged at ERROR on our logger."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "boundedjobs" and record.levelno >= logging.ERROR
    ]


# When: PENDING.


def test_pending_is_heard_before_submit_returns() -> None:
    heard = Heard()
    gate = Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        runner.wrap(nothing, name="second")()
        assert heard.statuses("second") == ["pending"]
        gate.open()


def test_pending_is_heard_before_submit_returns_though_another_thread_closes_meanwhile() -> None:
    def listen(event: JobEvent) -> None:
        if threading.current_thread() is not here:
            gate()
        heard(event)

    def close() -> None:
        runner.shutdown(cancel_futures=True)

    here = threading.current_thread()
    for number in itertools.count(1):
        gate, heard, told = Gate(), Heard(), ["pending"]
        runner = BoundedRunner(1, on_status=listen)
        with contextlib.suppress(RunnerClosed), let_in(number, close) as outcome:
            runner.submit(nothing)
            told = heard.statuses()
        gate.open()
        if outcome:
            outcome[0].result(TIMEOUT)
        runner.shutdown()
        assert told[:1] == ["pending"]
        if not outcome:
            break
    assert number > 5


def test_pending_is_heard_from_an_async_listener_before_submit_returns() -> None:
    heard = AsyncHeard()
    gate = Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        runner.wrap(nothing, name="second")()
        assert heard.statuses("second") == ["pending"]
        gate.open()


@each_kind
def test_pending_is_heard_before_the_job_can_start(body: Callable[[], Any]) -> None:
    order: list[str] = []

    def listener(event: JobEvent) -> None:
        if event.name == "slow" and event.status is JobStatus.PENDING:
            # Of a limit of 1: had "slow" its place in the queue already, it would go first.
            runner.wrap(lambda: order.append("quick"), name="quick")().result(TIMEOUT)
            order.append("pending heard")

    def slow() -> Any:
        order.append("slow")
        return body()

    with BoundedRunner(1, on_status=listener) as runner:
        runner.wrap(slow, name="slow")().result(TIMEOUT)
    assert order == ["quick", "pending heard", "slow"]


def test_an_async_listener_hears_pending_before_a_job_of_its_own_loop_can_start() -> None:
    order: list[str] = []
    held = AsyncHeld("pending")

    async def body() -> None:
        order.append("body")

    async def main() -> None:
        async with BoundedRunner(2, on_status=held) as runner:
            job = runner.submit(body)
            assert held.heard == []  # scheduled: this loop can't be waited for
            await asyncio.to_thread(held.gate.wait_for)
            assert job.status is JobStatus.PENDING
            order.append("opened")
            held.gate.open()
            await job

    asyncio.run(main())
    assert order == ["opened", "body"]
    assert held.heard == STEPS


def test_a_job_whose_pending_is_still_being_heard_counts_as_pending() -> None:
    held = Held("pending", "first")
    runner = BoundedRunner(1, max_pending=0, on_status=held)
    with runner, in_thread(runner.wrap(nothing, name="first")):
        held.gate.wait_for()
        with pytest.raises(RunnerFull):
            runner.wrap(nothing, name="second")()
        held.gate.open()


# When: RUNNING.


def test_an_event_that_has_been_heard_takes_no_other_out_of_its_place() -> None:
    """What was cut off by a Ctrl-C is done again: by then the next may be under way."""
    events, seen = list[JobEvent](), list[bool]()

    def again(event: JobEvent) -> None:
        events.append(event)
        if event.status is JobStatus.RUNNING:
            job = current_job()
            before = getattr(job, "_steps")  # noqa: B009
            getattr(runner, "_core").heard(job, events[0])  # noqa: B009
            seen.append(getattr(job, "_steps") is before)  # noqa: B009

    with BoundedRunner(1, on_status=again) as runner:
        runner.submit(len, "abc").result(TIMEOUT)
    assert seen == [True]
    assert [event.status for event in events] == ["pending", "running", "succeeded"]


@each_kind
@pytest.mark.parametrize("listener", [Heard, AsyncHeard], ids=["sync", "async"])
def test_running_is_heard_before_the_body_starts(
    body: Callable[[], Any], listener: type[Heard]
) -> None:
    heard = listener()
    seen: list[list[str]] = []

    def look() -> Any:
        seen.append(heard.statuses(current_job().name))
        return body()

    async def look_async() -> Any:
        await look()

    with BoundedRunner(2, on_status=heard) as runner:
        fn = look_async if body is nothing_async else look
        jobs = [runner.wrap(fn, name=str(i))() for i in range(100)]
        concurrent.futures.wait(jobs, TIMEOUT)
    assert seen == [["pending", "running"]] * 100


def test_an_async_job_waits_for_its_running_listener_on_the_same_loop() -> None:
    held = AsyncHeld("running")
    seen: list[list[str]] = []

    async def body() -> None:
        seen.append(list(held.heard))
        assert getattr(current_job(), "_on_told") is None  # noqa: B009 - what woke it does so once

    async def main() -> None:
        async with BoundedRunner(1, on_status=held) as runner:
            job = runner.submit(body)
            await asyncio.to_thread(held.gate.wait_for)
            assert (job.status, seen) == (JobStatus.RUNNING, [])
            held.gate.open()
            await job

    asyncio.run(main())
    assert seen == [["pending", "running"]]


def test_an_async_job_that_is_cancelled_while_running_is_being_heard_never_starts_its_body() -> (
    None
):
    held = AsyncHeld("running")
    ran: list[str] = []

    async def body() -> None:
        ran.append("body")

    async def main() -> None:
        async with BoundedRunner(1, on_status=held) as runner:
            job = runner.submit(body)
            await asyncio.to_thread(held.gate.wait_for)
            assert job.cancel()
            held.gate.open()
            with pytest.raises(JobCancelled):
                await job

    asyncio.run(main())
    assert ran == []
    assert held.heard == ["pending", "running", "cancelled"]


class StopsWhenDropped:
    """A body whose worker stops just after it: when it lets go of the body."""

    def __init__(self, gate: Gate, dropped: Gate) -> None:
        self._gate = gate
        self._dropped = dropped

    def __call__(self) -> None:
        self._gate()

    def __del__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self._dropped()


def test_a_report_to_a_job_about_to_start_does_not_let_the_body_go_before_running_is_heard() -> (
    None
):
    gate, dropped, running = Gate(), Gate(), Gate()
    step = threading.Semaphore(0)
    order: list[str] = []
    body_ran = threading.Event()

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING and event.previous is JobStatus.PENDING:
            step.release()
            running()
        order.append(event.status.value)

    def body() -> None:
        order.append("body")
        body_ran.set()

    def report() -> None:
        job.report(0.5)
        step.release()

    with BoundedRunner(1) as runner:
        runner.submit(made_elsewhere(lambda: StopsWhenDropped(gate, dropped)))
        gate.wait_for()
        job = runner.wrap(body, on_status=listener, on_progress=lambda _: None)()
        gate.open()
        dropped.wait_for()
        assert job.status is JobStatus.RUNNING  # it has its slot, and its worker is on the way
        with in_thread(report):
            assert step.acquire(timeout=TIMEOUT)
            dropped.open()
            assert not body_ran.wait(0.2)
            running.open()
            job.result(TIMEOUT)
    assert order == ["pending", "running", "body", "succeeded"]


def test_a_sync_job_that_is_interrupted_while_running_is_being_heard_never_starts_its_body() -> (
    None
):
    held = Held("running")
    ran: list[str] = []
    runner = BoundedRunner(1, on_status=held)
    job = runner.submit(ran.append, "body")
    held.gate.wait_for()
    runner.shutdown(timeout=0)
    assert job.status is JobStatus.INTERRUPTED
    with runner:
        after = runner.submit(nothing)  # gets the slot when that listener has come back
        held.gate.open()
        after.result(TIMEOUT)
    assert ran == []
    assert held.heard[:3] == ["pending", "pending", "running"]


# When: the final status.


def _by_result(job: Job[Any]) -> None:
    job.result(TIMEOUT)


def _by_exception(job: Job[Any]) -> None:
    job.exception(TIMEOUT)


def _by_wait(job: Job[Any]) -> None:
    assert concurrent.futures.wait([job], TIMEOUT).done


def _by_as_completed(job: Job[Any]) -> None:
    assert list(concurrent.futures.as_completed([job], TIMEOUT)) == [job]


def _by_await(job: Job[Any]) -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT):
            await job

    asyncio.run(main())


def _by_wrap_future(job: Job[Any]) -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wrap_future(job)

    asyncio.run(main())


def _by_callback(job: Job[Any]) -> None:
    called = threading.Event()
    job.add_done_callback(lambda _: called.set())
    assert called.wait(TIMEOUT)


WAITS = [
    _by_result,
    _by_exception,
    _by_wait,
    _by_as_completed,
    _by_await,
    _by_wrap_future,
    _by_callback,
]


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("listener", [Held, AsyncHeld], ids=["sync", "async"])
def test_the_final_status_is_heard_before_anyone_who_waits_goes_on(
    listener: type[Held] | type[AsyncHeld], wait: Callable[[Job[Any]], None]
) -> None:
    held = listener("succeeded")
    seen: list[list[str]] = []

    with BoundedRunner(1, on_status=held) as runner:
        job = runner.submit(nothing)

        def waiter() -> None:
            wait(job)
            seen.append(list(held.heard))

        with in_thread(waiter):
            held.gate.wait_for()
            assert job.status is JobStatus.SUCCEEDED
            assert not job.done()
            held.gate.open()
    assert seen == [STEPS]


def test_the_slot_is_free_once_the_final_status_is_heard() -> None:
    heard = AsyncHeard()
    with BoundedRunner(1, max_pending=0, on_status=heard) as runner:
        for _ in range(50):
            runner.submit(nothing).result(TIMEOUT)
    assert heard.statuses() == STEPS * 50


def test_the_slot_is_held_while_the_final_status_is_being_heard() -> None:
    held = Held("succeeded")
    with BoundedRunner(1, max_pending=0, on_status=held) as runner:
        job = runner.submit(nothing)
        held.gate.wait_for()
        with pytest.raises(RunnerFull):
            runner.submit(nothing)
        held.gate.open()
        job.result(TIMEOUT)


# In order, none skipped, none twice.


@each_kind
@pytest.mark.parametrize("listener", [Heard, AsyncHeard], ids=["sync", "async"])
def test_every_step_is_heard_in_order_and_once(
    body: Callable[[], Any], listener: type[Heard]
) -> None:
    heard = listener()
    with BoundedRunner(3, on_status=heard) as runner:
        jobs = [runner.wrap(body, name=str(i))() for i in range(200)]
        concurrent.futures.wait(jobs, TIMEOUT)
    assert [heard.statuses(job.name) for job in jobs] == [STEPS] * 200


@each_kind
@pytest.mark.parametrize("listener", [Heard, AsyncHeard], ids=["sync", "async"])
def test_every_step_is_heard_in_order_where_submit_is_called_on_a_loop(
    body: Callable[[], Any], listener: type[Heard]
) -> None:
    heard = listener()

    async def main() -> list[Job[Any]]:
        async with BoundedRunner(3, on_status=heard) as runner:
            jobs: list[Job[Any]] = [runner.wrap(body, name=str(i))() for i in range(200)]
            await asyncio.gather(*jobs)
        return jobs

    jobs = asyncio.run(main())
    assert [heard.statuses(job.name) for job in jobs] == [STEPS] * 200


@each_kind
@pytest.mark.parametrize("listener", [Heard, AsyncHeard], ids=["sync", "async"])
def test_statuses_and_progress_are_heard_in_one_order(
    body: Callable[[], Any], listener: type[Heard]
) -> None:
    heard = listener()

    def report() -> Any:
        for i in range(5):
            current_job().report(i / 4)
        return body()

    async def report_async() -> None:
        await report()

    with BoundedRunner(1, on_status=heard, on_progress=heard) as runner:
        runner.submit(report_async if body is nothing_async else report).result(TIMEOUT)
    steps = [(e.previous, e.status, e.progress and e.progress.fraction) for e in heard.events]
    running = JobStatus.RUNNING
    assert steps == [
        (None, JobStatus.PENDING, None),
        (JobStatus.PENDING, running, None),
        *((running, running, i / 4) for i in range(5)),
        (running, JobStatus.SUCCEEDED, 1.0),
    ]


def test_a_failure_is_heard_with_the_status_that_it_led_to() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(lambda: 1 // 0)
        job.exception(TIMEOUT)
    assert [event.failure for event in heard.events] == [None, None, job.failure]


def test_a_pending_job_that_is_cancelled_is_heard_as_that() -> None:
    heard = Heard()
    gate = Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        job = runner.wrap(nothing, name="second")()
        assert job.cancel()
        assert heard.statuses("second") == ["pending", "cancelled"]
        gate.open()


def test_a_refused_job_is_heard_as_that_before_submit_raises() -> None:
    heard = Heard()
    runner = BoundedRunner(1, on_status=heard)
    runner.shutdown()
    with pytest.raises(RunnerClosed):
        runner.submit(nothing)
    assert heard.statuses() == ["rejected"]
    assert heard.events[0].previous is None


def test_what_can_not_be_run_is_heard_as_refused_before_submit_raises() -> None:
    heard = AsyncHeard()
    with BoundedRunner(1, on_status=heard) as runner:
        with pytest.raises(NotRunnable):
            runner.submit(None)  # type: ignore[call-overload]
        assert heard.statuses() == ["rejected"]


# A listener that raises.

RAISED = [
    ValueError("oh"),
    SystemExit(3),
    KeyboardInterrupt("oh"),
    GeneratorExit("oh"),
    asyncio.CancelledError("oh"),
    MemoryError("oh"),
    RecursionError("oh"),
    ExceptionGroup("oh", [ValueError("inner")]),
]


class Raises:
    """A listener that raises at each call."""

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __call__(self, event: JobEvent) -> None:
        raise self._exc


class RaisesAsync(Raises):
    async def __call__(self, event: JobEvent) -> None:  # type: ignore[override]  # async
        await asyncio.sleep(0)
        raise self._exc


class RaisesLate(Raises):
    def __call__(self, event: JobEvent) -> Any:
        return RaisesAsync(self._exc)(event)


@each_kind
@pytest.mark.parametrize("exc", RAISED, ids=lambda exc: type(exc).__name__)
@pytest.mark.parametrize("listener", [Raises, RaisesAsync, RaisesLate])
def test_a_raising_listener_changes_nothing(
    body: Callable[[], Any],
    exc: BaseException,
    listener: type[Raises],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, after, after_async = Heard(), Heard(), AsyncHeard()
    listeners: list[Any] = [before, listener(exc), after, after_async]
    with BoundedRunner(1, on_status=listeners) as runner:
        for _ in range(2):  # the worker, and the loop, live on
            job = runner.submit(body)
            assert job.result(TIMEOUT) is None
        assert runner.listener_errors == 6
    assert [h.statuses() for h in (before, after, after_async)] == [STEPS * 2] * 3
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == [
        "boundedjobs"
    ] * 6


def test_an_error_of_a_listener_is_logged_with_its_name_its_event_and_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def picky(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            raise ValueError("no, thanks")

    with BoundedRunner(1, on_status=picky) as runner:
        job = runner.submit(nothing)
        job.result(TIMEOUT)
        assert runner.listener_errors == 1
    (logged,) = errors(caplog)
    head, *_, last = logged.splitlines()
    name = f"{test_an_error_of_a_listener_is_logged_with_its_name_its_event_and_its_traceback.__name__}.<locals>.picky"
    assert head == (
        f"listener {name} did not hear <JobEvent 'nothing' id={job.id} pending -> running>: "
        "Traceback (most recent call last):"
    )
    assert last == "ValueError: no, thanks"
    assert "in picky" in logged


def test_an_error_of_an_async_listener_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def picky(event: JobEvent) -> None:
        await asyncio.sleep(0)
        if event.status is JobStatus.SUCCEEDED:
            raise ValueError("no, thanks")

    with BoundedRunner(1, on_status=picky) as runner:
        runner.submit(nothing).result(TIMEOUT)
    (logged,) = errors(caplog)
    assert "in picky" in logged
    assert logged.endswith("ValueError: no, thanks\n")


def test_a_raising_progress_listener_is_counted_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()
    listeners: list[Any] = [Raises(SystemExit()), RaisesAsync(GeneratorExit()), heard]
    with BoundedRunner(1, on_progress=listeners) as runner:
        job = runner.submit(lambda: current_job().report(0.5, "half"))
        assert job.result(TIMEOUT) is None
        assert runner.listener_errors == 2
    assert [event.progress and event.progress.message for event in heard.events] == ["half"]
    assert len(errors(caplog)) == 2


def test_listeners_that_raise_at_the_same_time_are_all_counted() -> None:
    with BoundedRunner(4, on_status=[Raises(ValueError()), RaisesAsync(ValueError())]) as runner:
        concurrent.futures.wait([runner.submit(nothing) for _ in range(100)], TIMEOUT)
        assert runner.listener_errors == 600


def test_a_listener_that_can_not_be_called_with_an_event_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong: list[Any] = [nothing, nothing_async]
    with BoundedRunner(1, on_status=wrong) as runner:
        assert runner.submit(nothing).result(TIMEOUT) is None
        assert runner.listener_errors == 6
    assert len(errors(caplog)) == 6


# Where: sync listeners.


def test_a_sync_listener_hears_pending_on_the_thread_of_the_submitter() -> None:
    threads: list[int] = []
    with BoundedRunner(1, on_status=lambda _: threads.append(threading.get_ident())) as runner:
        runner.submit(nothing).result(TIMEOUT)
    assert threads[0] == threading.get_ident()


def test_a_sync_listener_hears_a_sync_job_on_the_thread_of_its_body() -> None:
    threads: list[int] = []
    with BoundedRunner(1, on_status=lambda _: threads.append(threading.get_ident())) as runner:
        worker = runner.submit(threading.get_ident).result(TIMEOUT)
    assert threads[1:] == [worker, worker]


def test_a_sync_listener_hears_an_async_job_on_the_thread_of_its_loop() -> None:
    threads: list[int] = []

    async def ident() -> int:
        return threading.get_ident()

    with BoundedRunner(1, on_status=lambda _: threads.append(threading.get_ident())) as runner:
        loop = runner.submit(ident).result(TIMEOUT)
    assert threads == [threading.get_ident(), loop, loop]


def test_a_sync_listener_hears_cancel_on_the_thread_that_calls_it() -> None:
    threads: list[int] = []
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        listener = lambda _: threads.append(threading.get_ident())  # noqa: E731
        job = runner.wrap(nothing, on_status=listener)()
        gate.wait_for()
        job.cancel()
        gate.open()
    assert threads == [threading.get_ident()] * 2


# Where: async listeners.


class Place:
    """An async listener that notes which loop it is on."""

    def __init__(self) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []

    async def __call__(self, event: JobEvent) -> None:
        self.loops.append(asyncio.get_running_loop())


@each_kind
def test_an_async_listener_is_called_on_the_home_loop(body: Callable[[], Any]) -> None:
    place = Place()

    def elsewhere(runner: BoundedRunner) -> None:
        async def main() -> None:
            await runner.submit(body)

        asyncio.run(main())

    async def main() -> None:
        async with BoundedRunner(1, on_status=place) as runner:
            await asyncio.to_thread(runner.submit, body)
            await asyncio.to_thread(elsewhere, runner)
        assert place.loops == [asyncio.get_running_loop()] * 6

    asyncio.run(main())


@each_kind
def test_without_a_home_loop_an_async_listener_is_called_on_the_one_the_job_came_from(
    body: Callable[[], Any],
) -> None:
    place = Place()
    with BoundedRunner(1, on_status=place) as runner:

        async def main() -> None:
            await runner.submit(body)
            assert place.loops == [asyncio.get_running_loop()] * 3

        asyncio.run(main())


@each_kind
def test_without_any_loop_an_async_listener_is_called_on_the_private_one(
    body: Callable[[], Any],
) -> None:
    place = Place()

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with BoundedRunner(1, on_status=place) as runner:
        runner.submit(body).result(TIMEOUT)
        private = runner.submit(loop).result(TIMEOUT)
    assert place.loops == [private] * 6


def test_after_the_runner_was_left_its_home_loop_is_forgotten() -> None:
    place = Place()
    runner = BoundedRunner(1, on_status=place)

    async def main() -> asyncio.AbstractEventLoop:
        async with runner:
            await runner.submit(nothing)
        return asyncio.get_running_loop()

    first, second = asyncio.run(main()), asyncio.run(main())
    assert place.loops == [first] * 3 + [second] * 3


@each_kind
def test_async_listeners_are_awaited_in_order_after_the_sync_ones(body: Callable[[], Any]) -> None:
    order: list[str] = []

    def sync(name: str) -> Callable[[JobEvent], None]:
        return lambda event: order.append(f"{event.status} {name}")

    def slow(name: str, steps: int) -> Callable[[JobEvent], Awaitable[None]]:
        async def listener(event: JobEvent) -> None:
            for _ in range(steps):
                await asyncio.sleep(0)
            order.append(f"{event.status} {name}")

        return listener

    listeners = [slow("c", 9), sync("a"), slow("d", 0), sync("b"), slow("e", 2)]
    with BoundedRunner(1, on_status=listeners) as runner:
        runner.submit(body).result(TIMEOUT)
    assert order == [f"{status} {name}" for status in STEPS for name in "abcde"]


def test_listeners_of_a_wrapped_callable_hear_after_those_of_the_runner() -> None:
    order: list[str] = []

    def sync(name: str) -> Callable[[JobEvent], None]:
        return lambda _: order.append(name)

    async def runner_async(_: JobEvent) -> None:
        order.append("runner async")

    async def own_async(_: JobEvent) -> None:
        order.append("own async")

    with BoundedRunner(1, on_status=[runner_async, sync("runner")]) as runner:
        job = runner.wrap(nothing, on_status=[own_async, sync("own")])()
        job.result(TIMEOUT)
        runner.submit(nothing).result(TIMEOUT)  # hears nothing of the wrapped one's
    assert (
        order
        == ["runner", "own", "runner async", "own async"] * 3
        + [
            "runner",
            "runner async",
        ]
        * 3
    )


@pytest.mark.parametrize("told", [True, False])
def test_who_mends_for_a_thread_leaves_it_what_it_tells_anew(
    told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two Ctrl-C, both may be at it: the one that was started, and the thread, further out."""
    heard, mended = Heard(), Heard()
    me = threading.get_ident()

    def beside_another(job: Any, step: Any, uncalled: Any) -> JobEvent:
        event = event_of(job, step, uncalled)
        if not mended.events:
            mended(event)
            core = getattr(runner, "_core")  # noqa: B009
            token = int(str(me)) if told else None  # as it was then: equal, and another
            mends = threading.Thread(target=core.mend_job, args=(job, me, token))
            mends.start()
            mends.join(TIMEOUT)
        return event

    monkeypatch.setattr("boundedjobs._telling.event_of", beside_another)
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(nothing).result(TIMEOUT)
    assert mended.statuses() == ["pending"]
    assert heard.statuses() == ["pending", "running", "succeeded"]


def test_a_lambda_that_returns_a_coroutine_is_awaited() -> None:
    heard = AsyncHeard()
    seen: list[list[str]] = []
    with BoundedRunner(1, on_status=lambda event: heard(event)) as runner:
        runner.submit(lambda: seen.append(heard.statuses())).result(TIMEOUT)
        assert heard.statuses() == STEPS
    assert seen == [["pending", "running"]]


def test_lambdas_that_return_coroutines_are_awaited_in_their_order() -> None:
    order: list[str] = []

    async def hear(name: str) -> None:
        order.append(name)

    listeners: list[Any] = [lambda _: hear("first"), lambda _: hear("second")]
    with BoundedRunner(1, on_status=listeners) as runner:
        runner.submit(nothing).result(TIMEOUT)
        assert runner.listener_errors == 0
    assert order == ["first", "second"] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda heard: functools.partial(heard.__call__),
        lambda heard: heard.__call__,
        lambda heard: functools.wraps(heard.__call__)(lambda event: heard(event)),
    ],
    ids=["partial", "method", "decorated"],
)
def test_async_listeners_of_every_make_are_awaited(make: Callable[[Any], Any]) -> None:
    heard = AsyncHeard()
    with BoundedRunner(1, on_status=make(heard)) as runner:
        runner.submit(nothing).result(TIMEOUT)
        assert heard.statuses() == STEPS


def test_a_job_that_a_listener_returns_is_not_waited_for() -> None:
    jobs: list[Job[None]] = []

    def follow_up(event: JobEvent) -> Job[None]:
        jobs.append(follower(event.status))
        return jobs[-1]

    def follower_body(status: str) -> None:
        """Runs when the one that it follows has left the only slot."""

    with BoundedRunner(1) as runner:
        follower = runner.wrap(follower_body)
        job = runner.wrap(nothing, on_status=follow_up)()
        job.result(TIMEOUT)
        concurrent.futures.wait(jobs, TIMEOUT)
        assert runner.listener_errors == 0
    assert [job.args for job in jobs] == [(status,) for status in STEPS]


# Where the step happens on the loop of the listener itself.


def test_on_the_loop_of_the_listener_a_cancel_is_scheduled_and_waiters_go_on_when_it_is_heard() -> (
    None
):
    held = AsyncHeld("cancelled")
    order: list[str] = []

    async def wait(job: Job[Any]) -> None:
        with pytest.raises(JobCancelled):
            await job
        order.append(f"woke after {held.heard}")

    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(1) as runner:
            runner.submit(gate)
            job = runner.wrap(nothing_async, on_status=held)()
            waiter = asyncio.create_task(wait(job))
            await asyncio.to_thread(gate.wait_for)
            assert job.cancel()
            assert job.cancelled()
            await asyncio.to_thread(held.gate.wait_for)
            order.append("opened")
            held.gate.open()
            await waiter
            gate.open()

    asyncio.run(main())
    assert order == ["opened", "woke after ['pending', 'cancelled']"]


def test_on_the_loop_of_the_listener_a_refusal_is_scheduled_and_waiters_go_on_when_it_is_heard() -> (
    None
):
    held = AsyncHeld("rejected")
    order: list[str] = []

    async def wait(job: Job[Any]) -> None:
        with pytest.raises(RunnerFull):
            await job
        order.append(f"woke after {held.heard}")

    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(1, max_pending=0) as runner:
            runner.submit(gate)
            with pytest.raises(RunnerFull) as caught:
                runner.wrap(nothing_async, on_status=held)()
            assert held.heard == []
            job = caught.value.job
            assert job is not None
            assert job.status is JobStatus.REJECTED
            waiter = asyncio.create_task(wait(job))
            await asyncio.to_thread(held.gate.wait_for)
            order.append("opened")
            held.gate.open()
            await waiter
            gate.open()

    asyncio.run(main())
    assert order == ["opened", "woke after ['rejected']"]


def test_closing_waits_for_a_refusal_that_is_still_to_be_heard() -> None:
    order: list[str] = []

    async def listener(event: JobEvent) -> None:
        for _ in range(5):
            await asyncio.to_thread(nothing)
        order.append(event.status.value)

    async def main() -> None:
        gate = AsyncGate()
        gate.open()
        async with BoundedRunner(1, max_pending=0) as runner:
            runner.submit(gate)
            with pytest.raises(RunnerFull):
                runner.wrap(nothing, on_status=listener)()
        order.append("closed")

    asyncio.run(main())
    assert order == ["rejected", "closed"]


def test_cancel_while_pending_is_being_heard_on_the_loop_is_heard_next() -> None:
    held = AsyncHeld("pending")

    async def main() -> None:
        async with BoundedRunner(1, on_status=held) as runner:
            job = runner.submit(nothing_async)
            await asyncio.to_thread(held.gate.wait_for)
            assert job.cancel()
            held.gate.open()
            with pytest.raises(JobCancelled):
                await job
            assert held.heard == ["pending", "cancelled"]
            await runner.submit(nothing_async)

    asyncio.run(main())


# The loop of a listener is gone.


def run_with_a_loop_that_goes(listeners: list[Any]) -> tuple[BoundedRunner, Job[Any]]:
    """A job that starts while the loop it came from runs, and ends when that is closed."""
    gate = Gate()
    runner = BoundedRunner(1, on_status=listeners)

    async def main() -> Job[Any]:
        job = runner.submit(gate)
        await asyncio.to_thread(gate.wait_for)
        return job

    job = asyncio.run(main())
    gate.open()
    assert job.result(TIMEOUT) is None
    runner.shutdown()
    return runner, job


def test_a_listener_whose_loop_is_gone_counts_as_raised(caplog: pytest.LogCaptureFixture) -> None:
    listener, sync = AsyncHeard(), Heard()
    runner, job = run_with_a_loop_that_goes([listener, sync])
    assert runner.listener_errors == 1
    assert (listener.statuses(), sync.statuses()) == (["pending", "running"], STEPS)
    assert errors(caplog) == [
        f"listener AsyncHeard did not hear <JobEvent 'Gate' id={job.id} running -> succeeded>: "
        "its event loop is gone\n"
    ]


def test_a_coroutine_of_a_listener_whose_loop_is_gone_is_not_left_unawaited() -> None:
    heard = AsyncHeard()
    runner, _ = run_with_a_loop_that_goes([lambda event: heard(event)])
    assert runner.listener_errors == 1
    assert heard.statuses() == ["pending", "running"]


def test_what_a_listener_returned_is_not_closed_unless_it_is_a_coroutine() -> None:
    closed: list[str] = []

    class Pool:
        """Awaitable, and of use without that too: as asyncpg's pools are."""

        def __await__(self) -> Any:
            return asyncio.sleep(0).__await__()

        def close(self) -> None:
            closed.append("close")

    runner, _ = run_with_a_loop_that_goes([lambda _: Pool()])
    assert runner.listener_errors == 1
    assert closed == []


def test_an_async_job_and_an_async_listener_whose_loop_has_ended_hold_up_no_submit() -> None:
    heard = AsyncHeard()
    runner = BoundedRunner(1, on_status=heard)

    async def main() -> Job[Any]:
        await runner.__aenter__()
        job = runner.submit(asyncio.Event().wait)
        while heard.statuses() != ["pending", "running"]:
            await asyncio.sleep(0)
        return job

    loop = asyncio.new_event_loop()
    jobs = [loop.run_until_complete(main())]
    loop.run_until_complete(loop.shutdown_asyncgens())  # as asyncio.run() does at its end
    submitter = threading.Thread(
        target=lambda: jobs.append(runner.submit(nothing_async)), daemon=True
    )
    submitter.start()
    submitter.join(TIMEOUT)
    assert not submitter.is_alive()
    runner.shutdown()
    loop.close()
    assert {job.status for job in jobs} == {JobStatus.INTERRUPTED}
    assert runner.listener_errors == 3  # the end of the first, and all that the second had


def test_a_home_loop_that_was_closed_is_home_no_more() -> None:
    place = Place()
    runner = BoundedRunner(1, on_status=place)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(runner.__aenter__())
    loop.close()
    assert runner.submit(nothing).result(TIMEOUT) is None
    assert runner.listener_errors == 0
    runner.shutdown()
    assert len(place.loops) == 3
    assert loop not in place.loops


def test_a_listener_cut_off_by_the_end_of_its_loop_is_counted_and_the_job_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    arrived = threading.Event()

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            arrived.set()
            await asyncio.get_running_loop().create_future()

    gate = Gate()
    with BoundedRunner(1) as runner:

        async def main() -> Job[int]:
            runner.submit(gate)
            job = runner.wrap(int, on_status=listener)("7")
            assert await asyncio.to_thread(arrived.wait, TIMEOUT)
            return job

        job = asyncio.run(main())
        gate.open()
        assert job.result(TIMEOUT) == 7
        assert runner.listener_errors == 3  # cut off in one, two more had no loop
    assert len(errors(caplog)) == 3


def test_a_listener_on_a_loop_that_was_closed_in_its_midst_is_counted_and_the_job_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cleaned_up: list[str] = []

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cleaned_up.append("finally")

    with BoundedRunner(1, on_status=[listener, AsyncHeard()]) as runner:

        async def main() -> Job[int]:
            job = runner.submit(int, "7")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return job

        loop = asyncio.new_event_loop()
        job = loop.run_until_complete(main())
        loop.close()
        assert job.result(TIMEOUT) == 7
        assert runner.listener_errors == 6
    assert cleaned_up == ["finally"]
    assert len(errors(caplog)) == 6
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []


# Slow listeners.


def test_a_slow_listener_holds_its_own_slot_and_delays_no_other_job() -> None:
    held = Held("running", "slow")
    with BoundedRunner(2, on_status=held) as runner:
        slow = runner.wrap(nothing, name="slow")()
        held.gate.wait_for()
        for _ in range(10):
            runner.submit(nothing).result(TIMEOUT)
        gate = Gate()
        runner.submit(gate)
        gate.wait_for()
        third = runner.submit(nothing)
        assert third.status is JobStatus.PENDING  # a limit of 2: one body, one slow listener
        held.gate.open()
        slow.result(TIMEOUT)
        third.result(TIMEOUT)
        gate.open()


def test_a_slow_async_listener_delays_no_other_job_of_its_loop() -> None:
    gate = AsyncGate()

    async def slow_listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            await gate()

    async def main() -> None:
        async with BoundedRunner(2) as runner:
            slow = runner.wrap(nothing_async, on_status=slow_listener)()
            await asyncio.to_thread(gate.wait_for)
            for body in BODIES:
                await runner.wrap(body, on_status=AsyncHeard())()
            assert slow.status is JobStatus.RUNNING
            gate.open()
            await slow

    asyncio.run(main())


def test_a_submitter_whose_listener_is_slow_delays_no_other_submitter() -> None:
    held = Held("pending", "slow")
    runner = BoundedRunner(1, on_status=held)
    with runner, in_thread(runner.wrap(nothing, name="slow")):
        held.gate.wait_for()
        runner.submit(nothing).result(TIMEOUT)
        held.gate.open()


def test_no_lock_is_held_while_a_listener_is_called() -> None:
    held = Held("running", "slow")
    done: list[object] = []
    gate = Gate()
    with BoundedRunner(2, max_pending=1, on_status=held) as runner:
        slow = runner.wrap(nothing, name="slow")()
        held.gate.wait_for()

        def use_everything() -> None:
            runner.submit(gate)
            pending = runner.submit(nothing)
            with contextlib.suppress(RunnerFull):
                runner.submit(nothing)
            slow.report(0.5)
            slow.cancel()
            slow.add_done_callback(done.append)
            done.append(repr(runner))
            done.append(pending.cancel())

        with in_thread(use_everything) as thread:
            thread.join(TIMEOUT)
            assert len(done) == 2
            gate.open()
            held.gate.open()


def test_a_listener_that_comes_back_after_the_deadline_hurts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = Held("interrupted")
    runner = BoundedRunner(1, on_status=[held, AsyncHeard()])
    gate = Gate()
    job = runner.submit(gate)
    gate.wait_for()
    runner.shutdown(timeout=0)
    assert job.done()
    with pytest.raises(JobInterrupted):
        job.result(TIMEOUT)
    held.gate.open()
    gate.open()
    assert [message for message in errors(caplog) if "closed before" in message] == [
        f"runner 'runner' closed before listeners had heard all of: "
        f"<Job 'Gate' id={job.id} interrupted>"
    ]


# Listeners that use the runner themselves.


@pytest.mark.parametrize("at", STEPS)
@each_kind
def test_a_listener_may_submit_to_its_own_runner(body: Callable[[], Any], at: str) -> None:
    jobs: list[Job[Any]] = []

    def listener(event: JobEvent) -> None:
        if event.status == at and event.name == "first":
            jobs.append(runner.wrap(body, name="second")())

    with BoundedRunner(1, on_status=listener) as runner:
        runner.wrap(body, name="first")().result(TIMEOUT)
        jobs[0].result(TIMEOUT)
    assert len(jobs) == 1


def test_an_async_listener_may_submit_to_its_own_runner() -> None:
    jobs: list[Job[Any]] = []

    async def listener(event: JobEvent) -> None:
        if event.name == "first":
            jobs.append(runner.wrap(nothing_async, name="second")())

    with BoundedRunner(1, on_status=listener) as runner:
        runner.wrap(nothing, name="first")().result(TIMEOUT)
        concurrent.futures.wait(jobs, TIMEOUT)
    assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * 3


@each_kind
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_listener_may_cancel_its_own_job_when_it_hears_pending(
    body: Callable[[], Any], is_async: bool
) -> None:
    heard = Heard()
    answers: list[bool] = []

    def cancel(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            answers.append(current_job().cancel())

    async def cancel_async(event: JobEvent) -> None:
        cancel(event)

    with BoundedRunner(1, on_status=[cancel_async if is_async else cancel, heard]) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
        answers.append(runner.submit(nothing).cancelled())
    assert answers[0] is True
    assert heard.statuses()[:2] == ["pending", "cancelled"]


def test_a_listener_may_ask_its_own_sync_job_to_stop_when_it_hears_running() -> None:
    heard = Heard()

    def cancel(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            current_job().cancel()

    def body() -> None:
        current_job().check_cancelled()

    with BoundedRunner(1, on_status=[cancel, heard]) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert heard.statuses() == ["pending", "running", "cancelled"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_listener_may_cancel_its_own_async_job_when_it_hears_running(is_async: bool) -> None:
    heard = Heard()
    answers: list[bool] = []

    def cancel(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            answers.append(current_job().cancel())

    async def cancel_async(event: JobEvent) -> None:
        cancel(event)

    async def body() -> None:
        await asyncio.get_running_loop().create_future()

    with BoundedRunner(1, on_status=[cancel_async if is_async else cancel, heard]) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert answers == [True]
    assert heard.statuses() == ["pending", "running", "cancelled"]


@each_kind
def test_a_report_from_a_listener_is_heard_after_its_own_event(body: Callable[[], Any]) -> None:
    order: list[str] = []

    def status(event: JobEvent) -> None:
        current_job().report(0.5)  # nothing happens unless it runs
        order.append(event.status.value)

    with BoundedRunner(
        1, on_status=status, on_progress=lambda _: order.append("progress")
    ) as runner:
        runner.submit(body).result(TIMEOUT)
    assert order == ["pending", "running", "progress", "succeeded"]


def test_a_progress_listener_that_reports_does_not_recurse() -> None:
    fractions: list[float] = []

    def listener(event: JobEvent) -> None:
        assert event.progress is not None
        fractions.append(event.progress.fraction)
        if len(fractions) < 3_000:
            current_job().report(len(fractions) / 3_000)

    with BoundedRunner(1, on_progress=listener) as runner:
        runner.submit(lambda: current_job().report(0)).result(TIMEOUT)
        assert runner.listener_errors == 0
    assert fractions == [i / 3_000 for i in range(3_000)]


def test_a_listener_may_close_its_runner_without_waiting() -> None:
    heard = Heard()

    def close(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            runner.shutdown(wait=False)

    runner = BoundedRunner(1, on_status=[close, heard])
    runner.submit(nothing).result(TIMEOUT)
    with pytest.raises(RunnerClosed):
        runner.submit(nothing)
    assert heard.statuses() == [*STEPS, "rejected"]


# A report from a thread that is not the job's.


def test_a_job_that_ends_while_another_thread_tells_its_progress_is_told_by_that_thread() -> None:
    gate = Gate()
    body_gate = Gate()
    heard = Heard()
    threads: list[int] = []

    def note(event: JobEvent) -> None:
        if event.status.is_final:
            threads.append(threading.get_ident())

    with BoundedRunner(1, on_status=[heard, note], on_progress=[lambda _: gate(), heard]) as runner:
        job = runner.submit(body_gate)
        body_gate.wait_for()
        with in_thread(lambda: job.report(0.5)) as thread:
            gate.wait_for()
            body_gate.open()
            runner.wrap(nothing, on_progress=())  # what else there is goes its way
            assert not job.done()
            gate.open()
            assert job.result(TIMEOUT) is None
    assert heard.statuses() == ["pending", "running", "running", "succeeded"]
    assert set(threads) <= {thread.ident, *threads}


def test_a_job_that_fails_while_another_thread_tells_its_progress_comes_to_its_end() -> None:
    """The worker logs, still in the job's context, while the other tells what has become of it."""
    progress_gate, body_gate, log_gate = Gate(), Gate(), Gate()
    heard = Heard()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log_gate()

    def body() -> None:
        body_gate()
        raise ValueError("oh")

    def final(event: JobEvent) -> None:
        if event.status.is_final:
            log_gate.open()

    handler = Slow(logging.ERROR)
    logger = logging.getLogger("boundedjobs")
    logger.addHandler(handler)
    try:
        with BoundedRunner(
            1, on_status=[heard, final], on_progress=lambda _: progress_gate()
        ) as runner:
            job = runner.submit(body)
            body_gate.wait_for()
            with in_thread(lambda: job.report(0.5)):
                progress_gate.wait_for()
                body_gate.open()
                log_gate.wait_for()
                progress_gate.open()
                assert isinstance(job.exception(TIMEOUT), ValueError)
            assert runner.listener_errors == 0
    finally:
        logger.removeHandler(handler)
        log_gate.open()
    assert heard.statuses() == ["pending", "running", "failed"]


# Construction, and what it costs to have none.


@pytest.mark.parametrize(
    ("listener", "shown"),
    [
        (5, "5"),
        (0, "0"),
        (False, "False"),
        ([1], "1"),
        ("print", "'print'"),
        ("", "''"),
        (b"", "b''"),
        ({}, "{}"),
        ({"on_status": print}, "{'on_status': <built-in function print>}"),
        ([print, None], "None"),
    ],
)
@pytest.mark.parametrize("parameter", ["on_status", "on_progress"])
def test_a_listener_that_can_not_be_called_is_a_type_error_at_construction(
    parameter: str, listener: Any, shown: str
) -> None:
    with pytest.raises(TypeError) as caught:
        BoundedRunner(1, **{parameter: listener})
    assert str(caught.value) == (
        f"{parameter} must be a callable that takes one JobEvent, or several of them, got {shown}"
    )


def test_a_generator_function_is_no_listener() -> None:
    def generator(secret: str, event: JobEvent) -> Iterator[None]:
        yield

    async def async_generator(secret: str, event: JobEvent) -> Any:
        yield

    for listener in (generator, async_generator):
        with pytest.raises(TypeError) as caught:
            BoundedRunner(1, on_status=functools.partial(listener, "secret"))
        assert str(caught.value) == (
            "on_status must be a callable that takes one JobEvent, or several of them, "
            f"got {listener.__qualname__!r}"
        )


def test_wrap_refuses_a_bad_listener_where_it_is_written() -> None:
    runner = BoundedRunner(1)
    with pytest.raises(TypeError) as caught:
        runner.wrap(on_progress=5)  # type: ignore[call-overload]
    assert str(caught.value) == (
        "on_progress must be a callable that takes one JobEvent, or several of them, got 5"
    )


def test_listeners_may_come_from_any_iterable_and_are_read_once() -> None:
    first, second = Heard(), Heard()
    with BoundedRunner(1, on_status=(listener for listener in (first, second))) as runner:
        for _ in range(2):
            runner.submit(nothing).result(TIMEOUT)
    assert first.statuses() == second.statuses() == STEPS * 2


def test_a_callable_that_is_iterable_too_is_one_listener() -> None:
    class Log(list[JobEvent]):
        def __call__(self, event: JobEvent) -> None:
            self.append(event)

    log = Log()
    with BoundedRunner(1, on_status=log) as runner:
        runner.submit(nothing).result(TIMEOUT)
    assert [event.status.value for event in log] == STEPS


@each_kind
def test_without_listeners_no_event_is_built(
    body: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []
    init: Callable[..., None] = JobEvent.__init__

    def counting(self: JobEvent, *args: Any) -> None:
        built.append(self)
        init(self, *args)

    monkeypatch.setattr(JobEvent, "__init__", counting)
    with BoundedRunner(1) as runner:
        runner.submit(body).result(TIMEOUT)
        runner.submit(lambda: current_job().report(1)).result(TIMEOUT)
        runner.submit(lambda: 1 // 0).exception(TIMEOUT)
        assert built == []
        runner.wrap(body, on_status=Heard())().result(TIMEOUT)
    assert len(built) == 3


def test_with_status_listeners_alone_no_event_is_built_for_progress() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(lambda: current_job().report(1)).result(TIMEOUT)
    assert heard.statuses() == STEPS


def test_a_listener_of_a_loop_that_goes_on_after_its_end_is_counted_once() -> None:
    async def listener(event: JobEvent) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> Job[int]:
        job = runner.submit(int, "7")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return job

    async def nothing_more() -> None:
        """Lets the loop go round once more."""

    loop = asyncio.new_event_loop()
    with BoundedRunner(1, on_status=listener) as runner:
        job = loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())  # as before it is closed
        loop.run_until_complete(nothing_more())
        loop.run_until_complete(nothing_more())
        loop.close()
        assert job.result(TIMEOUT) == 7
        assert runner.listener_errors == 3
