"""Waits that could never end are errors, not hangs; and all others are let be."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobDeadlock,
    JobEvent,
    JobStatus,
    JobTimeout,
    RunnerFull,
    current_job,
)
from boundedjobs._waits import Wait, Waits
from tests.blocking import when_blocking
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

ADVICE = "raise the limit, wait with a timeout, or use another runner for the inner jobs"


# What goes undetected must hang no longer than its test may.
open_runner = partial(BoundedRunner, drain_timeout=TIMEOUT)


def knot(name: str, edges: str, *, limit: int, runner: str = "runner") -> str:
    return (
        f"waiting for {name!r} would never end: {edges}, and runner {runner!r} (limit {limit}) "
        f"has no slot or thread left for what they wait for; {ADVICE}"
    )


def on_loop(form: str, name: str) -> str:
    return (
        f"{form} would wait for {name!r} on the thread of the event loop that {name!r} needs, for "
        "ever; use 'await' (await job, await runner.aclose(), async with)"
    )


def wait_for(job: Future[Any], once_waiting: Callable[[], object] | None = None) -> object:
    """What a wait without a timeout gives: the result, or the JobDeadlock."""
    try:
        with when_blocking(once_waiting or (lambda: None)):
            return job.result()
    except JobDeadlock as exc:
        return exc


async def await_for(job: Job[Any]) -> object:
    try:
        return await job
    except JobDeadlock as exc:
        return exc


def deadlocks(outcomes: list[object]) -> list[str]:
    return [str(outcome) for outcome in outcomes if isinstance(outcome, JobDeadlock)]


# A job that waits for itself.


@pytest.mark.parametrize("form", ["result", "exception"])
def test_a_body_that_waits_for_its_own_job_is_told_so(form: str) -> None:
    def outer() -> None:
        getattr(current_job(), form)()

    with open_runner(3) as runner:
        error = runner.wrap(outer, name="outer")().exception(TIMEOUT)
    assert isinstance(error, JobDeadlock)
    assert str(error) == knot("outer", "'outer' waits for 'outer'", limit=3)
    assert isinstance(error, RuntimeError)


def test_a_coroutine_that_awaits_its_own_job_is_told_so() -> None:
    async def outer() -> None:
        await current_job()

    with open_runner(3, name="content") as runner:
        error = runner.wrap(outer, name="outer")().exception(TIMEOUT)
    assert str(error) == knot("outer", "'outer' waits for 'outer'", limit=3, runner="content")


@pytest.mark.parametrize("status", ["pending", "running", "succeeded"])
def test_a_listener_that_waits_for_its_own_job_is_told_so(status: str) -> None:
    outcomes: list[object] = []

    def listener(event: JobEvent) -> None:
        if event.status == status:
            outcomes.append(wait_for(current_job()))

    with open_runner(2, on_status=listener) as runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
    assert deadlocks(outcomes) == [knot("len", "'len' waits for 'len'", limit=2)]


@pytest.mark.parametrize("status", ["pending", "running", "succeeded"])
def test_an_async_listener_that_awaits_its_own_job_is_told_so(status: str) -> None:
    outcomes: list[object] = []

    async def listener(event: JobEvent) -> None:
        if event.status == status:
            outcomes.append(await await_for(current_job()))

    with open_runner(2, on_status=listener) as runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
    assert deadlocks(outcomes) == [knot("len", "'len' waits for 'len'", limit=2)]


def test_an_async_listener_of_an_async_job_that_awaits_it_is_told_so() -> None:
    outcomes: list[object] = []

    async def listener(event: JobEvent) -> None:
        outcomes.append(await await_for(current_job()))

    async def body() -> int:
        return 3

    async def main() -> int:
        async with open_runner(2, on_status=listener) as runner:
            return await runner.wrap(body, name="body")()

    assert asyncio.run(main()) == 3
    assert deadlocks(outcomes) == [knot("body", "'body' waits for 'body'", limit=2)] * 3


def test_a_done_callback_may_ask_its_own_job_for_the_result() -> None:
    outcomes: list[object] = []
    called = Event()

    def call_back(job: Future[int]) -> None:
        outcomes.append(wait_for(job))
        called.set()

    gate = Gate()
    with open_runner(1) as runner:
        job = runner.submit(gate, 3)
        job.add_done_callback(call_back)
        gate.open()
        assert called.wait(TIMEOUT)
    assert outcomes == [3]


# Every slot waits for what needs one.


def test_the_only_slot_waiting_for_a_pending_job_is_told_so() -> None:
    inner: list[Job[int]] = []

    def outer() -> object:
        inner.append(runner.submit(len, "abc"))
        return wait_for(inner[0])

    with open_runner(1) as runner:
        outcome = runner.wrap(outer, name="outer")().result(TIMEOUT)
        assert str(outcome) == knot("len", "'outer' waits for 'len'", limit=1)
        assert inner[0].result(TIMEOUT) == 3  # nothing is wrong with this one


def test_the_only_slot_awaiting_a_pending_job_is_told_so() -> None:
    async def outer() -> object:
        return await await_for(runner.submit(len, "abc"))

    with open_runner(1) as runner:
        outcome = runner.wrap(outer, name="outer")().result(TIMEOUT)
    assert str(outcome) == knot("len", "'outer' waits for 'len'", limit=1)


def test_a_lambda_whose_coroutine_awaits_a_pending_job_is_told_so() -> None:
    async def body() -> object:
        return await await_for(runner.submit(len, "abc"))

    with open_runner(1) as runner:
        outcome = runner.wrap(lambda: body(), name="outer")().result(TIMEOUT)
    assert str(outcome) == knot("len", "'outer' waits for 'len'", limit=1)


def test_an_error_that_the_body_does_not_catch_is_the_failure_of_its_job() -> None:
    def outer() -> int:
        return runner.submit(len, "abc").result()

    with open_runner(1) as runner:
        job = runner.submit(outer)
        assert isinstance(job.exception(TIMEOUT), JobDeadlock)
    assert job.status is JobStatus.FAILED


@pytest.mark.parametrize("kinds", ["ss", "sa", "aa", "sss", "asa"])
def test_the_wait_that_completes_the_knot_raises_and_the_others_go_on(kinds: str) -> None:
    meet = Barrier(len(kinds))

    def outer(name: str) -> object:
        meet.wait(TIMEOUT)  # every slot is taken
        inner = runner.wrap(len, name=f"of {name}")("abc")
        meet.wait(TIMEOUT)
        return wait_for(inner)

    async def async_outer(name: str) -> object:
        await asyncio.to_thread(meet.wait, TIMEOUT)
        inner = runner.wrap(len, name=f"of {name}")("abc")
        await asyncio.to_thread(meet.wait, TIMEOUT)
        return await await_for(inner)

    with open_runner(len(kinds)) as runner:
        jobs = [
            runner.wrap(outer if kind == "s" else async_outer, name=f"{n}")(f"{n}")
            for n, kind in enumerate(kinds)
        ]
        outcomes = [job.result(TIMEOUT) for job in jobs]
    (message,) = deadlocks(outcomes)
    assert outcomes.count(3) == len(kinds) - 1
    for n in range(len(kinds)):
        assert f"'{n}' waits for 'of {n}'" in message


@pytest.mark.parametrize("length", [2, 3])
def test_jobs_that_wait_for_each_other_in_a_circle_are_told_so(length: int) -> None:
    jobs: list[Job[object]] = []
    meet = Barrier(length + 1)

    def member(n: int) -> object:
        meet.wait(TIMEOUT)
        return wait_for(jobs[(n + 1) % length])

    with open_runner(length + 2) as runner:  # slots are not what they lack
        jobs += [runner.wrap(member, name=f"{n}")(n) for n in range(length)]
        meet.wait(TIMEOUT)
        outcomes = [job.result(TIMEOUT) for job in jobs]
    messages = {str(o) for o in outcomes if isinstance(o, JobDeadlock)}
    (message,) = messages  # one raised, and it is what the others got as a result
    for n in range(length):
        assert f"'{n}' waits for '{(n + 1) % length}'" in message


def test_a_sync_and_an_async_job_that_wait_for_each_other_are_told_so() -> None:
    jobs: list[Job[Any]] = []
    meet = Barrier(3)

    def one() -> object:
        meet.wait(TIMEOUT)
        return wait_for(jobs[1])

    async def other() -> object:
        await asyncio.to_thread(meet.wait, TIMEOUT)
        return await await_for(jobs[0])

    with open_runner(3) as runner:
        jobs += [runner.submit(one), runner.submit(other)]
        meet.wait(TIMEOUT)
        assert len({str(job.result(TIMEOUT)) for job in jobs}) == 1
        assert isinstance(jobs[0].result(TIMEOUT), JobDeadlock)


def test_the_slots_may_wait_for_one_another_and_the_last_for_a_pending_job() -> None:
    meet = Barrier(3)
    jobs: list[Job[Any]] = []

    def first() -> object:
        meet.wait(TIMEOUT)
        return wait_for(jobs[1])

    def second() -> object:
        inner = runner.submit(len, "abc")
        meet.wait(TIMEOUT)
        return wait_for(inner)

    with open_runner(2) as runner:
        jobs.append(runner.wrap(first, name="first")())
        jobs.append(runner.wrap(second, name="second")())
        meet.wait(TIMEOUT)
        outcomes = [job.result(TIMEOUT) for job in jobs]
    messages = set(deadlocks(outcomes))  # the second's, handed on; or the first's own
    assert len(messages) == 1
    assert "'first' waits for 'second'" in messages.pop()


# Waits of listeners and callbacks.


def test_a_listener_that_waits_for_a_pending_job_with_its_own_jobs_slot_is_told_so() -> None:
    outcomes: list[object] = []

    def listener(event: JobEvent) -> None:
        if event.name == "outer" and event.status is JobStatus.RUNNING:
            outcomes.append(wait_for(runner.submit(len, "abc")))

    with open_runner(1, on_status=listener) as runner:
        runner.wrap(int, name="outer")().result(TIMEOUT)
    assert deadlocks(outcomes) == [knot("len", "'outer' waits for 'len'", limit=1)]


def test_an_async_listener_that_awaits_a_pending_job_is_told_so() -> None:
    outcomes: list[object] = []

    async def listener(event: JobEvent) -> None:
        if event.name == "outer" and event.status is JobStatus.RUNNING:
            outcomes.append(await await_for(runner.submit(len, "abc")))

    with open_runner(1, on_status=listener) as runner:
        runner.wrap(int, name="outer")().result(TIMEOUT)
    assert deadlocks(outcomes) == [knot("len", "'outer' waits for 'len'", limit=1)]


def test_a_listener_that_lets_the_error_out_is_logged_and_changes_nothing() -> None:
    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            current_job().result()

    with open_runner(1, on_status=listener) as runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
        assert runner.listener_errors == 1


def test_a_callback_that_waits_for_a_job_that_only_its_thread_could_run_is_told_so() -> None:
    outcomes: list[object] = []
    called = Event()

    def call_back(_: object) -> None:
        outcomes.append(wait_for(runner.submit(len, "abc")))
        called.set()

    gate = Gate()
    with open_runner(1) as runner:
        runner.wrap(gate, name="first")().add_done_callback(call_back)
        gate.open()
        assert called.wait(TIMEOUT)
    assert deadlocks(outcomes) == [knot("len", "'first' waits for 'len'", limit=1)]


def test_a_callback_may_wait_for_a_job_that_another_thread_runs() -> None:
    outcomes: list[object] = []
    called = Event()

    def call_back(_: object) -> None:
        outcomes.append(wait_for(runner.submit(len, "abc")))
        called.set()

    gate = Gate()
    with open_runner(2) as runner:
        runner.submit(gate).add_done_callback(call_back)
        gate.open()
        assert called.wait(TIMEOUT)
    assert outcomes == [3]


def test_a_callback_on_the_only_thread_may_wait_for_an_async_job() -> None:
    outcomes: list[object] = []
    called = Event()

    def call_back(_: object) -> None:
        outcomes.append(wait_for(runner.submit(asyncio.sleep, 0, "slept")))
        called.set()

    gate = Gate()
    with open_runner(1) as runner:
        runner.submit(gate).add_done_callback(call_back)
        gate.open()
        assert called.wait(TIMEOUT)
    assert outcomes == ["slept"]


def test_callbacks_that_hold_every_thread_are_told_so() -> None:
    outcomes: list[object] = []
    meet = Barrier(2)
    called = threading.Semaphore(0)

    def call_back(_: object) -> None:
        inner = runner.submit(len, "abc")
        meet.wait(TIMEOUT)
        outcomes.append(wait_for(inner))
        called.release()

    gate = Gate()
    with open_runner(2) as runner:
        for _ in range(2):
            runner.submit(gate).add_done_callback(call_back)
        gate.wait_for(2)
        gate.open()
        for _ in range(2):
            assert called.acquire(timeout=TIMEOUT)
    assert len(deadlocks(outcomes)) == 1
    assert outcomes.count(3) == 1


def test_a_body_that_waits_behind_a_callback_that_waits_for_it_in_turn_is_told_so() -> None:
    """One thread is in a callback, the other in a body: no thread is left for either's job."""
    outcomes: list[object] = []
    meet = Barrier(2)
    called = threading.Semaphore(0)

    def wait(_: object = None) -> None:
        inner = runner.submit(len, "abc")
        meet.wait(TIMEOUT)
        outcomes.append(wait_for(inner))
        called.release()

    gate = Gate()
    with open_runner(2) as runner:
        first = runner.submit(gate)
        first.add_done_callback(wait)
        runner.submit(wait)
        gate.open()
        for _ in range(2):
            assert called.acquire(timeout=TIMEOUT)
    assert len(deadlocks(outcomes)) == 1
    assert outcomes.count(3) == 1


# On the thread of an event loop.


def test_result_on_the_loop_that_an_async_job_needs_is_told_so() -> None:
    async def body() -> int:
        return 3

    async def main() -> int:
        async with open_runner(1) as runner:
            job = runner.wrap(body, name="body")()
            for form in ("result", "exception"):
                with pytest.raises(JobDeadlock) as caught:
                    getattr(job, form)()
                assert str(caught.value) == on_loop(f"{form}()", "body")
            assert await job == 3
            return job.result()  # it is there: nothing to wait for

    assert asyncio.run(main()) == 3


def test_result_on_the_loop_where_what_a_sync_body_has_returned_is_awaited_is_told_so() -> None:
    def body() -> Awaitable[int]:
        return gate(3)

    async def main() -> int:
        async with open_runner(1) as runner:
            job = runner.wrap(body, name="body")()
            await asyncio.to_thread(gate.wait_for)
            with pytest.raises(JobDeadlock) as caught:
                job.result()
            assert str(caught.value) == on_loop("result()", "body")
            gate.open()
            return await job

    gate = AsyncGate()
    assert asyncio.run(main()) == 3


RETURNED = (
    "what 'body' returned is to be awaited on an event loop whose thread is blocked until 'body' "
    "has ended; use 'await' there (await job, await runner.aclose(), async with)"
)


Call = Callable[[], object]


def wait_for_it(_: BoundedRunner, job: Job[Any], waits: Call) -> object:
    return wait_for(job, once_waiting=waits)


def wait_for_another_that_waits_for_it(runner: BoundedRunner, job: Job[Any], waits: Call) -> object:
    return wait_for(runner.submit(wait_for, job, waits), once_waiting=waits)


def wait_for_the_end_of_the_runner(runner: BoundedRunner, job: Job[Any], waits: Call) -> object:
    with when_blocking(waits):
        runner.shutdown()
    return job.exception()


@pytest.mark.parametrize(
    ("wait", "count"),
    [
        (wait_for_it, 1),
        (wait_for_another_that_waits_for_it, 2),
        (wait_for_the_end_of_the_runner, 1),
    ],
)
def test_what_returns_an_awaitable_for_a_loop_that_waits_for_it_by_then_fails(
    wait: Callable[[BoundedRunner, Job[Any], Call], object], count: int
) -> None:
    """That wait began when nobody could know."""
    gate, waiting, heard = Gate(), threading.Semaphore(0), Heard()
    inside, returned = [], []

    def body() -> Awaitable[int]:
        gate()
        coroutine = AsyncGate()()
        returned.append(ref(coroutine))
        return coroutine

    def listener(event: JobEvent) -> None:
        heard(event)
        inside.append(current_job().name)

    def open_when_all_wait() -> None:
        for _ in range(count):
            assert waiting.acquire(timeout=TIMEOUT)
        gate.open()

    async def main() -> object:
        job = runner.wrap(body, name="body")()
        gate.wait_for()
        opens.start()
        return wait(runner, job, waiting.release)

    opens = Thread(target=open_when_all_wait)
    with open_runner(2, on_status=listener) as runner:
        error = asyncio.run(main())
    opens.join(TIMEOUT)
    assert isinstance(error, JobDeadlock)
    assert str(error) == RETURNED
    assert heard.statuses("body") == ["pending", "running", "failed"]
    assert inside == [event.name for event in heard.events]
    assert returned[0]() is None  # closed before, or there would be a warning


def test_a_closing_that_was_refused_blocks_no_loop() -> None:
    """The listeners that hear of what it cancels come before the error."""
    blocking: list[int] = []

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.CANCELLED:
            blocking.append(len(waits.closing))

    async def main() -> None:
        gate = AsyncGate()
        try:
            with runner:
                runner.submit(gate)
                runner.submit(gate)
                raise ValueError
        except JobDeadlock:
            gate.open()
        await runner.aclose()

    runner = open_runner(1, on_status=listener)
    waits = getattr(runner, "_core").waits  # noqa: B009
    asyncio.run(main())
    assert blocking == [0, 0]


def test_nor_does_one_that_an_opening_anew_has_ended() -> None:
    gate, blocking = Gate(), list[int]()

    async def main() -> None:
        runner = open_runner(1)
        waits = getattr(runner, "_core").waits  # noqa: B009

        def open_anew() -> None:
            blocking.append(len(waits.closing))
            runner.__enter__()
            blocking.append(len(waits.closing))

        runner.submit(gate)
        with when_blocking(open_anew):
            runner.shutdown()
        gate.open()
        await runner.aclose()

    asyncio.run(main())
    assert blocking == [1, 0]


def test_nor_does_who_iterates_over_what_is_closed_meanwhile() -> None:
    gate, waiting = Gate(), list[int]()

    async def main() -> None:
        async with open_runner(1) as runner:
            begun = getattr(runner, "_core").waits._begun  # noqa: B009
            await runner.submit(len, "abc")  # there is a thread
            jobs = runner.as_completed(gate, [1])

            def close() -> None:
                waiting.append(len(begun))
                jobs.close()
                waiting.append(len(begun))
                gate.open()

            with when_blocking(close):
                assert list(jobs) == []

    asyncio.run(main())
    assert waiting == [1, 0]


def test_no_job_fails_for_the_knot_of_another() -> None:
    """While what one has returned is closed, and a knot is still there, another one has returned."""
    waits, is_closed, go_on = Event(), Event(), Event()

    @types.coroutine
    def begun() -> Generator[None, None, int]:
        try:
            yield
        finally:
            is_closed.set()
            assert go_on.wait(TIMEOUT)
        return 3

    def guilty() -> Any:
        assert waits.wait(TIMEOUT)
        coroutine = begun()
        coroutine.send(None)
        return coroutine

    def innocent() -> Awaitable[int]:
        assert is_closed.wait(TIMEOUT)
        return gate(4)

    async def elsewhere() -> int:
        try:
            return await runner.submit(innocent)
        finally:
            go_on.set()

    async def main() -> object:
        return wait_for(runner.submit(guilty), once_waiting=waits.set)

    gate = AsyncGate()
    gate.open()
    with open_runner(2) as runner:
        ended: list[int] = []
        other = Thread(target=lambda: ended.append(asyncio.run(elsewhere())))
        other.start()
        assert isinstance(asyncio.run(main()), JobDeadlock)
        other.join(TIMEOUT)
    assert ended == [4]


def test_no_job_fails_for_a_knot_that_blocks_no_loop_of_its(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = AsyncGate()
    gate.open()

    async def main() -> int:
        async with open_runner(1) as runner:
            return await runner.submit(lambda: gate(3))

    monkeypatch.setattr(Waits, "_stuck_with", lambda *_: [Wait(None, None, None)])
    assert asyncio.run(main()) == 3


def test_what_returns_an_awaitable_late_is_only_late(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    workers: list[threading.Thread] = []

    def body() -> Any:
        workers.append(threading.current_thread())
        return gate(AsyncGate()())

    async def main() -> None:
        runner = open_runner(1)
        job = runner.wrap(body, timeout=0.01)()
        assert isinstance(await asyncio.to_thread(job.exception, TIMEOUT), JobTimeout)
        with when_blocking(gate.open):
            runner.shutdown()  # which does not wait for a body whose job has had its end

    asyncio.run(main())
    workers[0].join(TIMEOUT)
    assert [r.levelname for r in caplog.records if "returns now" in r.getMessage()] == ["WARNING"]
    assert "JobDeadlock" not in caplog.text


def test_what_returns_an_awaitable_for_a_loop_that_has_waited_for_the_end_before_succeeds() -> None:
    gate = AsyncGate()
    gate.open()

    async def main() -> int:
        runner = open_runner(1)
        with runner:
            assert await runner.submit(len, "abc") == 3
        assert not getattr(runner, "_core").waits.closing  # noqa: B009 - nor is the loop kept
        async with runner:
            return await runner.submit(lambda: gate(4))

    assert asyncio.run(main()) == 4


def test_what_returns_an_awaitable_for_a_loop_that_waits_for_what_can_end_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, other, awaited = Gate(), Gate(), AsyncGate()
    awaited.open()

    def body() -> Awaitable[int]:
        gate()
        return awaited(3)

    async def main() -> int:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def woken(*args: Any, **kwargs: Any) -> object:
            other.open()
            return wake(*args, **kwargs)

        async with open_runner(2) as runner:
            job, blocks = runner.submit(body), runner.submit(other, 4)
            monkeypatch.setattr(loop, "call_soon_threadsafe", woken)
            with when_blocking(gate.open):
                assert blocks.result() == 4
            return await job

    assert asyncio.run(main()) == 3


def test_result_on_the_loop_may_wait_for_a_sync_job() -> None:
    async def main() -> int:
        async with open_runner(1) as runner:
            return runner.submit(len, "abc").result()

    assert asyncio.run(main()) == 3


def test_result_on_the_loop_that_a_sync_jobs_listener_needs_is_told_so() -> None:
    async def listener(event: JobEvent) -> None: ...

    async def main() -> int:
        async with open_runner(1, on_status=listener) as runner:
            job = runner.submit(len, "abc")
            with pytest.raises(JobDeadlock) as caught:
                job.result()
            assert str(caught.value) == on_loop("result()", "len")
            return await job

    assert asyncio.run(main()) == 3


@pytest.mark.parametrize("which", ["of the runner", "of the job"])
def test_result_on_the_only_loop_that_a_sync_jobs_listener_can_be_on_is_told_so(which: str) -> None:
    """The one that entered the runner; or, where none has, the one of the submitter."""

    async def listener(event: JobEvent) -> None: ...

    async def main() -> int:
        if which == "of the runner":
            async with runner:
                return await refused(await asyncio.to_thread(runner.submit, len, "abc"))
        return await refused(runner.submit(len, "abc"))

    async def refused(job: Job[int]) -> int:
        with pytest.raises(JobDeadlock) as caught:
            job.result()
        assert str(caught.value) == on_loop("result()", "len")
        gate.open()
        return await job

    gate = Gate()
    runner = open_runner(1, on_status=listener)
    runner.submit(gate)  # the job is still to be heard of, whoever is first
    gate.wait_for()
    assert asyncio.run(main()) == 3
    runner.shutdown()


def test_result_on_the_loop_for_a_sync_job_behind_jobs_of_the_loop_is_told_so() -> None:
    gate = AsyncGate()

    async def main() -> int:
        async with open_runner(1) as runner:
            first = runner.submit(gate)
            while first.status is not JobStatus.RUNNING:
                await asyncio.sleep(0)
            job = runner.submit(len, "abc")
            with pytest.raises(JobDeadlock) as caught:
                job.result()
            assert str(caught.value) == on_loop("result()", "len")
            gate.open()
            return await job

    assert asyncio.run(main()) == 3


def test_result_on_the_loop_may_wait_for_a_job_of_another_loop() -> None:
    async def body() -> int:
        return 3

    with open_runner(1) as runner:
        gate = AsyncGate()
        job = runner.submit(gate, 3)  # on the private loop
        gate.wait_for()

        async def main() -> int:
            asyncio.get_running_loop().call_soon(gate.open)
            await asyncio.sleep(0)
            result: int = job.result()
            return result

        assert asyncio.run(main()) == 3


def test_result_with_a_timeout_on_the_loop_is_not_refused() -> None:
    async def main() -> int:
        async with open_runner(1) as runner:
            job = runner.submit(asyncio.sleep, 0, 3)
            with pytest.raises(TimeoutError):
                job.result(0.001)
            return await job

    assert asyncio.run(main()) == 3


def test_a_sync_with_on_a_loop_that_its_jobs_need_is_told_so() -> None:
    async def body() -> int:
        return 3

    async def main() -> int:
        with pytest.raises(JobDeadlock) as caught, open_runner(1) as runner:
            job = runner.submit(body)
        assert str(caught.value) == (
            "leaving 'with' would block this event loop, which jobs of runner 'runner' need to "
            "end; closing has begun: use 'async with' or 'await runner.aclose()'"
        )
        await runner.aclose()
        return await job

    assert asyncio.run(main()) == 3


def test_a_body_that_blocks_the_loop_for_a_job_that_needs_it_is_told_so() -> None:
    """A coroutine calls result(), not await, for another job of its loop."""

    async def inner() -> int:
        return 3

    async def outer() -> object:
        return wait_for(runner.wrap(inner, name="inner")())

    with open_runner(2) as runner:
        outcome = runner.submit(outer).result(TIMEOUT)
    assert str(outcome) == on_loop("result()", "inner")


def test_a_coroutine_that_blocks_the_only_slot_for_a_sync_job_is_told_of_the_slot() -> None:
    async def outer() -> object:
        return wait_for(runner.wrap(len, name="inner")("abc"))

    with open_runner(1) as runner:
        outcome = runner.wrap(outer, name="outer")().result(TIMEOUT)
    assert str(outcome) == knot("inner", "'outer' waits for 'inner'", limit=1)


# What is not refused.


def test_waits_with_a_timeout_are_not_refused() -> None:
    def outer() -> str:
        try:
            runner.submit(len, "abc").result(0.001)
        except TimeoutError:
            return "timed out"
        return "?"

    with open_runner(1) as runner:
        assert runner.submit(outer).result(TIMEOUT) == "timed out"


def test_a_wait_with_a_timeout_is_no_part_of_a_knot() -> None:
    meet = Barrier(2)

    def patient() -> None:
        meet.wait(TIMEOUT)  # both slots are taken
        inner = runner.submit(len, "abcd")
        meet.wait(TIMEOUT)
        with pytest.raises(TimeoutError):
            inner.result(0.2)

    def outer() -> object:
        meet.wait(TIMEOUT)
        inner = runner.submit(len, "abc")
        meet.wait(TIMEOUT)
        return wait_for(inner)

    with open_runner(2) as runner:
        first = runner.submit(patient)
        assert runner.submit(outer).result(TIMEOUT) == 3
        first.result(TIMEOUT)


def test_waiting_for_a_pending_job_is_fine_while_another_slot_will_be_free() -> None:
    gate = Gate()
    submitted = Event()

    def outer() -> object:
        inner = runner.submit(len, "abc")
        submitted.set()
        return wait_for(inner)

    with open_runner(2) as runner:
        runner.submit(gate)
        job = runner.submit(outer)
        assert submitted.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == 3


def test_waiting_for_running_jobs_is_fine_though_every_slot_is_taken() -> None:
    gate = Gate()

    def outer() -> object:
        return wait_for(running)

    with open_runner(2) as runner:
        running = runner.submit(gate, "done")
        job = runner.submit(outer)
        gate.open()
        assert job.result(TIMEOUT) == "done"


def test_waiting_for_a_job_that_has_its_slot_is_fine_though_no_other_would_get_one() -> None:
    """The limit was set lower: there is no free slot, but this one has its own, and begins later."""
    holding, waiting = Gate(), Gate()

    async def hold_the_loop() -> None:
        holding()

    async def inner() -> str:
        return "begun"

    def outer() -> object:
        waiting()
        return wait_for(has_its_slot, holding.open)

    with open_runner(3) as runner:
        runner.submit(hold_the_loop)
        holding.wait_for()
        has_its_slot = runner.submit(inner)
        waiting_for_it = runner.submit(outer)
        waiting.wait_for()
        runner.limit = 1
        waiting.open()
        assert waiting_for_it.result(TIMEOUT) == "begun"
    assert has_its_slot.done()


def test_a_chain_of_waits_that_ends_in_work_is_fine() -> None:
    gate = Gate()

    def link(before: Job[Any]) -> object:
        return wait_for(before)

    with open_runner(6) as runner:
        job: Job[Any] = runner.submit(gate, "worked")
        for _ in range(5):
            job = runner.submit(link, job)
        gate.wait_for()
        gate.open()
        assert job.result(TIMEOUT) == "worked"


def test_waiting_for_a_job_of_another_runner_is_fine() -> None:
    def outer() -> object:
        return wait_for(other.submit(len, "abc"))

    with open_runner(1) as runner, open_runner(1) as other:
        assert runner.submit(outer).result(TIMEOUT) == 3


def test_waiting_outside_of_jobs_is_fine() -> None:
    gate = Gate()
    with open_runner(1) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        waiting = Thread(target=wait_for, args=(job,))
        waiting.start()
        gate.open()
        assert job.result() == 3
        waiting.join(TIMEOUT)


def test_a_body_that_was_refused_may_wait_for_what_can_end() -> None:
    def outer() -> list[object]:
        outcomes = [wait_for(runner.submit(len, "abc"))]
        outcomes.append(wait_for(other))
        outcomes.append(wait_for(runner.submit(len, "abc")))
        return outcomes

    gate = Gate()
    with open_runner(1) as runner, open_runner(1) as helper:
        other = helper.submit(gate, "other")
        gate.open()
        outcomes = runner.submit(outer).result(TIMEOUT)
    assert [type(o) for o in outcomes] == [JobDeadlock, str, JobDeadlock]


def test_a_wait_that_has_ended_is_no_part_of_a_knot() -> None:
    """One after the other, two jobs wait for a third: the first wait is over by then."""

    def outer() -> object:
        return [wait_for(runner.submit(len, "a" * n)) for n in range(20)]

    with open_runner(2) as runner:
        assert runner.submit(outer).result(TIMEOUT) == list(range(20))
        assert runner.submit(outer).result(TIMEOUT) == list(range(20))


def test_helper_threads_are_not_seen() -> None:
    outcomes: list[object] = []

    def outer() -> Thread:
        inner = runner.submit(len, "abc")
        thread = Thread(target=lambda: outcomes.append(wait_for(inner)))
        thread.start()
        return thread

    with open_runner(1) as runner:
        runner.submit(outer).result(TIMEOUT).join(TIMEOUT)
    assert outcomes == [3]


def test_helper_tasks_are_not_seen() -> None:
    tasks: list[asyncio.Task[object]] = []

    async def main() -> object:
        async with open_runner(1) as runner:

            async def outer() -> None:
                inner = runner.submit(len, "abc")
                tasks.append(asyncio.ensure_future(await_for(inner)))
                await asyncio.sleep(0)

            await runner.submit(outer)
            return await tasks[0]

    assert asyncio.run(main()) == 3


def test_a_callback_that_waits_for_one_whose_wait_has_just_ended_is_fine() -> None:
    """A waits for B, and B for C; C has ended, and its callback waits for A before B wakes up."""
    jobs: dict[str, Job[Any]] = {}
    ready, loop_is_held, release = Barrier(3), Event(), Event()
    outcomes: list[object] = []
    called = Event()
    gate = Gate()

    def a() -> object:
        ready.wait(TIMEOUT)
        return wait_for(jobs["b"])

    async def b() -> object:
        await asyncio.to_thread(ready.wait, TIMEOUT)
        asyncio.get_running_loop().call_soon(hold_loop)
        return await await_for(jobs["c"])

    def hold_loop() -> None:
        loop_is_held.set()
        assert release.wait(TIMEOUT)

    def call_back(_: object) -> None:
        outcomes.append(wait_for(jobs["a"], once_waiting=release.set))
        release.set()
        called.set()

    with open_runner(4) as runner:
        jobs["c"] = runner.submit(gate, "c")
        jobs["c"].add_done_callback(call_back)
        jobs["b"] = runner.submit(b)
        jobs["a"] = runner.submit(a)
        ready.wait(TIMEOUT)
        assert loop_is_held.wait(TIMEOUT)
        gate.open()
        assert called.wait(TIMEOUT)
    assert outcomes == ["c"]


def test_threads_that_wait_for_what_will_end_are_not_taken_for_lost() -> None:
    """A callback and a body hold both threads; the body waits for an async job that ends."""
    gate, async_gate = Gate(), AsyncGate()
    outcomes: list[object] = []
    called, waits = Event(), Event()

    def body() -> object:
        waits.set()
        return wait_for(working)

    def call_back(_: object) -> None:
        runner.submit(body)
        assert waits.wait(TIMEOUT)
        last = runner.submit(len, "abc")
        outcomes.append(wait_for(last, once_waiting=async_gate.open))
        async_gate.open()
        called.set()

    with open_runner(2) as runner:
        working = runner.submit(async_gate, "worked")
        runner.submit(gate).add_done_callback(call_back)
        async_gate.wait_for()
        gate.wait_for()
        gate.open()
        assert called.wait(TIMEOUT)
    assert outcomes == [3]


def test_two_waits_of_one_job_are_both_remembered() -> None:
    """The body waits, and so does the listener of what it has reported; that wait ends first."""
    gate, waits, is_over, submitted = Gate(), Event(), Event(), Event()

    async def listener(event: JobEvent) -> None:
        waits.set()
        await running
        is_over.set()

    def reporting() -> object:
        reporter = Thread(target=current_job().report, args=(0.5,))
        reporter.start()
        assert waits.wait(TIMEOUT)
        assert submitted.wait(TIMEOUT)
        outcome = wait_for(runner.submit(len, "abc"), once_waiting=gate.open)
        reporter.join(TIMEOUT)
        return outcome

    def outer() -> object:
        inner = runner.submit(len, "abc")
        assert is_over.wait(TIMEOUT)
        return wait_for(inner)

    with open_runner(2, on_progress=listener) as runner:
        running = runner.submit(gate)
        first = runner.submit(reporting)
        assert waits.wait(TIMEOUT)
        second = runner.submit(outer)
        submitted.set()
        outcomes = [first.result(TIMEOUT), second.result(TIMEOUT)]
    assert len(deadlocks(outcomes)) == 1
    assert outcomes.count(3) == 1


def test_a_listener_of_an_inner_job_that_waits_on_the_outer_ones_thread_is_told_so() -> None:
    """PENDING is heard on the submitter's thread; here that is the body of the only slot."""
    outcomes: list[object] = []

    def listener(event: JobEvent) -> None:
        if event.name == "inner" and event.status is JobStatus.PENDING:
            outcomes.append(wait_for(other[0]))

    other: list[Job[int]] = []

    def outer() -> Job[int]:
        other.append(runner.submit(len, "abc"))
        return runner.wrap(len, name="inner")("abcd")

    with open_runner(1, on_status=listener) as runner:
        assert runner.submit(outer).result(TIMEOUT).result(TIMEOUT) == 4
    assert deadlocks(outcomes) == [knot("len", "'inner' waits for 'len'", limit=1)]


@pytest.mark.parametrize("called", ["by a cancel in a body", "at once, in a body"])
@pytest.mark.parametrize("waits", ["for room", "for a pending job", "for the closing"])
def test_a_callback_of_one_job_called_in_the_body_of_another_is_told_what_can_not_end(
    called: str, waits: str
) -> None:
    told: list[BaseException] = []

    def callback(_: object) -> None:
        try:
            if waits == "for room":
                for _ in range(3):
                    runner.submit(int)
            elif waits == "for a pending job":
                pending.result()
            else:
                runner.shutdown()
        except (RunnerFull, JobDeadlock) as exc:
            told.append(exc)

    def outer() -> None:
        assert gate() is None
        if called == "at once, in a body":
            ended.add_done_callback(callback)
        else:
            other.cancel()

    gate = Gate()
    with open_runner(1, max_pending=2, when_full="wait") as runner:
        ended = runner.submit(int)
        ended.result(TIMEOUT)
        job, other, pending = runner.submit(outer), runner.submit(int), runner.submit(int)
        if called == "by a cancel in a body":
            other.add_done_callback(callback)
        gate.open()
        job.result(TIMEOUT)
    assert [type(exc) for exc in told] == [RunnerFull if waits == "for room" else JobDeadlock]


def test_result_on_the_private_loop_for_a_job_that_needs_it_is_told_so() -> None:
    gate = AsyncGate()

    async def blocks() -> object:
        return wait_for(needs_it)

    with open_runner(3) as runner:
        needs_it = runner.wrap(gate, name="needs it")(3)
        outcome = runner.submit(blocks).result(TIMEOUT)
        gate.open()
        assert needs_it.result(TIMEOUT) == 3
    assert str(outcome) == on_loop("result()", "needs it")


def test_a_loop_that_is_blocked_for_a_job_which_waits_for_that_loop_is_told_so() -> None:
    """A coroutine calls result() for a sync job, whose body waits for another coroutine."""
    gate, waits = AsyncGate(), Event()

    def middle() -> object:
        return wait_for(first, once_waiting=waits.set)

    async def blocks() -> object:
        await asyncio.to_thread(waits.wait, TIMEOUT)
        return wait_for(second)

    with open_runner(4) as runner:
        first = runner.wrap(gate, name="first")(3)
        second = runner.wrap(middle, name="second")()
        outcome = runner.submit(blocks).result(TIMEOUT)
        gate.open()
        assert second.result(TIMEOUT) == 3
    assert str(outcome) == on_loop("result()", "second")


def test_who_awaits_a_job_goes_on_while_its_callbacks_still_run() -> None:
    gate, go_on = Gate(), Event()

    async def main() -> object:
        async with open_runner(1) as runner:
            job = runner.submit(gate, "done")
            job.add_done_callback(lambda _: go_on.wait(TIMEOUT))
            asyncio.get_running_loop().call_soon(gate.open)
            async with asyncio.timeout(TIMEOUT / 2):
                result = await job
            go_on.set()
            return result

    assert asyncio.run(main()) == "done"


def test_a_wait_that_was_refused_has_not_begun() -> None:
    refused: list[bool] = []

    def body() -> None:
        core = getattr(runner, "_core")  # noqa: B009
        token = object()
        with pytest.raises(JobDeadlock):
            core.begin_wait(token, [runner.submit(len, "abc")], "result()")
        refused.append(not core.waits.is_begun(token))

    with BoundedRunner(1) as runner:
        runner.submit(body).result(TIMEOUT)
    assert refused == [True]
