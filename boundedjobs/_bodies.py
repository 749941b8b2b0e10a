"""Running the body of a job, on a thread or as a task, and what becomes of it."""

from __future__ import annotations

import sys
from functools import partial
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from boundedjobs._callables import close_coroutine, must_be_awaited
from boundedjobs._failure import Elsewhere, attempt, capture, trace_of
from boundedjobs._job import Job, set_current
from boundedjobs._log import log_failed
from boundedjobs._status import FINAL, RUNNING, SUCCEEDED, JobStatus
from boundedjobs._watching import Watching
from boundedjobs.errors import JobCancelled, JobDeadlock, JobInterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boundedjobs._failure import Failure, Phase


Outcome = tuple[JobStatus, BaseException | None, "Failure | None"]


class Bodies(Watching):
    """Runs bodies and decides how their jobs end."""

    def work(self, job: Job[Any] | None) -> None:
        """Run a sync job on this worker, and those that its slot is handed straight on to."""
        assert job is not None
        with self.lock:
            if not self.claim(job):
                return
        if self.todo.added:
            self.carry_out()
        run, me = self._run, get_ident()
        while job is not None:  # a traceback of a body leads to this frame: it keeps no job
            following = job._context.run(run, job, me)  # type: ignore[union-attr]  # until its end
            if following is job:  # it has returned an awaitable
                self._pass_on(job)
                following = None
            job, following = following, None

    def _pass_on(self, job: Job[Any]) -> None:
        """Have what a body has returned awaited on the loop of its job, if that can go on."""
        dropped = None
        with self.lock:
            is_late = job._status is not RUNNING
            hangs = not is_late and self.waits.hangs(job, self.loops_of)
            if is_late or hangs:
                # In one step: it needs its loop no longer.
                dropped, job._awaitable = job._awaitable, None
            else:
                self.to_loop(job)
        close_coroutine(dropped)
        if is_late:
            self.ended_late(job, SUCCEEDED, None, worker=False)
        elif hangs:
            self._failed(job, _deadlock(job.name))
        else:
            self.carry_out()

    def _run(self, job: Job[Any], me: int) -> Job[Any] | None:
        job._on = me
        listeners = job._listeners
        if job._teller != me:  # nobody hears that it runs
            set_current(job)
        else:  # as for PENDING: it is the current one since that was heard
            first = listeners.first
            event = None if first is None else self.tell_first(job, first)
            if event is not None:
                self.heard(job, event)
                event = None  # it refers to the job
            if job._teller == me:
                self.tell(job)
        if job._status is not RUNNING:  # interrupted while its listeners heard
            return self.ended_late(job, None, None, worker=True)
        if listeners.patience is not None:
            self.watch(job)
        try:
            if job._kwargs is None:
                result = job._fn(*job.args)  # type: ignore[misc]  # there until its end
            else:
                result = job._fn(*job.args, **job._kwargs)  # type: ignore[misc]  # as above
        except BaseException as exc:  # noqa: BLE001 - a body may raise anything; it is the job's outcome
            return self._failed(job, exc, worker=True)
        else:
            if result is not None and must_be_awaited(result):
                job._awaitable = result
                return job
            if listeners.nobody:
                return self.settle(job, True, None, True, result)
            return self._succeeded(job, result, True, me)
        finally:
            del job  # a traceback of the body leads to this frame

    async def drive(self, job: Job[Any]) -> None:
        """Run a job on the event loop that this is awaited on."""
        asyncio = sys.modules["asyncio"]
        task = asyncio.current_task()
        with self.lock:
            if job._awaitable is None and not self.claim(job):
                return
            job._on = task
        if self.todo.added:
            self.carry_out()
        set_current(job)
        result, exc = None, None
        me = get_ident()
        if job._teller == me:
            first = job._listeners.first
            event = None if first is None else self.tell_first(job, first)
            if event is not None:
                self.heard(job, event)
                event = None  # it refers to the job
            if job._teller == me:
                self.tell(job)
            exc = await self._until_told(job)
        awaitable = job._awaitable
        if awaitable is None and job._listeners.patience is not None:
            self.watch(job)
        try:
            if exc is None and job._status is JobStatus.RUNNING:
                assert job._fn is not None
                result = await (
                    job._fn(*job.args, **(job._kwargs or {})) if awaitable is None else awaitable
                )
        except BaseException as raised:  # noqa: BLE001 - a body may raise anything; it is the job's outcome
            exc = raised
        finally:
            if awaitable is not None:
                close_coroutine(awaitable)
                job._awaitable = None  # not earlier: with it, the job needs its loop
        try:
            if exc is None and job._listeners.nobody:
                self.settle(job, False, None, True, result)
            elif exc is None:
                self._succeeded(job, result, False, get_ident())
            else:
                from_outside = task.cancelling() > 0 or (
                    issubclass(type(exc), GeneratorExit) and not task.get_loop().is_running()
                )
                self._failed(job, exc, from_outside=from_outside)
        finally:
            del job, exc, task  # a traceback of the body leads to this frame

    async def _until_told(self, job: Job[Any]) -> BaseException | None:
        """Wait until what was to be told has been heard; return what its task is cancelled with."""
        asyncio = sys.modules["asyncio"]
        loop = asyncio.get_running_loop()
        told = loop.create_future()

        def wake() -> None:
            attempt(loop.call_soon_threadsafe, lambda: told.done() or told.set_result(None))

        with self.lock:
            if job._teller is None:
                return None
            job._on_told = wake
        try:
            await told
        except asyncio.CancelledError as exc:
            return cast("BaseException", exc)  # what is left is told in order all the same
        return None

    def _succeeded(self, job: Job[Any], result: object, worker: bool, me: int) -> Job[Any] | None:
        """The body of a job has returned, on this thread."""
        moment = monotonic()
        with self.lock:  # nearly always a quick section
            job._active = False
            is_late = job._status is not RUNNING
            if not is_late:
                job._result = result
                if job._steps:  # a report that is still to be heard
                    self.note(job, SUCCEEDED)
                else:
                    if job._listeners.on_status:
                        job._teller = me
                        job._steps = ((RUNNING, SUCCEEDED, moment, None, job._progress, None),)
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
        if is_late:
            return self.ended_late(job, SUCCEEDED, None, worker=worker)
        if job._teller is not me:
            return self.conclude(job, worker=worker)
        first = job._listeners.first
        event = None if first is None else self.tell_first(job, first)
        if event is not None:
            return self.settle(job, worker, event)
        return self.tell(job, worker=worker)

    def _failed(
        self, job: Job[Any], exc: BaseException, *, worker: bool = False, from_outside: bool = False
    ) -> Job[Any] | None:
        """The body of a job has raised."""
        status, outcome, failure = _outcome(job, exc, from_outside=from_outside)
        with self.lock:
            job._active = False
            is_late = job._status is not RUNNING
            if not is_late:
                job._exception, job._failure = outcome, failure
                job._trace = None if outcome is None else trace_of(outcome)
                self.note(job, status)
        if is_late:
            return self.ended_late(job, status, outcome, worker=worker)
        if failure is not None:
            log_failed(job, status, failure)
        return self.conclude(job, worker=worker)

    def lose(self, job: Job[Any], exc: BaseException | None, started: float | None) -> None:
        """The body can't be started, or will never go on: its thread or loop is not there.

        Nothing is lost if it is not as it was when it had `started` then, or (None) had not: it
        has begun elsewhere, where it was put after a Ctrl-C.
        """
        self.todo.follow_up(partial(self.mending, job, self._lose, job, exc, started))

    def _lose(self, job: Job[Any], exc: BaseException | None, started: float | None) -> None:
        why = "its event loop is gone" if exc is None else str(exc)
        phase: Phase = "start" if started is None else "loop"
        what = "could not be started" if started is None else "could not go on"
        message = f"the job {what}: {why}"
        failure = capture(_interrupted(message, exc), phase)
        with self.lock:  # in one step: a worker may begin it now
            if job._started is not started:
                return
            victims = self._interrupt([job], failure, message, exc)
        if isinstance(job._on, int):  # else it has begun, and its task closes it
            close_coroutine(job._awaitable)
            job._awaitable = None
        for victim in victims:
            log_failed(victim, JobStatus.INTERRUPTED, failure)
        if self.mend_after(exc):
            self.resume(job)
        self.release(job)

    def interrupt(self, jobs: Iterable[Job[Any]], phase: Phase, message: str) -> list[Job[Any]]:
        """Decide that jobs are INTERRUPTED; return those that had no end yet, to `conclude`."""
        failure = capture(_interrupted(message, None), phase)
        with self.lock:
            return self._interrupt(jobs, failure, message, None)

    def _interrupt(
        self,
        jobs: Iterable[Job[Any]],
        failure: Failure,
        message: str,
        cause: BaseException | None,
    ) -> list[Job[Any]]:
        """The same, where what is told of it is known. Under the lock."""
        victims = []
        for job in jobs:
            if job._status in FINAL:
                continue
            job._failure, job._exception = failure, _interrupted(message, cause)
            job._asked = True
            self.ending[job] = None
            self.note(job, JobStatus.INTERRUPTED)
            victims.append(job)
        return victims


def _interrupted(message: str, cause: BaseException | None) -> JobInterrupted:
    error = JobInterrupted(message)
    error.__cause__ = cause
    return error


def _deadlock(name: str) -> JobDeadlock:
    return JobDeadlock(
        f"what {name!r} returned is to be awaited on an event loop whose thread is blocked until "
        f"{name!r} has ended; use 'await' there (await job, await runner.aclose(), async with)"
    )


def _outcome(job: Job[Any], exc: BaseException, *, from_outside: bool) -> Outcome:
    """What a body that raised makes of its job."""
    failure = None
    if type(exc) is Elsewhere:
        failure = exc.failure
        exc = exc.error
    # issubclass(type(exc), ...), for isinstance would ask the exception itself.
    asyncio = sys.modules.get("asyncio")
    cancelled = asyncio is not None and issubclass(type(exc), asyncio.CancelledError)
    if job._asked and (issubclass(type(exc), JobCancelled) or (cancelled and job._on is not None)):
        return JobStatus.CANCELLED, None, None
    if from_outside and (cancelled or issubclass(type(exc), GeneratorExit)):
        error = _interrupted("the task was cancelled from outside: its loop is torn down", exc)
        return JobStatus.INTERRUPTED, error, capture(error, "loop")
    if failure is not None and failure.phase == "start":
        return JobStatus.INTERRUPTED, exc, failure
    return JobStatus.FAILED, exc, failure or capture(exc, "call")
