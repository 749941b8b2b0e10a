"""`Job.stack()`: where a body is, on a thread or as a coroutine, as text."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from os import sched_yield
from threading import Event, Thread, current_thread
from types import coroutine
from typing import Any

from boundedjobs import BoundedRunner, Job, JobTimeout, current_job
from boundedjobs._stack import _awaited
from tests.gates import TIMEOUT, AsyncGate, Gate


def functions(stack: str) -> list[str]:
    """The functions of a stack, the outermost first."""
    return [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File")]


def outer(gate: Gate) -> None:
    inner(gate)


def inner(gate: Gate) -> None:
    gate()  # here it is


async def outer_async(gate: AsyncGate) -> None:
    await inner_async(gate)


async def inner_async(gate: AsyncGate) -> None:
    await gate()  # here it is, too


def test_of_a_job_on_a_thread_it_is_the_live_stack_from_the_body_on() -> None:
    gate = Gate()
    with BoundedRunner(1, name="content") as runner:
        job = runner.submit(outer, gate)
        gate.wait_for()
        stack = job.stack()
        gate.open()
    lines = stack.splitlines()
    assert lines[0] == "Thread 'content-0' (most recent call last):"
    assert functions(stack)[:3] == ["outer", "inner", "Gate.__call__"]
    assert "    gate()  # here it is" in lines


def test_of_a_body_that_goes_on_it_is_there_when_the_callbacks_of_its_job_have_been_called() -> (
    None
):
    gate, tellers = Gate(), list[Thread]()
    with BoundedRunner(1, name="content", timeout=0.01) as runner:
        job = runner.submit(outer, gate)
        job.add_done_callback(lambda _: tellers.append(current_thread()))
        assert isinstance(job.exception(TIMEOUT), JobTimeout)
        while not tellers:
            sched_yield()
        tellers[0].join(TIMEOUT)
        assert functions(job.stack())[:2] == ["outer", "inner"]
        gate.open()


def test_it_is_empty_before_the_body_has_begun_and_when_it_is_over() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        running = runner.submit(gate)
        pending = runner.submit(gate)
        gate.wait_for()
        assert pending.stack() == ""
        gate.open()
        running.result(TIMEOUT)
        assert running.stack() == ""


def test_it_is_not_that_of_the_job_which_the_thread_has_gone_on_to() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        before, now = runner.submit(int), runner.submit(outer, gate)
        gate.wait_for()
        assert (before.stack(), functions(now.stack())[0]) == ("", "outer")
        gate.open()


def test_of_a_body_without_a_line_of_python_it_says_so() -> None:
    from _thread import allocate_lock

    held, begun = allocate_lock(), Event()
    held.acquire()
    with BoundedRunner(1, on_status=lambda _: begun.set()) as runner:
        job = runner.submit(held.acquire)
        stack = ""
        while "no line" not in stack:  # it comes from the listener, of which there are lines
            stack = job.stack()
        held.release()
    assert stack == (
        "Thread 'runner-0' (most recent call last):\n  in no line of Python of the job's\n"
    )


def test_of_a_body_that_was_let_go_of_it_is_there_while_that_still_runs() -> None:
    gate = Gate()
    runner = BoundedRunner(1)
    job = runner.submit(outer, gate)
    gate.wait_for()
    runner.shutdown(timeout=0)
    assert functions(job.stack())[:2] == ["outer", "inner"]
    gate.open()


def test_a_body_may_ask_for_its_own() -> None:
    def body() -> str:
        return current_job().stack()

    with BoundedRunner(1) as runner:
        stack = runner.submit(body).result(TIMEOUT)
    assert functions(stack)[0].endswith(".body")


def test_of_a_coroutine_it_is_the_chain_of_awaits() -> None:
    gate = AsyncGate()
    with BoundedRunner(1) as runner:
        job = runner.submit(outer_async, gate)
        gate.wait_for()
        stack = suspended(job)
        gate.open()
    lines = stack.splitlines()
    assert lines[0] == "Coroutine, suspended (most recent call last):"
    assert functions(stack)[:3] == ["outer_async", "inner_async", "AsyncGate.__call__"]
    assert "    await gate()  # here it is, too" in lines


def suspended(job: Job[Any]) -> str:
    """The stack of a coroutine that is about to wait, when it does."""
    stack = ""
    while not stack.startswith("Coroutine"):
        stack = job.stack()
    return stack


def test_the_chain_goes_through_tasks_that_are_awaited() -> None:
    gate = AsyncGate()

    async def body() -> None:
        await asyncio.create_task(outer_async(gate))

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        names = functions(suspended(job))
        gate.open()
    assert names[0].endswith(".body")
    assert names[1:4] == ["outer_async", "inner_async", "AsyncGate.__call__"]


def test_a_chain_of_tasks_that_await_each_other_is_gone_through_once() -> None:
    class Waiting:
        _fut_waiter: Waiting
        asked = 0

        def get_coro(self) -> None:
            self.asked += 1

    one, other = Waiting(), Waiting()
    one._fut_waiter, other._fut_waiter = other, one  # that real tasks do it ends in a recursion
    assert _awaited(one) == []
    assert (one.asked, other.asked) == (1, 1)


def test_the_chain_goes_through_coroutines_that_are_generators() -> None:
    gate = AsyncGate()

    @coroutine
    def plain() -> Generator[Any, None, None]:
        yield from outer_async(gate)

    with BoundedRunner(1) as runner:
        job = runner.submit(plain)
        gate.wait_for()
        names = functions(suspended(job))
        gate.open()
    assert names[0].endswith(".plain")
    assert names[1:3] == ["outer_async", "inner_async"]


def test_of_a_coroutine_that_blocks_its_loop_it_is_the_stack_of_that_thread() -> None:
    gate = Gate()

    async def body() -> None:
        inner(gate)

    with BoundedRunner(1, name="content") as runner:
        job = runner.submit(body)
        gate.wait_for()
        stack = job.stack()
        gate.open()
    assert stack.splitlines()[0] == "Thread 'content-loop' (most recent call last):"
    assert functions(stack)[0].endswith(".body")
    assert functions(stack)[1] == "inner"


def test_it_can_be_had_from_any_thread_while_jobs_come_and_go() -> None:
    with BoundedRunner(2) as runner:
        jobs = [runner.submit(sum, range(1000)) for _ in range(500)]
        for job in jobs:
            job.stack()
        assert [job.result(TIMEOUT) for job in jobs] == [499500] * 500
