"""The loop lane: which loop a job runs on, what awaitables become, and loops that go away."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import logging
import signal
import sys
import threading
import types
import weakref
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from contextlib import closing, contextmanager
from typing import Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobInterrupted,
    JobStatus,
    RunnerFull,
    current_job,
)
from boundedjobs._loops import Loops
from boundedjobs._todo import Todo
from tests.blocking import MOMENT, when_blocking
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard


async def here() -> asyncio.AbstractEventLoop:
    """A body that says on which loop it runs."""
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


async def nothing() -> None:
    """A body that yields to its loop once."""
    await asyncio.sleep(0)


async def for_ever() -> None:
    """A body that ends when it is cancelled."""
    await asyncio.get_running_loop().create_future()


def phase_of(job: Job[Any]) -> str:
    assert job.failure is not None
    return job.failure.phase


def records(caplog: pytest.LogCaptureFixture, logger: str) -> list[str]:
    """What was logged on a logger."""
    return [record.getMessage() for record in caplog.records if record.name == logger]


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_of_other_modules() -> None:
    """Of which asyncio would complain in the midst of a test of these."""
    gc.collect()


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Asyncio has nothing to complain about: 'destroyed but pending', 'never retrieved'."""
    yield
    gc.collect()
    assert records(caplog, "asyncio") == []


pytestmark = pytest.mark.usefixtures("quiet")


# Which loop.


def test_an_async_job_runs_on_the_loop_that_runs_where_submit_is_called() -> None:
    with BoundedRunner(1) as runner:

        async def main() -> None:
            assert await runner.submit(here) is asyncio.get_running_loop()

        asyncio.run(main())


def test_the_loop_of_the_submitter_goes_before_the_home_loop() -> None:
    async def main() -> None:
        async with BoundedRunner(1) as runner:

            async def elsewhere() -> None:
                assert await runner.submit(here) is asyncio.get_running_loop()

            await asyncio.to_thread(asyncio.run, elsewhere())

    asyncio.run(main())


def test_an_async_job_of_a_thread_runs_on_the_home_loop() -> None:
    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = await asyncio.to_thread(runner.submit, here)
            assert await job is asyncio.get_running_loop()

    asyncio.run(main())


def test_the_lifespan_makes_its_loop_the_home_loop() -> None:
    runner = BoundedRunner(1)

    async def main() -> None:
        async with runner.lifespan(object()):
            job = await asyncio.to_thread(runner.submit, here)
            assert await job is asyncio.get_running_loop()

    for _ in range(2):  # the next app, the next loop
        asyncio.run(main())


def test_two_loops_in_two_threads_share_one_limit() -> None:
    gate = AsyncGate()
    heard = Heard()
    loops: list[object] = []

    async def body() -> None:
        loops.append(asyncio.get_running_loop())
        await gate()

    with BoundedRunner(2, on_status=heard) as runner:

        async def main() -> None:
            await asyncio.gather(*(runner.submit(body) for _ in range(3)))

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            mains = [pool.submit(asyncio.run, main()) for _ in range(2)]
            gate.wait_for(2)
            assert heard.statuses().count("running") == 2
            gate.open()
            for done in mains:
                done.result(TIMEOUT)
    assert len(loops) == 6
    assert len(set(loops)) == 2


# The limit.


def test_limit_coroutines_run_at_once_on_one_loop() -> None:
    arrived = 0
    everybody: asyncio.Event | None = None

    async def meet() -> None:
        nonlocal arrived, everybody
        everybody = everybody or asyncio.Event()
        arrived += 1
        if arrived == 50:
            everybody.set()
        async with asyncio.timeout(TIMEOUT):
            await everybody.wait()

    with BoundedRunner(50) as runner:
        for job in [runner.submit(meet) for _ in range(50)]:
            job.result(TIMEOUT)


def test_never_more_than_limit_coroutines_run_at_once() -> None:
    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(3) as runner:
            jobs = [runner.submit(gate) for _ in range(20)]
            await asyncio.to_thread(gate.wait_for, 3)
            statuses = [job.status for job in jobs]
            assert statuses == [JobStatus.RUNNING] * 3 + [JobStatus.PENDING] * 17
            gate.open()
            await asyncio.gather(*jobs)

    asyncio.run(main())


def test_the_limit_covers_sync_and_async_jobs_together() -> None:
    sync_gate, async_gate = Gate(), AsyncGate()
    with BoundedRunner(2, max_pending=2) as runner:
        jobs: list[Job[Any]] = [runner.submit(sync_gate), runner.submit(async_gate)]
        sync_gate.wait_for()
        async_gate.wait_for()
        waiting: list[Job[Any]] = [runner.submit(nothing), runner.submit(int)]
        assert [job.status for job in waiting] == [JobStatus.PENDING] * 2
        with pytest.raises(RunnerFull):
            runner.submit(nothing)
        sync_gate.open()
        for job in waiting:  # both kinds pass through the slot of the sync one
            job.result(TIMEOUT)
        assert jobs[1].status is JobStatus.RUNNING
        async_gate.open()


def test_jobs_of_both_kinds_start_in_the_order_of_their_submission() -> None:
    order: list[int] = []
    gate = Gate()

    async def append_async(i: int) -> None:
        await asyncio.sleep(0)
        order.append(i)

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        for i in range(100):
            runner.submit(append_async if i % 3 else order.append, i)
        gate.open()
    assert order == list(range(100))


# Awaitables of what looks sync.


class Callable_:  # noqa: N801 - a callable object
    """A callable object with an async `__call__`."""

    async def __call__(self) -> asyncio.AbstractEventLoop:
        return await here()


class Methods:
    async def method(self) -> asyncio.AbstractEventLoop:
        return await here()

    @classmethod
    async def of_class(cls) -> asyncio.AbstractEventLoop:
        return await here()

    @staticmethod
    async def static() -> asyncio.AbstractEventLoop:
        return await here()


class OwnAwaitable:
    """Not a coroutine, but awaitable."""

    def __await__(self) -> Generator[Any, None, asyncio.AbstractEventLoop]:
        return here().__await__()


@functools.wraps(here)
def decorated() -> Any:
    return here()


@types.coroutine
def generator_based() -> Generator[Any, None, asyncio.AbstractEventLoop]:
    return (yield from here().__await__())


AWAITABLES: dict[str, Callable[[], Any]] = {
    "coroutine function": here,
    "lambda": lambda: here(),
    "partial": functools.partial(here),
    "partial of a lambda": functools.partial(lambda: here()),
    "decorated": decorated,
    "object": Callable_(),
    "bound __call__": Callable_().__call__,
    "partial of an object": functools.partial(Callable_()),
    "method": Methods().method,
    "class method": Methods.of_class,
    "static method": Methods.static,
    "awaitable object": OwnAwaitable,
    "generator-based": generator_based,
    "lambda of a generator-based one": lambda: generator_based(),
}

each_awaitable = pytest.mark.parametrize("fn", AWAITABLES.values(), ids=AWAITABLES.keys())


@each_awaitable
def test_what_returns_an_awaitable_is_run_on_the_loop_of_the_submitter(
    fn: Callable[[], Any],
) -> None:
    with BoundedRunner(1) as runner:

        async def main() -> None:
            assert await runner.submit(fn) is asyncio.get_running_loop()

        asyncio.run(main())


@each_awaitable
def test_what_returns_an_awaitable_is_run_on_the_private_loop_where_there_is_no_other(
    fn: Callable[[], Any],
) -> None:
    with BoundedRunner(1) as runner:
        assert runner.submit(fn).result(TIMEOUT) is runner.submit(here).result(TIMEOUT)


def test_an_awaitable_is_run_within_the_slot_of_its_job() -> None:
    gate = AsyncGate()
    with BoundedRunner(1, max_pending=0) as runner:
        job = runner.submit(lambda: gate(7))
        gate.wait_for()
        assert job.status is JobStatus.RUNNING
        with pytest.raises(RunnerFull):
            runner.submit(nothing)
        gate.open()
        assert job.result(TIMEOUT) == 7


def test_a_sync_callable_that_returns_an_awaitable_is_called_on_a_thread() -> None:
    threads: list[int] = []

    def fn() -> Awaitable[None]:
        threads.append(threading.get_ident())
        return nothing()

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            await runner.submit(fn)

    asyncio.run(main())
    assert threads != [threading.get_ident()]


def test_an_awaited_job_of_a_lambda_can_be_cancelled() -> None:
    gate = AsyncGate()
    with BoundedRunner(1) as runner:
        job = runner.submit(lambda: gate())
        gate.wait_for()
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)


def test_an_awaitable_that_raises_fails_its_job() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("oh")

    with BoundedRunner(1) as runner:
        job = runner.submit(lambda: fail())
        assert str(job.exception(TIMEOUT)) == "oh"
        assert job.status is JobStatus.FAILED


def test_an_awaitable_object_is_not_closed_after_it_was_awaited() -> None:
    closed: list[str] = []

    class Pool:
        """Awaitable, and of use afterwards: as asyncpg's pools are."""

        def __await__(self) -> Generator[Any, None, Pool]:
            yield from asyncio.sleep(0).__await__()
            return self

        def close(self) -> None:
            closed.append("close")

    with BoundedRunner(1) as runner:
        assert isinstance(runner.submit(Pool).result(TIMEOUT), Pool)
    assert closed == []


def test_a_returned_job_is_a_plain_result() -> None:
    gate = Gate()
    with BoundedRunner(2) as runner:
        inner = runner.wrap(gate)
        outer = runner.submit(inner, 7)
        job = outer.result(TIMEOUT)
        assert isinstance(job, Job)
        assert not job.done()
        gate.open()
        assert job.result(TIMEOUT) == 7


def test_a_returned_future_is_a_plain_result() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()

    async def returns_it() -> concurrent.futures.Future[int]:
        return future

    with BoundedRunner(1) as runner:
        assert runner.submit(lambda: future).result(TIMEOUT) is future
        assert runner.submit(returns_it).result(TIMEOUT) is future


def test_a_returned_asyncio_future_is_awaited() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        async with BoundedRunner(1) as runner:
            job = runner.submit(lambda: future)
            future.set_result(7)
            assert await job == 7

    asyncio.run(main())


# What coroutines raise.


class RaisesInAwait:
    """An awaitable whose `__await__` raises."""

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __await__(self) -> Generator[Any, None, None]:
        raise self._exc


@pytest.mark.parametrize(
    "make",
    [SystemExit, KeyboardInterrupt, GeneratorExit, StopAsyncIteration, MemoryError, ValueError],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_no_exception_of_a_coroutine_stops_its_loop(
    make: type[BaseException], at_once: bool
) -> None:
    exc = make("oh")

    async def body() -> None:
        if not at_once:
            await asyncio.sleep(0)
        raise exc

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(body)
            with pytest.raises(make) as caught:
                await job
            assert caught.value is exc
            assert (job.status, phase_of(job)) == (JobStatus.FAILED, "call")
            assert await runner.submit(here) is asyncio.get_running_loop()

    asyncio.run(main())


@pytest.mark.parametrize("make", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_exception_of_a_coroutine_stops_the_private_loop(make: type[BaseException]) -> None:
    exc = make("oh")

    async def body() -> None:
        await asyncio.sleep(0)
        raise exc

    with BoundedRunner(1) as runner:
        loop = runner.submit(here).result(TIMEOUT)
        assert runner.submit(body).exception(TIMEOUT) is exc
        assert runner.submit(here).result(TIMEOUT) is loop


def test_stop_iteration_in_a_coroutine_does_not_hang_its_job() -> None:
    async def body() -> None:
        raise StopIteration(7)

    with BoundedRunner(1) as runner:
        exc = runner.submit(body).exception(TIMEOUT)
        assert isinstance(exc, RuntimeError)
        assert str(exc) == "coroutine raised StopIteration"


def test_stop_iteration_out_of_await_does_not_hang_its_job() -> None:
    exc = StopIteration(7)
    with BoundedRunner(1) as runner:
        job = runner.submit(RaisesInAwait, exc)
        assert job.exception(TIMEOUT) is exc
        assert job.status is JobStatus.FAILED


def test_awaiting_a_job_that_failed_with_stop_iteration_does_not_hang() -> None:
    def body() -> None:
        raise StopIteration(7)

    async def main() -> None:
        async with BoundedRunner(1) as runner, asyncio.timeout(TIMEOUT):
            with pytest.raises(RuntimeError) as caught:
                await runner.submit(body)
            assert isinstance(caught.value.__cause__, StopIteration)

    asyncio.run(main())


def test_an_awaitable_that_yields_what_no_loop_knows_fails_its_job() -> None:
    class Odd:
        def __await__(self) -> Generator[Any, None, None]:
            yield 5

    with BoundedRunner(1) as runner:
        exc = runner.submit(Odd).exception(TIMEOUT)
        assert isinstance(exc, RuntimeError)
        assert "got bad yield: 5" in str(exc)


# A CancelledError that nobody asked for.


def test_a_cancelled_error_that_a_coroutine_raises_itself_fails_its_job() -> None:
    async def body() -> None:
        raise asyncio.CancelledError("mine")

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(body)
            with pytest.raises(JobCancelled) as caught:
                await job
            assert str(caught.value) == (
                f"job {job.name!r} failed: it raised CancelledError itself"
            )
            assert (job.status, job.cancelled()) == (JobStatus.FAILED, False)
            assert isinstance(job.exception(), asyncio.CancelledError)

    asyncio.run(main())


def test_a_coroutine_that_awaits_something_cancelled_fails() -> None:
    async def body() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        assert isinstance(job.exception(TIMEOUT), asyncio.CancelledError)
        assert (job.status, phase_of(job)) == (JobStatus.FAILED, "call")


def test_a_sync_body_that_raises_a_cancelled_error_fails() -> None:
    def body() -> None:
        raise asyncio.CancelledError

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        assert isinstance(job.exception(TIMEOUT), asyncio.CancelledError)
        assert job.status is JobStatus.FAILED


def test_a_job_whose_task_is_cancelled_from_outside_is_interrupted() -> None:
    tasks: list[asyncio.Task[Any]] = []
    gate = AsyncGate()

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await gate()

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(body)
            await asyncio.to_thread(gate.wait_for)
            tasks[0].cancel()
            with pytest.raises(JobInterrupted) as caught:
                await job
            assert str(caught.value) == (
                "the task was cancelled from outside: its loop is torn down"
            )
            assert (job.status, phase_of(job)) == (JobStatus.INTERRUPTED, "loop")
            await runner.submit(nothing)

    asyncio.run(main())


def test_a_timeout_within_a_coroutine_is_its_own_business() -> None:
    async def body() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await for_ever()
        return "went on"

    with BoundedRunner(1) as runner:
        assert runner.submit(body).result(TIMEOUT) == "went on"


def test_a_job_that_was_asked_to_stop_is_cancelled_and_not_interrupted() -> None:
    gate = AsyncGate()

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate)
            await asyncio.to_thread(gate.wait_for)
            assert job.cancel()
            with pytest.raises(JobCancelled):
                await job
            assert job.status is JobStatus.CANCELLED

    asyncio.run(main())


def test_cancel_reaches_a_task_from_another_thread() -> None:
    gate = AsyncGate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate)
        gate.wait_for()
        assert job.cancel()
        assert concurrent.futures.wait([job], TIMEOUT).not_done == set()
        assert job.cancelled()


def test_cancel_on_the_loop_of_a_job_comes_before_what_its_body_has_just_been_woken_for() -> None:
    async def main() -> None:
        begun, woken = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def body() -> None:
            begun.set()
            await woken

        async with BoundedRunner(1) as runner, asyncio.timeout(TIMEOUT):
            job = runner.submit(body)
            await begun.wait()
            woken.set_result(None)
            assert job.cancel()
            with pytest.raises(JobCancelled):
                await job

    asyncio.run(main())


def test_a_coroutine_that_refuses_to_stop_succeeds() -> None:
    gate = AsyncGate()

    async def body() -> str:
        try:
            await gate()
        except asyncio.CancelledError:
            return "no"
        return "opened"

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        assert job.cancel()
        assert job.result(TIMEOUT) == "no"


# Tasks.


def test_running_tasks_survive_a_garbage_collection() -> None:
    waiting: list[weakref.ref[asyncio.Future[str]]] = []
    arrived = threading.Event()

    async def body() -> str:
        # Nothing but the task refers to this future, and nothing of asyncio to the task.
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(future))
        arrived.set()
        return await future

    async def wake() -> None:
        future = waiting[0]()
        assert future is not None
        future.set_result("woken")

    with BoundedRunner(2) as runner:
        job = runner.submit(body)
        assert arrived.wait(TIMEOUT)
        for _ in range(3):
            gc.collect()
        runner.submit(wake).result(TIMEOUT)
        assert job.result(TIMEOUT) == "woken"


def test_running_tasks_of_a_dropped_runner_survive_a_garbage_collection() -> None:
    waiting: list[weakref.ref[asyncio.Future[str]]] = []
    ended: list[str] = []

    async def body() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(future))
        ended.append(await future)

    async def main() -> None:
        BoundedRunner(1).submit(body)  # neither the runner nor the job is kept
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        future = waiting[0]()
        assert future is not None
        future.set_result("woken")
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert ended == ["woken"]


def test_jobs_of_a_dropped_runner_come_to_their_end() -> None:
    async def main() -> None:
        gate = AsyncGate()
        runner = BoundedRunner(1)
        jobs = [runner.submit(gate, i) for i in range(3)]
        await asyncio.to_thread(gate.wait_for)
        del runner
        gc.collect()
        gate.open()
        assert await asyncio.gather(*jobs) == [0, 1, 2]

    asyncio.run(main())


def test_in_debug_mode_all_is_the_same() -> None:
    async def main() -> None:
        async with BoundedRunner(2, on_status=[Heard(), lambda _: nothing()]) as runner:
            jobs: list[Job[Any]] = [runner.submit(here), runner.submit(lambda: here())]
            jobs += [await asyncio.to_thread(runner.submit, here)]
            loop = asyncio.get_running_loop()
            assert await asyncio.gather(*jobs) == [loop] * 3
            job = runner.submit(for_ever)
            await asyncio.to_thread(job.cancel)
            with pytest.raises(JobCancelled):
                await job

    asyncio.run(main(), debug=True)


def test_a_task_factory_that_raises_interrupts_the_job_and_leaves_no_coroutine() -> None:
    def factory(_loop: object, _coroutine: Any, **_: Any) -> Any:
        raise ValueError("no tasks today")

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(factory)
            job = runner.submit(nothing)
            await asyncio.sleep(0)
            loop.set_task_factory(None)
            with pytest.raises(JobInterrupted) as caught:
                await job
            assert str(caught.value) == "the job could not be started: no tasks today"
            assert phase_of(job) == "start"
            await runner.submit(nothing)

    asyncio.run(main())


class Silent(asyncio.Task[Any]):
    """A task that does not say what it runs."""

    def get_coro(self) -> Any:
        raise ValueError("no idea")


@pytest.mark.parametrize("fails", ["factory", "task"])
def test_a_job_whose_task_could_not_be_made_is_not_tried_again_nor_kept(fails: str) -> None:
    made: list[asyncio.Task[Any]] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if fails == "factory":
            raise ValueError("no tasks today")
        made.append(Silent(coroutine, loop=loop, **options))
        return made[-1]

    def counting(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(asyncio.Task(coroutine, loop=loop, **options))
        return made[-1]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with BoundedRunner(1) as runner:
            loop.set_task_factory(factory)
            job = runner.submit(nothing)
            await asyncio.sleep(0)
            loop.set_task_factory(counting)
            assert (job.status, phase_of(job)) == (JobStatus.INTERRUPTED, "start")
            await asyncio.gather(*made, return_exceptions=True)
            made.clear()
            await asyncio.sleep(0)
            ref = weakref.ref(job)
            del job
            gc.collect()
            assert ref() is None
            await runner.submit(nothing)
            assert len(made) == 1

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_task_factory_that_awaits_within_a_coroutine_of_its_own_changes_nothing(
    is_async: bool,
) -> None:
    """As those of tracers do. A coroutine that has begun can't be awaited."""
    heard, gate = Heard(), AsyncGate()

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard(event)

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        async def traced() -> Any:
            return await coroutine

        return asyncio.Task(traced(), loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        async with BoundedRunner(1, on_status=listener if is_async else heard) as runner:
            for body in (nothing, here):
                async with asyncio.timeout(TIMEOUT):
                    await runner.submit(body)
            job = runner.wrap(gate, name="held")()
            await asyncio.to_thread(gate.wait_for)
            assert job.cancel()
            with pytest.raises(JobCancelled):
                await job

    asyncio.run(main())
    assert heard.statuses("here") == ["pending", "running", "succeeded"]
    assert heard.statuses("held") == ["pending", "running", "cancelled"]


def test_a_job_that_the_task_of_a_factory_never_begins_is_interrupted() -> None:
    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        async def lazy() -> Any:
            if len(made) > 1:
                await coroutine

        made.append(lazy())
        return asyncio.Task(made[-1], loop=loop, **options)

    made: list[Coroutine[Any, Any, Any]] = []

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            asyncio.get_running_loop().set_task_factory(factory)
            job, behind = runner.submit(nothing), runner.submit(nothing)
            async with asyncio.timeout(TIMEOUT):
                await asyncio.wait([asyncio.wrap_future(job)])
                await behind
            assert (job.status, phase_of(job)) == (JobStatus.INTERRUPTED, "start")
            ref = weakref.ref(job)
            del job
            gc.collect()
            assert ref() is None

    asyncio.run(main())


@pytest.mark.parametrize("is_first", [False, True])
def test_a_job_begins_with_the_task_that_a_factory_makes_for_it(is_first: bool) -> None:
    """And not a turn of the loop later."""
    order: list[str] = []

    async def note(name: str) -> None:
        order.append(name)

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        async def traced() -> Any:
            return await coroutine

        return asyncio.Task(traced(), loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with BoundedRunner(1) as runner:
            if not is_first:
                await runner.submit(nothing)
            loop.set_task_factory(factory)
            tasks: list[asyncio.Task[None]] = []
            job = runner.submit(note, "job")
            loop.call_soon(lambda: tasks.append(loop.create_task(note("task"))))
            await job
            await tasks[0]

    asyncio.run(main())
    assert order == ["job", "task"]


def cancel_others(task: asyncio.Task[Any], others: set[asyncio.Task[Any]]) -> None:
    """Cancel all tasks of a loop but one."""
    others |= asyncio.all_tasks(task.get_loop()) - {task}
    for other in others:
        other.cancel()


def test_a_job_whose_task_is_cancelled_before_it_begins_is_interrupted_and_not_kept() -> None:
    others: set[asyncio.Task[Any]] = set()

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        async with BoundedRunner(1) as runner:
            job = runner.submit(nothing)
            loop.call_soon(cancel_others, task, others)  # they have been made, and no more
            for _ in range(3):
                await asyncio.sleep(0)
            assert (job.status, job.done()) == (JobStatus.INTERRUPTED, True)
            assert phase_of(job) == "start"
            assert [other.cancelled() for other in others] == [True]
            others.clear()
            ref = weakref.ref(job)
            del job
            gc.collect()
            assert ref() is None
            await runner.submit(nothing)

    asyncio.run(main())


def put_again(runner: BoundedRunner, fn: Callable[[], Any]) -> Job[Any]:
    """Submit a job that is handed to its loop once more as it begins: after a Ctrl-C, say."""
    job = runner.submit(fn)
    core = getattr(runner, "_core")  # noqa: B009
    asyncio.get_running_loop().call_soon(core.mend)  # its task is there, and takes no step before
    return job


def test_a_job_that_is_handed_to_its_loop_again_as_it_begins_is_let_go_of_when_it_ends() -> None:
    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = put_again(runner, nothing)
            for _ in range(5):
                await asyncio.sleep(0)
            assert job.done()
            ref = weakref.ref(job)
            del job
            gc.collect()
            assert ref() is None

    asyncio.run(main())


def test_nor_is_it_lost_when_its_loop_is_closed_without_a_word() -> None:
    async def main() -> Job[Any]:
        job = put_again(runner, for_ever)
        for _ in range(5):
            await asyncio.sleep(0)
        return job

    runner, loop = BoundedRunner(1, drain_timeout=MOMENT), asyncio.new_event_loop()
    job = loop.run_until_complete(main())
    loop.close()
    assert isinstance(job.exception(MOMENT), JobInterrupted)
    runner.shutdown()


def test_a_ctrl_c_while_a_task_is_made_ends_the_loop_and_leaves_no_slot_taken() -> None:
    def factory(loop: asyncio.AbstractEventLoop, _coroutine: Any, **_: Any) -> Any:
        loop.set_task_factory(None)
        raise KeyboardInterrupt

    heard = Heard()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        await runner.submit(nothing)

    with BoundedRunner(1, on_status=heard) as runner:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        runner.submit(nothing).result(TIMEOUT)
    assert heard.statuses() == ["pending", "interrupted", "pending", "running", "succeeded"]


def test_an_async_job_that_is_cancelled_between_its_slot_and_its_first_line_never_starts() -> None:
    heard = Heard()
    ran: list[str] = []

    async def body() -> None:
        ran.append("body")

    async def main() -> None:
        async with BoundedRunner(1, on_status=heard) as runner:
            job = runner.submit(body)
            assert job.cancel()
            await runner.wrap(nothing, on_status=())()

    asyncio.run(main())
    assert ran == []
    assert heard.statuses()[:2] == ["pending", "cancelled"]


eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before 3.12")


def run_eagerly(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def with_factory() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - from 3.12 on
        await main()

    asyncio.run(with_factory())


@eager
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_with_eager_tasks_every_step_is_heard_in_order(is_async: bool) -> None:
    heard = Heard()

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard(event)

    async def main() -> None:
        async with BoundedRunner(2, on_status=listener if is_async else heard) as runner:
            jobs = [runner.wrap(nothing, name=str(i))() for i in range(20)]
            await asyncio.gather(*jobs)
        for job in jobs:
            assert heard.statuses(job.name) == ["pending", "running", "succeeded"]

    run_eagerly(main)


@eager
def test_with_eager_tasks_a_long_queue_is_no_deep_recursion() -> None:
    async def at_once() -> None:
        """Ends without ever yielding."""

    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(1) as runner:
            runner.submit(gate)
            jobs = [runner.submit(at_once) for _ in range(2_000)]
            gate.open()
            await asyncio.gather(*jobs)

    run_eagerly(main)


@eager
def test_with_eager_tasks_an_exception_stops_no_loop() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(leave)
            with pytest.raises(SystemExit):
                await job
            await runner.submit(nothing)

    run_eagerly(main)


@eager
def test_with_eager_tasks_the_first_step_of_a_body_is_in_no_midst_of_the_runners_own() -> None:
    outcomes: list[object] = []
    progress = Heard()

    async def body() -> None:
        with pytest.raises(RunnerFull):  # there and then, not put off
            runner.submit(int)
        current_job().report(0.5)
        outcomes.append(len(progress.events))

    async def main() -> None:
        async with runner:
            await runner.submit(body)

    runner = BoundedRunner(1, max_pending=0, on_progress=progress)
    run_eagerly(main)
    assert outcomes == [1]


# What a loop is bothered with.


@contextmanager
def scheduled(loop: asyncio.AbstractEventLoop) -> Iterator[list[Any]]:
    """What is put on a loop meanwhile, by its own thread."""
    found, call_soon = list[Any](), loop.call_soon

    def noted(callback: Any, *args: Any, **options: Any) -> Any:
        found.append(callback)
        return call_soon(callback, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_soon", noted)
        yield found


def test_a_loop_is_woken_once_for_all_jobs_that_come_before_it_has_seen_to_them() -> None:
    async def main() -> None:
        async with BoundedRunner(10) as runner:
            for _ in range(2):
                with scheduled(asyncio.get_running_loop()) as found:
                    jobs = [runner.submit(nothing) for _ in range(10)]
                assert len(found) == 1
                await asyncio.gather(*jobs)

    asyncio.run(main())


def test_who_mends_after_a_ctrl_c_does_not_wake_a_loop_that_has_nothing_to_see_to() -> None:
    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate)
            await asyncio.to_thread(gate.wait_for)
            with scheduled(asyncio.get_running_loop()) as found:
                getattr(runner, "_core").mend()  # noqa: B009
            gate.open()
            await job
            assert found == []

    asyncio.run(main())


def test_a_loop_that_has_begun_to_end_is_not_woken_for_a_job_nor_is_that_kept() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await runner.submit(nothing)
        await loop.shutdown_asyncgens()
        with scheduled(loop) as found:
            job = runner.submit(nothing)
        assert found == []
        assert (job.status, job.done()) == (JobStatus.INTERRUPTED, True)
        ref = weakref.ref(job)
        del job
        gc.collect()
        assert ref() is None

    with BoundedRunner(1) as runner:
        asyncio.run(main())


def test_async_generators_that_are_dropped_are_closed_by_a_loop_that_has_run_jobs() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            await runner.submit(nothing)
        async for _ in numbers():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert closed == ["closed"]

    asyncio.run(main())


def test_a_runner_that_is_dropped_leaves_no_task_on_its_loop() -> None:
    async def others() -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use(BoundedRunner(1)))
    gc.collect()
    left = loop.run_until_complete(others())
    loop.close()
    assert left == set()


# Loops that go away.


def test_a_loop_closed_by_hand_after_its_runner_is_gone_leaves_nothing_unawaited() -> None:
    async def main() -> None:
        await BoundedRunner(1).submit(nothing)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    gc.collect()
    loop.close()
    del loop
    gc.collect()  # a warning would be an error here


def check_interrupted(jobs: list[Job[Any]], phases: set[str]) -> None:
    """All have ended, and without the help of anybody who waits."""
    assert [job.status for job in jobs] == [JobStatus.INTERRUPTED] * len(jobs)
    for job in jobs:
        assert isinstance(job.exception(TIMEOUT), JobInterrupted)
    assert {phase_of(job) for job in jobs} <= phases


@pytest.mark.parametrize("pending", [0, 1, 500])
def test_when_asyncio_run_ends_running_and_pending_jobs_are_interrupted(pending: int) -> None:
    gate = AsyncGate()
    heard = Heard()
    runner = BoundedRunner(2, on_status=heard)

    async def main() -> list[Job[Any]]:
        jobs: list[Job[Any]] = [runner.submit(gate) for _ in range(2 + pending)]
        await asyncio.to_thread(gate.wait_for, 2)
        return jobs

    jobs = asyncio.run(main())
    # Those whose turn comes while the loop ends may start and be cut off, or not start.
    check_interrupted(jobs, {"loop", "start"} if pending else {"loop"})
    assert heard.statuses().count("interrupted") == len(jobs)
    assert runner.submit(int, "7").result(TIMEOUT) == 7  # all slots are free
    runner.shutdown()


def test_when_asyncio_run_ends_jobs_that_can_still_end_do() -> None:
    ended: list[int] = []

    async def body(i: int) -> None:
        ended.append(i)

    runner = BoundedRunner(1)

    async def main() -> list[Job[Any]]:
        return [runner.submit(body, i) for i in range(5)]

    jobs = asyncio.run(main())
    runner.shutdown()
    assert all(job.status.is_final for job in jobs)
    assert [job.args[0] for job in jobs if job.status is JobStatus.SUCCEEDED] == ended


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "returns an awaitable"])
def test_when_asyncio_run_ends_async_listeners_hear_it(is_async: bool) -> None:
    heard: list[str] = []
    gate = AsyncGate()

    async def listener(event: JobEvent) -> None:
        heard.append(event.status.value)

    runner = BoundedRunner(1, on_status=listener)

    async def main() -> Job[Any]:
        job = runner.submit(gate if is_async else lambda: gate())
        await asyncio.to_thread(gate.wait_for)
        return job

    job = asyncio.run(main())
    check_interrupted([job], {"loop"})
    runner.shutdown()
    assert heard == ["pending", "running", "interrupted"]


def test_a_loop_that_has_begun_to_end_takes_no_more_jobs() -> None:
    async def main() -> list[Job[Any]]:
        before = runner.submit(nothing)
        await before
        await asyncio.get_running_loop().shutdown_asyncgens()
        jobs: list[Job[Any]] = [runner.submit(nothing), runner.submit(lambda: nothing())]
        for job in jobs:
            with pytest.raises(JobInterrupted):
                await job
        return jobs

    with BoundedRunner(1) as runner:
        check_interrupted(asyncio.run(main()), {"start", "loop"})


@pytest.mark.parametrize("is_async", [True, False])
def test_the_body_of_a_job_on_a_loop_that_begins_to_end_is_cancelled(is_async: bool) -> None:
    gate, heard = AsyncGate(), list[str]()

    async def body() -> None:
        try:
            await gate()
        except BaseException as exc:
            heard.append(type(exc).__name__)
            raise

    async def main() -> None:
        jobs.append(runner.submit(body if is_async else lambda: body()))
        await asyncio.to_thread(gate.wait_for)
        await asyncio.get_running_loop().shutdown_asyncgens()

    jobs: list[Job[Any]] = []
    with BoundedRunner(1) as runner:
        asyncio.run(main())
        check_interrupted(jobs, {"loop"})
    assert heard == ["CancelledError"]


def test_a_call_that_is_lost_with_its_loop_is_counted_once_though_two_threads_find_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, told = AsyncGate(), Gate()

    async def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            await gate()

    def log(*_: object) -> None:
        if threading.current_thread() is closing:
            told()

    async def begin() -> None:
        runner.submit(nothing)
        await asyncio.to_thread(gate.wait_for)

    monkeypatch.setattr("boundedjobs._book.log_listener_error", log)
    runner, loop = BoundedRunner(2, on_status=listener), asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    closing = threading.Thread(target=runner.shutdown)
    closing.start()
    told.wait_for()
    getattr(runner, "_core").reap()  # noqa: B009 - as whoever waits does
    told.open()
    closing.join(TIMEOUT)
    assert not closing.is_alive()
    assert runner.listener_errors == 2  # RUNNING, and the end


def test_a_loop_that_does_not_run_now_and_goes_on_later_keeps_its_jobs() -> None:
    gate = AsyncGate()

    async def begin() -> Job[Any]:
        job = runner.submit(gate, 3)
        await asyncio.to_thread(gate.wait_for)
        return job

    async def end() -> Any:
        gate.open()
        return await job

    with BoundedRunner(1) as runner, asyncio.Runner() as loop:
        job = loop.run(begin())
        getattr(runner, "_core").reap()  # noqa: B009 - as whoever waits does
        assert loop.run(end()) == 3


def test_a_loop_that_does_not_run_when_the_interpreter_exits_takes_nothing_from_then_on() -> None:
    todo = Todo()
    loops = Loops("runner", todo, last_orders=False)
    with closing(asyncio.new_event_loop()) as loop:
        for stopped in (False, True):
            loops.reap(stopped=stopped)
            with todo.lock:
                assert loops.lane(loop).gone is stopped


def test_nothing_is_kept_of_loops_that_are_closed() -> None:
    async def main() -> None:
        await runner.submit(nothing)

    with BoundedRunner(1) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        for _ in range(3):
            asyncio.run(main())
            assert len(core.loops._lanes) == 1
        core.reap()
        assert core.loops._lanes == {}


def test_sync_jobs_live_on_when_asyncio_run_ends() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:

        async def main() -> list[Job[Any]]:
            jobs = [runner.submit(gate, i) for i in range(3)]
            await asyncio.to_thread(gate.wait_for)
            return jobs

        jobs = asyncio.run(main())
        gate.open()
        assert [job.result(TIMEOUT) for job in jobs] == [0, 1, 2]


def closed_without_a_word(runner: BoundedRunner, fn: Callable[..., Any], count: int) -> list[Any]:
    """Jobs of a loop that is stopped and closed, without being told to cancel its tasks."""

    async def main() -> list[Job[Any]]:
        jobs: list[Job[Any]] = [runner.submit(fn) for _ in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return jobs

    loop = asyncio.new_event_loop()
    jobs = loop.run_until_complete(main())
    loop.close()
    return jobs


@pytest.mark.parametrize(
    "see", ["result", "result with a timeout", "shutdown", "submit", "wait for the last"]
)
def test_jobs_whose_loop_was_closed_without_a_word_are_interrupted(see: str) -> None:
    runner = BoundedRunner(2)
    jobs = closed_without_a_word(runner, for_ever, 4)
    if see.startswith("result"):
        with pytest.raises(JobInterrupted):
            jobs[0].result(TIMEOUT if "timeout" in see else None)
    elif see == "wait for the last":
        with pytest.raises(JobInterrupted):
            jobs[-1].result()
    elif see == "submit":
        runner.submit(nothing).result(TIMEOUT)
    runner.shutdown()
    check_interrupted(jobs, {"loop", "start"})


def test_a_job_that_was_handed_to_its_loop_again_after_a_ctrl_c_is_interrupted_as_well() -> None:
    busy, gate, loop_ends = Gate(), AsyncGate(), threading.Event()
    interrupt = functools.partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    runner = BoundedRunner(1, max_pending=0, when_full="wait")

    async def main() -> None:
        runner.__enter__()
        busy()
        await asyncio.to_thread(loop_ends.wait, TIMEOUT)

    def run() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    busy.wait_for()
    job = runner.submit(gate)
    with pytest.raises(KeyboardInterrupt), when_blocking(interrupt):
        runner.submit(nothing)  # waits for room
    busy.open()
    gate.wait_for()
    loop_ends.set()
    thread.join(TIMEOUT)
    with pytest.raises(JobInterrupted):
        job.result(TIMEOUT)
    runner.shutdown()


def test_a_job_that_waits_for_one_whose_loop_was_closed_without_a_word_hears_of_its_end() -> None:
    runner = BoundedRunner(2)
    jobs = closed_without_a_word(runner, for_ever, 1)
    assert isinstance(runner.submit(jobs[0].exception).result(TIMEOUT), JobInterrupted)
    runner.shutdown()


def test_a_loop_closed_without_a_word_keeps_no_slot_from_jobs_that_nobody_waits_for() -> None:
    ran = threading.Event()
    runner = BoundedRunner(1)
    jobs = closed_without_a_word(runner, for_ever, 1)
    runner.submit(ran.set)
    assert ran.wait(TIMEOUT)
    runner.shutdown()
    check_interrupted(jobs, {"loop"})


def test_jobs_whose_loop_was_closed_without_a_word_run_their_finally_clauses() -> None:
    ended: list[str] = []

    async def body() -> None:
        try:
            await for_ever()
        finally:
            ended.append("finally")

    runner = BoundedRunner(1)
    closed_without_a_word(runner, body, 1)
    runner.shutdown()
    assert ended == ["finally"]


def test_a_coroutine_that_ignores_the_end_of_its_loop_changes_nothing() -> None:
    async def body() -> None:
        while True:
            try:
                await for_ever()
            except GeneratorExit:
                await asyncio.sleep(0)

    runner = BoundedRunner(1)
    jobs = closed_without_a_word(runner, body, 1)
    runner.shutdown()
    check_interrupted(jobs, {"loop"})


def test_jobs_that_had_no_time_to_start_when_their_loop_was_closed_are_interrupted() -> None:
    jobs: list[Job[Any]] = []
    ran: list[str] = []
    runner = BoundedRunner(2)

    async def body() -> None:
        ran.append("body")

    loop = asyncio.new_event_loop()
    loop.call_soon(lambda: jobs.extend(runner.submit(body) for _ in range(5)))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    runner.shutdown()
    check_interrupted(jobs, {"start"})
    assert ran == []


def test_a_turn_that_comes_when_a_loop_closed_before_it_saw_to_others_finds_it_closed() -> None:
    gate = Gate()
    jobs: list[Job[Any]] = []
    with BoundedRunner(2) as runner:
        runner.submit(gate)
        gate.wait_for()
        loop = asyncio.new_event_loop()
        loop.call_soon(lambda: jobs.extend(runner.submit(nothing) for _ in range(2)))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        gate.open()  # the slot goes to the second, on the loop that has been woken for the first
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()  # whom nobody asks
        check_interrupted(jobs, {"start"})


@pytest.mark.parametrize("count", [1, 500])
def test_jobs_whose_turn_comes_when_their_loop_is_closed_are_interrupted(count: int) -> None:
    gate = Gate()
    runner = BoundedRunner(1)

    async def main() -> list[Job[Any]]:
        runner.submit(gate)
        jobs: list[Job[Any]] = [runner.submit(nothing) for _ in range(count)]
        await asyncio.to_thread(gate.wait_for)
        return jobs

    jobs = asyncio.run(main())
    gate.open()
    for job in jobs:
        assert isinstance(job.exception(TIMEOUT), JobInterrupted)
    runner.shutdown()
    check_interrupted(jobs, {"start"})


def test_an_awaitable_whose_loop_is_closed_when_it_is_made_is_not_left_unawaited() -> None:
    gate = Gate()
    runner = BoundedRunner(1)

    def body() -> Any:
        gate()
        return nothing()

    async def main() -> Job[Any]:
        job = runner.submit(body)
        await asyncio.to_thread(gate.wait_for)
        return job

    job = asyncio.run(main())
    gate.open()
    assert isinstance(job.exception(TIMEOUT), JobInterrupted)
    assert phase_of(job) == "loop"
    runner.shutdown()


def test_an_awaitable_that_had_no_time_to_start_when_its_loop_ended_is_not_left_unawaited() -> None:
    made = threading.Event()

    def body() -> Any:
        made.set()
        return nothing()

    runner = BoundedRunner(1)

    async def main() -> Job[Any]:
        job = runner.submit(body)
        assert made.wait(TIMEOUT)  # this loop has no time for anybody
        return job

    job = asyncio.run(main())
    runner.shutdown()
    assert job.status in (JobStatus.SUCCEEDED, JobStatus.INTERRUPTED)


def test_an_awaitable_whose_job_was_interrupted_meanwhile_is_not_left_unawaited() -> None:
    made = threading.Event()

    def body() -> Any:
        made.set()
        return nothing()

    async def main() -> None:
        runner = BoundedRunner(1)
        job = runner.submit(body)
        assert made.wait(TIMEOUT)  # this loop has no time for anybody
        closing = threading.Thread(target=runner.shutdown, kwargs={"timeout": 0})
        closing.start()
        closing.join(TIMEOUT)
        assert job.status is JobStatus.INTERRUPTED
        for _ in range(3):  # now it has
            await asyncio.sleep(0)

    asyncio.run(main())


def test_cancelling_a_job_whose_loop_is_closed_interrupts_it() -> None:
    runner = BoundedRunner(1)
    (job,) = closed_without_a_word(runner, for_ever, 1)
    assert not job.cancel()
    check_interrupted([job], {"loop"})
    runner.shutdown()


def test_a_failed_start_on_a_closed_loop_is_logged_once_a_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = BoundedRunner(1)
    jobs = closed_without_a_word(runner, for_ever, 3)
    runner.shutdown()
    logged = records(caplog, "boundedjobs")
    assert [sum(job.id in line for line in logged) for job in jobs] == [1, 1, 1]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


async def use(runner: BoundedRunner) -> None:
    await runner.submit(nothing)


def test_dropping_a_runner_whose_loop_stops_for_a_while_makes_no_noise() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use(BoundedRunner(1)))
    gc.collect()
    loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    loop.close()


def test_dropping_a_runner_whose_loop_is_closed_makes_no_noise() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use(BoundedRunner(1)))
    loop.close()
    gc.collect()
