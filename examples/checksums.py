"""Checksums of all files below a folder, as `sha256sum` prints them; errors are listed at the end.

Run it: `python -m examples.checksums FOLDER`. The exit code is 1 if there was an error, else 0.
However many files there are, few are held at a time: names are read as it goes.
"""

import argparse
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from hashlib import file_digest
from importlib.util import find_spec

from boundedjobs import BoundedRunner, Job


def files_below(folder: str, errors: list[str]) -> Iterator[str]:
    """The paths of all files, as they are come by; folders that can't be read are errors."""
    for parent, _, names in os.walk(folder, onerror=lambda error: errors.append(str(error))):
        for name in names:
            yield os.path.join(parent, name)


def checksum(path: str) -> str:
    """The work. What it raises fails its job, and nothing else."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"not a regular file: {path!r}")  # to open a pipe would wait for ever
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def with_progress(jobs: Iterable[Job[str]], bar: str) -> Iterable[Job[str]]:
    """The same jobs, with a bar on the standard error. Whatever wraps an iterator will do."""
    if bar == "tqdm":
        from tqdm import tqdm

        shown: Iterable[Job[str]] = tqdm(jobs, unit=" files")
        return shown
    if bar == "rich":
        from rich.console import Console
        from rich.progress import track

        return track(jobs, "Checksums", console=Console(stderr=True))
    return jobs


def default_bar() -> str:
    """A bar that is installed; none where the checksums themselves show how it goes on."""
    if sys.stdout.isatty():
        return "none"
    return next((bar for bar in ("tqdm", "rich") if find_spec(bar)), "none")


def line(digest: str, path: str) -> bytes:
    """What `sha256sum --check` reads, of a name with a line break, too."""
    name = os.fsencode(path)
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b"%s%s  %s\n" % (b"" if escaped == name else b"\\", digest.encode(), escaped)


def main() -> int:
    parser = argparse.ArgumentParser(description="Checksums of all files below a folder.")
    parser.add_argument("folder")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--progress", choices=("tqdm", "rich", "none"), default=default_bar())
    options = parser.parse_args()
    logging.getLogger("boundedjobs").setLevel(logging.CRITICAL)  # all errors are listed at the end
    errors: list[str] = []
    with (
        BoundedRunner(options.jobs, name="checksums") as runner,
        runner.as_completed(checksum, files_below(options.folder, errors)) as jobs,
    ):
        for job in with_progress(jobs, options.progress):
            if job.failure is None:
                sys.stdout.buffer.write(line(job.result(), job.args[0]))
            else:
                errors.append(job.failure.message)
    sys.stdout.buffer.flush()
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
