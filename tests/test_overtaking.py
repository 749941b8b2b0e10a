"""Without the GIL, what is read twice may have changed in between, and a list while it is read.

With it as well, wherever a call stands in between.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from boundedjobs import BoundedRunner, Job
from boundedjobs._todo import Todo
from tests.gates import TIMEOUT, Gate
from tests.overtaking import everywhere, overtaken, without_coverage

if TYPE_CHECKING:
    from tests.overtaking import Overtaker

pytestmark = without_coverage


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
        gate, holding, called = Gate(), Holding(), []
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
