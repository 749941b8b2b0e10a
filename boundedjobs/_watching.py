"""Watching over what runs: whose time is up."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from functools import partial
from math import inf
from threading import get_ident
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from boundedjobs._daemon import Daemon
from boundedjobs._failure import attempt, capture
from boundedjobs._job import Job
from boundedjobs._log import log, log_failed, log_overdue, log_stuck
from boundedjobs._stack import location, shown, task_lines, thread_lines
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
        patience = job._listeners.patience
        assert patience is not None
        begun = monotonic()
        with self.lock:
            job._deadline = begun + (patience.timeout or inf)
            job._stuck_for = patience.stuck_after or inf
            job._stuck_at = begun + job._stuck_for
            self.timer.at(min(job._deadline, job._stuck_at))
        if self.todo.added:
            self.carry_out()

    def look(self) -> None:
        """See to whose time is up, who is stuck and who may start, and find when to look next."""
        now = monotonic()
        calls: deque[Call] = deque()
        with self.lock:
            late, stuck = self._due(now)
            self.timer.keeps = None
            self.hand_over(())  # to whom the time has come to start
        self.carry_out()
        for job in late:
            self._time_out(job, calls)
        calls.extend(partial(self._tell_stuck, job) for job in stuck)
        self._make_apart(calls)

    def look_without_timer(self, exc: Exception) -> None:
        """No thread can be started that would look: rather than never, jobs start at once."""
        with self.lock:
            self.next_start = -inf
            self.hand_over(())
        log(
            logging.ERROR,
            self.name,
            "runner %r could not start its timer, and does not see whose time is up until it can: "
            "%s",
            self.name,
            str(exc),
        )

    def stack(self, job: Job[Any]) -> str:
        """See `Job.stack`."""
        return self._where(job)[0]

    def _where(self, job: Job[Any]) -> tuple[str, str]:
        """Its stack, and the innermost line of it; empty if no body runs."""
        with self.lock:  # while it is held, the body may go on, but the thread not to another
            on = job._on if job._active else None
            lines = thread_lines(on) if isinstance(on, int) else []
        ident = on if isinstance(on, int) else None
        elsewhere = ""
        if on is not None and not isinstance(on, int):
            ident, lines = task_lines(on)
        elif self.executors is not None:
            elsewhere = self.executors.where(job._fn)
        if on is None or not job._active:
            return "", ""
        if elsewhere:
            return elsewhere, ""
        return shown(ident, lines), location(lines)

    def _due(self, now: float) -> tuple[list[Job[Any]], list[Job[Any]]]:
        """Whose time is up, and who is stuck; the timer is told when to look next."""
        late, stuck, due = [], [], inf
        for job in self.admission.running:
            if job._stuck_at <= now:
                stuck.append(job)
                job._stuck_for *= 2
                job._stuck_at = now + job._stuck_for
            if job._status is JobStatus.RUNNING:
                if job._deadline <= now:
                    late.append(job)
                else:
                    due = min(due, job._deadline)
            due = min(due, job._stuck_at)
        self.timer.due = due
        return late, stuck

    def _tell_stuck(self, job: Job[Any]) -> None:
        """Say where a body is, in the log and to those who listen."""
        stack, ran = self.stack(job), 0.0 if job._started is None else monotonic() - job._started
        if not stack:
            return  # it has just ended
        log_stuck(job, ran, stack)
        running, me = JobStatus.RUNNING, get_ident()
        with self.lock:
            # An end is the last that is heard of a job, though its body may go on.
            if job._status is not running or not job._listeners.on_stuck:
                return
            is_mine = job._teller is None
            if is_mine:
                job._teller = me
            step = (running, running, monotonic(), time(), job._progress, None, stack)
            job._steps += (step,)
        if is_mine:
            self.tell(job)

    def _time_out(self, job: Job[Any], calls: deque[Call]) -> None:
        """Decide that a job has FAILED; what calls listeners is done where it is to be done."""
        assert job._listeners.patience is not None
        error = JobTimeout(
            f"job {job.name!r} ran longer than its timeout of {job._listeners.patience.timeout:g} s"
        )
        stack, where = self._where(job)
        error.add_note(stack.rstrip())
        failure = replace(capture(error, "timeout"), location=where)  # no line of it has raised
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

    def stop_elsewhere(self, job: Job[Any]) -> None:
        """Let a body in the worker of an executor know that it is asked to stop."""
        if self.executors is not None:
            self.executors.stop(job._fn)

    def _end_late(self, job: Job[Any]) -> None:
        self.mending(job, self._say_and_end, job)  # on a loop of the main thread, maybe

    def _say_and_end(self, job: Job[Any]) -> None:
        self.stop_elsewhere(job)
        assert job._failure is not None
        log_failed(job, JobStatus.FAILED, job._failure)
        if isinstance(job._on, int) and job._active:
            with self.lock:
                overdue = self.overdue()
            log_overdue(job, overdue, self.admission.limit)
        self.conclude(job)

    def _make_apart(self, calls: deque[Call]) -> None:
        """Make calls that may hang on a thread, and while one does, the rest on the next one."""
        if not calls:
            return
        name = f"{self.name}-teller"
        teller = Daemon(target=self._make_next, args=(calls,), name=name)
        if attempt(teller.start) is not None:  # no more threads can be started
            while calls:
                calls.popleft()()

    def _make_next(self, calls: deque[Call]) -> None:
        call = calls.popleft()
        self._make_apart(calls)
        call()
