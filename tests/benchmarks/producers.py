"""Several threads submit at the same time: do they stand in each other's way?"""

from __future__ import annotations

from threading import Barrier, Thread
from time import perf_counter

from tests.benchmarks import pools
from tests.benchmarks.contest import Figure, Workload
from tests.benchmarks.pools import DEADLINE, Pool
from tests.benchmarks.sync_jobs import LIMIT, WARM_UP, nothing

THREADS = (1, 2, 4, 8)


def per_job(pool: Pool, size: int) -> dict[str, float]:
    """Microseconds per job, for each number of threads; `size` jobs of all threads together."""
    return {f"{threads}": timed(pool, threads, size // threads) for threads in THREADS}


def timed(pool: Pool, threads: int, share: int) -> float:
    """Each thread submits its share, then waits for each of its jobs in turn."""
    start = Barrier(threads + 1)

    with pool.open(LIMIT) as submit:

        def produce() -> None:
            start.wait(DEADLINE)
            for job in [submit(nothing) for _ in range(share)]:
                job.result()

        for job in [submit(nothing) for _ in range(WARM_UP)]:
            job.result()
        producers = [Thread(target=produce, daemon=True) for _ in range(threads)]
        for producer in producers:
            producer.start()
        start.wait(DEADLINE)
        began = perf_counter()
        for producer in producers:
            producer.join(DEADLINE)
        elapsed = perf_counter() - began
        assert not any(producer.is_alive() for producer in producers), "a producer hangs"
    return elapsed / (share * threads) * 1e6


workload = Workload(
    "producers",
    {
        f"{threads}": Figure(f"job, {threads} producer thread{'s' * (threads > 1)}", "us")
        for threads in THREADS
    },
    pools.contenders(per_job, pools.ours, pools.standard),
    size=8_000,
    short_size=400,
)
