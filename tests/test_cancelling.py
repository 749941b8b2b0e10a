"""Cancelling: at once while a job waits, by its task or its own asking when it runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import threading
from concurrent.futures import Future
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobStatus,
    RunnerFull,
    current_job,
)
from tests.blocking import when_blocking
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from types import FrameType

CANCELLED = JobStatus.CANCELLED


# A pending job.


def test_a_pending_job_is_cancelled_at_once_and_never_runs() -> None:
    gate, ran = Gate(), Event()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(ran.set)
        assert job.cancel()
        assert (job.cancelled(), job.done(), job.running()) == (True, True, False)
        assert job.status is CANCELLED
        gate.open()
    assert not ran.is_set()
    assert job.ran is None


def test_what_is_asked_of_a_cancelled_job_raises_job_cancelled() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.wrap(len, name="measure")("abc")
        job.cancel()
        for ask in (job.result, job.exception):
            with pytest.raises(JobCancelled) as caught:
                ask(0)
            assert str(caught.value) == "job 'measure' was cancelled"
            assert isinstance(caught.value, concurrent.futures.CancelledError)
            assert not isinstance(caught.value, asyncio.CancelledError)
        gate.open()


def test_cancelling_again_says_true_and_is_heard_once() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        assert [job.cancel() for _ in range(3)] == [True] * 3
        gate.open()
    assert heard.statuses("len") == ["pending", "cancelled"]
    assert heard.events[-1].failure is None


def test_cancelling_wakes_who_waits_in_result() -> None:
    gate, waits = Gate(), Event()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            with when_blocking(waits.set):
                job.result(TIMEOUT)
        except JobCancelled as exc:
            errors.append(exc)

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        thread = Thread(target=wait)
        thread.start()
        assert waits.wait(TIMEOUT)
        job.cancel()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
        gate.open()
    assert len(errors) == 1


@pytest.mark.parametrize("how", ["wait", "as_completed"])
def test_cancelling_wakes_who_waits_with_concurrent_futures(how: str) -> None:
    """Trap 2: `Future.cancel()` alone leaves `concurrent.futures.wait` hanging."""
    gate = Gate()
    outcome: list[object] = []

    def wait() -> None:
        if how == "wait":
            outcome.extend(concurrent.futures.wait([job], TIMEOUT).done)
        else:
            outcome.extend(concurrent.futures.as_completed([job], TIMEOUT))

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        thread = Thread(target=wait)
        thread.start()
        while not job._waiters:  # until it does wait; an attribute of any Future
            assert thread.is_alive()
        job.cancel()
        thread.join(TIMEOUT)
        assert outcome == [job]
        gate.open()


def test_waiting_with_concurrent_futures_for_a_job_that_is_cancelled_returns_at_once() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        job.cancel()
        assert concurrent.futures.wait([job], 0).done == {job}
        assert list(concurrent.futures.as_completed([job], 0)) == [job]
        gate.open()


def test_an_awaiter_of_a_cancelled_job_gets_job_cancelled() -> None:
    gate = Gate()

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            runner.submit(gate)
            job = runner.submit(len, "abc")
            asyncio.get_running_loop().call_soon(job.cancel)
            with pytest.raises(JobCancelled):
                await job
            gate.open()

    asyncio.run(main())


def test_a_wrapped_asyncio_future_of_a_cancelled_job_is_cancelled() -> None:
    """What asyncio does with any concurrent.futures.Future that is cancelled."""
    gate = Gate()

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            runner.submit(gate)
            job = runner.submit(len, "abc")
            future = asyncio.wrap_future(job)
            job.cancel()
            await asyncio.wait([future], timeout=TIMEOUT)
            assert future.cancelled()
            gate.open()

    asyncio.run(main())


def test_done_callbacks_of_a_cancelled_job_are_called_before_cancel_returns() -> None:
    gate = Gate()
    called: list[Future[int]] = []
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        job.add_done_callback(called.append)
        job.cancel()
        assert called == [job]
        gate.open()


def test_a_cancelled_job_frees_its_room_at_once() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=2) as runner:
        runner.submit(gate)
        waits = [runner.submit(gate) for _ in range(2)]
        with pytest.raises(RunnerFull):
            runner.submit(gate)
        for job in waits:
            job.cancel()
        again = [runner.submit(len, "abc") for _ in range(2)]
        gate.open()
        assert [job.result(TIMEOUT) for job in again] == [3, 3]


def test_the_listeners_have_heard_cancelled_when_cancel_returns() -> None:
    gate, heard = Gate(), Heard()
    threads: list[int] = []
    with BoundedRunner(1, on_status=[heard, lambda _: threads.append(threading.get_ident())]) as r:
        r.submit(gate)
        job = r.submit(len, "abc")
        job.cancel()
        assert heard.statuses("len") == ["pending", "cancelled"]
        assert threads[-1] == threading.get_ident()
        gate.open()


def test_cancelling_many_from_the_last_to_the_first_takes_the_same_steps_for_each() -> None:
    """Counted, not timed: the lines of Python that one cancel goes by."""
    gate = Gate()
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        lines += 1
        return trace

    def cancel(job: Job[Any]) -> int:
        nonlocal lines
        lines = 0
        before = sys.gettrace()
        gc.disable()  # a collection calls whoever has asked for that: Dask, where it is imported
        sys.settrace(trace)
        try:
            job.cancel()
        finally:
            sys.settrace(before)
            gc.enable()
        return lines

    counts = set()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        jobs = [runner.submit(gate) for _ in range(3000)]
        counts = {cancel(job) for job in reversed(jobs)}
        gate.open()
    assert len(counts) == 1, counts


def test_a_cancelled_job_is_taken_out_of_the_queue_without_a_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted, not timed: jobs compared while the last of many is cancelled."""
    gate = Gate()
    compared = 0

    def equal(one: object, other: object) -> bool:
        nonlocal compared
        compared += 1
        return one is other

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        jobs = [runner.submit(gate) for _ in range(2000)]
        monkeypatch.setattr(Job, "__eq__", equal)
        monkeypatch.setattr(Job, "__hash__", object.__hash__)
        for job in reversed(jobs):
            job.cancel()
        monkeypatch.undo()
        gate.open()
    assert compared < 10 * len(jobs)


# A running async job.


def test_cancelling_a_running_async_job_cancels_its_task() -> None:
    gate = AsyncGate()
    stopped: list[BaseException] = []

    async def body() -> None:
        try:
            await gate()
        except asyncio.CancelledError as exc:
            stopped.append(exc)
            raise

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
        assert job.status is CANCELLED
        assert job.cancelled()
        assert job.ran is not None
    assert len(stopped) == 1


def test_a_running_async_job_is_not_cancelled_before_its_body_has_stopped() -> None:
    gate, asked, go_on = AsyncGate(), Event(), AsyncGate()

    async def body() -> None:
        try:
            await gate()
        finally:
            asked.set()
            await go_on()

    with BoundedRunner(1, max_pending=0) as runner:
        job = runner.submit(body)
        gate.wait_for()
        assert job.cancel()
        assert asked.wait(TIMEOUT)
        assert (job.cancelled(), job.done(), job.running()) == (False, False, True)
        with pytest.raises(RunnerFull):
            runner.submit(len, "")
        go_on.open()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
        runner.submit(len, "")


def test_an_async_body_may_refuse_to_be_cancelled() -> None:
    gate = AsyncGate()

    async def body() -> str:
        try:
            await gate()
        except asyncio.CancelledError:
            return "refused"
        return "?"

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(body)
        gate.wait_for()
        assert job.cancel()
        assert job.result(TIMEOUT) == "refused"
    assert job.status is JobStatus.SUCCEEDED
    assert heard.statuses() == ["pending", "running", "succeeded"]


def test_an_async_body_that_raises_when_it_is_cancelled_has_failed() -> None:
    gate = AsyncGate()

    async def body() -> None:
        try:
            await gate()
        except asyncio.CancelledError:
            raise LookupError("on the way out") from None

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        assert job.cancel()
        with pytest.raises(LookupError, match=r"^on the way out$"):
            job.result(TIMEOUT)
    assert job.status is JobStatus.FAILED


def test_a_coroutine_that_a_sync_callable_has_returned_is_cancelled_as_well() -> None:
    gate = AsyncGate()
    with BoundedRunner(1) as runner:
        job = runner.submit(lambda: gate())
        gate.wait_for()
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert job.status is CANCELLED


def test_an_async_job_may_be_cancelled_on_its_own_loop() -> None:
    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(asyncio.sleep, TIMEOUT)
            while job.status is not JobStatus.RUNNING:
                await asyncio.sleep(0)
            assert job.cancel()
            with pytest.raises(JobCancelled):
                await job

    asyncio.run(main())


def test_an_async_job_that_has_a_slot_and_not_begun_never_begins() -> None:
    began: list[object] = []

    async def body() -> None:
        began.append(1)

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(body)
            assert job.cancel()  # the loop had no turn yet
            assert job.cancelled()
            assert await runner.submit(len, "abc") == 3

    asyncio.run(main())
    assert began == []


def test_an_async_job_may_be_cancelled_while_its_task_enters_its_context() -> None:
    """It has its slot and has not begun. One context can't be entered twice: trap 11."""
    heard, jobs, said = Heard(), list[Job[Any]](), list[bool]()

    def listen(event: JobEvent) -> None:
        heard(event)
        jobs.append(current_job())

    def cancel() -> None:
        thread = Thread(target=lambda: said.append(jobs[0].cancel()), daemon=True)
        thread.start()
        thread.join(TIMEOUT)

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if not said and "context" in options:  # of a job; entered as its task does in a moment
            options["context"].run(cancel)
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        async with BoundedRunner(1, on_status=listen, drain_timeout=TIMEOUT) as runner:
            asyncio.get_running_loop().set_task_factory(factory)
            job = runner.submit(asyncio.sleep, 0)
            with pytest.raises(JobCancelled):
                async with asyncio.timeout(TIMEOUT):
                    await job

    asyncio.run(main())
    assert said == [True]
    assert heard.statuses() == ["pending", "cancelled"]


def test_an_async_body_may_cancel_itself() -> None:
    async def body() -> None:
        assert current_job().cancel()
        await asyncio.sleep(TIMEOUT)

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert job.status is CANCELLED


def test_an_async_body_may_call_check_cancelled_too() -> None:
    async def body() -> None:
        current_job().check_cancelled()
        current_job().cancel()
        current_job().check_cancelled()

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert job.status is CANCELLED


# A running sync job.


def test_a_running_sync_job_is_asked_and_stops_where_it_checks() -> None:
    gate, reached = Gate(), []

    def body() -> None:
        job = current_job()
        job.check_cancelled()
        reached.append("before")
        gate()
        job.check_cancelled()
        reached.append("after")

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.wrap(body, name="work")()
        gate.wait_for()
        assert not job.cancel()
        assert (job.cancelled(), job.done(), job.running()) == (False, False, True)
        gate.open()
        with pytest.raises(JobCancelled, match=r"^job 'work' was cancelled$"):
            job.result(TIMEOUT)
    assert reached == ["before"]
    assert job.status is CANCELLED
    assert job.cancelled()
    assert heard.statuses() == ["pending", "running", "cancelled"]
    assert not job.cancel() or job.cancelled()


def test_what_check_cancelled_raises_says_what_was_asked() -> None:
    def body() -> str:
        current_job().cancel()
        with pytest.raises(JobCancelled) as caught:
            current_job().check_cancelled()
        return str(caught.value)

    with BoundedRunner(1) as runner:
        job = runner.wrap(body, name="work")()
        assert job.result(TIMEOUT) == "job 'work' was asked to stop"
    assert job.status is JobStatus.SUCCEEDED


def test_a_sync_body_that_never_checks_ends_as_it_does() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate, "done")
        gate.wait_for()
        assert not job.cancel()
        gate.open()
        assert job.result(TIMEOUT) == "done"
    assert job.status is JobStatus.SUCCEEDED


def test_check_cancelled_is_found_from_a_helper_thread_with_the_jobs_context() -> None:
    gate = Gate()

    async def body() -> None:
        await asyncio.to_thread(gate)
        await asyncio.to_thread(lambda: current_job().check_cancelled())

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        gate.open()
        assert job.exception(TIMEOUT) is None


def test_job_cancelled_that_nobody_asked_for_is_a_failure() -> None:
    def body() -> None:
        raise JobCancelled("of another")

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled, match=r"^of another$"):
            job.result(TIMEOUT)
    assert job.status is JobStatus.FAILED
    assert not job.cancelled()


def test_a_body_that_waits_for_a_job_which_is_cancelled_has_failed() -> None:
    gate = Gate()

    def body() -> None:
        other.result(TIMEOUT)

    with BoundedRunner(1) as runner, BoundedRunner(1) as second:
        second.submit(gate)
        other = second.submit(len, "abc")
        job = runner.submit(body)
        other.cancel()
        assert isinstance(job.exception(TIMEOUT), JobCancelled)
        gate.open()
    assert job.status is JobStatus.FAILED


def test_a_job_that_has_ended_can_not_be_cancelled() -> None:
    def fails() -> None:
        raise LookupError

    with BoundedRunner(1) as runner:
        for fn in (int, fails):
            job = runner.submit(fn)
            job.exception(TIMEOUT)
            status = job.status
            assert not job.cancel()
            assert job.status is status
            job.check_cancelled()


def test_a_sync_body_may_cancel_a_pending_job_of_its_runner() -> None:
    def body() -> bool:
        return runner.submit(len, "abc").cancel()

    with BoundedRunner(1) as runner:
        assert runner.submit(body).result(TIMEOUT)


# While listeners hear.


def test_a_job_cancelled_while_pending_is_being_heard_hears_both_and_never_starts() -> None:
    hearing, go_on, ran = Event(), Event(), Event()
    heard = Heard()
    jobs: list[Job[Any]] = []

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            jobs.append(current_job())
            hearing.set()
            assert go_on.wait(TIMEOUT)

    with BoundedRunner(1, max_pending=0, on_status=[listener, heard]) as runner:
        submitting = Thread(target=runner.submit, args=(ran.set,))
        submitting.start()
        assert hearing.wait(TIMEOUT)
        assert jobs[0].cancel()
        assert jobs[0].cancelled()
        assert heard.statuses() == []
        go_on.set()
        submitting.join(TIMEOUT)
        assert heard.statuses() == ["pending", "cancelled"]
    assert not ran.is_set()


def test_a_listener_may_cancel_its_own_job_while_it_hears_pending() -> None:
    ran = Event()
    heard = Heard()

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            assert current_job().cancel()

    with BoundedRunner(1, on_status=[heard, listener]) as runner:
        job = runner.submit(ran.set)
        assert job.status is CANCELLED
        with pytest.raises(JobCancelled):
            job.result(0)
    assert heard.statuses() == ["pending", "cancelled"]
    assert not ran.is_set()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_async_listener_may_cancel_its_own_job_while_it_hears_pending(is_async: bool) -> None:
    ran = Event()
    heard = Heard()

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            assert current_job().cancel()
        heard(event)

    async def body() -> None:
        ran.set()

    with BoundedRunner(1, on_status=listener) as runner:
        job: Job[Any] = runner.submit(body) if is_async else runner.submit(ran.set)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert heard.statuses() == ["pending", "cancelled"]
    assert not ran.is_set()


def test_a_sync_job_cancelled_while_running_is_being_heard_is_asked_before_it_begins() -> None:
    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            assert not current_job().cancel()

    def body() -> None:
        current_job().check_cancelled()

    heard = Heard()
    with BoundedRunner(1, on_status=[listener, heard]) as runner:
        job = runner.submit(body)
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert heard.statuses() == ["pending", "running", "cancelled"]


def test_an_async_job_cancelled_while_an_async_listener_hears_running_never_begins() -> None:
    listening, began = AsyncGate(), Event()
    heard = Heard()

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            await listening()
        heard(event)

    async def body() -> None:
        began.set()

    with BoundedRunner(1, on_status=listener) as runner:
        job = runner.submit(body)
        listening.wait_for()
        assert job.cancel()
        assert not job.done()  # the listener hears to the end
        listening.open()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert not began.is_set()
    assert heard.statuses() == ["pending", "running", "cancelled"]
    assert job.status is CANCELLED


def test_a_lambdas_coroutine_is_never_awaited_twice_nor_left_behind_when_cancelled() -> None:
    """Between its sync and its async half it is asked, for there is no task yet."""
    gate, began = Gate(), Event()

    async def half() -> None:
        began.set()

    def body() -> Any:
        current_job().cancel()
        return half()

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        assert job.exception(TIMEOUT) is None
        gate.open()
    assert began.is_set()
    assert job.status is JobStatus.SUCCEEDED


def test_cancelling_while_the_final_status_is_being_heard_is_too_late() -> None:
    said: list[bool] = []

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.SUCCEEDED:
            said.append(current_job().cancel())

    with BoundedRunner(1, on_status=listener) as runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
    assert said == [False]


# Awaiters.


def test_cancelling_an_awaiter_never_cancels_the_job() -> None:
    gate = AsyncGate()

    async def main() -> object:
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate, "done")

            async def wait() -> object:
                return await job

            awaiter = asyncio.create_task(wait())
            while job.status is not JobStatus.RUNNING:
                await asyncio.sleep(0)
            awaiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await awaiter
            assert job.status is JobStatus.RUNNING
            gate.open()
            return await job

    assert asyncio.run(main()) == "done"


def test_an_awaiter_that_gives_up_by_a_timeout_never_cancels_the_job() -> None:
    gate = Gate()

    async def main() -> object:
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate, "done")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await job
            waits = runner.submit(len, "abc")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await waits
            gate.open()
            return await job, await waits

    assert asyncio.run(main()) == ("done", 3)


def test_one_awaiter_that_is_cancelled_leaves_the_others_waiting() -> None:
    gate = Gate()

    async def main() -> list[object]:
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate, "done")

            async def wait() -> object:
                return await job

            awaiters = [asyncio.create_task(wait()) for _ in range(3)]
            await asyncio.sleep(0)
            awaiters[1].cancel()
            await asyncio.sleep(0)
            gate.open()
            return await asyncio.gather(*awaiters, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert outcomes[0] == outcomes[2] == "done"
    assert isinstance(outcomes[1], asyncio.CancelledError)


def test_a_cancelled_job_does_not_look_like_the_cancellation_of_who_awaits_it() -> None:
    gate = Gate()

    async def main() -> str:
        async with BoundedRunner(1) as runner:
            runner.submit(gate)
            job = runner.submit(len, "abc")
            job.cancel()

            async def wait() -> None:
                await job

            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(wait())
            gate.open()
            return repr(caught.value.exceptions)

    assert asyncio.run(main()) == repr((JobCancelled("job 'len' was cancelled"),))


# The race.


def test_a_job_never_both_runs_and_is_cancelled() -> None:
    """Trap 3: whoever loses the race of cancel against start must see it."""
    rounds, size = 60, 20
    meet = Barrier(2)
    jobs: list[Job[None]] = []
    said: list[bool] = []

    def cancel_all() -> None:
        for _ in range(rounds):
            meet.wait(TIMEOUT)
            said.extend([job.cancel() for job in jobs])
            meet.wait(TIMEOUT)

    canceller = Thread(target=cancel_all, daemon=True)
    canceller.start()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    outcomes: dict[tuple[bool, bool], int] = {}
    try:
        with BoundedRunner(2) as runner:
            for _ in range(rounds):
                ran: list[int] = []
                gate = Gate()
                held = [runner.submit(gate) for _ in range(2)]
                jobs[:] = [runner.submit(ran.append, n) for n in range(size)]
                said.clear()
                gate.open()
                meet.wait(TIMEOUT)
                meet.wait(TIMEOUT)
                concurrent.futures.wait([*held, *jobs], TIMEOUT)
                for n, job in enumerate(jobs):
                    assert job.done()
                    assert said[n] == job.cancelled() == (job.status is CANCELLED)
                    assert (n in ran) is (job.status is JobStatus.SUCCEEDED), job
                    key = (n in ran, job.cancelled())
                    outcomes[key] = outcomes.get(key, 0) + 1
                assert len(ran) == len(set(ran))
    finally:
        sys.setswitchinterval(switch)
        canceller.join(TIMEOUT)
    assert set(outcomes) <= {(True, False), (False, True)}


def test_an_async_job_never_both_runs_and_is_cancelled() -> None:
    """Cancelled from another thread while its loop starts it."""
    ran: list[int] = []

    async def body(n: int) -> None:
        ran.append(n)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with BoundedRunner(3) as runner:
            jobs = [runner.submit(body, n) for n in range(1000)]
            said = [job.cancel() for job in jobs]
            concurrent.futures.wait(jobs, TIMEOUT)
            for n, job in enumerate(jobs):
                if job.status is CANCELLED:
                    assert said[n]
                    assert n not in ran or job.ran is not None
                else:
                    assert n in ran
            assert len(ran) == len(set(ran))
    finally:
        sys.setswitchinterval(switch)


def test_many_threads_that_cancel_the_same_jobs_are_heard_once() -> None:
    gate, heard = Gate(), Heard()
    meet = Barrier(4)

    def cancel_all() -> None:
        meet.wait(TIMEOUT)
        for job in jobs:
            assert job.cancel()

    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        jobs = [runner.submit(len, "abc") for _ in range(200)]
        threads = [Thread(target=cancel_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        gate.open()
    assert heard.statuses("len").count("cancelled") == 200
    assert heard.statuses("len").count("running") == 0


def test_a_ctrl_c_in_the_midst_of_cancelling_leaves_what_another_thread_tells_to_it() -> None:
    heard, gate = Heard(), Gate()
    body = AsyncGate()

    def held(event: JobEvent) -> None:
        heard(event)
        gate()

    with BoundedRunner(1, on_progress=held) as runner:
        job = runner.submit(body)
        body.wait_for()
        telling = Thread(target=job.report, args=(0.5,))
        telling.start()
        gate.wait_for()
        (loop,) = (lane for lane in [getattr(runner, "_core").loops.private])  # noqa: B009
        go_on = loop.call_soon_threadsafe

        def interrupted(*_: object) -> None:
            loop.call_soon_threadsafe = go_on
            raise KeyboardInterrupt

        loop.call_soon_threadsafe = interrupted
        with pytest.raises(KeyboardInterrupt):
            job.cancel()
        gate.open()
        telling.join(TIMEOUT)
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
    assert [event.progress.fraction for event in heard.events if event.progress] == [0.5]
