"""What a job costs in the workers of an executor: by way of a runner, and handed to it bare.

No-op jobs, of which all is cost; as many at once as there are workers. These are started once:
what is measured is not how long that takes.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from boundedjobs import BoundedRunner
from tests.benchmarks.contest import OURS, Contender, Figure, Workload
from tests.benchmarks.sync_jobs import nothing

WIDTH = 2
WARM_UP = 20


@cache
def processes(width: int = WIDTH) -> Executor:
    """Of the standard library; not forked, for this process has threads."""
    return ProcessPoolExecutor(width, mp_context=get_context("spawn"))


@cache
def loky() -> Executor:
    """The same, with ways of its own to start and to send."""
    from loky import ProcessPoolExecutor as Pool

    pool: Executor = Pool(WIDTH)
    return pool


@cache
def dask() -> Executor:
    """A scheduler in this process, and two workers that are processes."""
    import distributed

    cluster: Any = distributed.LocalCluster
    cluster = cluster(
        n_workers=WIDTH,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )
    client = cluster.get_client()
    atexit.register(cluster.close)
    atexit.register(client.close)
    executor: Executor = client.get_executor(pure=False)
    return executor


ENGINES: Mapping[str, tuple[Callable[[], Executor], int]] = {
    "concurrent": (processes, 1),
    "loky": (loky, 1),
    "distributed": (dask, 10),
}
"""By the module that each needs; a tenth of the jobs is enough for the slow one."""


def timed(pool: Any, size: int) -> float:
    """Submit all, then wait for each in turn: microseconds per job."""
    for job in [pool.submit(nothing) for _ in range(WARM_UP)]:
        job.result()
    began = perf_counter()
    for job in [pool.submit(nothing) for _ in range(size)]:
        job.result()
    return (perf_counter() - began) / size * 1e6


def by_runner(executor: Executor, size: int) -> float:
    """By way of a runner."""
    with BoundedRunner(WIDTH, executor=executor) as runner:
        return timed(runner, size)


def per_job(contender: Callable[[Executor, int], float], size: int) -> dict[str, float]:
    """In each of the executors that are installed."""
    return {
        name: contender(make(), size // less)
        for name, (make, less) in ENGINES.items()
        if find_spec(name) is not None
    }


workload = Workload(
    "executors",
    {
        "concurrent": Figure("no-op job in ProcessPoolExecutor(2)", "us"),
        "loky": Figure("no-op job in loky, 2 workers", "us"),
        "distributed": Figure("no-op job on Dask, 2 workers", "us"),
    },
    [
        Contender(OURS, lambda size: per_job(by_runner, size)),
        Contender("the executor alone", lambda size: per_job(timed, size)),
    ],
    size=2_000,
    short_size=100,
)
