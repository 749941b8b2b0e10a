"""What listeners are handed: one event a step, and the progress that a job reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boundedjobs._failure import Failure
from boundedjobs._status import JobStatus

if TYPE_CHECKING:
    from boundedjobs._job import Job


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

    # One is made per step on the hot path: times and texts are worked out on access.
    __slots__ = ("_at", "_failure", "_job", "_moment", "_previous", "_progress", "_status")

    def __init__(
        self,
        job: Job[Any],
        previous: JobStatus | None,
        status: JobStatus,
        moment: float,
        at: float,
        progress: Progress | None,
        failure: Failure | None,
    ) -> None:
        self._job = job
        self._previous = previous
        self._status = status
        self._moment = moment
        self._at = at
        self._progress = progress
        self._failure = failure

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
        """The status before this step; None for the first, RUNNING for progress."""
        return self._previous

    @property
    def status(self) -> JobStatus:
        """The status that this step led to."""
        return self._status

    @property
    def at(self) -> datetime:
        """When the step was decided: an aware datetime in UTC."""
        return datetime.fromtimestamp(self._at, UTC)

    @property
    def waited(self) -> float:
        """Seconds from the submission to the start of the body, or to this step."""
        started = self._job._started
        until = self._moment if started is None else min(started, self._moment)
        return until - self._job._submitted

    @property
    def ran(self) -> float | None:
        """Seconds from the start of the body to this step; None if it had not started."""
        started = self._job._started
        return None if started is None or started > self._moment else self._moment - started

    @property
    def progress(self) -> Progress | None:
        """What the job had reported last, if it had."""
        return self._progress

    @property
    def failure(self) -> Failure | None:
        """Why the job ended FAILED, INTERRUPTED or REJECTED; else None."""
        return self._failure

    def __repr__(self) -> str:
        return f"<JobEvent {self.name!r} id={self.job_id} {self._previous} -> {self._status}>"
