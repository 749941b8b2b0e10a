"""Watching over what runs: whose time is up."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from math import inf
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from boundedjobs._failure import attempt, capture
from boundedjobs._job import Job
from boundedjobs._log import log, log_failed
from boundedjobs._status import JobStatus
from boundedjobs._telling import Telling
from boundedjobs.errors import JobTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], object]


class Watching(Telling):
    """Looks when the timer says so. That thread decides; it calls nobody who might hang."""

    def watch(self, job: Job[Any]) -> None:
        """The body of a job begins: its time counts from now."""
        assert job._listeners.patience is not None
        begun = monotonic()
        with self.lock:
            job._deadline = job._listeners.patience.deadline(begun)
            self.timer.at(job._deadline)
        if self.todo.added:
            self.carry_out()

    def look(self) -> None:
        """See to whose time is up, and find when the next one's is."""
        now = monotonic()
        calls: deque[Call] = deque()
        with self.lock:
            late = self._late(now)
        for job in late:
            self._time_out(job, calls)
        self._make_apart(calls)

    def look_without_timer(self, exc: Exception) -> None:
        """No thread can be started that would look."""
        log(
            logging.ERROR,
            "runner %r could not start its timer, and does not see whose time is up until it can: "
            "%s",
            self.name,
            str(exc),
        )

    def _late(self, now: float) -> list[Job[Any]]:
        """Whose time is up. Under the lock."""
        running = [job for job in self.admission.running if job._status is JobStatus.RUNNING]
        self.timer.due = min((job._deadline for job in running if job._deadline > now), default=inf)
        return [job for job in running if job._deadline <= now]

    def _time_out(self, job: Job[Any], calls: deque[Call]) -> None:
        """Decide that a job has FAILED; what calls listeners is done where it is to be done."""
        assert job._listeners.patience is not None
        error = JobTimeout(
            f"job {job.name!r} ran longer than its timeout of {job._listeners.patience.timeout:g} s"
        )
        failure = capture(error, "timeout")
        with self.lock:
            if job._status is not JobStatus.RUNNING:
                return  # it has just ended
            job._exception, job._failure = error, failure
            job._asked = True
            self.ending[job] = None
            self.note(job, JobStatus.FAILED)
            on = job._on
        if on is None or isinstance(on, int):
            calls.append(partial(self._end_late, job))
            return

        def end_on_loop() -> None:
            on.cancel()
            self._end_late(job)

        if attempt(on.get_loop().call_soon_threadsafe, end_on_loop) is not None:
            calls.append(partial(self._end_late, job))  # the loop is closed

    def _end_late(self, job: Job[Any]) -> None:
        try:
            assert job._failure is not None
            log_failed(job.name, job.id, JobStatus.FAILED, job._failure)
            self.conclude(job)
        except BaseException:  # a Ctrl-C, on a loop of the main thread
            self.mend()
            self.resume(job)
            raise

    def _make_apart(self, calls: deque[Call]) -> None:
        """Make calls that may hang on a thread, and while one does, the rest on the next one."""
        if not calls:
            return
        name = f"{self.name}-teller"
        teller = Thread(target=self._make_next, args=(calls,), name=name, daemon=True)
        if attempt(teller.start) is not None:  # no more threads can be started
            while calls:
                calls.popleft()()

    def _make_next(self, calls: deque[Call]) -> None:
        call = calls.popleft()
        self._make_apart(calls)
        call()
