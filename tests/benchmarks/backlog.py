"""What a job costs when very many wait: does it grow with their number?

All are submitted while every slot is held; then the slots are let go, and all results fetched.
"""

from __future__ import annotations

import gc
import os
from time import perf_counter

from tests.benchmarks import pools
from tests.benchmarks.contest import Figure, Goal, Workload
from tests.benchmarks.gated import full
from tests.benchmarks.pools import Pool
from tests.benchmarks.sync_jobs import LIMIT, nothing

DEPTHS = (1_000, 10_000, 100_000, 1_000_000)
SAMPLE = 20_000
"""Jobs of which a figure is made at the least: of fewer it would be chance."""
BYTES = 4_000
"""What a pending job may take of the machine, of whichever contender."""


def per_job(pool: Pool, size: int) -> dict[str, float]:
    """Microseconds per job, for each depth up to `size`; and the growth, as a ratio."""
    costs = {}
    for depth in DEPTHS:
        if depth <= size and depth * BYTES <= memory():
            times = [all_of(pool, depth) for _ in range(max(1, SAMPLE // depth))]
            costs[f"{depth}"] = sum(times) / len(times) / depth * 1e6
    if "1000000" in costs:
        costs["growth"] = costs["1000000"] / costs["10000"]
    return costs


def all_of(pool: Pool, depth: int) -> float:
    """Seconds for that many."""
    with full(pool, LIMIT) as (submit, release):
        gc.collect()
        began = perf_counter()
        jobs = [submit(nothing) for _ in range(depth)]
        release()
        for job in jobs:
            job.result()
        return perf_counter() - began


def memory() -> float:
    """Bytes that are free on this machine, if it says so."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # not Linux: no such name, or no `sysconf` at all
        return float("inf")


workload = Workload(
    "backlog",
    {
        **{f"{depth}": Figure(f"job, {depth:,} pending", "us") for depth in DEPTHS},
        "growth": Figure("growth, 10,000 to 1,000,000", "ratio", {pools.STANDARD: Goal(1)}),
    },
    pools.contenders(per_job, pools.ours, pools.standard),
    size=DEPTHS[-1],
    short_size=DEPTHS[0],
    rounds=2,
    short_rounds=1,
)
