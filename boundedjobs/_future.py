"""A `Future` that makes its condition only when somebody waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from threading import Condition, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from boundedjobs import _checks
from boundedjobs._failure import attempt, set_trace
from boundedjobs._here import running_loop
from boundedjobs._latch import Latch
from boundedjobs._log import log_callback_error
from boundedjobs._status import JobStatus
from boundedjobs.errors import JobCancelled

if TYPE_CHECKING:
    from boundedjobs._core import Core

T = TypeVar("T")

_SUCCEEDED = JobStatus.SUCCEEDED


class Meeting:
    """Where those who wait for one job meet it, made only when somebody does. Under the lock."""

    __slots__ = ("callbacks", "caller", "crowd", "sleepers", "uncalled")

    def __init__(self) -> None:
        self.sleepers: dict[Latch | Alarm, None] = {}  # in `result()` and `await`
        self.callbacks: list[Callable[[Any], object]] = []
        # Those still to be called. It is kept, so that what it has given has been called.
        self.uncalled: Iterator[Callable[[Any], object]] | None = None
        self.caller: int | None = None  # the thread that calls them
        self.crowd: Crowd | None = None


class Crowd:
    """Those who wait as concurrent.futures has it: made when it asks, guarded by `condition`."""

    __slots__ = ("condition", "is_late", "is_telling", "told", "waiters")

    def __init__(self, *, is_late: bool) -> None:
        self.condition = Condition()
        self.is_late = is_late  # the future was done before: all find it so, and none is told
        self.waiters: list[Any] = []
        self.is_telling = False
        self.told: set[int] = set()  # the ids of waiters: a handle that is kept must not keep them


class Alarm:
    """Wakes a task that awaits."""

    def __init__(self) -> None:
        from asyncio import get_running_loop

        self._loop = get_running_loop()
        self.rings = self._loop.create_future()

    def set(self) -> None:
        """Let the task go on. May be done again, and from any thread."""
        if running_loop() is self._loop:
            self._ring()
        else:
            attempt(self._loop.call_soon_threadsafe, self._ring)  # the loop may be closed

    def _ring(self) -> None:
        if not self.rings.done():
            self.rings.set_result(None)


class LazyFuture(Future[T]):
    """All of `Future`, and awaitable; whoever settles it sets `_settled` last.

    `Future.__init__` makes a `Condition` for each future, which costs more than all the
    rest of a job. So it is not called, and what it would set is made on demand.
    """

    __slots__ = (
        "_keeper",
        "_meeting",
        "_result",
        "_settled",
        "_started",
        "_status",
        "name",
    )

    name: str
    _keeper: Core
    _settled: bool
    _status: JobStatus | None
    _started: float | None
    _meeting: Meeting | None
    # What few jobs need is no slot, but set when it is needed.
    _exception: BaseException | None = None
    _trace: TracebackType | None = None  # of the exception, as it was caught

    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self._state in ("CANCELLED", "CANCELLED_AND_NOTIFIED")

    def running(self) -> bool:
        """Whether the job runs now."""
        return self._state == "RUNNING"

    def done(self) -> bool:
        """Whether the job has ended, and every listener has heard so."""
        return self._settled or self.cancelled()

    def result(self, timeout: float | None = None) -> T:
        """Return what the callable returned, or raise what it raised.

        Waits for the job for up to `timeout` seconds (None: as long as it takes).

        Raises:
            TimeoutError: the job had not ended by then.
            JobCancelled: the job was cancelled.
            JobInterrupted: the runner had to let the job go.
            JobDeadlock: this wait, without a timeout, could never end.
        """
        try:
            if not self._settled:
                self._wait(timeout, "result()")
            if self._status is _SUCCEEDED:
                return self._result  # type: ignore[return-value]  # there is one
            self._raise_if_cancelled()
            raise self._untraced()
        finally:
            self = None  # type: ignore[assignment]  # the raised traceback refers to this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the callable raised; None if it returned. Waits as `result` does."""
        if not self._settled:
            self._wait(timeout, "exception()")
        self._raise_if_cancelled()
        return None if self._exception is None else self._untraced()

    def __await__(self) -> Generator[Any, None, T]:
        try:
            if not self._settled:
                yield from self._wait_on_loop()
            if self._status is _SUCCEEDED:
                return self._result  # type: ignore[return-value]  # there is one
            asyncio = sys.modules.get("asyncio")
            if asyncio is not None and issubclass(type(self._exception), asyncio.CancelledError):
                # Raised here it would look like the cancellation of whoever awaits.
                raise JobCancelled(f"job {self.name!r} failed: it raised CancelledError itself")
            return self.result()
        finally:
            self = None  # type: ignore[assignment]  # as in result()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call `fn(job)` when the job is done; at once if it is.

        What `fn` raises is logged. It runs where the job ends, and is inside the job.
        """
        with self._keeper.lock:
            if not self._settled:
                self._meet().callbacks.append(fn)
                return
        self._call_back([fn])

    def _settle(self, meeting: Meeting) -> None:
        """Make the future done, wake who waits, call back. What is cut off is done by the next."""
        crowd = meeting.crowd
        if crowd is not None and not crowd.is_late:
            with crowd.condition:
                self._settled = True
                self._tell_waiters(crowd)
        with self._keeper.lock:
            self._settled = True
            sleepers, uncalled = [*meeting.sleepers], None
            if meeting.callbacks:
                meeting.caller = meeting.caller or get_ident()
                uncalled = meeting.uncalled = meeting.uncalled or iter(meeting.callbacks)
        for sleeper in sleepers:
            sleeper.set()
        if uncalled is not None and meeting.caller == get_ident():
            self._call_back(uncalled)
            meeting.callbacks = []
            meeting.uncalled = None

    def _tell_waiters(self, crowd: Crowd) -> None:
        again, crowd.is_telling = crowd.is_telling, True
        for waiter in crowd.waiters:
            if again and (
                id(waiter) in crowd.told or self in getattr(waiter, "finished_futures", ())
            ):
                continue  # to be told twice is the end of `as_completed`
            if self._status is JobStatus.CANCELLED:
                waiter.add_cancelled(self)
            elif self._exception is not None:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)
            crowd.told.add(id(waiter))
        crowd.condition.notify_all()

    def _call_back(self, callbacks: Iterable[Callable[[Any], object]]) -> None:
        for fn in callbacks:
            try:
                fn(self)
            except BaseException as exc:  # noqa: BLE001 - a callback may raise anything: it is isolated
                log_callback_error(self, exc)

    def _untraced(self) -> BaseException:
        """The exception as it was captured: raising it again must not make its traceback longer."""
        assert self._exception is not None
        set_trace(self._exception, self._trace)
        return self._exception

    def _raise_if_cancelled(self) -> None:
        if self._status is JobStatus.CANCELLED:
            raise JobCancelled(f"job {self.name!r} was cancelled")

    def _meet(self) -> Meeting:
        """Where to meet it. Under the lock."""
        if self._meeting is None:
            self._meeting = Meeting()
        return self._meeting

    def _wait(self, timeout: float | None, form: str) -> None:
        timeout = _checks.offset("timeout", timeout)
        self._keeper.reap()
        latch = Latch()
        try:
            is_waiting = self._join(latch, form if timeout is None else None)
            if is_waiting and not latch.wait(timeout) and not self._settled:
                raise TimeoutError
        finally:
            self._leave(latch)

    def _wait_on_loop(self) -> Generator[Any, None, None]:
        alarm = Alarm()
        try:
            if self._join(alarm, "await"):
                yield from alarm.rings
        finally:
            self._leave(alarm)

    def _join(self, sleeper: Latch | Alarm, form: str | None) -> bool:
        """Have it woken when the future is done; `form` is the name of an endless wait."""
        if form is not None:
            self._keeper.begin_wait(sleeper, (self,), form)  # type: ignore[arg-type]  # it is a Job
        with self._keeper.lock:
            if not self._settled:
                self._meet().sleepers[sleeper] = None
            return not self._settled

    def _leave(self, sleeper: Latch | Alarm) -> None:
        self._keeper.end_wait(sleeper)
        with self._keeper.lock:
            if self._meeting is not None:
                self._meeting.sleepers.pop(sleeper, None)

    # What concurrent.futures and asyncio look at in a future that is not their own.

    if TYPE_CHECKING:  # to typeshed, and so to `as_completed`, they are plain attributes
        _state: str
        _condition: Condition
        _waiters: list[Any]
    else:

        @property
        def _state(self) -> str:
            if self._settled:
                return (
                    "CANCELLED_AND_NOTIFIED" if self._status is JobStatus.CANCELLED else "FINISHED"
                )
            if self._status is JobStatus.CANCELLED and self._started is None:
                return "CANCELLED"
            return "PENDING" if self._started is None else "RUNNING"

        @property
        def _condition(self) -> Condition:
            return self._crowd().condition

        @property
        def _waiters(self) -> list[Any]:
            return self._crowd().waiters

    def _get_snapshot(self) -> tuple[bool, bool, T | None, BaseException | None]:
        """Whether done and cancelled, the result, the exception: what asyncio takes from 3.15 on.

        The inherited one reads a result that is not there, and an exception whose traceback has
        grown by all who have raised it.
        """
        if not self.done():
            return False, False, None, None
        if self._status is JobStatus.CANCELLED:
            return True, True, None, None
        if self._status is _SUCCEEDED:
            return True, False, self._result, None
        return True, False, None, self._untraced()

    def _crowd(self) -> Crowd:
        with self._keeper.lock:
            meeting = self._meet()
            if meeting.crowd is None:
                meeting.crowd = Crowd(is_late=self._settled)
            return meeting.crowd

    def set_running_or_notify_cancel(self) -> NoReturn:
        """Not for callers: the runner alone starts its jobs."""
        raise InvalidStateError(f"{self!r} is started by its runner, and by nobody else")

    def set_result(self, result: object) -> NoReturn:
        """Not for callers: the runner alone sets the outcome of its jobs."""
        raise InvalidStateError(f"the outcome of {self!r} is set by its runner alone")

    def set_exception(self, exception: object) -> NoReturn:
        """Not for callers: the runner alone sets the outcome of its jobs."""
        raise InvalidStateError(f"the outcome of {self!r} is set by its runner alone")
