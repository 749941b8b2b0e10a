"""What boundedjobs raises.

Every error derives from `BoundedJobsError` and, where the standard library has the
notion, from its class too, so that code written for `concurrent.futures`, `queue` or
`TimeoutError` goes on working. Copied or pickled, an error goes without the job that it
carries: that stays in its process.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError
from copyreg import __newobj__  # type: ignore[attr-defined]
from queue import Full
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boundedjobs._job import Job

__all__ = [
    "BoundedJobsError",
    "JobCancelled",
    "JobDeadlock",
    "JobInterrupted",
    "JobTimeout",
    "NotRunnable",
    "RemoteError",
    "RunnerClosed",
    "RunnerFull",
    "WorkerLost",
]


class BoundedJobsError(Exception):
    """The base of every error that boundedjobs raises."""


class _Refused(BoundedJobsError):
    """A job was not accepted."""

    job: Job[Any] | None

    def __init__(self, message: str, *, job: Job[Any] | None = None) -> None:
        super().__init__(message)
        self.job = job

    def __reduce__(self) -> tuple[Any, ...]:
        return __newobj__, (type(self), *self.args), {**self.__dict__, "job": None}


class RunnerFull(_Refused, Full):
    """The runner has no room: `limit` jobs run and `max_pending` wait.

    Carries `limit`, `running` and `pending` as they were, and `job`, the refused job,
    whose status is REJECTED.
    """

    def __init__(
        self, message: str, *, limit: int, running: int, pending: int, job: Job[Any] | None = None
    ) -> None:
        super().__init__(message, job=job)
        self.limit = limit
        self.running = running
        self.pending = pending


class RunnerClosed(_Refused, RuntimeError):
    """The runner takes no more jobs: it has been shut down. `job` is the refused job."""


class NotRunnable(_Refused, TypeError):
    """What was submitted can't be run, or would "succeed" without running a line.

    `job` is the refused job.
    """


class JobTimeout(BoundedJobsError, TimeoutError):
    """The job ran longer than it was allowed to."""


class JobCancelled(BoundedJobsError, CancelledError):
    """The job was cancelled.

    A `concurrent.futures.CancelledError`, and never an `asyncio.CancelledError`: that
    would look like the cancellation of whoever awaits the job.
    """


class JobInterrupted(BoundedJobsError):
    """The runner had to let the job go: a drain deadline, a closed loop, a fork."""


class JobDeadlock(BoundedJobsError, RuntimeError):
    """This wait could never end, so it is refused instead of begun.

    Or one that has begun could never end, as a job has returned an awaitable for the very event
    loop that it blocks: then that job fails with this error.
    """


class RemoteError(BoundedJobsError):
    """Stands for an exception that was raised in a worker and can't be brought here.

    `type` is the name of its type; the message is its own.
    """

    def __init__(self, message: str, type: str = "") -> None:  # noqa: A002 - as in `Failure`
        super().__init__(message, type)
        self.type = type

    def __str__(self) -> str:
        return f"{self.type}: {self.args[0]}"


class WorkerLost(BoundedJobsError, BrokenExecutor):
    """The worker process that ran the job was killed, or crashed.

    With `by_another` it was another one, and the executor stopped this one too: the job is
    innocent.
    """

    def __init__(self, message: str, *, by_another: bool = False) -> None:
        super().__init__(message)
        self.by_another = by_another
