"""What importing costs, each time in a fresh interpreter.

That is the one thing that needs processes of its own. The child takes the time around the
import alone, so that the start of Python, which is longer and varies more, is no part of it.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from tests.benchmarks.contest import OURS, Contender, Figure, Goal, Workload
from tests.benchmarks.pools import DEADLINE

FUTURES = "concurrent.futures.thread"

CHILD = """
from time import perf_counter
began = perf_counter()
import {module}
print(perf_counter() - began)
"""


def fresh(module: str, size: int) -> dict[str, float]:
    """Milliseconds; once, whatever the size."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(module=module)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return {"cost": float(done.stdout) * 1e3}


workload = Workload(
    "import",
    {"cost": Figure("import", "ms", {FUTURES: Goal(0.5)})},
    [Contender(module, partial(fresh, module)) for module in (OURS, FUTURES, "asyncio")],
    size=1,
    short_size=1,
    rounds=21,
)
