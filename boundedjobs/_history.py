"""What has become of the jobs of a runner: totals, and the last records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boundedjobs._status import FINAL, REJECTED, SUCCEEDED, JobStatus

if TYPE_CHECKING:
    from boundedjobs._event import Step
    from boundedjobs._job import Job
    from boundedjobs._record import Entry


class History:
    """Totals, and the last `size` records. Guarded by the lock of its runner.

    A job is entered in the step that decides its end: nobody finds it neither live nor here.
    That is done by `end`, or by what `end` does, written out in the quick sections of hot paths.
    """

    __slots__ = ("ended", "entries", "others", "ran", "size", "waited")

    def __init__(self, size: int) -> None:
        self.size = size
        self.ended = 0
        """How many jobs have had their end; REJECTED ones, which were never accepted, not."""
        # How many of each final status, but for SUCCEEDED: those are the rest of `ended`.
        self.others = dict.fromkeys((s for s in JobStatus if s in FINAL and s is not SUCCEEDED), 0)
        self.waited = 0.0
        self.ran = 0.0
        # By place, and each place is taken again after `size` more: nothing is ever moved.
        self.entries: dict[int, Entry] = {}

    def end(self, job: Job[Any], status: JobStatus, moment: float, steps: tuple[Step, ...]) -> None:
        """A job ends. All is done, or nothing: no signal is seen to within a quick section."""
        started, ended = job._started, self.ended
        job._ended = moment
        job._status = status
        job._steps = steps
        if status is not SUCCEEDED:
            self.others[status] += 1
        if status is REJECTED:
            return
        self.ended = ended + 1
        if started is not None:
            self.waited += started - job._submitted
            self.ran += moment - started
        if self.size:
            self.entries[ended % self.size] = (
                job._number,
                job.name,
                status,
                job._progress,
                job._failure,
                job._submitted,
                started,
                moment,
            )

    def since(self, ended: int) -> list[Entry]:
        """What is kept of the jobs that have ended after so many had, oldest first."""
        first = max(ended, self.ended - self.size)
        return [self.entries[number % self.size] for number in range(first, self.ended)]

    def counts(self) -> dict[JobStatus, int]:
        """How many jobs have ended in each final status."""
        others = self.others
        return {SUCCEEDED: self.ended - sum(others.values()) + others[REJECTED], **others}
