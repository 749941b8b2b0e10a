"""The handle of a job: a `Future` with a status, a progress and a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from math import inf
from threading import get_ident
from time import monotonic, time
from typing import TYPE_CHECKING, Any, TypeVar

from boundedjobs._event import JobEvent, Progress
from boundedjobs._failure import Failure
from boundedjobs._future import LazyFuture
from boundedjobs._here import running_loop
from boundedjobs._listeners import Listener, Listeners
from boundedjobs._record import JobRecord, id_of, record_of
from boundedjobs._status import FINAL, JobStatus
from boundedjobs.errors import JobCancelled

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

    from boundedjobs._core import Core
    from boundedjobs._event import Step
    from boundedjobs._record import Entry

T = TypeVar("T")

current: ContextVar[Job[Any]] = ContextVar("boundedjobs.current")
set_current = current.set  # looked up once, for hot paths


class Job(LazyFuture[T]):
    """The handle of one submitted call: a `concurrent.futures.Future`, and awaitable.

    It ends in exactly one final status. Whatever takes a `concurrent.futures.Future`
    takes a job, and its methods do what the standard library documents; `result()` and
    `await` of a cancelled job raise `JobCancelled`. When `result()` returns, every
    listener has heard the final status.

    Cancelling whoever awaits a job never cancels the job. A handle keeps its arguments
    and its outcome, and drops the callable and its context when the job is done. All
    methods may be called from any thread.
    """

    __slots__ = (
        "_active",
        "_context",
        "_ended",
        "_event",
        "_fn",
        "_is_async",
        "_kwargs",
        "_listeners",
        "_loop",
        "_number",
        "_on",
        "_on_told",
        "_progress",
        "_steps",
        "_submitted",
        "_submitted_at",
        "_teller",
        "args",
    )

    name: str
    """The name given to `wrap`, or the callable's qualified name."""
    args: tuple[Any, ...]
    """The positional arguments of the call."""

    # What few jobs need is no slot, but set when it is needed.
    _asked: bool = False  # to stop
    _awaitable: Awaitable[Any] | None = None  # what a sync body has returned
    _failure: Failure | None = None
    _unsaid: tuple[Listener, JobEvent, BaseException] | None = None  # what a listener has raised
    # By the monotonic clock, once its body has begun.
    _deadline: float = inf
    _stuck_at: float = inf  # when it is said next where the body is
    _stuck_for: float = inf  # how long it has been since it was said before

    _ended: float  # set with a final status, and not before

    # Set by `job_of`.
    _number: int
    _fn: Callable[..., Any] | None
    _kwargs: Mapping[str, Any] | None
    _listeners: Listeners
    _context: Context | None
    _loop: AbstractEventLoop | None
    _is_async: bool
    # Guarded by the runner's lock, down to `_teller`.
    _active: bool  # the body holds a thread or a task
    _steps: tuple[Step, ...]  # decided, not yet heard by all
    _teller: object  # who tells the listeners; one at a time
    _event: JobEvent | None  # of the first step, once it is being told
    _on_told: Callable[[], object] | None
    _on: int | Task[None] | None  # the thread or task that the body is on
    _progress: Progress | None
    _submitted_at: float
    _submitted: float

    if not TYPE_CHECKING:  # to type checkers it is that of `Future`, which takes nothing, too
        __init__ = object.__init__  # see there

    @property
    def id(self) -> str:
        """A string that no other job has, in this process or another."""
        return id_of(self._number)

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The keyword arguments of the call."""
        return {} if self._kwargs is None else self._kwargs

    @property
    def status(self) -> JobStatus:
        """Where the job stands. Final a moment before `done()`: listeners hear it first."""
        return self._status or JobStatus.PENDING

    @property
    def progress(self) -> Progress | None:
        """What the job reported last; None until it has."""
        return self._progress

    @property
    def failure(self) -> Failure | None:
        """Why the job ended FAILED, INTERRUPTED or REJECTED, as text; else None."""
        return self._failure

    @property
    def submitted_at(self) -> datetime:
        """When the job was submitted: an aware datetime in UTC."""
        return datetime.fromtimestamp(self._submitted_at, UTC)

    @property
    def waited(self) -> float:
        """Seconds from the submission to the start, or to the end or now if it never started."""
        until = self._started
        if until is None:
            until = self._ended if self._status in FINAL else monotonic()
        return until - self._submitted

    @property
    def ran(self) -> float | None:
        """Seconds from the start to the end, or to now; None before the start."""
        if self._started is None:
            return None
        return (self._ended if self._status in FINAL else monotonic()) - self._started

    def report(self, fraction: float, message: str = "") -> None:
        """Say how far the job is; `on_progress` listeners hear it, in order.

        `fraction` goes from 0 to 1. Does nothing unless the job is RUNNING.

        Raises:
            ValueError: `fraction` is below 0, above 1 or NaN.
            TypeError: `fraction` is not a number, or `message` not a string.
        """
        self._keeper.report(self, Progress(fraction, message))

    def check_cancelled(self) -> None:
        """Raise `JobCancelled` if the job has been asked to stop. For use in its body.

        A sync body can't be stopped from outside: one that lets this error out, when
        `cancel()` was called or the runner let the job go, ends at once.
        """
        if self._asked:
            raise JobCancelled(f"job {self.name!r} was asked to stop")

    def cancel(self) -> bool:
        """Ask the job not to run, or to stop. Return whether that will be so.

        A pending job is CANCELLED at once. The task of a running async job is cancelled
        (True: asked; its body may still refuse). For a running sync job this returns
        False, and `check_cancelled()` raises within it. False, too, once it has ended.
        """
        return self._keeper.cancel(self)

    def stack(self) -> str:
        """Return where the body is now, as text in the manner of a traceback.

        On a thread, its live stack; of a coroutine, the chain of what it awaits, through the
        tasks that it awaits; or the stack of its event loop's thread, if it does not await
        anything now. Empty if no body runs: not begun yet, or over. Of a job that has timed out
        or was let go, as long as its body still runs. May be called from any thread.
        """
        return self._keeper.stack(self)

    def record(self) -> JobRecord:
        """Return what is seen of the job now, as plain values."""
        with self._keeper.lock:
            entry = self._entry()
        return record_of(entry, monotonic())

    def _entry(self) -> Entry:
        """What is seen of it. Under the lock."""
        status = self.status
        return (
            self._number,
            self.name,
            status,
            self._progress,
            self._failure,
            self._submitted,
            self._started,
            self._ended if status in FINAL else None,
        )

    def _start(self) -> Coroutine[Any, Any, None]:
        """Its body, as what runs on an event loop."""
        return self._keeper.drive(self)

    def _lost(self, exc: BaseException | None) -> None:
        self._keeper.lose(self, exc, self._started)

    def _call_back(self, callbacks: Iterable[Callable[[Any], object]]) -> None:
        me, context = get_ident(), self._context  # read once: it is dropped when the job has ended
        before, self._on = self._on, me  # so that it is known to be inside the job
        try:
            if current.get(None) is self:
                super()._call_back(callbacks)
            else:
                context = copy_context() if context is None else context.copy()
                context.run(current.set, self)
                context.run(super()._call_back, callbacks)
        finally:
            with self._keeper.lock:
                if self._on is me:  # else it has been dropped meanwhile, and must not come back
                    self._on = before

    def _drop(self) -> None:
        """Let go of what only a job that has not ended needs."""
        self._fn = self._context = self._loop = self._on = self._on_told = None

    def __repr__(self) -> str:
        return f"<Job {self.name!r} id={self.id} {self.status}>"


def job_of(
    keeper: Core,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    name: str,
    listeners: Listeners,
    is_async: bool,
) -> Job[Any]:
    """Make a job. An `__init__` would cost 0.1 us more: it is called by way of C."""
    job: Job[Any] = Job()
    job._keeper = keeper
    job._number = next(keeper.numbers)
    job._fn = fn
    job.args = args
    job._kwargs = kwargs or None  # an empty dictionary for each job takes 64 bytes
    job.name = name
    job._listeners = listeners
    job._context = copy_context()
    job._loop = running_loop()
    job._is_async = is_async
    job._status = None
    job._active = False
    job._settled = False
    job._steps = ()
    job._teller = None
    job._event = None
    job._on_told = None
    job._on = None
    job._meeting = None
    job._progress = None
    job._submitted_at = time()
    job._submitted = monotonic()
    job._started = None
    return job


def current_job() -> Job[Any]:
    """Return the job whose body, listener or done-callback this is called from.

    Found by context: also in tasks and `asyncio.to_thread` calls that the body starts. In a worker
    of an executor there are its `id`, `name`, `args`, `kwargs`, `report()` and `check_cancelled()`.

    Raises:
        LookupError: this is not called from inside a job.
    """
    job = current.get(None)
    if job is None:
        raise LookupError(
            "current_job() was called outside a job: it is for a job's body, its listeners and "
            "its callbacks"
        )
    return job
