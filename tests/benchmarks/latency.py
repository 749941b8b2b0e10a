"""Hand-off: how long after `submit` a body starts, on a runner that has nothing else to do."""

from __future__ import annotations

from statistics import quantiles
from time import perf_counter

from tests.benchmarks import pools
from tests.benchmarks.contest import Figure, Goal, Workload
from tests.benchmarks.pools import Pool

LIMIT = 2
WARM_UP = 50


def hand_off(pool: Pool, size: int) -> dict[str, float]:
    """One job at a time, the result of each awaited before the next: microseconds."""
    submitted: list[float] = []
    started: list[float] = []

    def body() -> None:
        started.append(perf_counter())

    with pool.open(LIMIT) as submit:
        for _ in range(WARM_UP + size):
            submitted.append(perf_counter())
            submit(body).result()
    delays = [
        after - before for before, after in zip(submitted[WARM_UP:], started[WARM_UP:], strict=True)
    ]
    percentiles = quantiles(delays, n=100)
    return {"p50": percentiles[49] * 1e6, "p99": percentiles[98] * 1e6}


workload = Workload(
    "latency",
    {
        "p50": Figure("submit to start, idle, p50", "us", {pools.STANDARD: Goal(1)}),
        "p99": Figure("submit to start, idle, p99", "us", {pools.STANDARD: Goal(1)}),
    },
    pools.contenders(hand_off, pools.ours, pools.standard, pools.pebble),
    size=5_000,
    short_size=300,
)
