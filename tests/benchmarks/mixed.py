"""Half sync, half async, under one limit: ours, and the same written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter

from boundedjobs import BoundedRunner
from tests.benchmarks.contest import OURS, Contender, Figure, Workload
from tests.benchmarks.coroutines import suspended
from tests.benchmarks.sync_jobs import nothing

LIMIT = 10

RunAll = Callable[[int], Awaitable[None]]


async def ours(size: int) -> float:
    """One runner takes both. Seconds."""
    async with BoundedRunner(LIMIT) as runner:

        async def run(count: int) -> None:
            jobs = [runner.submit(suspended if n % 2 else nothing) for n in range(count)]
            for job in jobs:
                await job

        return await timed(run, size)


async def by_hand(size: int) -> float:
    """A semaphore around both, and an executor for the sync ones. Seconds."""
    turns = asyncio.Semaphore(LIMIT)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(LIMIT) as pool:

        async def in_thread() -> None:
            async with turns:
                await loop.run_in_executor(pool, nothing)

        async def on_loop() -> None:
            async with turns:
                await suspended()

        async def run(count: int) -> None:
            bodies = (on_loop() if n % 2 else in_thread() for n in range(count))
            tasks = [asyncio.create_task(body) for body in bodies]
            for task in tasks:
                await task

        return await timed(run, size)


async def timed(run: RunAll, size: int) -> float:
    """Warm up, then time. Seconds."""
    await run(10 * LIMIT)
    began = perf_counter()
    await run(size)
    return perf_counter() - began


def per_job(contender: Callable[[int], Awaitable[float]], size: int) -> dict[str, float]:
    """Microseconds per job."""

    async def main() -> float:
        return await contender(size)

    return {"cost": asyncio.run(main()) / size * 1e6}


workload = Workload(
    "mixed",
    {"cost": Figure("job, half sync and half async, limit 10", "us")},
    [
        Contender(OURS, partial(per_job, ours)),
        Contender("Semaphore + run_in_executor", partial(per_job, by_hand)),
    ],
    size=4_000,
    short_size=300,
)
