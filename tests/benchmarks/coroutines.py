"""Coroutine jobs on one event loop, a hundred at a time: from handing in to the last result.

The body suspends once, as whatever awaits something does, so that the limit is really met.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

from boundedjobs import BoundedRunner
from tests.benchmarks.contest import OURS, Contender, Figure, Goal, Workload

LIMIT = 100
SEMAPHORE = "asyncio.Semaphore"
AIOJOBS = "aiojobs.wait_and_close"


async def suspended() -> None:
    """The body."""
    await asyncio.sleep(0)


async def ours(size: int) -> None:
    """Submit all, then await each in turn."""
    async with BoundedRunner(LIMIT) as runner:
        jobs = [runner.submit(suspended) for _ in range(size)]
        for job in jobs:
            await job


async def semaphore(size: int) -> None:
    """The pattern that is written by hand: all are tasks at once, and each waits for its turn."""
    turns = asyncio.Semaphore(LIMIT)

    async def in_turn() -> None:
        async with turns:
            await suspended()

    tasks = [asyncio.create_task(in_turn()) for _ in range(size)]
    for task in tasks:
        await task


async def aiojobs(size: int) -> None:
    """Its queue without a bound, as ours is; each job awaited in turn, as ours are."""
    from aiojobs import Scheduler

    async with Scheduler(limit=LIMIT, pending_limit=0) as scheduler:
        jobs = [await scheduler.spawn(suspended()) for _ in range(size)]
        for job in jobs:
            await job.wait()


async def aiojobs_together(size: int) -> None:
    """The same, with its own way of waiting for all: the goal was set against figures like these."""
    from aiojobs import Scheduler

    scheduler = Scheduler(limit=LIMIT, pending_limit=0)
    for _ in range(size):
        await scheduler.spawn(suspended())
    await scheduler.wait_and_close()


async def anyio(size: int) -> None:
    """A task group and a limiter; leaving the group waits for all."""
    from anyio import CapacityLimiter, create_task_group

    limiter = CapacityLimiter(LIMIT)

    async def in_turn() -> None:
        async with limiter:
            await suspended()

    async with create_task_group() as group:
        for _ in range(size):
            group.start_soon(in_turn)


def per_job(run: Callable[[int], Awaitable[None]], size: int) -> dict[str, float]:
    """Microseconds per job."""

    async def main() -> float:
        await run(LIMIT)
        began = perf_counter()
        await run(size)
        return perf_counter() - began

    return {"cost": asyncio.run(main()) / size * 1e6}


workload = Workload(
    "coroutine",
    {"cost": Figure("coroutine job, limit 100", "us", {SEMAPHORE: Goal(1), AIOJOBS: Goal(6)})},
    [
        Contender(OURS, partial(per_job, ours)),
        Contender(SEMAPHORE, partial(per_job, semaphore)),
        Contender("aiojobs", partial(per_job, aiojobs), needs="aiojobs"),
        Contender(AIOJOBS, partial(per_job, aiojobs_together), needs="aiojobs"),
        Contender("anyio.CapacityLimiter", partial(per_job, anyio), needs="anyio"),
    ],
    size=10_000,
    short_size=500,
)
