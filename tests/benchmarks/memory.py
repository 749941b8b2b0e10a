"""Memory of a job that waits for a slot, its handle kept by whoever submitted it.

As `tracemalloc` counts it: what Python has allocated, the same in each run.
"""

from __future__ import annotations

import gc
import tracemalloc
from concurrent.futures import Future
from typing import Any

from tests.benchmarks import pools
from tests.benchmarks.contest import Figure, Goal, Workload
from tests.benchmarks.gated import full
from tests.benchmarks.pools import Pool
from tests.benchmarks.sync_jobs import LIMIT, nothing


def per_pending_job(pool: Pool, size: int) -> dict[str, float]:
    """Bytes per job, without the list that holds the handles."""
    jobs: list[Future[Any] | None] = [None] * size
    with full(pool, LIMIT) as (submit, _):
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for index in range(size):
                jobs[index] = submit(nothing)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return {"memory": (after - before) / size}


workload = Workload(
    "memory",
    {"memory": Figure("memory per pending job", "bytes", {pools.STANDARD: Goal(3)})},
    pools.contenders(per_pending_job, pools.ours, pools.standard, pools.pebble),
    size=10_000,
    short_size=500,
    rounds=2,
    short_rounds=1,
)
