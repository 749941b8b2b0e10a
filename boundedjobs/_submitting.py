"""How a runner hands a callable in, or refuses it."""

from __future__ import annotations

from logging import DEBUG
from typing import TYPE_CHECKING, Any, NoReturn

from boundedjobs._admission import Verdict
from boundedjobs._callables import Kind, described, shown
from boundedjobs._job import Job, job_of
from boundedjobs._listeners import Listeners
from boundedjobs._log import is_logged, log_step
from boundedjobs._scope import Scope
from boundedjobs.errors import BoundedJobsError, NotRunnable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from boundedjobs._core import Core

# An attribute of an enum is looked up anew each time, which costs as much as a call.
_ACCEPTED, _SYNC, _ASYNC = Verdict.ACCEPTED, Kind.SYNC, Kind.ASYNC

_LATER = "submit again later, or raise max_pending"
_LOGGED = Listeners(log_step, log_step)

_NOT_RUNNABLE = {
    Kind.NOT_CALLABLE: "it is not callable",
    Kind.GENERATOR: "it is a generator function: calling it would not run a line of it; "
    "pass a function that iterates over it",
}


def check_runnable(fn: object) -> None:
    """Refuse what could only end REJECTED, with a TypeError."""
    kind, _ = described(fn)
    if kind in _NOT_RUNNABLE:
        raise TypeError(f"fn must be a function to run, got {shown(fn)}: {_NOT_RUNNABLE[kind]}")


class Submitting(Scope):
    """The part of a runner that makes a job of a callable, and hands it in."""

    def __init__(self, core: Core, listeners: Listeners, *, waits: bool) -> None:
        super().__init__(core)
        self._listeners = listeners
        self._waits = waits

    def _submit(
        self,
        fn: Callable[..., Any],
        kind: Kind,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        listeners: Listeners,
    ) -> Job[Any]:
        core = self._core
        if core.threads.spare > 0 and kind is _SYNC:
            core.stir()
        if is_logged(DEBUG):
            listeners = _LOGGED + listeners
        job = job_of(core, fn, args, kwargs, name, listeners, kind is _ASYNC)
        if core.executors is not None or (kind is not _SYNC and kind is not _ASYNC):
            self._check(job, kind)
        hint = self._why_not_wait(job) if self._waits else _LATER
        verdict = core.submit(job, not hint)
        if verdict is not _ACCEPTED:
            self._refuse(job, core.refusal(job, verdict, hint))
        return job

    def _job(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Job[Any]:
        """Make a job that is handed in later: what `_submit` does at first."""
        kind, name = described(fn)  # anew for each: of an object, both may change
        listeners = _LOGGED + self._listeners if is_logged(DEBUG) else self._listeners
        job = job_of(self._core, fn, args, {}, name, listeners, kind is _ASYNC)
        self._check(job, kind)
        return job

    def _check(self, job: Job[Any], kind: Kind) -> None:
        """Refuse a job that can't be run."""
        if kind is not _SYNC and kind is not _ASYNC:
            why = f"{job.name!r} can't be run: {_NOT_RUNNABLE[kind]}"
            self._refuse(job, NotRunnable(why, job=job))
        executors = self._core.executors
        if executors is not None and kind is _SYNC and not self._core.admission.closed:
            why = executors.pack(job, self._core.admission.limit)
            if why:
                self._refuse(job, NotRunnable(why, job=job))

    def _refuse(self, job: Job[Any], error: BoundedJobsError) -> NoReturn:
        self._core.refuse(job, error)
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def _why_not_wait(self, job: Job[Any]) -> str:
        """Why `submit` must not wait for room here, and what to do; empty if it may."""
        if self._core.is_inside():
            return (
                "waiting for room inside a job of the same runner could last for ever: "
                "use another runner for inner jobs, or raise max_pending"
            )
        if job._loop is not None:
            return (
                "waiting for room would freeze this event loop: "
                "await asyncio.to_thread(runner.submit, ...), or raise max_pending"
            )
        return ""
