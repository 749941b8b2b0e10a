"""Context variables: one copy a job, made when it is submitted; and `current_job()`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from boundedjobs import BoundedRunner, Job, JobCancelled, JobEvent, JobStatus, current_job
from tests.gates import TIMEOUT, AsyncGate, Gate

request: ContextVar[str] = ContextVar("request", default="none")


def read() -> str:
    """A body that says in whose context it runs."""
    return request.get()


async def read_async() -> str:
    """The same, on a loop."""
    await asyncio.sleep(0)
    return request.get()


BODIES: dict[str, Callable[[], Any]] = {
    "sync": read,
    "async": read_async,
    "returns an awaitable": lambda: read_async(),
}
each_kind = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())


@pytest.fixture(autouse=True)
def _nothing_leaks_out() -> Any:
    """What a job, a listener or a callback sets is not seen by whoever submits."""
    yield
    assert request.get() == "none"
    with pytest.raises(LookupError):
        current_job()


def submit_as(value: str, runner: BoundedRunner, fn: Callable[[], Any]) -> Job[Any]:
    """Submit `fn` where `request` is `value`."""

    def submit() -> Job[Any]:
        request.set(value)
        return runner.submit(fn)

    return copy_context().run(submit)


@each_kind
def test_a_job_runs_in_the_context_of_its_submission(body: Callable[[], Any]) -> None:
    with BoundedRunner(1) as runner:
        assert submit_as("mine", runner, body).result(TIMEOUT) == "mine"


@each_kind
def test_each_job_has_its_own_context_and_not_the_first_submitters(body: Callable[[], Any]) -> None:
    with BoundedRunner(1) as runner:
        jobs = [submit_as(str(i), runner, body) for i in range(20)]
        assert [job.result(TIMEOUT) for job in jobs] == [str(i) for i in range(20)]
        assert runner.submit(body).result(TIMEOUT) == "none"


@each_kind
def test_the_context_is_copied_at_submit_and_not_at_the_start(body: Callable[[], Any]) -> None:
    gate = Gate()

    def change() -> Job[Any]:
        request.set("before")
        job = runner.submit(body)
        request.set("after")
        return job

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = copy_context().run(change)
        gate.open()
        assert job.result(TIMEOUT) == "before"


@each_kind
def test_what_a_job_sets_no_other_job_of_the_same_worker_sees(body: Callable[[], Any]) -> None:
    def spoil() -> None:
        request.set("spoilt")

    async def spoil_async() -> None:
        request.set("spoilt")

    with BoundedRunner(1) as runner:
        for spoiler in (spoil, spoil_async):
            runner.submit(spoiler).result(TIMEOUT)
            assert runner.submit(body).result(TIMEOUT) == "none"


def test_jobs_of_one_context_do_not_share_a_copy() -> None:
    barrier = threading.Barrier(4)

    def body(value: str) -> str:
        request.set(value)
        barrier.wait(TIMEOUT)
        return request.get()

    with BoundedRunner(4) as runner:
        jobs = [runner.submit(body, str(i)) for i in range(4)]
        assert [job.result(TIMEOUT) for job in jobs] == ["0", "1", "2", "3"]


def test_an_awaitable_sees_what_the_callable_that_made_it_has_set() -> None:
    def body() -> Any:
        request.set("set on the thread")
        return read_async()

    with BoundedRunner(1) as runner:
        assert runner.submit(body).result(TIMEOUT) == "set on the thread"


# Listeners and callbacks.


@each_kind
def test_sync_listeners_see_the_context_of_the_job(body: Callable[[], Any]) -> None:
    seen: list[str] = []
    with BoundedRunner(1, on_status=lambda _: seen.append(request.get())) as runner:
        submit_as("mine", runner, body).result(TIMEOUT)
    assert seen == ["mine"] * 3


@each_kind
def test_async_listeners_see_the_context_of_the_job(body: Callable[[], Any]) -> None:
    seen: list[str] = []

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        seen.append(request.get())

    with BoundedRunner(1, on_status=listener) as runner:
        submit_as("mine", runner, body).result(TIMEOUT)
    assert seen == ["mine"] * 3


@each_kind
def test_done_callbacks_see_the_context_of_the_job(body: Callable[[], Any]) -> None:
    gate = Gate()
    seen: list[str] = []
    called = threading.Event()

    def callback(_: object) -> None:
        seen.append(request.get())
        called.set()

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = submit_as("mine", runner, body)
        job.add_done_callback(callback)
        gate.open()
        assert called.wait(TIMEOUT)
    assert seen == ["mine"]


def test_what_a_listener_sets_its_submitter_does_not_see() -> None:
    def listener(_: JobEvent) -> None:
        request.set("spoilt")

    with BoundedRunner(1, on_status=listener) as runner:
        runner.submit(read).result(TIMEOUT)
        assert request.get() == "none"


def test_a_job_that_is_cancelled_elsewhere_is_heard_in_its_own_context() -> None:
    gate = Gate()
    seen: list[tuple[str, str]] = []
    with BoundedRunner(
        1, on_status=lambda event: seen.append((event.status, request.get()))
    ) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = submit_as("mine", runner, read)
        seen.clear()
        context = copy_context()
        context.run(request.set, "canceller's")
        context.run(job.cancel)
        assert seen == [("cancelled", "mine")]
        gate.open()


INHERITING = ["-X", "thread_inherit_context=1"] if sys.version_info >= (3, 14) else []
"""As Python without the GIL has it."""

KEEPS_NOTHING = """
import contextvars, gc, sysconfig, threading, time, weakref
from boundedjobs import BoundedRunner

async def nothing():
    pass

class Value:
    pass

def submit(runner):
    value = Value()
    contextvars.ContextVar("value").set(value)
    runner.submit(nothing).result(10)
    runner.wrap(len, stuck_after=60)("").result(10)
    return weakref.ref(value)

with BoundedRunner(1, name="runner") as runner:
    value = contextvars.Context().run(submit, runner)
    print(sorted(thread.name for thread in threading.enumerate() if thread.daemon))
    ends = time.monotonic() + 10
    while value() is not None and time.monotonic() < ends:
        time.sleep(0.01)
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            gc.collect()  # see tests/freeing.py
    print(value())
"""


def test_a_thread_keeps_nothing_of_the_context_in_which_it_was_started() -> None:
    done = subprocess.run(
        [sys.executable, *INHERITING, "-c", KEEPS_NOTHING],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "['runner-0', 'runner-loop', 'runner-timer']\nNone\n"


def test_a_job_may_be_submitted_from_inside_its_own_kind_of_job() -> None:
    def outer() -> Job[str]:
        request.set("outer")
        return runner.submit(read)

    with BoundedRunner(1) as runner:
        assert runner.submit(outer).result(TIMEOUT).result(TIMEOUT) == "outer"


# current_job().


def this() -> Job[Any]:
    return current_job()


async def this_async() -> Job[Any]:
    await asyncio.sleep(0)
    return current_job()


CURRENT: dict[str, Callable[[], Any]] = {
    "sync": this,
    "async": this_async,
    "returns an awaitable": lambda: this_async(),
}
each_current = pytest.mark.parametrize("body", CURRENT.values(), ids=CURRENT.keys())


@each_current
def test_current_job_is_the_job_inside_its_body(body: Callable[[], Any]) -> None:
    with BoundedRunner(1) as runner:
        for _ in range(2):
            job = runner.submit(body)
            assert job.result(TIMEOUT) is job


def test_current_job_outside_a_job_is_a_lookup_error_that_says_so() -> None:
    with pytest.raises(LookupError) as caught:
        current_job()
    assert str(caught.value) == (
        "current_job() was called outside a job: it is for a job's body, its listeners and "
        "its callbacks"
    )


@each_current
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_current_job_is_the_job_inside_its_listeners(
    body: Callable[[], Any], is_async: bool
) -> None:
    seen: list[tuple[str, Job[Any]]] = []

    def listener(event: JobEvent) -> None:
        seen.append((event.status, current_job()))

    async def listener_async(event: JobEvent) -> None:
        await asyncio.sleep(0)
        listener(event)

    with BoundedRunner(1, on_status=listener_async if is_async else listener) as runner:
        job = runner.submit(body)
        job.result(TIMEOUT)
    assert seen == [("pending", job), ("running", job), ("succeeded", job)]


@each_current
def test_current_job_is_the_inner_job_inside_the_listeners_of_a_job_of_a_job(
    body: Callable[[], Any],
) -> None:
    seen: list[tuple[str, Job[Any]]] = []
    with BoundedRunner(2) as runner:
        inner = runner.wrap(body, on_status=lambda e: seen.append((e.status, current_job())))
        job = runner.submit(inner).result(TIMEOUT)
        assert job.result(TIMEOUT) is job
    assert seen == [("pending", job), ("running", job), ("succeeded", job)]


@each_current
def test_current_job_is_the_job_inside_its_done_callbacks(body: Callable[[], Any]) -> None:
    gate = Gate()
    seen: list[Job[Any]] = []
    called = threading.Event()

    def callback(_: object) -> None:
        seen.append(current_job())
        called.set()

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(body)
        job.add_done_callback(callback)
        gate.open()
        assert called.wait(TIMEOUT)
    assert seen == [job]


def test_current_job_is_the_job_inside_the_callbacks_of_one_that_was_cancelled() -> None:
    gate = Gate()
    seen: list[Job[Any]] = []
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(this)
        job.add_done_callback(lambda _: seen.append(current_job()))
        job.cancel()
        gate.open()
    assert seen == [job]


def test_current_job_is_the_job_inside_a_callback_that_is_added_when_it_is_done() -> None:
    seen: list[Job[Any]] = []
    with BoundedRunner(1) as runner:
        job = runner.submit(this)
        job.result(TIMEOUT)
        job.add_done_callback(lambda _: seen.append(current_job()))
    assert seen == [job]


def test_current_job_is_found_in_asyncio_to_thread_and_in_tasks_of_a_body() -> None:
    async def body() -> list[Job[Any]]:
        return [await asyncio.to_thread(current_job), await asyncio.create_task(this_async())]

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        assert job.result(TIMEOUT) == [job, job]


def test_a_report_from_asyncio_to_thread_is_the_jobs() -> None:
    async def body() -> None:
        await asyncio.to_thread(lambda: current_job().report(0.5, "half"))

    heard: list[str] = []

    def listener(event: JobEvent) -> None:
        assert event.progress is not None
        heard.append(event.progress.message)

    with BoundedRunner(1, on_progress=listener) as runner:
        runner.submit(body).result(TIMEOUT)
    assert heard == ["half"]


def test_current_job_is_not_left_behind_on_the_loop() -> None:
    async def main() -> None:
        async with BoundedRunner(1) as runner:
            await runner.submit(this_async)
            with pytest.raises(LookupError):
                current_job()
            gate = AsyncGate()
            runner.submit(gate)
            job = runner.submit(this_async)
            job.cancel()
            with pytest.raises(LookupError):
                current_job()
            gate.open()

    asyncio.run(main())


def test_current_job_is_each_ones_own_while_many_run_on_one_loop() -> None:
    async def body() -> bool:
        job = current_job()
        for _ in range(5):
            await asyncio.sleep(0)
            if current_job() is not job:
                return False
        return True

    with BoundedRunner(10) as runner:
        jobs = [runner.submit(body) for _ in range(50)]
        assert all(job.result(TIMEOUT) for job in jobs)


def test_current_job_of_another_runner_is_not_shadowed_by_the_outer_one() -> None:
    with BoundedRunner(1) as outer, BoundedRunner(1) as inner:

        def body() -> tuple[Job[Any], Job[Any], Job[Any], Job[Any]]:
            job = inner.submit(this)
            return current_job(), job, job.result(TIMEOUT), current_job()

        job = outer.submit(body)
        before, submitted, seen, after = job.result(TIMEOUT)
        assert (before, after) == (job, job)
        assert seen is submitted


def test_a_cancelled_job_of_a_loop_is_current_in_its_finally_clauses() -> None:
    seen: list[Job[Any]] = []
    gate = AsyncGate()

    async def body() -> None:
        try:
            await gate()
        finally:
            seen.append(current_job())

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        job.cancel()
        assert concurrent.futures.wait([job], TIMEOUT).not_done == set()
        with pytest.raises(JobCancelled):
            job.result()
    assert seen == [job]
    assert job.status is JobStatus.CANCELLED
