"""Lazy maps: `map`, which yields results in the order of the items, and `as_completed`."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, overload

from boundedjobs import _checks
from boundedjobs._admission import Verdict
from boundedjobs._completed import AsCompleted
from boundedjobs._flight import Flight
from boundedjobs._here import running_loop
from boundedjobs._job import Job
from boundedjobs._submitting import Submitting, check_runnable
from boundedjobs._wrapping import F, T

if TYPE_CHECKING:
    from boundedjobs._core import Core

    # Submits one call, and may wait for room to do so if the flag says so; None, and nobody
    # has heard of it, if the runner is full.
    Offer = Callable[[tuple[Any, ...], bool], Job[Any] | None]


class Maps(Submitting):
    """The part of a runner that calls a callable for each set of items."""

    @overload
    def map(
        self,
        fn: Callable[..., F],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[F]: ...
    @overload
    def map(
        self,
        fn: Callable[..., Awaitable[T]],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]: ...
    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]: ...
    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Run `fn` on each set of items; yield the results in the order of the items.

        As `Executor.map`: all is submitted at once or, with `buffersize`, so many at first,
        and one more as each result is yielded. `timeout` is in seconds from this call, and
        the first failure is raised where its result would stand. `chunksize` is checked, and
        has no effect. Where `max_pending` is set it waits for room instead of raising
        `RunnerFull`; where this thread must not block (see `when_full`) it submits the rest
        as results are fetched.

        Raises:
            TypeError: an iterable is none, or an option is of the wrong type.
            ValueError: `chunksize` or `buffersize` is less than 1, or `timeout` is NaN.
        """
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")  # to the letter, as the next
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        _checks.whole("chunksize", chunksize, 1)
        timeout = _checks.offset("timeout", timeout)
        may_wait = running_loop() is None and not self._core.is_inside()

        def offer(args: tuple[Any, ...], may_wait: bool) -> Job[Any] | None:
            job = self._job(fn, args)
            verdict = self._core.submit(job, may_wait)
            if verdict is Verdict.CLOSED:
                self._refuse(job, self._core.refusal(job, verdict, ""))
            return job if verdict is Verdict.ACCEPTED else None

        return _results(self._core, offer, iterables, timeout, buffersize, may_wait=may_wait)

    @overload
    def as_completed(
        self, fn: Callable[..., F], *iterables: Iterable[Any], buffersize: int | None = None
    ) -> AsCompleted[F]: ...
    @overload
    def as_completed(
        self,
        fn: Callable[..., Awaitable[T]],
        *iterables: Iterable[Any],
        buffersize: int | None = None,
    ) -> AsCompleted[T]: ...
    @overload
    def as_completed(
        self, fn: Callable[..., T], *iterables: Iterable[Any], buffersize: int | None = None
    ) -> AsCompleted[T]: ...
    def as_completed(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], buffersize: int | None = None
    ) -> AsCompleted[Any]:
        """Run `fn` on each set of items; yield each `Job` when it has ended, failed ones too.

        For `for` and for `async for`; a context manager, too, that leaves it early. Nothing is
        read before the first job is asked for, and then no further than so that `limit` (as it
        is now) and `buffersize` jobs are in flight: submitted, and not yielded yet. So inputs
        may be endless. None: as many again as the limit. Where `max_pending` is reached it
        waits for room in place of raising `RunnerFull`. What can't be run is yielded REJECTED.

        The items are drawn by whoever iterates, on their thread, in between: while an input
        takes its time nothing is yielded, though no second item is drawn where a job has ended.
        Inputs that raise end the loop with that error, and a runner that is closed while there
        are items left ends it with `RunnerClosed` (the last item drawn is REJECTED): after
        what is in flight has ended and been yielded.

        Raises:
            TypeError: `fn` is not callable, or a generator function; there is no iterable, or
                one that is none; or `buffersize` is no int.
            ValueError: `buffersize` is below 0.
            JobDeadlock: (from the loop) the wait could never end: inside a job of this runner
                with every slot held, or where `for` blocks the event loop that the jobs need.
        """
        check_runnable(fn)
        if not iterables:
            raise TypeError("iterables must be at least one: as_completed(fn, items)")
        if buffersize is not None:
            _checks.whole("buffersize", buffersize, 0)

        def make(args: tuple[Any, ...]) -> Job[Any]:
            return self._job(fn, args)

        return AsCompleted(Flight(self._core, make, iterables, buffersize))


def _results(
    core: Core,
    offer: Offer,
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    buffersize: int | None,
    *,
    may_wait: bool,
) -> Iterator[Any]:
    """Submit all now, or `buffersize`, or (unless `may_wait`) what there is room for.

    Yield the results; meanwhile, submit the rest.
    """
    deadline = None if timeout is None else monotonic() + timeout
    # Within a chain, for at its end `zip` would draw from the first iterable again if asked again.
    items = source = chain(zip(*iterables, strict=False))
    jobs: deque[Job[Any]] = deque()

    def submit(may_wait: bool) -> None:
        # What is drawn is submitted before the next is drawn; at most one is put back.
        nonlocal items
        if len(jobs) == buffersize:
            return
        for args in items:
            job = offer(args, may_wait)
            if job is None:
                items = chain([args], source)
                return
            jobs.append(job)
            if len(jobs) == buffersize:
                return

    def wait_for_room() -> None:
        # Others fill the runner, and this thread must not wait if that can't end.
        token = object()
        for args in items:
            try:
                core.begin_wait(token, None, "map()")
                jobs.append(offer(args, True))  # type: ignore[arg-type]  # a job: it waits
            finally:
                core.end_wait(token)
            return

    def results_in_order() -> Iterator[Any]:
        try:
            while True:
                submit(False)
                if not jobs:
                    wait_for_room()
                if not jobs:
                    return
                result = [_result(core, jobs.popleft(), deadline)]
                submit(False)
                yield result.pop()  # and keep it no longer
        finally:
            for job in jobs:
                core.cancel(job, even_running=False)

    submit(may_wait)
    return results_in_order()


def _result(core: Core, job: Job[Any], deadline: float | None) -> Any:
    try:
        return job.result(None if deadline is None else deadline - monotonic())
    finally:
        core.cancel(job, even_running=False)  # a no-op unless the wait was cut off
        del job
