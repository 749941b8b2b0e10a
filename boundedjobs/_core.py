"""What callers ask of a job: hand it in, cancel it, report, wait for it."""

from __future__ import annotations

from _thread import start_new_thread
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from boundedjobs._admission import Verdict
from boundedjobs._bodies import Bodies
from boundedjobs._failure import capture
from boundedjobs._here import NO_LATE_THREADS, running_loop
from boundedjobs._job import Job
from boundedjobs._latch import Latch
from boundedjobs._status import FINAL, PENDING, JobStatus
from boundedjobs._telling import ANYONE
from boundedjobs._waits import Wait, own_job
from boundedjobs.errors import (
    BoundedJobsError,
    JobDeadlock,
    JobInterrupted,
    RunnerClosed,
    RunnerFull,
)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Collection

    from boundedjobs._event import Progress, Step

T = TypeVar("T")

_ACCEPTED = Verdict.ACCEPTED  # looked up once, as the statuses are


class Core(Bodies):
    """The runner without its public face: jobs and workers refer to it, not to the runner."""

    drain_timeout: float | None = None

    def submit(
        self, job: Job[Any], may_wait: bool, ring: Callable[[], object] | None = None
    ) -> Verdict:
        """Hand a job in; return whether it was accepted, when PENDING has been heard.

        It may wait for room itself; or, with `ring`, say WAIT, and ring when the job was let
        in or refused: `leave_room` must follow.
        """
        owns_lock, todo = self.owns_lock, self.todo
        if (owns_lock() or todo.carrying) and todo.is_interrupting():
            self.put_off(self._submit_late, job)
            return _ACCEPTED
        try:
            admission, threads, listeners = self.admission, self.threads, job._listeners
            most, worker, me = admission.max_pending, None, None
            steps: tuple[Step, ...] = ()
            if listeners.on_status:
                steps = ((None, PENDING, job._submitted, job._submitted_at, None, None),)
                # Of PENDING, and of all that comes before it is heard.
                job._teller = me = get_ident()
            unprepared = NO_LATE_THREADS and not self.is_prepared(job)
            # What `admission.submit` and `place` decide, in a quick section.
            with self.lock:
                slots = admission.slots
                accepted = not (
                    admission.closed
                    or admission.outside
                    or unprepared
                    or (
                        most is not None
                        and (waiting := len(admission.pending) + len(admission.arriving)) >= most
                        and waiting + len(admission.running) >= most + slots
                    )
                )
                if accepted:
                    if steps:
                        job._steps = steps
                        admission.arriving[job] = None
                    elif (
                        threads.spare > 0
                        and not job._is_async
                        and not admission.pending
                        and len(admission.running) < slots
                        and not admission.spaced
                    ):
                        admission.running[job] = None  # nobody waits where there is a free slot
                        threads.spare -= 1
                        worker = threads.ready
                    else:
                        admission.pending[job] = None
                    job._status = PENDING
            verdict = _ACCEPTED
            if worker is not None:
                worker.put(job)
            elif not accepted:
                verdict = self._submit_slowly(job, ring, may_wait=may_wait)
            elif steps:
                first, context = listeners.first, job._context
                assert context is not None  # as long as there is a teller
                event = None if first is None else context.run(self.tell_first_inside, job, first)
                if event is not None:
                    self.heard(job, event)
                if job._teller == me:
                    self.tell(job)
            elif len(admission.running) < slots:
                self.start()
            if self.loops is not None and admission.pending and not self.loops.are_only(job._loop):
                self.reap()  # a loop that is gone may hold its slot
            if todo.added or todo.deferred:
                self.carry_out()
        except BaseException:
            blocks = may_wait and ring is None
            try:
                self._mend_submit(job, blocks)
            except BaseException:  # noqa: BLE001 - what is raised is the first one
                # This thread has no room to mend it, or one more Ctrl-C has come: another thread
                # does. To start it takes two calls of C functions, as deep as those that were
                # made before anything was decided.
                start_new_thread(self._mend_submit, (job, blocks, get_ident(), job._teller))
            raise
        return verdict

    def stir(self) -> None:
        """A sync job is about to be handed in: wake the worker that will get it, if it will start.

        It is a guess, made without the lock.
        """
        admission = self.admission
        is_full = len(admission.running) >= admission.slots
        if not (is_full or admission.pending or admission.closed):
            self.threads.stir()

    def _mend_submit(
        self, job: Job[Any], blocks: bool, thread: int | None = None, teller: object = ANYONE
    ) -> None:
        if blocks:  # else somebody else may wait with this job by now
            with self.lock:
                self.admission.outside.pop(job, None)
                self.rooms.pop(job, None)
        self.mend_job(job, thread, teller)

    def _submit_slowly(
        self, job: Job[Any], ring: Callable[[], object] | None, *, may_wait: bool
    ) -> Verdict:
        latch = None
        with self.lock:
            verdict = self.admission.submit(job, may_wait=may_wait)
            if verdict is Verdict.ACCEPTED:
                self.hand_over(self.accept(job))
            elif verdict is Verdict.WAIT:
                if ring is None:
                    latch = Latch()
                    ring = latch.set
                self.rooms[job] = ring
        if latch is not None:
            latch.wait()  # set when it has been accepted, or the runner has closed
            return self._leave_room(job)
        if job._teller == get_ident():  # else it may run already, and report
            self.tell(job)
        return verdict

    def leave_room(self, job: Job[Any]) -> Verdict:
        """Have a job wait for room no longer; say what came of it: CLOSED if nothing did."""
        return self.mending(job, self._leave_room, job)

    def _leave_room(self, job: Job[Any]) -> Verdict:
        with self.lock:
            self.rooms.pop(job, None)
            self.admission.outside.pop(job, None)
        # Nobody's, if it was let in after a Ctrl-C.
        if job._teller == get_ident() or self.begin_telling(job):
            self.tell(job)
        return Verdict.CLOSED if job._status is None else Verdict.ACCEPTED

    def _submit_late(self, job: Job[Any]) -> None:
        verdict = self.submit(job, False)
        if verdict is not Verdict.ACCEPTED:
            self.refuse(job, self.refusal(job, verdict, "submit again later, or raise max_pending"))

    def refusal(self, job: Job[Any], verdict: Verdict, hint: str) -> BoundedJobsError:
        """The error that says why a job was not accepted, and what to do."""
        if verdict is Verdict.CLOSED:
            what = "interpreter shutdown" if self.exiting else "shutdown"
            return RunnerClosed(f"cannot schedule new futures after {what}", job=job)
        admission = self.admission
        running, arriving = len(admission.running), len(admission.arriving)
        starting = min(arriving, max(0, admission.slots - running))  # these find a free slot
        running, pending = running + starting, len(admission.pending) + arriving - starting
        state = "full" if admission.slots else "paused and full"
        return RunnerFull(
            f"runner {self.name!r} is {state}: {running} of limit {admission.limit} run and "
            f"{pending} of max_pending {admission.max_pending} wait; {hint}",
            limit=admission.limit,
            running=running,
            pending=pending,
            job=job,
        )

    def refuse(self, job: Job[Any], error: BoundedJobsError) -> None:
        """End a job REJECTED: the listeners hear it."""
        if self.todo.is_interrupting():
            self.put_off(self.refuse, job, error)
            return
        self.mending(job, self._refuse, job, error)

    def _refuse(self, job: Job[Any], error: BoundedJobsError) -> None:
        failure = capture(error, "admission")
        with self.lock:
            # A twin: the error carries the job, and a job that kept it would be a cycle.
            twin = type(error).__new__(type(error), *error.args)
            twin.__dict__.update(error.__dict__, job=None)
            job._failure, job._exception = failure, twin
            self.ending[job] = None
            self.note(job, JobStatus.REJECTED)
        self.resume(job)

    def cancel(self, job: Job[Any], *, even_running: bool = True) -> bool:
        """See `Job.cancel`."""
        if self.todo.is_interrupting():
            self.put_off(self.cancel, job, even_running=even_running)
            return job._status not in FINAL
        if job._status is None:  # its submit has been put off, and this comes after it
            self.put_off(self.cancel, job, even_running=even_running)
            return True
        return self.mending(job, self._cancel, job, even_running=even_running)

    def _cancel(self, job: Job[Any], *, even_running: bool) -> bool:
        with self.lock:
            status = job._status
            if status in FINAL:
                return status is JobStatus.CANCELLED
            if status is JobStatus.RUNNING:
                if not even_running:
                    return False
                job._asked = True
            else:
                self.ending[job] = None
                self.note(job, JobStatus.CANCELLED)
                self.hand_over(self.admission.remove(job))
        if status is JobStatus.RUNNING:
            return self.cancel_task(job)
        self.conclude(job)
        return True

    def cancel_task(self, job: Job[Any]) -> bool:
        """Cancel the task of a running async job; return whether there is one to cancel."""
        self.stop_elsewhere(job)
        with self.lock:
            task = job._on
            if task is None or isinstance(task, int):
                return False
            lane = self.lane(task.get_loop())
        return lane.cancel(task)

    def report(self, job: Job[Any], progress: Progress) -> None:
        """See `Job.report`."""
        if self.todo.is_interrupting():
            self.put_off(self.report, job, progress)
            return
        self.mending(job, self._report, job, progress)

    def _report(self, job: Job[Any], progress: Progress) -> None:
        with self.lock:
            if job._status is not JobStatus.RUNNING:
                return
            job._progress = progress
            self.note_progress(job)
        if self.begin_telling(job):
            self.tell(job)

    def begin_wait(
        self,
        token: object,
        targets: Collection[Job[Any]] | None,
        form: str,
        instead: str = "'await' (await job, await runner.aclose(), async with)",
    ) -> None:
        """A wait without a timeout begins, until `end_wait(token)`.

        It is for the first of some jobs, which may become others meanwhile, or (None) for room.
        Raises `JobDeadlock` if it could never end; where it blocks a loop, use this `instead`.
        """
        loop = None if form == "await" else running_loop()
        waiter = own_job(self)
        if waiter is None and loop is None:
            return  # nothing of this runner needs this thread
        on_loop = None
        with self.lock:
            wait = Wait(waiter, targets, None if form == "await" else get_ident())
            edges = self.waits.begin(token, wait, self.loops_of)
            if edges is None and loop is not None:
                wait.loop = loop
                on_loop = self.waits.begin(token, wait, self.loops_of)
        if on_loop is not None:
            raise JobDeadlock(
                f"{form} would wait for {wait.what} on the thread of the event loop that "
                f"{wait.what} needs, for ever; use {instead}"
            )
        if edges is not None:
            raise JobDeadlock(
                f"waiting for {wait.what} would never end: {edges}, and runner {self.name!r} (limit "
                f"{self.admission.limit}) has no slot or thread left for what they wait for; "
                "raise the limit, wait with a timeout, or use another runner for the inner jobs"
            )

    def end_wait(self, token: object) -> None:
        """A wait has ended, or could not begin."""
        if self.waits.is_begun(token):
            with self.lock:
                self.waits.end(token)

    def needs(self, loop: AbstractEventLoop) -> bool:
        """Whether a job can't end while the thread of `loop` waits. Under the lock."""
        return any(loop in self.loops_of(job) for job in self.jobs() if not job._settled)

    def is_inside(self) -> bool:
        """Whether this is called inside a job of this runner, on its own thread or task."""
        return own_job(self) is not None

    def start_anew_after_fork(self) -> None:
        """In the child: the jobs are the parent's. End the copies, without a word."""
        admission, jobs = self.admission, self.jobs()
        for finalizer in self.finalizers:
            finalizer.detach()  # it would take a lock that a thread of the parent may hold
        executors = self.executors
        super().__init__(self.name, admission.limit, admission.max_pending, self.history.size)
        self.admission.closed = admission.closed
        if executors is not None:
            self.use(executors.twin())
        error = JobInterrupted("the process was forked: the job is its parent's")
        failure = capture(error, "fork")
        for job in jobs:
            if not job._settled:
                job._ended = monotonic()
                job._status = JobStatus.INTERRUPTED
                job._failure, job._exception, job._meeting = failure, error, None
                job._settled = True
                job._drop()
