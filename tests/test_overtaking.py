"""Without the GIL, what is read twice may have changed in between, and a list while it is read.

With it as well, wherever a call stands in between.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
import weakref
from concurrent.futures import wait
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, Job, JobEvent
from boundedjobs._book import Book
from boundedjobs._history import History
from boundedjobs._loops import Loops
from boundedjobs._todo import Todo
from boundedjobs._watching import Watching
from tests.blocking import MOMENT
from tests.gates import TIMEOUT, Gate
from tests.overtaking import can_trace, everywhere, overtaken

if TYPE_CHECKING:
    from tests.overtaking import Overtaker

pytestmark = can_trace


class Holding:
    """One that `concurrent.futures.wait` could have put there: holds the thread that ends a job."""

    def __init__(self) -> None:
        self.is_settled = threading.Event()
        self.go_on = threading.Event()

    def add_result(self, _: object) -> None:
        self.is_settled.set()
        assert self.go_on.wait(TIMEOUT)


def test_of_two_calls_that_are_put_off_at_once_both_are_made() -> None:
    def attempt(number: int) -> Overtaker:
        todo = Todo()
        made = Gate()

        def put_off() -> None:
            todo.put_off(partial(made), todo.carry_out)

        made.open()
        with overtaken(put_off, number, Todo.put_off.__code__) as overtaker:
            put_off()
        made.wait_for(1 + overtaker.happened)
        return overtaker

    everywhere(attempt)


def test_a_callback_that_is_added_as_the_job_is_let_go_of_is_called() -> None:
    def attempt(number: int) -> Overtaker:
        gate, holding = Gate(), Holding()
        called: list[Any] = []
        with BoundedRunner(1) as runner:
            job: Job[Any] = runner.submit(gate)
            getattr(job, "_waiters").append(holding)  # noqa: B009
            gate.open()
            assert holding.is_settled.wait(TIMEOUT)

            def end() -> None:
                holding.go_on.set()
                runner.submit(int).result(TIMEOUT)

            with overtaken(end, number, Job._call_back.__code__) as overtaker:
                job.add_done_callback(called.append)
            holding.go_on.set()
        assert called == [job]
        return overtaker

    everywhere(attempt)


def test_a_callback_that_ends_after_the_job_was_let_go_of_keeps_no_task() -> None:
    gate, holding, entered, leave = Gate(), Holding(), Gate(), threading.Event()
    tasks: list[weakref.ref[Any]] = []

    async def body() -> None:
        tasks.append(weakref.ref(asyncio.current_task()))
        await asyncio.to_thread(gate)

    def slow(_: object) -> None:
        entered()
        leave.set()

    with BoundedRunner(1) as runner:
        job: Job[Any] = runner.submit(body)
        getattr(job, "_waiters").append(holding)  # noqa: B009
        gate.open()
        assert holding.is_settled.wait(TIMEOUT)
        thread = threading.Thread(target=job.add_done_callback, args=(slow,))
        thread.start()
        entered.wait_for()
        holding.go_on.set()
        runner.submit(int).result(TIMEOUT)
        entered.open()
        thread.join(TIMEOUT)
    assert leave.is_set()
    assert tasks[0]() is None


def test_leaving_at_once_while_jobs_end_leaves_at_once() -> None:
    """At a second cancellation: what still runs is looked through then."""
    (looking,) = (c for c in Book.is_quiet.__code__.co_consts if isinstance(c, CodeType))

    async def main(number: int) -> Overtaker:
        runner, late, gate = BoundedRunner(2), Gate(), Gate()

        async def use() -> None:
            async with runner:
                job = runner.wrap(late, timeout=0.001)()
                jobs.append(runner.submit(gate))
                jobs.append(runner.submit(int))
                await asyncio.to_thread(job.exception, TIMEOUT)  # its body goes on
                gate.wait_for()

        def end() -> None:
            gate.open()
            while "running=2" in repr(runner):
                os.sched_yield()

        jobs: list[Job[Any]] = []
        task = asyncio.create_task(use())
        while runner.snapshot().state == "open":
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.to_thread(wait, jobs[1:], TIMEOUT)
        assert jobs[1].cancelled()
        with overtaken(end, number, looking) as overtaker:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, TIMEOUT)
        gate.open()
        late.open()
        return overtaker

    everywhere(lambda number: asyncio.run(main(number)))


def test_a_private_loop_that_goes_as_closing_looks_for_it_is_not_in_its_way() -> None:
    async def nothing() -> None:
        pass

    def attempt(number: int) -> Overtaker:
        gate, runner = Gate(), BoundedRunner(1)
        runner.submit(nothing).result(TIMEOUT)
        runner.submit(gate)
        gate.wait_for()

        def end() -> None:
            gate.open()
            while "running=1" in repr(runner):
                os.sched_yield()

        async def main() -> Overtaker:
            with overtaken(end, number, vars(Loops)["private"].fget.__code__) as overtaker:
                threading.Timer(2 * MOMENT, gate.open).start()  # if nobody has been overtaken
                runner.shutdown()
            return overtaker

        return asyncio.run(main())

    everywhere(attempt)


def test_an_end_that_is_being_decided_is_heard_before_the_job_is_done() -> None:
    """One who has just told something looks whether that was all."""
    lines, first = inspect.getsourcelines(History.end)
    (halfway,) = (n for n, line in enumerate(lines, first) if "job._steps = steps" in line)

    def attempt(number: int) -> Overtaker:
        gate, decides, over = Gate(), threading.Event(), threading.Event()
        order: list[str] = []

        def pause(frame: FrameType, event: str, arg: object) -> Any:
            if frame.f_code is not History.end.__code__:
                return None
            if event == "line" and frame.f_lineno == halfway:
                decides.set()
                over.wait(5 * MOMENT)
            return pause

        def body() -> None:
            gate()
            sys.settrace(pause)
            raise ValueError("no")

        def end() -> None:
            gate.open()
            decides.wait(TIMEOUT)

        def heard(event: JobEvent) -> None:
            sys.settrace(None)
            order.append(event.status.value)

        with BoundedRunner(1, on_stuck=lambda _: None) as runner:
            job = runner.wrap(body, on_status=heard)()
            gate.wait_for()
            job.add_done_callback(lambda _: order.append("done"))
            with overtaken(end, number, Watching._tell_stuck.__code__) as overtaker:
                getattr(runner, "_core")._tell_stuck(job)  # noqa: B009
            over.set()
            gate.open()
        assert order == ["pending", "running", "failed", "done"]
        return overtaker

    everywhere(attempt)
