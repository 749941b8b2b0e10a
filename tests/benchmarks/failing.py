"""Jobs that raise: ours are told of, with the whole traceback as text; a future keeps an exception.

The ERROR that each failed job logs goes to a handler that drops it: what writing it down costs is
for whoever configures logging to say. The second peer makes the text by hand.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from functools import partial
from time import perf_counter

from tests.benchmarks import pools
from tests.benchmarks.contest import OURS, Contender, Figure, Workload
from tests.benchmarks.pools import Pool
from tests.benchmarks.sync_jobs import LIMIT, WARM_UP


def fail() -> None:
    """The body."""
    raise ValueError("as expected")


def fail_by_hand() -> str:
    """The same body, with what a careful user writes around it."""
    try:
        fail()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("it has not raised")


def per_job(pool: Pool, body: Callable[[], object], size: int) -> dict[str, float]:
    """Submit all, then wait for each in turn: microseconds per job."""
    with pool.open(LIMIT) as submit:
        for job in [submit(body) for _ in range(WARM_UP)]:
            job.exception()
        began = perf_counter()
        jobs = [submit(body) for _ in range(size)]
        for job in jobs:
            job.exception()
        elapsed = perf_counter() - began
    return {"cost": elapsed / size * 1e6}


def ours(size: int) -> dict[str, float]:
    """Without anything written."""
    logger = logging.getLogger("boundedjobs")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        return per_job(pools.ours, fail, size)
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)


workload = Workload(
    "failing",
    {"cost": Figure("job that fails, traceback as text", "us")},
    [
        Contender(OURS, ours),
        Contender(f"{pools.STANDARD}, no text", partial(per_job, pools.standard, fail)),
        Contender(
            f"{pools.STANDARD}, text by hand", partial(per_job, pools.standard, fail_by_hand)
        ),
    ],
    size=3_000,
    short_size=200,
)
