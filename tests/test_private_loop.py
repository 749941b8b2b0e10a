"""The private loop: made when nothing else is there, said once, gone with its runner."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from boundedjobs import BoundedRunner, Job, JobEvent, JobInterrupted, JobStatus
from boundedjobs._daemon import Daemon
from boundedjobs._lanes._loops import PrivateLane
from boundedjobs._todo import Todo
from tests.blocking import MOMENT
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

SAID = (
    "runner 'content': no event loop was running where an async job or listener came from, so a "
    "private one is started in a thread; a service passes lifespan=runner.lifespan or uses "
    "'async with runner'"
)

Said = Callable[[], list[tuple[int, str]]]


async def here() -> asyncio.AbstractEventLoop:
    """A body that says on which loop it runs."""
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def nothing() -> None:
    """A body."""


def loop_threads(name: str = "content") -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"{name}-loop"]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """What was logged on our logger, INFO included, save that runners close."""
    caplog.set_level(logging.INFO, logger="boundedjobs")
    return lambda: [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == "boundedjobs" and " close" not in record.getMessage()
    ]


def test_all_jobs_share_one_private_loop_and_it_is_said_once(
    said: Said,
) -> None:
    with BoundedRunner(4, name="content") as runner:
        jobs = [runner.submit(here) for _ in range(50)]
        assert len({job.result(TIMEOUT) for job in jobs}) == 1
        assert len(loop_threads()) == 1
    assert said() == [(logging.INFO, SAID)]


def test_jobs_submitted_from_many_threads_at_once_share_one_private_loop(
    said: Said,
) -> None:
    barrier = threading.Barrier(8)

    def submit(runner: BoundedRunner) -> Any:
        barrier.wait(TIMEOUT)
        return runner.submit(here).result(TIMEOUT)

    with BoundedRunner(4) as runner, concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(submit, [runner] * 8))) == 1
    assert len(said()) == 1


def test_a_runner_of_sync_jobs_has_no_private_loop(said: Said) -> None:
    with BoundedRunner(1, name="content", on_status=Heard()) as runner:
        runner.submit(nothing).result(TIMEOUT)
        assert loop_threads() == []
    assert said() == []


def test_with_a_home_loop_there_is_no_private_one(said: Said) -> None:
    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with BoundedRunner(1, name="content", on_status=listener) as runner:
            await asyncio.to_thread(lambda: runner.submit(here).result(TIMEOUT))
            await asyncio.to_thread(lambda: runner.submit(nothing).result(TIMEOUT))
            assert loop_threads() == []

    asyncio.run(main())
    assert said() == []


def test_its_thread_is_a_daemon_and_gone_when_the_runner_is_closed() -> None:
    with BoundedRunner(1, name="content") as runner:
        runner.submit(here).result(TIMEOUT)
        (thread,) = loop_threads()
        assert thread.daemon
    assert not thread.is_alive()


def test_its_thread_goes_when_the_runner_is_dropped() -> None:
    runner = BoundedRunner(1, name="content")
    runner.submit(here).result(TIMEOUT)
    (thread,) = loop_threads()
    del runner
    gc.collect()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_dropped_runner_ends_its_async_jobs_first() -> None:
    gate = AsyncGate()
    runner = BoundedRunner(1, name="content")
    jobs = [runner.submit(gate, i) for i in range(3)]
    gate.wait_for()
    (thread,) = loop_threads()
    del runner
    gc.collect()
    gate.open()
    assert [job.result(TIMEOUT) for job in jobs] == [0, 1, 2]
    del jobs
    gc.collect()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_its_thread_goes_when_the_last_late_body_has_ended_after_a_deadline() -> None:
    gate = Gate()
    runner = BoundedRunner(2, name="content")
    runner.submit(here).result(TIMEOUT)
    runner.submit(gate)
    gate.wait_for()
    (thread,) = loop_threads()
    runner.shutdown(timeout=0)
    gate.open()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    runner.shutdown()  # the runner is still there


def test_a_runner_that_is_opened_anew_makes_a_new_one(said: Said) -> None:
    runner = BoundedRunner(1)
    loops = []
    for _ in range(3):
        with runner:
            loops.append(runner.submit(here).result(TIMEOUT))
    assert len(set(loops)) == 3
    assert len(said()) == 3


@pytest.mark.parametrize("starts_none", [False, True], ids=["starts late threads", "starts none"])
@pytest.mark.parametrize("exc", [RuntimeError, MemoryError])
def test_a_thread_of_its_that_does_not_start_interrupts_the_job_and_the_next_one_runs(
    exc: type[Exception], starts_none: bool, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    monkeypatch.setattr("boundedjobs._lanes._loops.NO_LATE_THREADS", starts_none)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "content-loop":
            raise exc("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with BoundedRunner(1, name="content") as runner:
        job = runner.submit(here)
        assert job.done()
        with pytest.raises(JobInterrupted) as caught:
            job.result(TIMEOUT)
        assert str(caught.value) == "the job could not be started: can't start new thread"
        assert job.failure is not None
        assert job.failure.phase == "start"
        assert runner.submit(int, "7").result(TIMEOUT) == 7
        monkeypatch.undo()
        runner.submit(here).result(TIMEOUT)
    assert [level for level, _ in said()] == [logging.ERROR, logging.INFO]


def test_a_thread_that_comes_up_after_a_ctrl_c_and_another_one_serves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, late = threading.Thread.start, list[threading.Thread]()

    def interrupted(thread: threading.Thread) -> None:
        if thread.name == "content-loop" and not late:
            late.append(thread)
            thread._ident = 1  # type: ignore[attr-defined]  # the system has it, but it does not run
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with BoundedRunner(1, name="content") as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.submit(here)
        loop = runner.submit(here).result(TIMEOUT)
        start(late[0])
        late[0].join(TIMEOUT)
        assert not late[0].is_alive()
        assert runner.submit(here).result(TIMEOUT) is loop


def test_nor_does_one_that_comes_up_in_the_midst_of_the_mending() -> None:
    todo = Todo()
    lane = PrivateLane("content", todo)
    late = Daemon(target=lane._run)
    with todo.lock:  # as who mends has it
        lane.thread = late
        late.start()
        late.join(MOMENT)  # time to see whether it is still wanted, if it can
        lane.thread = None
    late.join(TIMEOUT)
    assert (late.is_alive(), lane.loop) == (False, None)


def test_nor_does_one_that_comes_up_though_it_was_said_that_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, late, made = threading.Thread.start, list[threading.Thread](), list[object]()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "content-loop":
            late.append(thread)
            raise MemoryError
        start(thread)

    def make() -> asyncio.AbstractEventLoop:
        made.append("a loop")
        raise OSError("too many open files")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with BoundedRunner(1, name="content") as runner:
        assert isinstance(runner.submit(here).exception(TIMEOUT), JobInterrupted)
        monkeypatch.setattr(asyncio.events, "new_event_loop", make)
        start(late[0])
        late[0].join(TIMEOUT)
        assert (late[0].is_alive(), made) == (False, [])


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The interpreter exits, and is one that starts no thread then. No loop runs for long."""
    start, new_event_loop = threading.Thread.start, asyncio.events.new_event_loop
    hung: list[asyncio.AbstractEventLoop] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "content-loop":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    def stop(loop: asyncio.AbstractEventLoop) -> None:
        hung.append(loop)
        loop.stop()

    def make() -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        loop.call_later(TIMEOUT / 10, stop, loop)
        return loop

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(asyncio.events, "new_event_loop", make)
    for name in ("_book", "_core", "_lanes._loops"):
        monkeypatch.setattr(f"boundedjobs.{name}.NO_LATE_THREADS", True)
    yield
    assert hung == []


async def on_thread() -> int:
    """A body that says on which thread it runs."""
    await asyncio.sleep(0)
    return threading.get_ident()


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("limit", [1, 2])
def test_where_no_thread_can_be_started_at_exit_it_runs_on_the_thread_that_needs_it_until_idle(
    limit: int,
) -> None:
    with BoundedRunner(limit, name="content") as runner:
        for count in (1, 3):
            runner.pause()
            jobs = [runner.submit(on_thread) for _ in range(count)]
            assert {job.status for job in jobs} == {JobStatus.PENDING}
            runner.resume()
            assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
            assert {job.result(0) for job in jobs} == {threading.get_ident()}


@pytest.mark.usefixtures("late")
def test_it_runs_on_no_thread_on_which_another_loop_runs() -> None:
    gate, heard = Gate(), list[JobStatus]()

    async def hear(event: JobEvent) -> None:
        heard.append(event.status)

    def listener(event: JobEvent) -> object:
        return hear(event) if event.status is JobStatus.CANCELLED else None

    async def cancel(job: Job[Any]) -> None:
        job.cancel()

    with BoundedRunner(1, name="content") as runner:
        runner.submit(gate)
        job = runner.wrap(nothing, on_status=listener)()
        asyncio.run(cancel(job))
        assert (job.cancelled(), job.done()) == (True, True)
        assert (runner.listener_errors, heard) == (1, [])
        gate.open()


def test_a_listener_whose_private_loop_does_not_start_counts_as_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "content-loop":
            raise RuntimeError("can't start new thread")
        start(thread)

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with BoundedRunner(1, name="content", on_status=listener) as runner:
        assert runner.submit(int, "7").result(TIMEOUT) == 7
        assert runner.listener_errors == 3


def test_a_loop_that_can_not_be_made_interrupts_the_job_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> asyncio.AbstractEventLoop:
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", refuse)
    with BoundedRunner(1) as runner:
        job = runner.submit(here)
        with pytest.raises(JobInterrupted) as caught:
            job.result(TIMEOUT)
        assert str(caught.value) == "the job could not be started: too many open files"
        assert runner.submit(int, "7").result(TIMEOUT) == 7
        monkeypatch.undo()
        runner.submit(here).result(TIMEOUT)


def test_a_body_that_stops_the_private_loop_is_interrupted_and_the_next_one_runs() -> None:
    gate = AsyncGate()

    async def stop() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)
        await gate()

    with BoundedRunner(2) as runner:
        other = runner.submit(gate)
        gate.wait_for()
        job = runner.submit(stop)
        for lost in (job, other):
            assert isinstance(lost.exception(TIMEOUT), JobInterrupted)
            assert lost.status is JobStatus.INTERRUPTED
        assert runner.submit(here).result(TIMEOUT) is not None


def test_what_is_submitted_as_a_private_loop_is_torn_down_runs_on_the_next_one() -> None:
    submitted: list[Job[Any]] = []

    async def stop() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)
        await AsyncGate()()

    async def turns() -> str:
        for _ in range(1_000):  # more than a loop that is torn down has
            await asyncio.sleep(0)
        return "done"

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.INTERRUPTED:
            # Not on this loop's thread, or it would be for this loop.
            elsewhere = threading.Thread(target=lambda: submitted.append(runner.submit(turns)))
            elsewhere.start()
            elsewhere.join(TIMEOUT)

    with BoundedRunner(2) as runner:
        job = runner.wrap(stop, on_status=listener)()
        assert isinstance(job.exception(TIMEOUT), JobInterrupted)
        assert submitted[0].result(TIMEOUT) == "done"


def test_what_a_private_loop_had_no_time_to_begin_ends_though_others_take_theirs_to_leave_it() -> (
    None
):
    submitted, seen = list[Job[Any]](), list[JobStatus]()
    left = threading.Event()

    async def stop() -> None:
        # Not on this loop's thread, or it would be handed to the loop by another way.
        elsewhere = threading.Thread(target=lambda: submitted.append(runner.submit(here)))
        elsewhere.start()
        elsewhere.join(TIMEOUT)
        asyncio.get_running_loop().stop()
        try:
            await AsyncGate()()
        finally:
            for _ in range(10):
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            seen.append(submitted[0].status)
            left.set()

    with BoundedRunner(2) as runner:
        assert isinstance(runner.submit(stop).exception(TIMEOUT), JobInterrupted)
        assert isinstance(submitted[0].exception(TIMEOUT), JobInterrupted)
        assert left.wait(TIMEOUT)
    assert seen == [JobStatus.INTERRUPTED]


def test_closing_at_once_waits_for_jobs_of_a_private_loop_that_is_only_just_started() -> None:
    for _ in range(20):
        with BoundedRunner(2) as runner:
            jobs = [runner.submit(here) for _ in range(3)]
        assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * 3


def test_a_private_loop_that_comes_up_when_its_runner_has_let_go_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_begin, run = threading.Event(), PrivateLane._run

    def run_late(lane: PrivateLane) -> None:
        assert may_begin.wait(TIMEOUT)
        run(lane)

    monkeypatch.setattr(PrivateLane, "_run", run_late)
    runner = BoundedRunner(1)
    job = runner.submit(here)
    (thread,) = (t for t in threading.enumerate() if t.name == "runner-loop")
    runner.shutdown(timeout=0)
    assert job.status is JobStatus.INTERRUPTED
    may_begin.set()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_runner_that_lets_go_at_once_lets_go_of_a_private_loop_that_is_only_just_started() -> (
    None
):
    for _ in range(20):
        runner = BoundedRunner(1)
        job = runner.submit(here)
        runner.shutdown(timeout=0)
        assert job.done()
        assert job.status in (JobStatus.SUCCEEDED, JobStatus.INTERRUPTED)
