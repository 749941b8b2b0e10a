"""Operations per job, counted: no clock, no noise.

An operation is one instruction of Python's bytecode, or one call of a function written in C, on
the thread that submits or on the worker. What a job adds is the difference between twice as many
jobs and as many: starting and stopping cancel out. A loop over what is pending, or a wait that
spins, would show; what goes on inside a function written in C does not, but costs time in `backlog`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.benchmarks import pools
from tests.benchmarks.contest import Figure, Workload
from tests.benchmarks.gated import full
from tests.benchmarks.pools import Pool
from tests.benchmarks.sync_jobs import nothing

FEW = 100


class Counter:
    """Counts the operations of each thread on which it is started."""

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> None:
        """Count on this thread, in the functions that are running too."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            frame.f_trace = self._trace
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            frame = frame.f_back
        sys.setprofile(self._profile)
        sys.settrace(self._trace)

    def stop(self) -> None:
        """No more on this thread."""
        sys.settrace(None)
        sys.setprofile(None)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self.count += 1
        return self._trace

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            self.count += 1


def operations(pool: Pool, jobs: int) -> int:
    """Of submitting that many while the one slot is held, and then of running them."""
    counter = Counter()
    with full(pool, 1, then=counter.start) as (submit, release):
        gc.disable()  # finalizers of others would be counted
        try:
            counter.start()
            pending = [submit(nothing) for _ in range(jobs)]
            counter.stop()
            last = submit(counter.stop)
            release()
            last.result()
        finally:
            gc.enable()
        assert all(job.done() for job in pending)
    return counter.count


def per_job(pool: Pool, size: int) -> dict[str, float]:
    """Operations that a job adds to few, and to `size`; and their growth, as a ratio."""
    counts = {}
    for jobs in (FEW, size):
        operations(pool, jobs)  # the interpreter rewrites what it runs often: let it
        counts[f"{jobs}"] = (operations(pool, 2 * jobs) - operations(pool, jobs)) / jobs
    return {**counts, "growth": counts[f"{size}"] / counts[f"{FEW}"]}


workload = Workload(
    "operations",
    {
        "100": Figure("operations per job, 100 pending", "count"),
        "1000": Figure("operations per job, 1,000 pending", "count"),
        "10000": Figure("operations per job, 10,000 pending", "count"),
        "growth": Figure("growth of operations per job", "ratio", at_most=1),
    },
    pools.contenders(per_job, pools.ours, pools.standard),
    size=10_000,
    short_size=1_000,
    rounds=1,
    short_rounds=1,
)
