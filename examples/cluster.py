"""The content app's work on a Dask cluster: a scheduler and two workers, each a program of its own.

Run it: `python -m examples.cluster`. It starts them, on the loopback, and ends them however it ends.
With `--kill` one worker is killed in the middle: its jobs are `failed`, and the other goes on alone.

Rows, listeners and the limit are here; only what takes the time is there. A worker is sent a
document and sends a content pack back, so it needs no way to the database, which as a rule is a file
of this machine: it needs the code that `make` imports, and to reach the scheduler. So it is on
machines of their own, each with this checkout and `pip install -e ".[dask,examples]"`:

    DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0 dask scheduler      # prints its address
    dask worker tcp://10.0.0.1:8786 --nthreads 2                        # on each of the others
    python -m examples.cluster --scheduler tcp://10.0.0.1:8786

(Whoever reaches these ports can run code there: keep to a network of your own, or use Dask's TLS.)

Exit code 0: all are completed. 1: some are not. 130: stopped by Ctrl-C, 143: by SIGTERM. Being
stopped lets what runs end (for `CONTENT_DRAIN_TIMEOUT` seconds), and cancels the rest; while the
cluster comes up, it waits for that first.
"""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from distributed import Client

from boundedjobs import BoundedRunner, JobEvent, JobStatus, current_job
from examples.content_app.app.database import create_tables, database_place, get_db_session
from examples.content_app.app.models import CLUSTER, JobRow
from examples.content_app.app.services.content.pack import ContentPack, make_pack
from examples.content_app.app.services.jobs.job_listeners import (
    interrupt_open_rows,
    record_progress,
    record_status,
    record_stuck,
)
from examples.content_app.app.services.jobs.job_manager import JobManager
from examples.content_app.app.services.jobs.job_processor import JobProcessor
from examples.content_app.app.services.jobs.job_source import first_line
from examples.content_app.app.settings import settings
from examples.daily_burst import Proposal, read_proposals, summary, tell

PATIENCE = 30
"""Seconds that the cluster may take to be there."""

Program = subprocess.Popen[bytes]


def make(row_id: str, source: str, kind: str) -> ContentPack:
    """The body of a job, in a worker. It is sent whole, as all of `__main__`, but not its imports.

    Which row it is for is what the listeners ask.
    """
    job = current_job()
    return make_pack(source, kind, job.report, job.check_cancelled)


succeeded: dict[str, JobEvent] = {}
"""What `store` has still to write of: the last event of each job that has made a pack."""


def record(event: JobEvent) -> None:
    """A listener. It leaves a success to `store`, for a row is completed when its pack is there."""
    if event.status is JobStatus.SUCCEEDED:
        succeeded[event.job_id] = event
    else:
        record_status(event)


def store(job: Any) -> None:
    """A callback of a job: if its pack has come back, write it down."""
    if event := succeeded.pop(job.id, None):
        with get_db_session() as db:
            JobProcessor(db).store(str(job.args[0]), job.id, job.result())
        record_status(event)


@contextmanager
def program(*command: str, folder: str) -> Iterator[Program]:
    """One of Dask's commands, until the block is left."""
    options = {
        "DASK_LOGGING__DISTRIBUTED": "error",
        # Else it makes a call up to three times again whose worker died. No body runs twice even
        # so, but a job that is lost is known to be only when another worker has taken it up.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_TEMPORARY_DIRECTORY": folder,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *command],
        env={**os.environ, **options},
        start_new_session=True,  # a Ctrl-C in the terminal is for us alone: what runs may end
    )
    try:
        yield process
    finally:
        try:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        finally:
            process.kill()
            process.wait()


@contextmanager
def cluster() -> Iterator[tuple[str, dict[str, Program]]]:
    """A scheduler and two workers; its address, and the workers by name."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    here = ("--host", "127.0.0.1", "--no-dashboard")
    # If nothing is left of this program to end them, the scheduler ends by itself, and they with it.
    alone = ("--port", str(port), "--idle-timeout", "5 minutes")
    # Without its nanny, which would start it again, a worker is a single process. Each has room
    # for two: it is the runner that sees to the limit, also when one of them is gone.
    worker = ("worker", address, *here, "--no-nanny", "--nthreads", "2")
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        stack.enter_context(program("scheduler", *here, *alone, folder=folder))
        workers = {
            name: stack.enter_context(program(*worker, "--name", name, folder=folder))
            for name in ("one", "two")
        }
        yield address, workers


def kill_one(client: Any, workers: dict[str, Program]) -> None:
    """Kill the worker that has the most to do, as a power cut would."""
    processing = client.processing()
    address = max(processing, key=lambda each: len(processing[each]))
    name = client.scheduler_info()["workers"][address]["name"]
    workers[name].kill()
    count = len(processing[address])
    print(
        f"Killed worker {name}, process {workers[name].pid}: it had {count} of the jobs", flush=True
    )


def run(
    client: Any,
    workers: dict[str, Program],
    proposals: Sequence[Proposal],
    rows: list[JobRow],
    heard: SimpleQueue[Any],
    *,
    kill: bool,
) -> int:
    """Make a row of each proposal and run their jobs; the signal that stopped it, or 0.

    In `heard` are signals, and jobs that have ended.
    """
    runner = BoundedRunner(
        2,
        name="cluster",
        executor=client.get_executor(pure=False),  # outlives its workers: no callable is needed
        timeout=settings.timeout,
        stuck_after=settings.stuck_after,
        drain_timeout=settings.drain_timeout,
        on_status=[record, tell],
        on_progress=record_progress,
        on_stuck=record_stuck,
    )
    with runner:
        for each in proposals:
            title = each.title or first_line(each.source)
            with get_db_session() as db:
                row = JobManager(db).create_job(
                    each.source, title=title, kind=each.kind, owner=CLUSTER
                )
            rows.append(row)
            job = runner.wrap(make, name=title)(row.id, each.source, each.kind)
            job.add_done_callback(store)
            job.add_done_callback(heard.put)
        for ended in range(1, len(rows) + 1):
            word = heard.get()
            if isinstance(word, int):
                print("Stopping when what runs has ended", flush=True)
                runner.shutdown(wait=False, cancel_futures=True)
                return word
            if kill and ended == max(1, len(rows) // 3):
                kill_one(client, workers)
    return 0


def samples() -> list[Proposal]:
    """The app's documents, each many times over, so that there is something to do."""
    paths = sorted((Path(__file__).parent / "content_app" / "documents").iterdir())
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [
        Proposal(source="\n\n".join([text] * 100), title=f"{first_line(text)}, volume {volume}")
        for volume in (1, 2, 3)
        for text in texts
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.cluster",
        description="Makes content packs on a Dask cluster, two at a time.",
    )
    parser.add_argument("file", type=Path, nargs="?", help="proposals, as for examples.daily_burst")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--kill", action="store_true", help="kill a worker in the middle")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster that is there already")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        proposals = read_proposals(chosen.file) if chosen.file else samples()
    except (OSError, ValueError) as error:
        parser.error(f"cannot read {chosen.file}: {error}")

    # What a handler raised could land in a listener, and would be that listener's error; or in the
    # start of a program, of which nobody would know then.
    heard: SimpleQueue[Any] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: heard.put(number))
    create_tables()
    rows: list[JobRow] = []
    with ExitStack() as stack:
        address, workers = chosen.scheduler, dict[str, Program]()
        if address is None:
            address, workers = stack.enter_context(cluster())
        client = stack.enter_context(Client(address, timeout=PATIENCE, set_as_default=False))
        client.wait_for_workers(max(1, len(workers)), timeout=PATIENCE)
        if not heard.empty():
            return 128 + int(heard.get())
        print(f"Scheduler: {address}; database: {database_place()}", flush=True)
        try:
            stopped = run(client, workers, proposals, rows, heard, kill=chosen.kill)
        finally:
            interrupt_open_rows(CLUSTER)  # of one that was killed; or a listener could not write
    all_completed = summary(rows)
    return 128 + stopped if stopped else int(not all_completed)


if __name__ == "__main__":
    sys.exit(main())
