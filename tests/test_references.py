"""What is kept of a job that has ended: what its handle keeps, and nothing without it.

The garbage collector is off: what goes does so with its last reference, and no cycle keeps it.
Where Python is built without the GIL it cannot be, see `tests.freeing`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import signal
import threading
import time
import weakref
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobDeadlock,
    JobEvent,
    JobInterrupted,
    JobStatus,
    NotRunnable,
    RunnerClosed,
    RunnerFull,
    current_job,
)
from boundedjobs._latch import Latch
from tests.blocking import when_blocking
from tests.freeing import until
from tests.gates import TIMEOUT, AsyncGate, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

variable: contextvars.ContextVar[Thing] = contextvars.ContextVar("variable")


class Thing:
    """Something to be kept or not."""


class Broken(LookupError):
    """To it, unlike its base, there are weak references."""


class Watch:
    """Knows when things have gone."""

    def __init__(self) -> None:
        self._gone: dict[str, tuple[Event, weakref.ref[Any]]] = {}

    def over(self, name: str, thing: Any) -> Any:
        """Watch over `thing`, and return it."""
        gone = Event()
        self._gone[name] = (gone, weakref.ref(thing, lambda _: gone.set()))
        return thing

    def thing(self, name: str) -> Any:
        """A new thing, watched."""
        return self.over(name, Thing())

    def left(self, *names: str) -> list[str]:
        """Which of the things, by default of all, do not go. A worker may hold them yet."""
        end = time.monotonic() + TIMEOUT / 5
        left = {name: self._gone[name][0] for name in names or self._gone}
        return [n for n, gone in left.items() if not until(gone.wait, end - time.monotonic())]


@pytest.fixture(autouse=True)
def _without_the_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def submit(runner: BoundedRunner, watch: Watch, fn: Callable[..., Any]) -> Job[Any]:
    """Submit `fn` with everything watched: the callable, arguments, context, and the job."""
    watch.over("callable", fn)
    context = contextvars.copy_context()
    context.run(variable.set, watch.thing("context"))
    job: Job[Any] = context.run(
        partial(runner.submit, fn, watch.thing("argument"), key=watch.thing("keyword"))
    )
    watch.over("job", job)
    return job


def sync_body(watch: Watch) -> Callable[..., Any]:
    def body(_: object, *, key: object) -> object:
        return watch.thing("result")

    return body


def async_body(watch: Watch) -> Callable[..., Any]:
    async def body(_: object, *, key: object) -> object:
        await asyncio.sleep(0)
        return watch.thing("result")

    return body


def lambda_body(watch: Watch) -> Callable[..., Any]:
    body = async_body(watch)
    return lambda *args, **kwargs: body(*args, **kwargs)


def failing_body(watch: Watch) -> Callable[..., Any]:
    def body(_: object, *, key: object) -> None:
        local = watch.thing("local")
        raise watch.over("exception", Broken(local))

    return body


def failing_async_body(watch: Watch) -> Callable[..., Any]:
    async def body(_: object, *, key: object) -> None:
        local = watch.thing("local")
        await asyncio.sleep(0)
        raise watch.over("exception", Broken(local))

    return body


BODIES = [sync_body, async_body, lambda_body, failing_body, failing_async_body]


@pytest.mark.parametrize("body", BODIES)
def test_all_of_a_job_that_has_ended_goes_with_its_handle(body: Any) -> None:
    watch = Watch()
    with BoundedRunner(2) as runner:
        job = submit(runner, watch, body(watch))
        assert job.exception(TIMEOUT) is None or job.status is JobStatus.FAILED
        del job
        assert watch.left() == []


@pytest.mark.parametrize("body", BODIES)
def test_all_of_a_job_whose_handle_nobody_kept_goes_when_it_ends(body: Any) -> None:
    watch = Watch()
    with BoundedRunner(2) as runner:
        submit(runner, watch, body(watch))
        assert watch.left("job", "argument", "keyword", "callable", "context") == []
    assert watch.left() == []


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("body", BODIES)
def test_listeners_callbacks_and_waiters_keep_nothing(body: Any, is_async: bool) -> None:
    watch = Watch()
    heard = threading.Semaphore(0)

    def listener(event: JobEvent) -> None:
        heard.release()

    async def async_listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        listener(event)

    chosen: Any = async_listener if is_async else listener
    with BoundedRunner(2, on_status=chosen) as runner:
        job = submit(runner, watch, body(watch))
        callback = watch.over("callback", lambda _: None)
        job.add_done_callback(callback)
        del callback
        waiter = Thread(target=job.exception, args=(TIMEOUT,))
        waiter.start()
        waiter.join(TIMEOUT)
        del waiter, job
        for _ in range(3):
            assert heard.acquire(timeout=TIMEOUT)
        assert watch.left() == []


@pytest.mark.parametrize("body", BODIES)
def test_all_of_an_awaited_job_goes(body: Any) -> None:
    watch = Watch()

    async def main() -> list[str]:
        async with BoundedRunner(2) as runner:
            job = submit(runner, watch, body(watch))
            with suppress(LookupError):
                await job
            del job
            await asyncio.sleep(0)
            return await asyncio.to_thread(watch.left)

    assert asyncio.run(main()) == []


def test_asking_for_a_failure_again_and_again_keeps_nothing() -> None:
    watch = Watch()
    with BoundedRunner(1) as runner:
        job = submit(runner, watch, failing_body(watch))
        for _ in range(3):
            with suppress(LookupError):
                job.result(TIMEOUT)
        del job
        assert watch.left() == []


def test_a_job_that_was_cancelled_while_it_waited_goes_though_the_slot_is_busy() -> None:
    watch, gate = Watch(), Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = submit(runner, watch, sync_body(watch))
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(0)
        del job
        assert watch.left() == []
        gate.open()


def test_a_running_async_job_that_was_cancelled_goes() -> None:
    watch, gate = Watch(), AsyncGate()

    async def body(_: object, *, key: object) -> None:
        local = watch.thing("local")
        await gate()
        del local

    with BoundedRunner(1) as runner:
        job = submit(runner, watch, body)
        del body
        gate.wait_for()
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
        del job
        assert watch.left() == []


def test_a_sync_job_that_stopped_when_asked_goes() -> None:
    watch = Watch()

    def body(_: object, *, key: object) -> None:
        local = watch.thing("local")
        current_job().cancel()
        current_job().check_cancelled()
        del local

    with BoundedRunner(1) as runner:
        job = submit(runner, watch, body)
        del body
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
        del job
        assert watch.left() == []


def test_jobs_that_the_runner_let_go_of_go() -> None:
    pending, running, gate = Watch(), Watch(), Gate()

    def body(_: object, *, key: object) -> None:
        gate()

    runner = BoundedRunner(1)
    jobs = [submit(runner, running, body), submit(runner, pending, sync_body(pending))]
    del body
    gate.wait_for()
    runner.shutdown(timeout=0)
    for job in jobs:
        with pytest.raises(JobInterrupted):
            job.result(0)
    del job
    jobs.clear()
    assert pending.left() == []  # the other one's body still runs
    gate.open()
    assert running.left() == []


def test_a_rejected_job_goes_with_its_error() -> None:
    full, closed, generator = Watch(), Watch(), Watch()
    gate = Gate()

    def iterates(_: object, *, key: object) -> Iterator[int]:
        yield 1

    def refuse(watch: Watch, fn: Any, error: type[Exception]) -> None:
        try:
            submit(runner, watch, fn)
        except error as exc:
            watch.over("error", exc)

    with BoundedRunner(1, max_pending=0) as runner:
        runner.submit(gate)
        refuse(full, sync_body(full), RunnerFull)
        refuse(generator, iterates, NotRunnable)
        del iterates
        gate.open()
    refuse(closed, sync_body(closed), RunnerClosed)
    assert [watch.left() for watch in (full, closed, generator)] == [[], [], []]


def test_a_submitter_that_gave_up_waiting_for_room_leaves_nothing() -> None:
    watch, gate = Watch(), Gate()
    interrupt = partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        runner.submit(gate)
        gate.wait_for()
        try:
            with when_blocking(interrupt):
                runner.submit(watch.over("callable", sync_body(watch)), watch.thing("argument"))
        except KeyboardInterrupt:
            pass
        assert watch.left("callable", "argument") == []
        gate.open()


def test_a_refused_wait_leaves_nothing() -> None:
    watch = Watch()

    def body(_: object, *, key: object) -> None:
        try:
            current_job().result()
        except JobDeadlock as exc:
            watch.over("error", exc)

    with BoundedRunner(1) as runner:
        job = submit(runner, watch, body)
        del body
        job.result(TIMEOUT)
        del job
        assert watch.left() == []


def test_waits_in_vain_leave_nothing_where_they_waited() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate)
        before = len(latches())
        for _ in range(5):
            with pytest.raises(TimeoutError):
                job.result(0)
        assert len(latches()) == before
        gate.open()


def latches() -> list[Latch]:
    return [each for each in gc.get_objects() if type(each) is Latch]


# What a handle keeps.


@pytest.mark.parametrize("body", BODIES)
def test_a_handle_keeps_arguments_and_outcome_and_neither_callable_nor_context(body: Any) -> None:
    watch = Watch()
    with BoundedRunner(2) as runner:
        job = submit(runner, watch, body(watch))
        failed = job.exception(TIMEOUT) is not None
        assert [type(job.args[0]), type(job.kwargs["key"])] == [Thing, Thing]
        assert watch.left("context") == []
        if failed:  # its live exception has the frame of the callable
            assert type(job.exception(0)) is Broken
        else:
            assert watch.left("callable") == []
            assert type(job.result(0)) is Thing


class Awaited:
    """What a body returns, to be awaited."""

    def __await__(self) -> Iterator[None]:
        return iter(())


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_handle_drops_what_its_body_has_returned_to_be_awaited(is_lost: bool) -> None:
    kept: list[weakref.ref[Awaited]] = []

    def body() -> Awaited:
        gate()
        awaited = Awaited()
        kept.append(weakref.ref(awaited))
        return awaited

    async def begin() -> Job[Any]:
        return runner.submit(body)

    gate = Gate()
    with BoundedRunner(1) as runner:
        job = asyncio.run(begin()) if is_lost else runner.submit(body)
        gate.open()
        assert isinstance(job.exception(TIMEOUT), JobInterrupted) == is_lost
    assert kept[0]() is None
    assert job.done()


def test_a_handle_of_a_cancelled_job_keeps_its_arguments_and_drops_its_callable() -> None:
    watch, gate = Watch(), Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = submit(runner, watch, sync_body(watch))
        job.cancel()
        assert watch.left("callable", "context") == []
        assert type(job.args[0]) is Thing
        gate.open()


def test_a_failed_jobs_record_is_text_while_its_exception_keeps_the_frames() -> None:
    """Trap 12: the log and the failure pin nothing; the live exception does, with the handle."""
    watch = Watch()
    with BoundedRunner(1) as runner:
        job = submit(runner, watch, failing_body(watch))
        assert job.exception(TIMEOUT) is not None
        failure = job.failure
        assert failure is not None
        del job
        assert watch.left() == []
        assert failure.type == f"{__name__}.Broken"


def test_a_body_that_holds_its_own_job_makes_no_cycle_once_it_has_ended() -> None:
    """Trap 12: a job whose context holds the job."""
    watch = Watch()

    def body(_: object, *, key: object) -> None:
        mine: contextvars.ContextVar[Any] = contextvars.ContextVar("mine")
        mine.set(current_job())

    with BoundedRunner(1) as runner:
        job = submit(runner, watch, body)
        del body
        job.result(TIMEOUT)
        del job
        assert watch.left() == []


# The runner.


def test_a_closed_runner_goes_with_its_last_reference() -> None:
    watch = Watch()
    runner = watch.over("runner", BoundedRunner(2))
    with runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
        assert runner.submit(asyncio.sleep, 0, 3).result(TIMEOUT) == 3
    del runner
    assert watch.left() == []


def test_a_handle_does_not_keep_its_runner() -> None:
    watch = Watch()
    runner = watch.over("runner", BoundedRunner(1))
    job = runner.submit(len, "abc")
    assert job.result(TIMEOUT) == 3
    del runner
    assert watch.left() == []
    assert job.result(0) == 3


def test_a_handle_keeps_nothing_of_those_who_waited_for_it() -> None:
    gate = Gate()
    with BoundedRunner(2) as runner:
        jobs: list[Job[Any]] = [runner.submit(gate) for _ in range(4)]
        others = [weakref.ref(job) for job in jobs[1:]]
        with when_blocking(gate.open):
            concurrent.futures.wait(jobs, TIMEOUT)
        kept = jobs[0]
        del jobs
    gc.collect()
    assert [ref() for ref in others] == [None] * 3
    assert kept.done()


def test_a_handle_does_not_keep_the_event_loop_that_awaited_it() -> None:
    async def main() -> tuple[Job[Any], weakref.ref[asyncio.AbstractEventLoop]]:
        job = runner.submit(gate)
        loop = asyncio.get_running_loop()
        loop.call_soon(gate.open)
        await job
        return job, weakref.ref(loop)

    gate = Gate()
    with BoundedRunner(1) as runner:
        job, loop = asyncio.run(main())
    gc.collect()
    assert loop() is None
    assert job.done()
