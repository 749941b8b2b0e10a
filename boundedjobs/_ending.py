"""How a job comes to its end: the slot goes on to the next, and who waits for it wakes."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from boundedjobs._book import Book
from boundedjobs._job import Job
from boundedjobs._log import log_late
from boundedjobs._status import PENDING, RUNNING, SUCCEEDED, JobStatus

if TYPE_CHECKING:
    from boundedjobs._event import JobEvent


class Ending(Book):
    """Ends jobs of which all is heard, and starts those that have waited for that."""

    def start(self) -> None:
        """Hand free slots to those who wait for one."""
        with self.lock:
            self.hand_over(self.admission.start())
        if self.todo.added or self.todo.deferred:
            self.carry_out()

    def settle(
        self,
        job: Job[Any],
        worker: bool = False,
        heard: JobEvent | None = None,
        returned: bool = False,
        result: object = None,
    ) -> Job[Any] | None:
        """Free the slot, unless the body still runs; make the future done, wake who waits.

        Can be done again. Return the next job of this worker. All have `heard` the event of
        its end; or, with `returned`, nobody listens and its body has just returned `result`:
        then all is done in one go. The flags go by place: by name, each call would cost 0.1 us.
        """
        mine = told = None
        is_late = False
        moment = monotonic()
        admission = self.admission
        running, pending = admission.running, admission.pending
        with self.lock:  # nearly always a quick section
            meeting = job._meeting
            if returned:
                job._active = False
                if job._status is RUNNING:
                    job._result = result
                    history = self.history  # what its `end` does
                    started: float = job._started  # type: ignore[assignment]  # for it runs
                    ended, size = history.ended, history.size
                    job._ended = moment
                    job._status = SUCCEEDED
                    history.ended = ended + 1
                    history.waited += started - job._submitted
                    history.ran += moment - started
                    if size:
                        history.entries[ended % size] = (
                            job._number,
                            job.name,
                            SUCCEEDED,
                            job._progress,
                            None,
                            job._submitted,
                            started,
                            moment,
                        )
                else:
                    is_late = True
            elif heard is not None and job._event is heard:
                job._event = job._teller = None
                job._steps = ()
                told, job._on_told = job._on_told, None
            if is_late or job._active:
                pass
            elif meeting is not None and (meeting.callbacks or meeting.crowd is not None):
                # A worker that has callbacks to call must not keep a job from others meanwhile;
                # while a crowd is told, more may be added.
                self.hand_over(admission.remove(job))
            elif (
                admission.outside
                or admission.spaced
                or job not in running
                or len(running) > admission.slots
            ):
                mine = self.hand_over(admission.remove(job), worker=worker)
            else:
                for mine in pending:  # noqa: B007 - the first of them
                    break
                if mine is None:
                    del running[job]
                elif mine._is_async is worker or mine._status is not PENDING:
                    mine = self.hand_over(admission.remove(job), worker=worker)
                else:
                    running[mine] = None
                    del pending[mine]
                    del running[job]
                    if worker:
                        mine._started = moment
                        mine._active = True
                        mine._status = RUNNING
                        if mine._listeners.on_status:
                            mine._steps = ((PENDING, RUNNING, moment, None, None, None),)
                            mine._teller = job._on
                    else:
                        self.to_loop(mine)
                        mine = None
            if not is_late and (meeting is None or meeting.crowd is None):
                job._settled = True
        if is_late:
            return self.ended_late(job, SUCCEEDED, None, worker=worker)
        if told is not None:
            told()
        meeting = job._meeting  # maybe made by a `__del__` in the midst of the step
        if meeting is not None:
            job._settle(meeting)
        if self.ending and job in self.ending:
            with self.lock:
                self.ending.pop(job, None)
                if not job._active:  # the body may have ended since
                    self.hand_over(admission.remove(job))
        if not job._active and job._teller is None:
            job._fn = job._context = job._loop = job._on = job._on_told = None
        if self.todo.added or self.todo.deferred:
            self.carry_out()
        if admission.closed and not pending:
            self.rest()
        return mine

    def ended_late(
        self, job: Job[Any], status: JobStatus | None, exc: BaseException | None, *, worker: bool
    ) -> Job[Any] | None:
        """The job had ended before its body has: only the slot is left to be freed."""
        late = monotonic() - job._ended
        if status is JobStatus.SUCCEEDED:
            log_late(job, "returns", late)
        elif status is JobStatus.FAILED:
            log_late(job, f"raises ({type(exc).__name__})", late)
        return self.release(job, worker=worker)

    def release(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Free the slot of a body that is over, if its job has had its end; else that will."""
        mine = None
        with self.lock:
            job._active = False
            settled = job._settled
            if settled:
                mine = self.hand_over(self.admission.remove(job), worker=worker)
        if settled:
            job._drop()
        self.carry_out()
        return mine
