"""What is in flight between inputs that are read as it goes and whoever takes what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from boundedjobs._admission import Verdict
from boundedjobs._status import PENDING
from boundedjobs.errors import NotRunnable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from boundedjobs._core import Core
    from boundedjobs._future import Alarm
    from boundedjobs._job import Job
    from boundedjobs._latch import Latch

    # A job for a set of items. Raises `NotRunnable`, which carries it, if it was REJECTED.
    Make = Callable[[tuple[Any, ...]], Job[Any]]


class Flight:
    """The state of one `as_completed`.

    Its jobs refer to it, and it to nobody who iterates: so these can be dropped.
    """

    def __init__(
        self,
        core: Core,
        make: Make,
        iterables: tuple[Iterable[Any], ...],
        buffersize: int | None,
    ) -> None:
        self.core = core
        self.make: Make | None = make
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
        self.todo = core.todo  # another one in a forked child

    @property
    def bound(self) -> int:
        """How many jobs may be in flight."""
        limit = self.core.admission.limit
        return limit + (limit if self.buffersize is None else self.buffersize)

    def land(self, job: Job[Any]) -> None:
        """A job has ended."""
        with self.core.lock:  # a quick one
            self.landed.update(dict.fromkeys(self.jobs.keys() & {job}))  # if it is still wanted
            bells = [*self.bells]
        for bell in bells:
            bell.set()

    def end(self) -> None:
        """Draw nothing more. Not under the lock: generators of the inputs may be closed by it."""
        self.source = self.drawn = self.make = None
        self.iterators = self.inputs = ()

    def close(self) -> None:
        """Cancel what has not started, yield nothing more. Can be done again."""
        core = self.core
        if core.todo.is_interrupting():
            core.put_off(self.close)
            return
        with core.lock:
            self.closed = True
            jobs, bells = self.jobs.copy(), [*self.bells]
        for waiting in bells:
            core.end_wait(waiting)  # for it is about to ring
        for job, arrival in jobs.items():
            if job._status is PENDING:
                core.cancel(job, even_running=False)
            job._leave(arrival)  # type: ignore[arg-type]  # they refer to each other
        with core.lock:
            self.jobs, self.landed, self.held = {}, {}, None  # `jobs` refers to them still
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
        self.taken: tuple[Job[Any], Arrival] | None = None  # and what has waited for it
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
                    self.taken = job, arrival
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
            verdict = core.submit(job, False)
            if verdict is Verdict.FULL:
                return False
            if verdict is Verdict.CLOSED:
                with core.lock:
                    arrival = flight.jobs.pop(job, None)
                job._leave(arrival)  # type: ignore[arg-type]  # as in `take`
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
            if source is None or len(flight.jobs) >= flight.bound:
                return None
            try:
                # No signal is seen to between the drawing and the storing.
                for flight.drawn in source:
                    break
            except Exception as exc:  # noqa: BLE001 - an input may raise anything: it ends the loop
                flight.error = exc
            if flight.drawn is None:
                flight.end()
        args, make = flight.drawn, flight.make
        if args is None or make is None:  # none is left, or it has just been closed
            return None
        held: Job[Any] | None
        try:
            held = job = make(args)
        except NotRunnable as exc:
            held, job = None, cast("Job[Any]", exc.job)  # it has had its end
        arrival = Arrival(flight, job)
        if held is not None:  # and nobody else knows it yet
            held._meet().sleepers[arrival] = None  # type: ignore[index]  # as it does a latch
        with flight.core.lock:  # a quick one: all of it is done, or nothing
            if flight.closed:
                return None
            flight.jobs[job] = arrival
            if held is None:
                flight.landed[job] = None
            flight.held = held
            flight.drawn = None
            flight.count += 1
        return held

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
                core.if_limit_is_set[bell] = ring  # more may be in flight then
        if not is_waiting:
            return False
        held = flight.held
        if flight.reader is self and held is not None:
            self._outside = held
            verdict = core.submit(held, True, ring)
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
            flight.reader = None
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

    def give_up_elsewhere(self, thread: int) -> None:
        """The same in the place of that thread, which can't."""
        self.flight.core.mend_job(self.flight.held, thread)
        self.give_up()

    def give_up(self) -> None:
        """After a Ctrl-C: it is the turn of others. Can be done again."""
        self.wake()
        self.end()
