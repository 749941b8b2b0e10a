"""A call on its way to a worker, and what comes back of it."""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from boundedjobs._event import Progress
from boundedjobs._failure import Elsewhere, Failure, call, capture, shown_short, type_name
from boundedjobs._job import current
from boundedjobs._pickling import loads
from boundedjobs._status import RUNNING
from boundedjobs.errors import (
    BoundedJobsError,
    JobCancelled,
    JobInterrupted,
    RemoteError,
    WorkerLost,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from boundedjobs._job import Job
    from boundedjobs._lanes._executors import ExecutorLane
    from boundedjobs._line import Caller
    from boundedjobs._pool import Pool
    from boundedjobs._remote import Envelope

_TRIES = 3
"""How often a call is handed over whose executor breaks before its body has begun."""

_DYING = 5.0
"""Seconds that a worker may take to die whose executor is broken."""


class _RemoteTraceback(Exception):
    """Shows where an error was raised, in a worker, wherever its traceback is shown."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class Errand:
    """A call on its way: in place of the callable of a job. Called, it waits for the outcome."""

    __slots__ = ("_inbox", "_lane", "caller", "job", "number", "payload", "pool")

    def __init__(self, lane: ExecutorLane, payload: bytes) -> None:
        self._lane = lane
        self._inbox: SimpleQueue[Progress | Future[Envelope] | None] = SimpleQueue()
        self.payload = payload
        self.number = 0
        # While it is on its way.
        self.job: Job[Any] | None = None
        self.pool: Pool | None = None
        self.caller: Caller | None = None  # the worker that its body has begun in

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Have the body run elsewhere: its arguments are in the payload. Inside the job."""
        self.job = current.get()
        problem = None
        for _try in range(_TRIES):
            pool = self._lane.take(self)
            try:
                outcome, problem = self._wait(pool)
                if outcome is not None:
                    return self._opened(outcome)
            finally:
                self._lane.leave(self, pool)
        raise self.not_begun(f"not by {_TRIES} executors, one after the other: {problem}", problem)

    def begin(self, caller: Caller) -> bool:
        """See `Call`."""
        with self._lane.lock:
            if self.pool is None or self.caller is not None or self.is_asked_to_stop():
                return False
            self.caller = caller
            return True

    def is_asked_to_stop(self) -> bool:
        """See `Call`."""
        job = self.job
        return job is None or job._asked or job._status is not RUNNING

    def heard(self, progress: Progress) -> None:
        """See `Call`."""
        self._inbox.put(progress)

    def lost(self) -> None:
        """See `Call`."""
        self._inbox.put(None)

    def stop(self) -> None:
        """The job has been asked to stop."""
        pool = self.pool
        if pool is not None and pool.board is not None:
            pool.board.stop(self.number)

    def where(self) -> str:
        """What can be said of where the body is."""
        pool, caller = self.pool, self.caller
        if pool is None:
            return "About to be handed to its executor\n"
        if caller is not None:
            place = f"worker process {caller.pid} of {pool.name}"
            if caller.pid == os.getpid():
                place = f"a worker of {pool.name}, in this process"
            return f"In {place}: what it does can't be seen\n"
        return f"Handed to {pool.name}: what becomes of it there can't be seen\n"

    def _wait(self, pool: Pool) -> tuple[Envelope | None, BaseException | None]:
        """What came of one try; or why its body has not begun, if there can be another try."""
        job = self.job
        assert job is not None
        try:
            future = pool.submit(self, job)
        except Exception as exc:
            if self._lane.replace(pool, exc):
                return None, exc
            raise self.not_begun(str(exc), exc) from exc
        self._lane.used(pool)
        future.add_done_callback(self._inbox.put)
        while (word := self._inbox.get()) is not future:
            if isinstance(word, Progress):
                job._keeper.report(job, word)
            else:
                pool.alert()
        if future.cancelled():
            self._dropped(pool)
        error = future.exception()
        if error is None:
            return future.result(), None
        if not _is_loss(error):
            raise Elsewhere(error, capture(error, "executor"))
        self._lost(pool, error)
        return None, error

    def _lost(self, pool: Pool, exc: BaseException) -> None:
        """The executor is broken: raise, or return if the call may be made again."""
        caller = self._lane.withdraw(self)
        # Dask outlives its workers: nothing is broken, and others' calls go on.
        can_go_on = not pool.is_dask and self._lane.replace(pool, exc)
        if self.is_asked_to_stop():
            self._cancelled()
        if pool.asks and caller is None:
            if can_go_on:
                return
            raise self.not_begun(
                f"{exc} An executor that is broken stays so: with a callable as executor=, that "
                "makes one, the runner makes another",
                exc,
            )
        error = WorkerLost(
            "a worker process died, maybe the one that ran it: killed, out of memory, or crashed"
        )
        if caller is not None:
            caller.lost.wait(_DYING)
            killer = caller.killer()
            if killer is caller:
                error = WorkerLost(
                    f"the worker process {caller.pid} that ran it died: it was killed, ran out of "
                    "memory, or crashed"
                )
            else:
                error = WorkerLost(
                    f"its worker process {caller.pid} was stopped, for another of the same "
                    f"executor, {killer.pid}, had died",
                    by_another=True,
                )
        error.__cause__ = exc
        raise Elsewhere(error, capture(error, "executor"))

    def _opened(self, envelope: Envelope) -> Any:
        """The result; or raise what the body raised."""
        word, *rest = envelope
        if word == "withdrawn":
            self._withdrawn()
        found: Any = None
        found, problem = call(loads, (rest[0],), {})
        if word == "returned":
            if problem is None:
                return found
            error = BoundedJobsError(
                f"the body has returned, but its result can't be unpickled here: {shown_short(problem)}"
            )
            raise Elsewhere(error, capture(error, "executor"))
        failure = Failure(*rest[1:])
        if not issubclass(type(found), BaseException):
            found = RemoteError(failure.message, failure.type)
        BaseException.__setattr__(found, "__cause__", _RemoteTraceback(failure.traceback))
        raise Elsewhere(found, failure)

    def _withdrawn(self) -> NoReturn:
        """The body did not begin: nobody wants it any more, or it has begun before."""
        if self.is_asked_to_stop():
            self._cancelled()
        error = WorkerLost(
            "the worker that ran it died, and the executor made the call again: its body was not "
            "let begin a second time"
        )
        raise Elsewhere(error, capture(error, "executor"))

    def _dropped(self, pool: Pool) -> NoReturn:
        """The executor has cancelled the call: it was shut down, say."""
        has_begun = self._lane.withdraw(self) is not None
        if self.is_asked_to_stop():
            self._cancelled()
        if pool.asks and not has_begun:
            raise self.not_begun("its executor has dropped the call", None)
        error = WorkerLost("its executor has dropped the call: maybe its body had begun, or ended")
        raise Elsewhere(error, capture(error, "executor"))

    def _cancelled(self) -> NoReturn:
        assert self.job is not None
        raise JobCancelled(f"job {self.job.name!r} was asked to stop before its body had begun")

    def not_begun(self, message: str, cause: BaseException | None) -> Elsewhere:
        """What to raise for a body that could not be begun."""
        error = JobInterrupted(f"the job could not be started: {message}")
        error.__cause__ = cause
        return Elsewhere(error, capture(error, "start"))


def _is_loss(exc: BaseException) -> bool:
    """Whether a worker died. Dask has an error of its own for that, which is not imported here."""
    return isinstance(exc, BrokenExecutor) or type_name(type(exc)).endswith(".KilledWorker")
