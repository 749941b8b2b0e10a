"""What is seen of jobs and of runners: plain values, as they were at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from boundedjobs._event import Progress
from boundedjobs._failure import Failure
from boundedjobs._status import JobStatus

if TYPE_CHECKING:
    # What a record is made of: number, name, status, progress, failure; and by the monotonic
    # clock when the job was submitted, started and ended. Made under the lock, and so no class.
    Entry = tuple[
        int, str, JobStatus, Progress | None, Failure | None, float, float | None, float | None
    ]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it was at one moment, as plain values: what is kept of it when it has ended.

    It refers to no argument, result, exception or frame. `dataclasses.asdict` makes of it what
    `json.dumps` takes.
    """

    id: str
    name: str
    status: JobStatus
    progress: Progress | None
    """What it had reported last, if it had."""
    failure: Failure | None
    """Why it ended FAILED or INTERRUPTED; else None."""
    waited: float
    """Seconds from the submission to the start; to the end, or to then, if it had not started."""
    ran: float | None
    """Seconds from the start to the end, or to then; None if it had not started."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A runner as it was at one moment: all of it was true at once.

    Plain values: `dataclasses.asdict` makes of it what `json.dumps` takes. The totals are those
    since the runner was made, or since the process was forked.
    """

    name: str
    state: Literal["open", "paused", "closed"]
    limit: int
    max_pending: int | None
    running: int
    """The jobs that held a slot; after the limit was set lower, maybe more than that."""
    pending: int
    """The jobs that were accepted and waited for a slot."""
    overdue: int
    """Of those that held a slot, the ones that had had their end, by a timeout say, while the
    body went on."""
    succeeded: int
    failed: int
    cancelled: int
    interrupted: int
    rejected: int
    listener_errors: int
    """How many calls of listeners had raised."""
    waited: float
    """Seconds in total that the jobs which have had their end had waited for their start."""
    ran: float
    """Seconds in total that these had run."""
    jobs: tuple[JobRecord, ...]
    """The live jobs: first those that held a slot, in the order of their start; then those whose
    end was still being heard; then those that waited, in the order of the queue."""
    ended: tuple[JobRecord, ...] = ()
    """For `snapshot(since=)`: the records, as far as they were kept, of the jobs that had ended
    since then, oldest first."""


def record_of(entry: Entry, now: float) -> JobRecord:
    """The record of a job that is live, or has ended."""
    number, name, status, progress, failure, submitted, started, ended = entry
    until = now if ended is None else ended
    return JobRecord(
        id_of(number),
        name,
        status,
        progress,
        failure,
        (until if started is None else started) - submitted,
        None if started is None else until - started,
    )


def id_of(number: int) -> str:
    """The id of a job."""
    return f"{number:024x}"


def number_of(job_id: str) -> int | None:
    """The number of the job that has this id; None if no job can have it."""
    try:
        number = int(job_id, 16)
    except ValueError:
        return None
    return number if id_of(number) == job_id else None
