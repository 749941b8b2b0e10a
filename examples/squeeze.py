"""How small folders get, three at a time, with a view of what goes on.

Run it: `python -m examples.squeeze [FOLDER]...`. The view is on the standard error stream, the
results are on the standard output; without a terminal the view is plain lines. It needs rich.
"""

import lzma
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from boundedjobs import BoundedRunner, current_job
from boundedjobs.live import live

LIBRARY = Path(sysconfig.get_path("stdlib"))
PACKAGES = ["asyncio", "ctypes", "email", "encodings", "json", "logging", "missing", "unittest"]


def squeeze(folder: Path) -> tuple[int, int]:
    """The work: compress each file of a folder; return how many bytes it has, and how many then."""
    before = after = 0
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    for number, path in enumerate(paths):
        current_job().report(number / len(paths), path.name)
        content = path.read_bytes()
        before += len(content)
        after += len(lzma.compress(content))
    return before, after


def main(folders: Sequence[Path]) -> int:
    """Return the exit code: 1 if any failed."""
    with live(BoundedRunner(3, name="squeeze")) as runner:
        jobs = [runner.wrap(squeeze, name=folder.name)(folder) for folder in folders]
    # Leaving the block waited for all of them, in view.
    for job in jobs:
        if job.failure is None:
            before, after = job.result()
            print(f"{job.name}: {before:,} bytes, {after:,} squeezed")
    return 1 if any(job.failure for job in jobs) else 0


if __name__ == "__main__":
    sys.exit(main([Path(each) for each in sys.argv[1:]] or [LIBRARY / each for each in PACKAGES]))
