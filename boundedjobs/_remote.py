"""What runs in a worker of an executor: one call, of which never anything is raised.

Pools break, for all that they have to run, where an exception can't be unpickled, or a
`SystemExit` gets out. So a plain tuple goes back, whatever has happened.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from boundedjobs._callables import close_coroutine, must_be_awaited
from boundedjobs._event import Progress
from boundedjobs._failure import Failure, call, capture, shown_short, type_name
from boundedjobs._job import current
from boundedjobs._line import line_to
from boundedjobs._pickling import dumps, find_main, loads
from boundedjobs._status import JobStatus
from boundedjobs.errors import BoundedJobsError, JobCancelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boundedjobs._failure import Phase

    # ("returned", the pickled result); ("raised", the pickled exception if it can be pickled, and
    # the fields of its failure); or ("withdrawn",): the runner did not want the body to begin any more.
    Envelope = tuple[Any, ...]


class Ticket(NamedTuple):
    """What goes with a call, of the job that it is for."""

    number: int
    """No other call has it, be it of the same job."""
    id: str
    name: str
    by_value: bool
    """How what goes back is pickled."""
    main: dict[str, str] | None
    """Where `__main__` is to be had, for a worker that has none and needs it."""
    line: tuple[str, Any] | None
    """How to talk with the runner: the kind of line, and where it leads."""


class Talk(Protocol):
    """A line as a worker sees it."""

    def begin(self, number: int) -> bool:
        """Whether the body of that call is to run."""
        ...

    def end(self, number: int) -> None:
        """Wait until all that was reported has been heard."""

    def is_asked_to_stop(self, number: int) -> bool:
        """Whether that job has been asked to stop."""
        ...

    def report(self, number: int, progress: Progress) -> None:
        """Pass on what a body reports."""


class NoLine:
    """In place of one, where nothing is known of how an executor's workers reach the runner."""

    def begin(self, number: int) -> bool:
        """Nobody can be asked."""
        return True

    def end(self, number: int) -> None:
        """Nothing has been reported."""

    def is_asked_to_stop(self, number: int) -> bool:
        """Raise."""
        raise BoundedJobsError(f"check_cancelled() {_NO_LINE}")

    def report(self, number: int, progress: Progress) -> None:
        """Raise."""
        raise BoundedJobsError(f"report() {_NO_LINE}")


_NO_LINE = (
    "can't reach the runner from this worker: it can from those of ProcessPoolExecutor, "
    "InterpreterPoolExecutor, loky and Dask; elsewhere, use a listener of the runner's, or a "
    "database"
)


class WorkerJob:
    """What `current_job()` returns in a worker: the job, as far as it is to be had there."""

    __slots__ = ("_has_reported", "_line", "_number", "args", "id", "kwargs", "name")

    _keeper = None  # no runner of this process
    status = JobStatus.RUNNING

    def __init__(
        self, ticket: Ticket, line: Talk, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.id = ticket.id
        self.name = ticket.name
        self.args = args
        self.kwargs = kwargs
        self._number = ticket.number
        self._line = line
        self._has_reported = False

    def report(self, fraction: float, message: str = "") -> None:
        """See `Job.report`."""
        self._line.report(self._number, Progress(fraction, message))
        self._has_reported = True

    def check_cancelled(self) -> None:
        """See `Job.check_cancelled`."""
        if self._line.is_asked_to_stop(self._number):
            raise JobCancelled(f"job {self.name!r} was asked to stop")

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(
            f"{attribute!r} of a job is not to be had in a worker of an executor: there are id, "
            "name, args, kwargs, status, report() and check_cancelled()"
        )

    def __repr__(self) -> str:
        return f"<WorkerJob {self.name!r} id={self.id}>"


def run(payload: bytes, ticket: tuple[Any, ...]) -> Envelope:
    """Make the call, in a context of its own; return what came of it."""
    envelope, exc = call(_run, (payload, Ticket(*ticket)), {})
    if exc is not None:  # there is no line, or the call can't be unpickled; or a signal came
        envelope = _raised(exc, "executor", by_value=False)
    assert envelope is not None
    return envelope


def _run(payload: bytes, ticket: Ticket) -> Envelope:
    line = _line(ticket)
    if not line.begin(ticket.number):
        return ("withdrawn",)
    # Not before: it runs the code of those who are unpickled, and may end this process.
    if ticket.main is not None:
        find_main(ticket.main)
    fn, args, kwargs = loads(payload)
    job = WorkerJob(ticket, line, args, kwargs)
    envelope: Envelope = Context().run(_call, job, fn, args, kwargs, by_value=ticket.by_value)
    if job._has_reported:
        line.end(ticket.number)
    return envelope


def _line(ticket: Ticket) -> Talk:
    if ticket.line is None:
        return NoLine()
    kind, where = ticket.line
    if kind == "dask":
        from boundedjobs._dask import DaskLine

        return DaskLine(where)
    return line_to(tuple(where))


def _call(
    job: WorkerJob, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, by_value: bool
) -> Envelope:
    current.set(job)  # type: ignore[arg-type]  # as much of it as there is
    result, exc = call(fn, args, kwargs)
    if exc is not None:
        return _raised(exc, "call", by_value=by_value)
    if must_be_awaited(result):
        kind = type_name(type(result))
        close_coroutine(result)
        error: BaseException = TypeError(
            f"{job.name!r} returned a {kind} in a worker of an executor, where nothing awaits it: "
            "make it an 'async def', which runs on the event loop, or run the loop inside it"
        )
        return _raised(error, "executor", by_value=by_value)
    data, exc = call(dumps, (result,), {"by_value": by_value})
    if exc is not None:
        error = TypeError(
            f"{job.name!r} has run, but its result, a {type_name(type(result))}, can't be pickled "
            f"({shown_short(exc)}): return plain values"
        )
        return _raised(error, "executor", by_value=by_value)
    return ("returned", data)


def _raised(exc: BaseException, phase: Phase, *, by_value: bool) -> Envelope:
    failure = capture(exc, phase)
    data, _ = call(dumps, (exc,), {"by_value": by_value})
    return ("raised", data or b"", *(getattr(failure, each) for each in Failure.__slots__))
