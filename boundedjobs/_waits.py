"""Who waits for whom, and whether that can end."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from boundedjobs._here import running_task
from boundedjobs._job import Job, current
from boundedjobs._status import JobStatus

if TYPE_CHECKING:
    from boundedjobs._admission import Admission
    from boundedjobs._lanes._threads import ThreadLane


class Waits:
    """The waits without a timeout that jobs of one runner have begun, under its lock.

    Seen are waits by a job's own thread or task: its body, its listeners, its callbacks.
    Not seen are those of helper threads and tasks, and of `concurrent.futures.wait`.
    """

    def __init__(self, admission: Admission[Job[Any]], threads: ThreadLane) -> None:
        self._admission = admission
        self._threads = threads
        # Each job that waits, and for which (None: for room in the queue).
        self._targets: dict[Job[Any], Job[Any] | None] = {}

    def begin(self, waiter: Job[Any], target: Job[Any] | None) -> str | None:
        """Note that `waiter` waits; say why not, if that completes a knot."""
        self._targets[waiter] = target
        if not self._is_knot(waiter):
            return None
        edges = ", ".join(
            f"{job.name!r} waits for {'room' if other is None else repr(other.name)}"
            for job, other in self._targets.items()
            if other is None or not other._settled
        )
        del self._targets[waiter]
        return edges

    def end(self, waiter: Job[Any]) -> None:
        """`waiter` waits no longer."""
        self._targets.pop(waiter, None)

    def _is_knot(self, waiter: Job[Any]) -> bool:
        last = self._targets[waiter]
        while last is not None and last in self._targets:
            last = self._targets[last]
            if last is waiter:
                return True
        if last is waiter:
            return True
        idents = {worker.ident for worker in self._threads.workers}
        on_workers = sum(self._waits(job) and job._on in idents for job in self._targets)
        no_worker = on_workers >= self._threads.limit
        if no_worker and last is not None and not last._is_async and last._started is None:
            return True
        running = self._admission.running
        return len(running) >= self._admission.limit and all(
            self._waits(job) or (no_worker and job._status is JobStatus.PENDING) for job in running
        )

    def _waits(self, job: Job[Any]) -> bool:
        target = self._targets.get(job, job)
        return target is not job and (target is None or not target._settled)


def own_job(keeper: object) -> Job[Any] | None:
    """The job of this runner that this thread or task is inside of, if it is its own."""
    job = current.get(None)
    if job is None or job._keeper is not keeper:
        return None
    own = (job._on, job._teller)
    task = running_task()
    return job if get_ident() in own or (task is not None and task in own) else None
