"""Background jobs, at most so many at once, none of them ever lost.

`BoundedRunner` runs any callable, sync or async, in the background; captures every
exception in full; and tells status callbacks about each step.
"""

from boundedjobs._completed import AsCompleted
from boundedjobs._event import JobEvent, Progress
from boundedjobs._failure import Failure
from boundedjobs._job import Job, current_job
from boundedjobs._record import JobRecord, Snapshot
from boundedjobs._runner import BoundedRunner
from boundedjobs._status import JobStatus
from boundedjobs.errors import (
    BoundedJobsError,
    JobCancelled,
    JobDeadlock,
    JobInterrupted,
    JobTimeout,
    NotRunnable,
    RemoteError,
    RunnerClosed,
    RunnerFull,
    WorkerLost,
)

__all__ = [
    "AsCompleted",
    "BoundedJobsError",
    "BoundedRunner",
    "Failure",
    "Job",
    "JobCancelled",
    "JobDeadlock",
    "JobEvent",
    "JobInterrupted",
    "JobRecord",
    "JobStatus",
    "JobTimeout",
    "NotRunnable",
    "Progress",
    "RemoteError",
    "RunnerClosed",
    "RunnerFull",
    "Snapshot",
    "WorkerLost",
    "current_job",
]
