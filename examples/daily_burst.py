"""A day's proposals, made into content packs from cron. Run it: `python -m examples.daily_burst`.

The rows are the content app's, in its database (`DATABASE_URL`), so its page shows them. Two jobs
run at a time, and some seconds lie between two starts, for the sake of whatever they call. Have one
burst at a time, for it ends what an earlier one has left open; and give it so many hours, for a
body that never returns never frees its slot. In a crontab:

    5 6 * * *  flock -n burst.lock timeout 2h python -m examples.daily_burst proposals.json

Exit code 0: all are completed, or there were none. 1: some are not. 2: the file or an option is
bad, and nothing was done. 130: stopped by Ctrl-C, 143: by SIGTERM. Being stopped lets what runs end
(for `CONTENT_DRAIN_TIMEOUT` seconds) and cancels the rest; a second time, it leaves at once.
"""

import argparse
import logging
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, from_json

from boundedjobs import BoundedRunner, JobEvent, JobStatus
from examples.content_app.app.database import create_tables, database_place, get_db_session
from examples.content_app.app.models import BURST, JobRow, RowStatus
from examples.content_app.app.services.jobs.job_listeners import (
    interrupt_open_rows,
    record_progress,
    record_status,
    record_stuck,
)
from examples.content_app.app.services.jobs.job_manager import JobManager
from examples.content_app.app.services.jobs.job_processor import JobProcessor
from examples.content_app.app.services.jobs.job_source import MAX_BYTES, first_line
from examples.content_app.app.settings import settings

SAMPLE = Path(__file__).with_name("proposals.json")


def storable(text: str) -> str:
    """What the app would take as a document, too."""
    if "\0" in text:
        raise ValueError("must have no NUL")
    if (size := len(text.encode())) > MAX_BYTES:
        raise ValueError(f"must have at most {MAX_BYTES:,} bytes, got {size:,}")
    return text


class Proposal(BaseModel):
    """One object of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: Annotated[str, Field(min_length=1), AfterValidator(storable)]
    title: Annotated[str, Field(max_length=200), AfterValidator(storable)] = ""
    kind: Literal["markdown", "text"] = "markdown"


def read_proposals(path: Path) -> list[Proposal]:
    """The proposals of a JSON array, or of JSON lines. Raises `ValueError` with all that is wrong."""
    text = path.read_text(encoding="utf-8-sig")
    is_array = text.lstrip().startswith("[")
    pieces = from_json(text) if is_array else text.split("\n")
    unit = "proposal" if is_array else "line"
    check = Proposal.model_validate if is_array else Proposal.model_validate_json
    proposals, wrong = [], []
    for number, piece in enumerate(pieces, start=1):
        if is_array or piece.strip():
            try:
                proposals.append(check(piece))
            except ValidationError as error:
                wrong += [f"{unit} {number}: {said(each)}" for each in error.errors()]
    if wrong:
        raise ValueError("\n  ".join(["not all proposals are as they should be", *wrong]))
    return proposals


def said(error: ErrorDetails) -> str:
    """Which field is wrong, and how."""
    return ": ".join([*map(str, error["loc"]), error["msg"]])


def process(row_id: str) -> None:
    """The body of a job."""
    with get_db_session() as db:
        JobProcessor(db).process_job(row_id)


def tell(event: JobEvent) -> None:
    """A listener, for who looks on."""
    if event.status is not JobStatus.PENDING:
        print(
            f"{event.at.astimezone():%H:%M:%S}  {event.status.value:<12} {event.name}\n",
            end="",
            flush=True,
        )


def run(runner: BoundedRunner, proposals: Sequence[Proposal], rows: list[JobRow]) -> int:
    """Make a row of each proposal and run their jobs; the signal that stopped it, or 0."""
    # What a handler raised could land in a listener, and would be that listener's error.
    heard: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: heard.put(number))
    for each in proposals:
        title = " ".join(each.title.split()) or first_line(each.source)
        with get_db_session() as db:
            rows.append(
                JobManager(db).create_job(each.source, title=title, kind=each.kind, owner=BURST)
            )
    with runner:
        jobs = [runner.wrap(process, name=row.title)(row.id) for row in rows]

        def tell_end() -> None:
            wait(jobs)
            heard.put(0)

        Thread(target=tell_end).start()
        stopped = heard.get()
        if stopped:
            print("Stopping when what runs has ended; once more, and it is left.", flush=True)
            runner.shutdown(wait=False, cancel_futures=True)
            if heard.get():
                runner.shutdown(timeout=0)
    return stopped


def summary(created: Sequence[JobRow]) -> bool:
    """Print what the rows have come to; whether all are completed."""
    with get_db_session() as db:
        rows = [JobManager(db).get(row.id) for row in created]
    for row in rows:
        if row.status != RowStatus.COMPLETED:
            print(f"{row.title}: {row.status}: {row.reason}")
    counts = Counter(row.status for row in rows)
    print(f"{len(rows)} jobs:", ", ".join(f"{count} {status}" for status, count in counts.items()))
    return set(counts) <= {RowStatus.COMPLETED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the burst; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.daily_burst",
        description="Makes content packs of a file's proposals, two at a time.",
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        default=SAMPLE,
        help="a JSON array, or JSON lines, of objects with 'source', the document; and if you like "
        "'title', and 'kind': markdown or text (default: a sample)",
    )
    parser.add_argument(
        "--stagger",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="at least between two starts (default: %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        runner = BoundedRunner(
            2,
            name="burst",
            stagger=chosen.stagger,
            timeout=settings.timeout,
            stuck_after=settings.stuck_after,
            drain_timeout=settings.drain_timeout,
            on_status=[record_status, tell],
            on_progress=record_progress,
            on_stuck=record_stuck,
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        proposals = read_proposals(chosen.file)
    except OSError as error:
        parser.error(f"cannot read {chosen.file}: {error.strerror}")
    except ValueError as error:
        parser.error(f"{chosen.file}: {error}")

    if not proposals:
        print(f"Nothing to do: {chosen.file} has no proposals")
        return 0
    create_tables()
    print(f"{len(proposals)} proposals; database: {database_place()}", flush=True)
    rows: list[JobRow] = []
    try:
        stopped = run(runner, proposals, rows)
    finally:
        interrupt_open_rows(BURST)  # of one that was killed; or a listener could not write
    all_completed = summary(rows)
    return 128 + stopped if stopped else int(not all_completed)


if __name__ == "__main__":
    sys.exit(main())
