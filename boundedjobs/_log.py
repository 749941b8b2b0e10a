"""The logger `boundedjobs`, and the sentences that go there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from boundedjobs._callables import name_of
from boundedjobs._failure import call, capture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boundedjobs._failure import Failure

_logger = logging.getLogger("boundedjobs")


# Texts, and never a job itself: whoever keeps the record would keep the job.


def log(level: int, message: str, *args: object) -> None:
    """Log; what a handler or a filter raises must not change a job."""
    call(_logger.log, (level, message, *args), {})


def log_failed(name: str, job_id: str, status: str, failure: Failure) -> None:
    """Say once that a job failed, or was interrupted by itself.

    The traceback goes as text: a record that kept the exception would keep every
    variable of every frame alive with it.
    """
    log(
        logging.ERROR,
        "job %r (%s) %s at %s: %s: %s\n%s",
        name,
        job_id,
        status,
        failure.location or "no line of Python",
        failure.type,
        failure.message,
        failure.traceback,
    )


def log_callback_error(job: object, exc: BaseException) -> None:
    """Say that a done-callback raised."""
    log(
        logging.ERROR,
        "exception calling callback for %s\n%s",
        repr(job),
        capture(exc, "call").traceback,
    )


def log_listener_error(listener: object, event: object, exc: BaseException | None) -> None:
    """Say that a listener raised, or (None) that it could not hear: its loop is gone."""
    reason = capture(exc, "call").traceback if exc else "its event loop is gone\n"
    log(logging.ERROR, "listener %s did not hear %s: %s", name_of(listener), repr(event), reason)


def log_private_loop(name: str) -> None:
    """Say that async work runs on a loop of the runner's own."""
    log(
        logging.INFO,
        "runner %r: no event loop was running where an async job or listener came from, so a "
        "private one is started in a thread; a service passes lifespan=runner.lifespan or uses "
        "'async with runner'",
        name,
    )


def log_late(job: object, what: str, late: float) -> None:
    """Say that a body ended `late` seconds after its job had."""
    log(
        logging.WARNING,
        "%s had already ended: what its body %s now, %.1f s late, is dropped",
        repr(job),
        what,
        late,
    )


def log_stuck(name: str, job_id: str, ran: float, stack: str) -> None:
    """Say where a body is that has run for long."""
    log(
        logging.WARNING,
        "job %r (%s) has run for %.1f s and goes on at:\n%s",
        name,
        job_id,
        ran,
        stack,
    )


def log_interrupted(runner: str, jobs: Iterable[tuple[str, str]]) -> None:
    """Name the jobs that a closing runner had to let go."""
    names = ", ".join(f"{name!r} ({job_id})" for name, job_id in jobs)
    log(logging.WARNING, "runner %r passed its drain deadline, jobs interrupted: %s", runner, names)


def log_unheard(runner: str, jobs: Iterable[object]) -> None:
    """Name the jobs whose listeners were still busy when the runner had to go."""
    names = ", ".join(map(repr, jobs))
    log(logging.ERROR, "runner %r closed before listeners had heard all of: %s", runner, names)
