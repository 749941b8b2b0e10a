"""The logger `boundedjobs`, and the sentences that go there.

Every record has the attributes `runner`, `job_id` and `job_name`, for formatters and filters;
those of the job are empty where a sentence is about the runner, or about several jobs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from boundedjobs._callables import name_of
from boundedjobs._failure import call, capture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from boundedjobs._event import JobEvent
    from boundedjobs._failure import Failure
    from boundedjobs._job import Job
    from boundedjobs._status import JobStatus

_logger = logging.getLogger("boundedjobs")


# Texts, and never a job itself: whoever keeps the record would keep the job.


def log(level: int, runner: str, message: str, *args: object) -> None:
    """Log what is not about one job; what a handler or a filter raises must not change a job."""
    extra = {"runner": runner, "job_id": "", "job_name": ""}
    call(_logger.log, (level, message, *args), {"extra": extra})


def _log_of(job: Job[Any], level: int, message: str, *args: object) -> None:
    extra = {"runner": job._keeper.name, "job_id": job.id, "job_name": job.name}
    call(_logger.log, (level, message, *args), {"extra": extra})


# Whether somebody wants to read of each step: asked once a job, whose listener `log_step` is then.
is_logged = _logger.isEnabledFor


def log_step(event: JobEvent) -> None:
    """Say that a job has taken a step, or what it has reported."""
    previous, status, progress = event.previous, event.status, event.progress
    if progress is not None and previous is status:
        what = f"is at {progress.fraction:.0%}"
        what += f": {progress.message}" if progress.message else ""
    else:
        what = f"is {status}"
    _log_of(event._job, logging.DEBUG, "job %r (%s) %s", event.name, event.job_id, what)


def log_failed(job: Job[Any], status: str, failure: Failure) -> None:
    """Say once that a job failed, or was interrupted by itself.

    The traceback goes as text: a record that kept the exception would keep every
    variable of every frame alive with it.
    """
    _log_of(
        job,
        logging.ERROR,
        "job %r (%s) %s at %s: %s: %s\n%s",
        job.name,
        job.id,
        status,
        failure.location or "no line of Python",
        failure.type,
        failure.message,
        failure.traceback,
    )


def log_callback_error(job: Any, exc: BaseException) -> None:
    """Say that a done-callback raised."""
    _log_of(
        job,
        logging.ERROR,
        "exception calling callback for %s\n%s",
        repr(job),
        capture(exc, "call").traceback,
    )


def log_listener_error(listener: object, event: JobEvent, exc: BaseException | None) -> None:
    """Say that a listener raised, or (None) that it could not hear: its loop is gone."""
    reason = capture(exc, "call").traceback if exc else "its event loop is gone\n"
    name, what = name_of(listener), repr(event)
    _log_of(event._job, logging.ERROR, "listener %s did not hear %s: %s", name, what, reason)


def log_private_loop(name: str) -> None:
    """Say that async work runs on a loop of the runner's own."""
    log(
        logging.INFO,
        name,
        "runner %r: no event loop was running where an async job or listener came from, so a "
        "private one is started in a thread; a service passes lifespan=runner.lifespan or uses "
        "'async with runner'",
        name,
    )


def log_late(job: Job[Any], what: str, late: float) -> None:
    """Say that a body ended `late` seconds after its job had."""
    _log_of(
        job,
        logging.WARNING,
        "%s had already ended: what its body %s now, %.1f s late, is dropped",
        repr(job),
        what,
        late,
    )


def log_overdue(job: Job[Any], overdue: int, limit: int) -> None:
    """Say that a job has timed out whose body can't be stopped, and so keeps its slot."""
    _log_of(
        job,
        logging.WARNING,
        "job %r (%s) is overdue: its body goes on, and keeps its slot until it returns (%d of "
        "limit %d)",
        job.name,
        job.id,
        overdue,
        limit,
    )


def log_stuck(job: Job[Any], ran: float, stack: str) -> None:
    """Say where a body is that has run for long."""
    _log_of(
        job,
        logging.WARNING,
        "job %r (%s) has run for %.1f s and goes on at:\n%s",
        job.name,
        job.id,
        ran,
        stack,
    )


def log_interrupted(runner: str, jobs: Iterable[tuple[str, str]]) -> None:
    """Name the jobs that a closing runner had to let go."""
    names = ", ".join(f"{name!r} ({job_id})" for name, job_id in jobs)
    text = "runner %r passed its drain deadline, jobs interrupted: %s"
    log(logging.WARNING, runner, text, runner, names)


def log_unheard(runner: str, jobs: Iterable[object]) -> None:
    """Name the jobs whose listeners were still busy when the runner had to go."""
    names = ", ".join(map(repr, jobs))
    text = "runner %r closed before listeners had heard all of: %s"
    log(logging.ERROR, runner, text, runner, names)


def log_view_lost(runner: str, exc: BaseException) -> None:
    """Say that what a runner does is not shown any more."""
    text = "the view of runner %r has ended, and its jobs go on: %s"
    log(logging.WARNING, runner, text, runner, capture(exc, "call").traceback)


def log_closing(runner: str, running: int, pending: int) -> None:
    """Say that a runner accepts no more jobs."""
    text = "runner %r closes: %d jobs run, %d wait"
    log(logging.INFO, runner, text, runner, running, pending)


def log_closed(runner: str, counts: Mapping[JobStatus, int]) -> None:
    """Say that nothing is left to do, and what has become of the jobs."""
    ended = ", ".join(f"{count} {status}" for status, count in counts.items())
    text = "runner %r has closed; its jobs so far: %s"
    log(logging.INFO, runner, text, runner, ended)
