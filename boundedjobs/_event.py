"""What listeners are handed: one event a step, and the progress that a job reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any

from boundedjobs._failure import Failure
from boundedjobs._status import JobStatus

if TYPE_CHECKING:
    from boundedjobs._job import Job
    from boundedjobs._listeners import Calls

    # What an event is made of: previous, status, when by the monotonic clock and by the wall's
    # (None: now, for it is told at once), progress, failure. Made under the lock, and so no class.
    Plain = tuple[
        JobStatus | None, JobStatus, float, float | None, "Progress | None", Failure | None
    ]
    # The same, and where the body is: of a job that is stuck.
    Stuck = tuple[JobStatus, JobStatus, float, float, "Progress | None", None, str]
    Step = Plain | Stuck


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job says it is."""

    fraction: float
    """From 0 (just begun) to 1 (all done)."""
    message: str = ""

    def __post_init__(self) -> None:
        fraction = self.fraction
        if isinstance(fraction, bool) or not isinstance(fraction, int | float):
            raise TypeError(f"fraction must be a number from 0 to 1, got {fraction!r}")
        if not 0 <= fraction <= 1:  # nor is NaN
            raise ValueError(f"fraction must be from 0 to 1, got {fraction!r}")
        if not isinstance(self.message, str):
            raise TypeError(f"message must be a string, got {self.message!r}")


class JobEvent:
    """One step of one job, as it was when the step was decided. Read-only.

    An event refers to its job: a listener that keeps events keeps the jobs' arguments and
    results alive with them.
    """

    # One is made per step on the hot path, by `event_of`: times and texts are worked out on access.
    __slots__ = ("_at", "_calls", "_job", "_step", "_uncalled")

    _job: Job[Any]
    _step: Step
    _at: float
    # Of who tells it: the sync listeners that it is still to be handed (what the iterator has
    # given has been called), and what must be awaited.
    _uncalled: Iterator[Any]
    _calls: Calls | None

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._job.id

    @property
    def name(self) -> str:
        """The name of the job: the one given to `wrap`, or the callable's."""
        return self._job.name

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of the job."""
        return self._job.args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The keyword arguments of the job; a copy."""
        return dict(self._job.kwargs)

    @property
    def previous(self) -> JobStatus | None:
        """The status before this step; None for the first, RUNNING for progress and `on_stuck`."""
        return self._step[0]

    @property
    def status(self) -> JobStatus:
        """The status that this step led to."""
        return self._step[1]

    @property
    def at(self) -> datetime:
        """When the step was decided: an aware datetime in UTC."""
        return datetime.fromtimestamp(self._at, UTC)

    @property
    def waited(self) -> float:
        """Seconds from the submission to the start of the body, or to this step."""
        started = self._job._started
        until = self._step[2] if started is None else min(started, self._step[2])
        return until - self._job._submitted

    @property
    def ran(self) -> float | None:
        """Seconds from the start of the body to this step; None if it had not started."""
        started = self._job._started
        return None if started is None or started > self._step[2] else self._step[2] - started

    @property
    def progress(self) -> Progress | None:
        """What the job had reported last, if it had."""
        return self._step[4]

    @property
    def failure(self) -> Failure | None:
        """Why the job ended FAILED, INTERRUPTED or REJECTED; else None."""
        return self._step[5]

    @property
    def stack(self) -> str:
        """For `on_stuck` listeners: where the body was, as `Job.stack()` has it; else empty."""
        return self._step[6] if len(self._step) == 7 else ""

    def __repr__(self) -> str:
        return f"<JobEvent {self.name!r} id={self.job_id} {self.previous} -> {self.status}>"


def event_of(job: Job[Any], step: Step, uncalled: Iterator[Any]) -> JobEvent:
    """Make an event. An `__init__` would cost 0.1 us more: it is called by way of C."""
    event = JobEvent()
    event._job = job
    event._step = step
    event._at = step[3] or time()
    event._uncalled = uncalled
    event._calls = None
    return event
