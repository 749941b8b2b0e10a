"""`BoundedRunner`: joins the pieces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from functools import partial, wraps
from typing import Any, Literal, Unpack, overload
from weakref import finalize

from boundedjobs import _checks
from boundedjobs._callables import described
from boundedjobs._core import Core
from boundedjobs._job import Job
from boundedjobs._listeners import Listener, Listeners
from boundedjobs._maps import Maps
from boundedjobs._pace import pause, resume, set_limit
from boundedjobs._patience import patience
from boundedjobs._process import drain_before_pools, watch
from boundedjobs._record import JobRecord, Snapshot
from boundedjobs._sight import find, snapshot, state
from boundedjobs._submitting import check_runnable
from boundedjobs._wrapping import F, P, T, WrapOptions, Wrapper


class BoundedRunner(Maps):
    """Run callables in the background, at most `limit` at once, and lose none.

    A background job that raises is heard by nobody, and one that waits for its turn in a
    thread takes that thread from others. Here, every job that is handed in ends in exactly
    one final status, every listener hears each step in order, and a job that waits holds no
    thread.

    A `concurrent.futures.Executor`. All methods may be called from any thread, and from
    event loops. What a listener or a callback raises is logged, and changes nothing.

    Args:
        limit: How many jobs run at once, sync and async together; at least 1. It may be set
            later, while jobs run.
        name: Of the runner, its threads and its log lines.
        max_pending: How many accepted jobs may wait for a slot; None is no bound, 0 is "run
            now or refuse".
        when_full: `"reject"` raises `RunnerFull`; `"wait"` blocks the submitting thread
            until there is room, save on the thread of an event loop and inside a job of this
            runner, where that could freeze or deadlock: there it is `RunnerFull` as well.
        on_status: Listeners, sync or async: one callable or several, each handed one
            `JobEvent` a step. Sync ones are called where the step happens: on the
            submitter's thread, the worker's, or the event loop's for an async job (there
            they must be quick, or be async). Async ones run on the loop that entered the
            runner, else on the one that the job was submitted on, else on a private one.
        on_progress: The same for what jobs report.
        on_stuck: The same for bodies that have run for `stuck_after`: `event.stack` says where
            the body is. Sync ones are called on a thread of their own, of an async job too: its
            loop may be what is stuck. None hears of a job whose end is decided.
        timeout: Seconds that a body may take, from its start; None or `math.inf`: any time. Then
            the job is FAILED with `JobTimeout`, phase `timeout`. An async body is cancelled. A
            sync one can't be stopped: `check_cancelled()` raises within it, it counts as
            overdue, what it still returns or raises is dropped with a WARNING, and its slot
            stays taken until then. **One that never returns never frees its slot.**
        stuck_after: Seconds that a body runs, from its start, before a WARNING says where it is,
            with its live stack, and `on_stuck` listeners hear it. Again after twice as long,
            and so on, as long as the body runs, past the end of its job too. None or
            `math.inf`: never.
        stagger: Seconds at least from the start of one job to that of the next. Where a slot is
            free, a job that waits starts when they have passed. It holds while closing too.
        history: How many records of ended jobs are kept for `get()`, the last ones. They are
            text, the tracebacks of failures included, and refer to no argument or result.
        drain_timeout: Seconds that closing waits for jobs before it interrupts them, at
            interpreter exit too. None: no deadline, save 8 s for `lifespan`; `math.inf`:
            none there either.
        executor: Where sync bodies run, in place of threads of this process: a
            `concurrent.futures.Executor`, or a callable that makes one. What is made, when the
            first job is submitted, is replaced when it breaks, and shut down when this runner
            closes; with it end bodies that were let go of. What is given is never shut down here.
            Callable and arguments are pickled when submitted. Of a worker that dies the job is
            FAILED with `WorkerLost`, phase `executor`; it is never run again, save where its body
            is known not to have begun. In a worker, `current_job()` has `id`, `name`, `args`,
            `kwargs`, `report()` and `check_cancelled()`, and context variables are not there.
            Its width should be `limit`: if there are fewer workers, a WARNING says so once.
    """

    def __init__(
        self,
        limit: int,
        *,
        name: str | None = None,
        max_pending: int | None = None,
        when_full: Literal["reject", "wait"] = "reject",
        on_status: Listener | Iterable[Listener] | None = None,
        on_progress: Listener | Iterable[Listener] | None = None,
        on_stuck: Listener | Iterable[Listener] | None = None,
        timeout: float | None = None,
        stuck_after: float | None = None,
        stagger: float | None = None,
        history: int = 1_000,
        drain_timeout: float | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
    ) -> None:
        limit = _checks.whole("limit", limit, 1)
        if max_pending is not None:
            max_pending = _checks.whole("max_pending", max_pending, 0)
        if when_full not in ("reject", "wait"):
            error = ValueError if isinstance(when_full, str) else TypeError
            raise error(f"when_full must be 'reject' or 'wait', got {when_full!r}")
        granted = patience(timeout, stuck_after)
        listeners = Listeners(on_status, on_progress, on_stuck, granted)
        history = _checks.whole("history", history, 0)
        core = Core(_checks.text("name", name) or "runner", limit, max_pending, history)
        core.stagger = _checks.finite("stagger", stagger)
        core.admission.spaced = core.stagger is not None
        core.drain_timeout = _checks.seconds("drain_timeout", drain_timeout)
        if executor is not None:
            from boundedjobs._lanes._executors import ExecutorLane

            core.use(ExecutorLane(core.name, executor, drain_before_pools))
        super().__init__(core, listeners, waits=when_full == "wait")
        self._dropped: finalize[..., Any] | None = None
        watch(core)

    @property
    def name(self) -> str:
        """The name of the runner."""
        return self._core.name

    @property
    def limit(self) -> int:
        """How many jobs run at once. It may be set at any time, from any thread.

        More, and the jobs that wait longest start at once, and submitters that wait for room
        are let in. Fewer, and what runs goes on: until no more than that run, none starts.
        Threads that are not needed any more stay until the runner is closed.

        Raises:
            TypeError: it is set to what is no int.
            ValueError: it is set to less than 1.
            JobDeadlock: jobs that wait for others could never end with so few slots. The
                limit stays as it was.
        """
        return self._core.admission.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        set_limit(self._core, _checks.whole("limit", limit, 1))
        if self._core.executors is not None:
            self._core.executors.check_width(limit)

    def pause(self) -> None:
        """Start no job until `resume()`. What runs goes on, and what is accepted waits.

        When this returns, no job becomes RUNNING that is not. Jobs are accepted as far as
        `max_pending` goes; with 0 that is none. Closing resumes, save for what it cancels; so
        does dropping the last reference to the runner. Once it is closed this does nothing.
        """
        if self._dropped is None:
            # Nobody could resume it any more, and what waits would not even be referred to.
            self._dropped = finalize(self, resume, self._core)
        pause(self._core)

    def resume(self) -> None:
        """Start jobs again, those that wait longest at once. Does nothing if not paused."""
        resume(self._core)

    @property
    def listener_errors(self) -> int:
        """How many calls of listeners have raised so far."""
        return self._core.listener_errors

    def snapshot(self, *, since: Snapshot | None = None) -> Snapshot:
        """What the runner does now, and what it has done: all of it at one moment.

        Frozen, and plain values: `dataclasses.asdict` makes of it what JSON takes. It names
        every live job, and so takes time in proportion to them, half of it under the lock
        (about 1 us a job). With `since`, an earlier snapshot of this runner, it has the records
        of the jobs that have ended after that one, too: who looks now and then misses none, as
        long as no more than `history` jobs end meanwhile.

        Raises:
            TypeError: `since` is not a snapshot.
        """
        if since is not None and not isinstance(since, Snapshot):
            raise TypeError(f"since must be a Snapshot or None, got {since!r}")
        return snapshot(self._core, since)

    def get(self, job_id: str) -> Job[Any] | JobRecord | None:
        """The job with this id while it is live, then its record, then None.

        Live is a job from its submission until its end has been heard by all and its body is
        over. Records are kept of the last `history` jobs that have ended; of one that was
        refused there is none. All that a `JobRecord` has, a `Job` has too: who polls need not
        ask which it is, and `job.record()` makes one of the other.

        Raises:
            TypeError: `job_id` is not a string.
        """
        if not isinstance(job_id, str):
            raise TypeError(f"job_id must be a string, got {job_id!r}")
        return find(self._core, job_id)

    # A callable that returns a future is not awaited: a Job[Job[T]] is what one gets who
    # submits a wrapped callable. Its overload stands first, for a Job is awaitable as well.
    @overload
    def submit(self, fn: Callable[P, F], /, *args: P.args, **kwargs: P.kwargs) -> Job[F]: ...
    @overload
    def submit(
        self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]: ...
    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Job[T]: ...
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Run `fn(*args, **kwargs)` in the background; return its `Job` at once.

        A coroutine function runs on the event loop that is running here, else on the one
        that entered the runner, else on a private one; any other callable on a thread, and
        an awaitable that it returns is then run within the same slot. The job has a copy of
        the current context. Its listeners have heard PENDING when this returns.

        Raises:
            RunnerFull: `max_pending` jobs wait already.
            RunnerClosed: the runner has been shut down.
            NotRunnable: `fn` is not callable, or a generator function; or, with `executor=`, it or
                an argument can't be pickled.
        """
        kind, name = described(fn)
        return self._submit(fn, kind, name, args, kwargs, self._listeners)

    @overload
    def wrap(
        self, fn: Callable[P, F], /, **options: Unpack[WrapOptions]
    ) -> Callable[P, Job[F]]: ...
    @overload
    def wrap(
        self, fn: Callable[P, Awaitable[T]], /, **options: Unpack[WrapOptions]
    ) -> Callable[P, Job[T]]: ...
    @overload
    def wrap(
        self, fn: Callable[P, T], /, **options: Unpack[WrapOptions]
    ) -> Callable[P, Job[T]]: ...
    @overload
    def wrap(self, /, **options: Unpack[WrapOptions]) -> Wrapper: ...
    def wrap(
        self,
        fn: Any = None,
        /,
        *,
        name: str | None = None,
        on_status: Listener | Iterable[Listener] | None = None,
        on_progress: Listener | Iterable[Listener] | None = None,
        on_stuck: Listener | Iterable[Listener] | None = None,
        timeout: float | None = None,
        stuck_after: float | None = None,
    ) -> Any:
        """Make a callable that submits `fn` and returns the `Job`; also as a decorator.

        What it makes keeps the name, the docstring and the signature, works as a method
        (`@classmethod` and `@staticmethod` go outside it), and is sync even around a
        coroutine function, so that `BackgroundTasks` gets it back at once. The listeners
        given here hear after those of the runner; a `timeout` or `stuck_after`
        given here is used in place of the runner's (`math.inf`: none).

        Raises:
            TypeError: `fn` is not callable, or a generator function; or an option is of the
                wrong type.
            ValueError: an option has a bad value.
        """
        name = _checks.text("name", name)
        granted = patience(timeout, stuck_after)
        listeners = self._listeners + Listeners(on_status, on_progress, on_stuck, granted)
        if fn is None:
            return partial(
                self.wrap,
                name=name,
                on_status=on_status,
                on_progress=on_progress,
                on_stuck=on_stuck,
                timeout=timeout,
                stuck_after=stuck_after,
            )
        if isinstance(fn, classmethod | staticmethod):
            raise TypeError(
                f"fn must be a function, got a {type(fn).__name__}: put @{type(fn).__name__} "
                "outside of @runner.wrap"
            )
        check_runnable(fn)

        def submit(*args: Any, **kwargs: Any) -> Job[Any]:
            kind, own_name = described(fn)  # anew: of an object, both may change
            return self._submit(fn, kind, name or own_name, args, kwargs, listeners)

        wrapped = wraps(fn)(submit)
        for mark in ("_is_coroutine_marker", "_is_coroutine"):  # of inspect, and of asyncio
            vars(wrapped).pop(mark, None)  # what it returns is no coroutine
        return wrapped

    def __repr__(self) -> str:
        with self._core.lock:
            admission = self._core.admission
            running, pending = len(admission.running), len(admission.pending)
            word, overdue = state(self._core), self._core.overdue()
        late = f"overdue={overdue} " if overdue else ""
        return (
            f"<BoundedRunner {self.name!r} {word} limit={self.limit} running={running} "
            f"{late}pending={pending}>"
        )
