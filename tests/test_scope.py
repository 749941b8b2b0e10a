"""Opening and closing: `with`, `async with`, `lifespan`; once, nested, and again and again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.testclient import TestClient

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobDeadlock,
    JobEvent,
    JobStatus,
    RunnerClosed,
)
from boundedjobs._closing import deadline_in
from tests.blocking import let_in
from tests.gates import TIMEOUT, Gate

CLOSED = "^cannot schedule new futures after shutdown$"
SOON = 0.05
"""Seconds to a deadline that a test wants to see pass."""


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, so that no body outlives its test."""
    gate = Gate()
    yield gate
    gate.open()


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


# with


def test_leaving_with_waits_for_all_jobs(gate: Gate) -> None:
    with BoundedRunner(1) as runner:
        jobs = [runner.submit(gate, number) for number in range(3)]
        gate.open()
    assert [job.result(0) for job in jobs] == [0, 1, 2]
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)


def test_when_the_body_of_with_raises_pending_jobs_are_cancelled_and_running_ones_end(
    gate: Gate,
) -> None:
    runner = BoundedRunner(1)
    jobs: list[Job[Any]] = []

    def use() -> None:
        with runner:
            jobs.extend(runner.submit(gate, number) for number in range(3))
            gate.wait_for()
            raise KeyError("body")

    leaving = in_thread(use)
    with pytest.raises(TimeoutError):
        leaving.result(SOON)
    gate.open()
    with pytest.raises(KeyError):
        leaving.result(TIMEOUT)
    assert [job.status.value for job in jobs] == ["succeeded", "cancelled", "cancelled"]


def test_leaving_with_keeps_to_drain_timeout(gate: Gate) -> None:
    with BoundedRunner(1, drain_timeout=SOON) as runner:
        job = runner.submit(gate)
        gate.wait_for()
    assert job.status is JobStatus.INTERRUPTED


def test_entries_are_counted_and_the_last_exit_closes() -> None:
    runner = BoundedRunner(1)
    with runner:
        with runner, runner:
            pass
        runner.submit(nothing).result(TIMEOUT)
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)


def test_an_exit_that_is_not_the_last_waits_for_no_job() -> None:
    """Not even where it must not."""

    async def inside() -> None:
        async with runner:
            pass
        with runner:
            pass

    async def main() -> None:
        async with runner:
            await runner.submit(inside)

    runner = BoundedRunner(1)
    asyncio.run(main())


def test_leaving_with_after_a_shutdown_inside_it_is_fine() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(nothing)
        runner.shutdown()
    assert job.status is JobStatus.SUCCEEDED


def test_entering_once_more_opens_what_was_shut_down_inside() -> None:
    with BoundedRunner(1) as runner:
        runner.shutdown()
        with runner:
            runner.submit(nothing).result(TIMEOUT)
        runner.submit(nothing).result(TIMEOUT)


def test_a_closed_runner_can_be_entered_again_and_again() -> None:
    runner = BoundedRunner(2)
    for number in range(20):
        with runner:
            jobs = [runner.submit(abs, number) for _ in range(3)]
        assert [job.result(0) for job in jobs] == [number] * 3
        with pytest.raises(RunnerClosed, match=CLOSED):
            runner.submit(nothing)


def test_a_runner_that_is_opened_anew_before_its_workers_have_left_loses_no_job() -> None:
    runner = BoundedRunner(1)
    for _ in range(50):
        with runner:
            runner.submit(nothing).result(TIMEOUT)
            runner.shutdown(wait=False)  # lets the idle worker go
            with runner:
                runner.submit(nothing).result(TIMEOUT)


def test_leaving_without_having_entered_closes_as_executors_do() -> None:
    runner = BoundedRunner(1)
    with contextlib.ExitStack() as stack:
        stack.push(runner)
        job = runner.submit(nothing)
    assert job.done()
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)
    with runner:
        runner.submit(nothing).result(TIMEOUT)
    with pytest.raises(RunnerClosed, match=CLOSED):
        runner.submit(nothing)


def test_entering_anew_ends_the_wait_of_a_closing_that_is_under_way(gate: Gate) -> None:
    runner = BoundedRunner(1)
    runner.submit(gate)
    gate.wait_for()
    closing = in_thread(runner.shutdown)
    with pytest.raises(TimeoutError):
        closing.result(SOON)
    with runner:
        closing.result(TIMEOUT)
        gate.open()


# async with, aclose


def test_who_enters_while_another_thread_leaves_is_not_closed_under() -> None:
    def use() -> None:
        with runner:
            assert left.wait(TIMEOUT)
            runner.submit(nothing).result(TIMEOUT)

    for number in itertools.count(1):
        runner, left = BoundedRunner(1), threading.Event()
        with let_in(number, use) as outcome, runner:
            pass
        left.set()
        if not outcome:
            break
        outcome[0].result(TIMEOUT)
    assert number > 5


def test_leaving_async_with_waits_for_all_jobs_and_does_not_block_the_loop(gate: Gate) -> None:
    async def main() -> list[int]:
        went_on = False

        async def elsewhere() -> None:
            nonlocal went_on
            await asyncio.to_thread(gate.wait_for)
            went_on = True
            gate.open()

        async with BoundedRunner(1) as runner:
            jobs = [runner.submit(gate, number) for number in range(3)]
            task = asyncio.create_task(elsewhere())
        assert went_on
        await task
        return [job.result(0) for job in jobs]

    assert asyncio.run(main()) == [0, 1, 2]


def test_aclose_cancels_pending_jobs_when_asked_to(gate: Gate) -> None:
    async def main() -> None:
        runner = BoundedRunner(1)
        running, pending = runner.submit(gate), runner.submit(nothing)
        await asyncio.to_thread(gate.wait_for)
        closing = asyncio.create_task(runner.aclose(cancel_futures=True))
        with pytest.raises(JobCancelled):
            await pending
        gate.open()
        await closing
        assert running.status is JobStatus.SUCCEEDED

    asyncio.run(main())


def test_aclose_keeps_to_its_deadline(gate: Gate) -> None:
    async def main() -> None:
        runner = BoundedRunner(1, drain_timeout=TIMEOUT)
        job = runner.submit(gate)
        await asyncio.to_thread(gate.wait_for)
        await runner.aclose(timeout=SOON)
        assert job.status is JobStatus.INTERRUPTED
        gate.open()

    asyncio.run(main())


def test_aclose_keeps_to_drain_timeout(gate: Gate) -> None:
    async def main() -> None:
        runner = BoundedRunner(1, drain_timeout=SOON)
        job = runner.submit(gate)
        await asyncio.to_thread(gate.wait_for)
        await runner.aclose()
        assert job.status is JobStatus.INTERRUPTED
        gate.open()

    asyncio.run(main())


def test_cancelling_who_awaits_aclose_stops_the_wait_alone(gate: Gate) -> None:
    async def main() -> None:
        runner = BoundedRunner(1)
        running, pending = runner.submit(gate), runner.submit(nothing)
        await asyncio.to_thread(gate.wait_for)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await runner.aclose()
        assert (running.status, pending.status) == (JobStatus.RUNNING, JobStatus.PENDING)
        gate.open()
        await runner.aclose()
        assert pending.status is JobStatus.SUCCEEDED

    asyncio.run(main())


def test_a_closing_outlives_the_loop_that_awaited_it(gate: Gate) -> None:
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()

    async def main() -> None:
        async with asyncio.timeout(SOON):
            await runner.aclose()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    gate.open()
    assert job.result(TIMEOUT) is None
    runner.shutdown()


def test_when_the_body_of_async_with_raises_pending_jobs_are_cancelled_and_running_ones_end(
    gate: Gate,
) -> None:
    jobs: list[Job[Any]] = []

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            jobs.extend(runner.submit(gate, number) for number in range(3))
            await asyncio.to_thread(gate.wait_for)
            jobs[2].add_done_callback(lambda _: gate.open())
            raise KeyError("body")

    with pytest.raises(KeyError):
        asyncio.run(main())
    assert [job.status.value for job in jobs] == ["succeeded", "cancelled", "cancelled"]


async def cancelled_while_leaving(
    runner: BoundedRunner, gate: Gate, *, raising: bool
) -> tuple[asyncio.Task[None], list[Job[Any]]]:
    """A task that waits in `__aexit__`, where it was cancelled once (or its body was)."""
    jobs: list[Job[Any]] = []
    entered = asyncio.Event()

    async def use() -> None:
        async with runner:
            jobs.extend(runner.submit(gate) for _ in range(2))
            await asyncio.to_thread(gate.wait_for)
            entered.set()
            if raising:
                await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await entered.wait()
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(TIMEOUT):
        with pytest.raises(JobCancelled):  # the pending one; now the running one is waited for
            await jobs[1]
    return task, jobs


@pytest.mark.parametrize("raising", [False, True], ids=["leaving", "body"])
def test_one_cancellation_cancels_pending_jobs_and_running_ones_are_waited_for(
    gate: Gate, raising: bool
) -> None:
    async def main() -> None:
        runner = BoundedRunner(1)
        task, jobs = await cancelled_while_leaving(runner, gate, raising=raising)
        done, _ = await asyncio.wait([task], timeout=SOON)
        assert not done
        assert jobs[0].running()
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, TIMEOUT)
        assert jobs[0].status is JobStatus.SUCCEEDED

    asyncio.run(main())


@pytest.mark.parametrize("raising", [False, True], ids=["leaving", "body"])
def test_a_second_cancellation_leaves_at_once_and_running_jobs_are_interrupted(
    gate: Gate, raising: bool, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard.append(event.status.value)

    async def main() -> None:
        runner = BoundedRunner(1, on_status=listener)
        task, jobs = await cancelled_while_leaving(runner, gate, raising=raising)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, TIMEOUT)
        assert jobs[0].status is JobStatus.INTERRUPTED
        assert jobs[0].done()
        gate.open()

    asyncio.run(main())
    assert heard.count("interrupted") == 1
    assert not messages(caplog, logging.ERROR)  # it was heard in time


def test_a_second_cancellation_does_not_block_the_loop(gate: Gate) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        went_round: list[bool] = []

        def listener(event: JobEvent) -> None:
            if event.status is JobStatus.INTERRUPTED:
                round_trip = threading.Event()
                loop.call_soon_threadsafe(round_trip.set)
                went_round.append(round_trip.wait(0.5))

        runner = BoundedRunner(1, on_status=listener)
        task, _ = await cancelled_while_leaving(runner, gate, raising=False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, TIMEOUT)
        gate.open()
        assert went_round == [True]

    asyncio.run(main())


def test_a_runner_is_at_home_on_the_loop_that_entered_it_last() -> None:
    runner = BoundedRunner(1)

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def main() -> bool:
        async with runner:
            job = await asyncio.to_thread(runner.submit, where)  # no loop runs there
            return await job is asyncio.get_running_loop()

    assert [asyncio.run(main()) for _ in range(3)] == [True] * 3
    with runner:
        elsewhere = runner.submit(where).result(TIMEOUT)
    assert elsewhere.is_closed()  # the private one: there is no home any more


def test_a_runner_is_at_home_on_each_loop_in_turn_while_it_stays_entered_outside() -> None:
    runner = BoundedRunner(1)

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def main() -> bool:
        async with runner:
            job = await asyncio.to_thread(runner.submit, where)
            return await job is asyncio.get_running_loop()

    with runner:
        assert [asyncio.run(main()) for _ in range(3)] == [True] * 3
        runner.submit(where).result(TIMEOUT)  # no home: on the private loop


def test_a_with_inside_a_coroutine_makes_that_loop_no_lasting_home() -> None:
    runner = BoundedRunner(1)

    async def first() -> None:
        with runner:
            pass

    async def second() -> None:
        async with runner:
            await (await asyncio.to_thread(runner.submit, nothing_async))

    asyncio.run(first())
    asyncio.run(second())
    with contextlib.closing(asyncio.new_event_loop()) as loop:  # goes on, and does not run
        loop.run_until_complete(first())
        with runner:
            runner.submit(nothing_async).result(TIMEOUT)


def test_a_runner_stays_at_home_on_the_first_of_two_loops_that_have_entered_it() -> None:
    async def other() -> object:
        async with runner:
            return await asyncio.to_thread(lambda: runner.submit(where).result(TIMEOUT))

    async def where() -> object:
        return asyncio.get_running_loop()

    async def main() -> None:
        async with runner:
            found = await asyncio.to_thread(asyncio.run, other())
            assert found is asyncio.get_running_loop()

    runner = BoundedRunner(1)
    asyncio.run(main())


def test_when_the_body_of_with_raises_on_a_loop_that_a_job_needs_pending_jobs_are_cancelled() -> (
    None
):
    async def main() -> None:
        go_on = asyncio.Event()
        with pytest.raises(JobDeadlock) as caught, BoundedRunner(1) as runner:
            first, second = runner.submit(go_on.wait), runner.submit(nothing_async)
            while first.ran is None:
                await asyncio.sleep(0)
            raise ValueError("no")
        assert isinstance(caught.value.__context__, ValueError)
        assert second.cancelled()
        go_on.set()
        assert await first

    asyncio.run(main())


def test_a_runner_is_no_longer_at_home_on_a_loop_that_has_left_it() -> None:
    runner = BoundedRunner(1)

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def elsewhere() -> asyncio.AbstractEventLoop:
        with runner:
            return runner.submit(where).result(TIMEOUT)

    async def main() -> None:
        async with runner:
            pass
        assert await asyncio.to_thread(elsewhere) is not asyncio.get_running_loop()

    asyncio.run(main())


# lifespan


def test_lifespan_drains_for_eight_seconds_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def deadline(timeout: float | None) -> float | None:
        asked.append(timeout)
        return deadline_in(timeout)

    async def main() -> None:
        async with BoundedRunner(1).lifespan():
            pass

    monkeypatch.setattr("boundedjobs._scope.deadline_in", deadline)
    asyncio.run(main())
    assert asked == [8]


def test_at_the_end_of_a_lifespan_pending_jobs_are_run(gate: Gate) -> None:
    async def main() -> list[Job[Any]]:
        runner = BoundedRunner(1)
        async with runner.lifespan():
            jobs = [runner.submit(gate) for _ in range(2)]
            await asyncio.to_thread(gate.wait_for)
            asyncio.get_running_loop().call_soon(gate.open)  # when it is being left
        return jobs

    assert [job.status.value for job in asyncio.run(main())] == ["succeeded"] * 2


def test_lifespan_has_a_deadline_by_default(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boundedjobs._scope.LIFESPAN_DRAIN", SOON)

    async def main() -> None:
        runner = BoundedRunner(1)
        async with runner.lifespan():
            job = runner.submit(gate)
            await asyncio.to_thread(gate.wait_for)
        assert job.status is JobStatus.INTERRUPTED
        gate.open()

    asyncio.run(main())


def test_drain_timeout_is_the_deadline_of_lifespan_too(gate: Gate) -> None:
    async def main() -> None:
        runner = BoundedRunner(1, drain_timeout=SOON)
        async with runner.lifespan():
            job = runner.submit(gate)
            await asyncio.to_thread(gate.wait_for)
        assert job.status is JobStatus.INTERRUPTED
        gate.open()

    asyncio.run(main())


def test_an_infinite_drain_timeout_is_no_deadline_for_lifespan_either(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boundedjobs._scope.LIFESPAN_DRAIN", 0)

    async def main() -> None:
        runner = BoundedRunner(1, drain_timeout=math.inf)
        lifespan = runner.lifespan()
        await lifespan.__aenter__()
        job = runner.submit(gate)
        leaving = asyncio.create_task(lifespan.__aexit__(None, None, None))
        done, _ = await asyncio.wait([leaving], timeout=SOON)
        assert not done
        gate.open()
        await leaving
        assert job.status is JobStatus.SUCCEEDED

    asyncio.run(main())


def test_an_error_inside_lifespan_cancels_pending_jobs(gate: Gate) -> None:
    jobs: list[Job[Any]] = []

    async def main() -> None:
        runner = BoundedRunner(1)
        async with runner.lifespan():
            jobs.extend(runner.submit(gate) for _ in range(2))
            await asyncio.to_thread(gate.wait_for)
            jobs[1].add_done_callback(lambda _: gate.open())
            raise KeyError("app")

    with pytest.raises(KeyError):
        asyncio.run(main())
    assert [job.status.value for job in jobs] == ["succeeded", "cancelled"]


def test_a_module_level_runner_serves_one_app_through_many_test_clients() -> None:
    heard: list[str] = []

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard.append(event.status.value)

    runner = BoundedRunner(2, on_status=listener)
    app = FastAPI(lifespan=runner.lifespan)

    @runner.wrap
    def work() -> None:
        """A sync job."""

    @runner.wrap
    async def work_async() -> str:
        await asyncio.sleep(0)
        return "async"

    @app.post("/sync")
    def create(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(work)

    @app.post("/async")
    async def create_async() -> str:
        return await work_async()

    for _ in range(3):
        heard.clear()
        with TestClient(app) as client:
            assert client.post("/sync").status_code == 200
            assert client.post("/async").json() == "async"
        assert sorted(heard) == sorted(["pending", "running", "succeeded"] * 2)
        with pytest.raises(RunnerClosed, match=CLOSED):
            runner.submit(nothing)


def test_a_job_that_runs_when_the_app_goes_is_drained_by_its_lifespan() -> None:
    gate = Gate()
    runner = BoundedRunner(1)
    app = FastAPI(lifespan=runner.lifespan)
    jobs: list[Job[Any]] = []

    @app.post("/")
    async def create() -> None:
        jobs.extend(runner.submit(gate, number) for number in range(3))

    with TestClient(app) as client:
        client.post("/")
        gate.wait_for()
        gate.open()
    assert [job.result(0) for job in jobs] == [0, 1, 2]
