"""CPU-bound jobs, in two processes, in one, and on threads: milliseconds per job."""

from __future__ import annotations

from functools import partial
from time import perf_counter

from boundedjobs import BoundedRunner
from tests.benchmarks.contest import OURS, Contender, Figure, Workload
from tests.benchmarks.executors import processes


def compute() -> int:
    """The body: some milliseconds that hold the interpreter's lock."""
    total = 0
    for number in range(200_000):
        total += number * number % 7
    return total


def per_job(limit: int, width: int | None, size: int) -> dict[str, float]:
    """Milliseconds per job; on threads if there is no width."""
    executor = None if width is None else processes(width)
    with BoundedRunner(limit, executor=executor) as runner:
        for job in [runner.submit(compute) for _ in range(2 * limit)]:
            job.result()
        began = perf_counter()
        for job in [runner.submit(compute) for _ in range(size)]:
            job.result()
        return {"cost": (perf_counter() - began) / size * 1e3}


workload = Workload(
    "cpu",
    {"cost": Figure("CPU-bound job, limit 2, executor of 2 processes", "ms")},
    [
        Contender(OURS, partial(per_job, 2, 2)),
        Contender("ours, 1 process", partial(per_job, 1, 1)),
        Contender("ours, 2 threads", partial(per_job, 2, None)),
    ],
    size=100,
    short_size=4,
)
