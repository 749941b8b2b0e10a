"""No-op sync jobs, two at a time: what a job costs, from `submit` until its result is fetched."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter

from tests.benchmarks import pools
from tests.benchmarks.contest import Contender, Figure, Goal, Workload
from tests.benchmarks.pools import Pool

LIMIT = 2
WARM_UP = 50
"""Jobs that start the threads, before the clock starts."""


def nothing() -> None:
    """The body."""


def per_job(pool: Pool, size: int) -> dict[str, float]:
    """Submit all, then wait for each in turn: microseconds per job."""
    with pool.open(LIMIT) as submit:
        for job in [submit(nothing) for _ in range(WARM_UP)]:
            job.result()
        began = perf_counter()
        jobs = [submit(nothing) for _ in range(size)]
        for job in jobs:
            job.result()
        elapsed = perf_counter() - began
    return {"cost": elapsed / size * 1e6}


def anyio_per_job(size: int) -> dict[str, float]:
    """The same with a task group, whose tasks hand the body to a thread under a limiter."""
    import anyio
    import anyio.to_thread

    async def all_of(count: int, limiter: anyio.CapacityLimiter) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(partial(anyio.to_thread.run_sync, nothing, limiter=limiter))

    async def main() -> float:
        limiter = anyio.CapacityLimiter(LIMIT)
        await all_of(WARM_UP, limiter)
        began = perf_counter()
        await all_of(size, limiter)
        return perf_counter() - began

    return {"cost": asyncio.run(main()) / size * 1e6}


silent = Workload(
    "no-op",
    {"cost": Figure("no-op job, limit 2", "us", {pools.STANDARD: Goal(3, aim=5)})},
    [
        *pools.contenders(per_job, pools.ours, pools.standard, pools.pebble),
        Contender("anyio.to_thread", anyio_per_job, needs="anyio"),
    ],
    size=10_000,
    short_size=500,
    rounds=11,
)

heard = Workload(
    "heard",
    {
        "cost": Figure(
            "no-op job, a listener hears its three steps", "us", {pools.STANDARD: Goal(2, aim=3)}
        )
    },
    pools.contenders(per_job, pools.ours_heard, pools.standard, pools.pebble),
    size=10_000,
    short_size=500,
    rounds=11,
)
