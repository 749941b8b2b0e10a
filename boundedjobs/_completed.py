"""`as_completed`: read inputs as it goes, yield each job when it has ended."""

from __future__ import annotations

from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import finalize

from boundedjobs._admission import Verdict
from boundedjobs._future import Alarm
from boundedjobs._job import Job
from boundedjobs._latch import Latch
from boundedjobs._status import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from boundedjobs._core import Core

T = TypeVar("T")


class Flight:
    """What is between the inputs of one `as_completed` and those who iterate over it.

    Jobs refer to it, and it to no runner and to nobody who iterates: so these can be dropped.
    """

    def __init__(
        self,
        core: Core,
        make: Callable[[tuple[Any, ...]], Job[Any]],
        iterables: tuple[Iterable[Any], ...],
        buffersize: int | None,
    ) -> None:
        self.core = core
        self.make = make
        self.buffersize = buffersize
        self.inputs = iterables
        self.iterators = tuple(map(iter, iterables))
        # Of the reader's alone, as are the next three; None when it has come to its end.
        self.source: Iterator[tuple[Any, ...]] | None = zip(*self.iterators, strict=False)
        self.drawn: tuple[Any, ...] | None = None  # of what no job has been made yet
        self.held: Job[Any] | None = None  # of `jobs`, not accepted yet
        self.count = 0  # how many have been drawn
        # Guarded by the runner's lock, down to `error`. What has been drawn and not yet been
        # yielded; of these, what has ended.
        self.jobs: dict[Job[Any], Arrival] = {}
        self.landed: dict[Job[Any], None] = {}
        self.reader: Turn | None = None  # who may draw; one at a time
        self.bells: dict[Latch | Alarm, None] = {}  # of those who wait
        self.closed = False
        self.error: BaseException | None = None  # to be raised at the end
        self.todo = core.todo

    @property
    def bound(self) -> int:
        """How many jobs may be in flight."""
        limit = self.core.admission.limit
        return limit + (limit if self.buffersize is None else self.buffersize)

    def land(self, job: Job[Any]) -> None:
        """A job has ended."""
        with self.core.lock:  # a quick one
            if job in self.jobs:
                self.landed[job] = None
            bells = [*self.bells]
        for bell in bells:
            bell.set()

    def end(self) -> None:
        """Draw nothing more. Not under the lock: generators of the inputs may be closed by it."""
        self.source = self.drawn = None
        self.iterators = self.inputs = ()

    def close(self) -> None:
        """Cancel what has not started, yield nothing more. Can be done again."""
        core = self.core
        if core.todo.is_interrupting():
            core.put_off(self.close)
            return
        with core.lock:
            self.closed = True
            jobs, bells = [*self.jobs], [*self.bells]
        for job in jobs:
            if job._status is PENDING:
                core.cancel(job, even_running=False)
        with core.lock:
            self.jobs, self.landed, self.held = {}, {}, None  # the list refers to them still
        self.error = None
        self.end()
        for bell in bells:
            bell.set()


class Arrival:
    """Waits for one job, to say that it has ended."""

    __slots__ = ("_flight", "_job")

    def __init__(self, flight: Flight, job: Job[Any]) -> None:
        self._flight = flight
        self._job = job

    def set(self) -> None:
        """The job has ended. May be said again."""
        self._flight.land(self._job)


class Turn:
    """One call of `next` or `anext`: reads on, waits, and takes one job."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.job: Job[Any] | None = None
        self.error: BaseException | None = None
        self._bell: Latch | Alarm | None = None
        self._outside: Job[Any] | None = None  # waits for room

    def take(self) -> bool:
        """Read on, and take a job that has ended; True, too, if there is none to come."""
        flight = self.flight
        with flight.core.lock:
            if flight.reader is None and flight.source is not None:
                flight.reader = self
        if flight.reader is self:
            self._read()
        job = arrival = None
        with flight.core.lock:  # a quick one
            is_over = flight.closed
            if not is_over:
                for job in flight.landed:  # noqa: B007 - the first of them
                    break
                if job is not None:
                    arrival = flight.jobs[job]
                    self.job = job
                    del flight.landed[job]
                    del flight.jobs[job]
                elif flight.source is None and not flight.jobs:
                    is_over = True
                    self.error, flight.error = flight.error, None
        if job is not None:
            job._leave(arrival)  # type: ignore[arg-type]  # they refer to each other
        return is_over or job is not None

    def _read(self) -> None:
        """Draw and submit, until a job has ended or as many are in flight as may be."""
        flight = self.flight
        while self._submit() and not flight.landed:
            pass

    def _submit(self) -> bool:
        """Submit one more; return whether that could be."""
        flight, core = self.flight, self.flight.core
        job = flight.held or self._draw()
        if job is None:
            return False
        if job._status is None:
            verdict = core.submit(job, may_wait=False)
            if verdict is Verdict.FULL:
                return False
            if verdict is Verdict.CLOSED:
                with core.lock:
                    flight.jobs.pop(job, None)
                error = flight.error = core.refusal(job, verdict, "")
                flight.end()
                flight.held = None
                core.refuse(job, error)
                return False
        self._accepted(job)
        return True

    def _draw(self) -> Job[Any] | None:
        """Draw what the next job is made of, if one more may be in flight."""
        flight = self.flight
        if flight.drawn is None:
            source = flight.source
            if source is None or flight.closed or len(flight.jobs) >= flight.bound:
                return None
            try:
                # No signal is seen to between the drawing and the storing.
                for flight.drawn in source:
                    break
            except Exception as exc:  # noqa: BLE001 - an input may raise anything: it ends the loop
                flight.error = exc
                flight.end()
                return None
            if flight.drawn is None:
                flight.end()
                return None
        job = flight.make(flight.drawn)
        arrival = Arrival(flight, job)
        job._meet().sleepers[arrival] = None  # type: ignore[index]  # nobody else knows it yet
        with flight.core.lock:
            if not flight.closed:
                flight.jobs[job] = arrival
                flight.held = job
                flight.drawn = None
                flight.count += 1
        return flight.held

    def _accepted(self, job: Job[Any]) -> None:
        flight = self.flight
        flight.held = None
        if flight.closed:
            flight.core.cancel(job, even_running=False)

    def sleep(self, bell: Latch | Alarm, ring: Callable[[], object], form: str) -> bool:
        """Have the bell rung when there may be something to take or to read; False: now.

        Under the lock it is rung by `ring`. Raises `JobDeadlock` if that would never be.
        """
        flight, core = self.flight, self.flight.core
        core.reap()  # a loop that is gone may have some of the jobs
        with core.lock:
            is_waiting = self._is_waiting()
            if is_waiting:
                self._bell = bell
                flight.bells[bell] = None
                if flight.reader is self and flight.held is None:
                    core.if_limit_is_set[bell] = ring  # more may be in flight then
        if not is_waiting:
            return False
        held = flight.held
        if flight.reader is self and held is not None:
            self._outside = held
            verdict = core.submit(held, may_wait=True, ring=ring)
            if verdict is not Verdict.WAIT:
                return False
        core.begin_wait(bell, flight.jobs, form, "'async for'")
        return True

    def _is_waiting(self) -> bool:
        """Whether there is something to wait for, and nothing else to do. Under the lock."""
        flight = self.flight
        if flight.todo is not flight.core.todo:
            # A forked child: its copies of the jobs have had their end without a word.
            flight.todo = flight.core.todo
            flight.landed = {job: None for job in flight.jobs if job._settled}
            flight.bells = {}
            flight.reader = None
            return False
        if flight.landed or flight.closed:
            return False
        if flight.source is None:
            return bool(flight.jobs)
        if flight.reader is self:
            return flight.held is not None or len(flight.jobs) >= flight.bound
        return flight.reader is not None

    def wake(self) -> None:
        """It has waited, or is not going to."""
        flight, core, bell = self.flight, self.flight.core, self._bell
        if bell is None:
            return
        core.end_wait(bell)
        with core.lock:
            flight.bells.pop(bell, None)
            core.if_limit_is_set.pop(bell, None)
        job = self._outside
        if job is not None and core.leave_room(job) is Verdict.ACCEPTED:
            self._accepted(job)
        self._bell = self._outside = None

    def end(self) -> None:
        """Let others go on, who may read now, or find that all is over."""
        flight = self.flight
        with flight.core.lock:
            if flight.reader is self:
                flight.reader = None
            bells = [*flight.bells]
        for bell in bells:
            bell.set()

    def give_back(self) -> None:
        """After a Ctrl-C: what it has taken is for the next one."""
        flight = self.flight
        with flight.core.lock:
            if self.job is not None:
                flight.jobs[self.job] = Arrival(flight, self.job)
                flight.landed[self.job] = None
                self.job = None
            if self.error is not None:
                flight.error = self.error
        self.wake()
        self.end()


class AsCompleted(Generic[T]):
    """Yields jobs as they end: an iterator, for `for` and for `async for`.

    Made by `BoundedRunner.as_completed`. Leaving a `with` (or `async with`) of it, closing it or
    dropping it cancels those of its jobs that have not started; what runs goes on, and is not
    yielded any more. A Ctrl-C, or the cancellation of a task, loses none: whoever goes on to
    iterate gets all of them.

    All methods may be called from any thread, and several threads and tasks may iterate over one
    object: each job is yielded to one of them, and one at a time reads the inputs.
    """

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        finalize(self, flight.close).atexit = False  # the runners are drained there

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Job[T]:
        turn = Turn(self._flight)
        try:
            while not turn.take():
                latch = Latch()
                if turn.sleep(latch, latch.set, "'for' over as_completed()"):
                    latch.wait()
                turn.wake()
            turn.end()
        except BaseException:
            turn.give_back()
            raise
        finally:
            self = None  # type: ignore[assignment]  # a raised traceback refers to this frame
        job, error, turn.error = turn.job, turn.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        if job is None:
            raise StopIteration
        return job

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job[T]:
        from asyncio import sleep

        flight = self._flight
        turn = Turn(flight)
        try:
            if flight.landed:
                await sleep(0)  # however fast jobs end, the loop gets on with other tasks
            while not turn.take():
                alarm = Alarm()
                if turn.sleep(alarm, partial(flight.core.todo.add, alarm.set), "await"):
                    await alarm.rings
                turn.wake()
            turn.end()
        except BaseException:
            turn.give_back()
            raise
        finally:
            self = None  # type: ignore[assignment]  # a raised traceback refers to this frame
        job, error, turn.error = turn.job, turn.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        if job is None:
            raise StopAsyncIteration
        return job

    def close(self) -> None:
        """Cancel what has not started, and yield no more. May be called again."""
        self._flight.close()

    async def aclose(self) -> None:
        """Do what `close` does."""
        self._flight.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flight.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._flight.close()

    def __bool__(self) -> bool:
        return True  # as any iterator, however many are still to come

    def __len__(self) -> int:
        """How many jobs are still to come, if each input has a length.

        Raises:
            TypeError: an input has none.
        """
        flight = self._flight
        left, inputs = 0, flight.inputs
        if inputs:
            left = min(map(len, inputs)) - flight.count  # type: ignore[arg-type]  # or TypeError
        return max(0, left) + len(flight.jobs)

    def __length_hint__(self) -> int:
        """How many jobs are still to come, as far as the inputs can tell."""
        flight = self._flight
        if flight.source is None:
            return len(flight.jobs)
        hints = [hint for each in flight.iterators if (hint := length_hint(each, -1)) >= 0]
        return min(hints) + len(flight.jobs) if hints else NotImplemented
