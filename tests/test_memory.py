"""Memory is flat, however many jobs come and go; the garbage collector is off meanwhile.

What goes with which reference is tested in `test_references`.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, JobCancelled, JobEvent, RunnerFull
from tests.gates import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MILLION = 1_000_000
AT_ONCE = 50
SLACK = 500
"""Blocks of memory that come and go with the state of threads and tables, whatever the number."""

variable: contextvars.ContextVar[list[int]] = contextvars.ContextVar("variable")


def body(value: object) -> object:
    variable.set([1])
    return [value]


async def async_body(value: object) -> object:
    await asyncio.sleep(0)
    return body(value)


def failing(value: object) -> object:
    local = [value]
    raise LookupError(local)


async def async_failing(value: object) -> object:
    await asyncio.sleep(0)
    return failing(value)


def listener(event: JobEvent) -> object:
    return event.job_id and event.failure and None


async def async_listener(event: JobEvent) -> None:
    await asyncio.sleep(0)


def raising_listener(event: JobEvent) -> None:
    local = [event]
    raise LookupError(local)


RUN: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "sync": (body, {}),
    "async": (async_body, {}),
    "returns an awaitable": (lambda value: async_body(value), {}),
    "heard": (body, {"on_status": listener}),
    "async, heard": (async_body, {"on_status": listener}),
    "heard by a coroutine": (body, {"on_status": async_listener}),
    "heard by one that raises": (body, {"on_status": raising_listener}),
    "failing": (failing, {"on_status": listener}),
    "async, failing": (async_failing, {}),
    "with a timeout": (body, {"timeout": 60.0}),
}


# A traceback, and each turn of another thread's loop, takes longer than all the rest of a job.
SLOW = [kind for kind in RUN if "failing" in kind or "heard by" in kind]
FAST = [kind for kind in RUN if kind not in SLOW]


@pytest.fixture(autouse=True)
def _without_the_garbage_collector_and_the_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger("boundedjobs"), "disabled", True)  # pytest keeps records
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def growth(some_jobs: Callable[[], None], jobs: int) -> int:
    """By how many blocks of memory so many more jobs make the process grow."""
    for _ in range(10):
        some_jobs()  # until tables, pools of memory and the history are as large as they get
    before = sys.getallocatedblocks()
    for _ in range(jobs // AT_ONCE):
        some_jobs()
    return sys.getallocatedblocks() - before


def run_to_their_end(kind: str, jobs: int) -> int:
    fn, options = RUN[kind]
    with BoundedRunner(2, history=10, **options) as runner:

        def some_jobs() -> None:
            for job in [runner.submit(fn, [n]) for n in range(AT_ONCE)]:
                job.exception(TIMEOUT)

        return growth(some_jobs, jobs)


def cancel_or_refuse(jobs: int) -> int:
    begun, over = Event(), Event()

    def hold() -> None:
        begun.set()
        over.wait(60 * TIMEOUT)  # a million take longer than a gate holds

    with BoundedRunner(1, history=10, max_pending=AT_ONCE - 10, on_status=listener) as runner:
        runner.submit(hold)
        assert begun.wait(TIMEOUT)

        def some_jobs() -> None:
            waiting = []
            for n in range(AT_ONCE):
                with suppress(RunnerFull):
                    waiting.append(runner.submit(body, [n]))
            assert len(waiting) == AT_ONCE - 10
            for job in waiting:
                job.cancel()
                with suppress(JobCancelled):
                    job.result(TIMEOUT)

        try:
            return growth(some_jobs, jobs)
        finally:
            over.set()


@pytest.mark.parametrize("kind", RUN)
def test_two_thousand_jobs_leave_memory_as_it_was(kind: str) -> None:
    assert run_to_their_end(kind, 2_000) < SLACK


@pytest.mark.proof
@pytest.mark.parametrize("kind", FAST)
def test_a_million_jobs_leave_memory_as_it_was(kind: str) -> None:
    assert run_to_their_end(kind, MILLION) < SLACK


@pytest.mark.proof
@pytest.mark.parametrize("kind", SLOW)
def test_a_hundred_thousand_slow_jobs_leave_memory_as_it_was(kind: str) -> None:
    assert run_to_their_end(kind, MILLION // 10) < SLACK


def test_two_thousand_cancelled_and_refused_jobs_leave_memory_as_it_was() -> None:
    assert cancel_or_refuse(2_000) < SLACK


@pytest.mark.proof
def test_a_million_cancelled_and_refused_jobs_leave_memory_as_it_was() -> None:
    assert cancel_or_refuse(MILLION) < SLACK
