"""What importing costs, each time in a fresh interpreter.

That is the one thing that needs processes of its own. The child takes the time around the
import alone, so that the start of Python, which is longer and varies more, is no part of it.

Nothing is compiled meanwhile: pip has done that for whoever installs a package. The run that
every contender has before it is measured writes the bytecode of all that it imports, its own and
the standard library's, into one temporary folder, and the measured runs read it from there.
So it makes no difference what the environment forbids to write, or what is in `__pycache__`.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from functools import cache, partial
from tempfile import TemporaryDirectory

from tests.benchmarks.contest import OURS, Contender, Figure, Goal, Workload
from tests.benchmarks.pools import DEADLINE

FUTURES = "concurrent.futures.thread"

CHILD = """
from time import perf_counter
began = perf_counter()
import {module}
print(perf_counter() - began)
"""


@cache
def bytecode() -> str:
    """The folder for it, there for as long as this process lives."""
    folder = TemporaryDirectory(prefix="boundedjobs-imports-")
    atexit.register(folder.cleanup)
    return folder.name


def fresh(module: str, size: int) -> dict[str, float]:
    """Milliseconds; once, whatever the size."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(module=module)],
        env=environment,
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
