"""The book of a runner: which job stands where, what its listeners have yet to hear.

Every step is decided under the lock, and recorded before the lock is released; what follows
from it is done outside, and can be taken up by whoever comes next.

What is done for each job is done in *quick* sections: no call, no loop. CPython switches
threads, and sees to signals, where a function is entered, a call returns or a loop goes back.
So no thread is switched away from in a quick section, and none finds the lock taken. Were it
found taken but once, it would go on so: whoever waits for a lock owns it before it runs, and
the next to need it waits in turn (measured: 4 switches of threads and 80 us a job, not 8).
"""

from __future__ import annotations

import os
from functools import partial
from itertools import count
from math import inf
from threading import Thread, get_ident
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, finalize, ref

from boundedjobs._admission import Admission
from boundedjobs._here import NO_LATE_THREADS, importing, make_sure_of_room
from boundedjobs._history import History
from boundedjobs._job import Job
from boundedjobs._lanes._threads import ThreadLane
from boundedjobs._latch import Latch
from boundedjobs._log import log_closed, log_listener_error
from boundedjobs._status import FINAL, PENDING, RUNNING, JobStatus
from boundedjobs._timer import Timer
from boundedjobs._todo import Todo
from boundedjobs._waits import Waits

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable

    from boundedjobs._event import JobEvent
    from boundedjobs._lanes._executors import ExecutorLane
    from boundedjobs._lanes._loops import LoopLane
    from boundedjobs._listeners import Listener
    from boundedjobs._loops import Loops


class Book:
    """Status, events, slots and ends of the jobs of one runner."""

    exiting = False  # the interpreter is
    is_closing = False  # and nothing has been said yet of its having closed
    stagger: float | None = None  # seconds from one start to the next

    def __init__(self, name: str, limit: int, max_pending: int | None, history: int) -> None:
        self.name = name
        self.todo = Todo()
        # Guards the admission, the lanes, the waits and the fields of the jobs.
        self.lock = self.todo.lock
        self.owns_lock: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]  # as Condition does
        self.admission: Admission[Job[Any]] = Admission(limit, max_pending)
        self.threads = ThreadLane(name, limit, self.todo)
        self.waits = Waits(self.admission, self.threads)
        self.history = History(history)
        self.timer = Timer(name, self.todo, ref(self))  # type: ignore[arg-type]  # Watching looks
        self.executors: ExecutorLane | None = None  # where sync bodies run, if not on threads
        self.loops: Loops | None = None
        self.entered: AbstractEventLoop | None = None  # the loop that entered the runner
        # How to wake those who wait for room, by their jobs. Called under the lock, as are the next.
        self.rooms: dict[Job[Any], Callable[[], object]] = {}
        self.if_limit_is_set: dict[object, Callable[[], object]] = {}
        self.ending: dict[Job[Any], None] = {}  # out of the queue, its end not yet heard by all
        self.closings: dict[Latch, None] = {}  # set when nothing is left to do, or anew to be done
        self.left_behind: WeakSet[Thread] = WeakSet()  # outlived a deadline: not waited for
        self.listener_errors = 0
        self.admission.spaced = self.stagger is not None
        self.next_start = -inf  # not before: guarded by the lock
        # Unique across processes by the random part, made anew in a forked child.
        self.numbers = count(int.from_bytes(os.urandom(8)) << 32)
        self.finalizers = [finalize(self, each.dismiss) for each in (self.threads, self.timer)]

    def use(self, executors: ExecutorLane) -> None:
        """Have sync bodies run there."""
        self.executors = executors
        self.finalizers.append(finalize(self, partial(executors.dismiss, may_wait=False)))

    @property
    def home(self) -> AbstractEventLoop | None:
        """The loop that entered the runner, as long as it is there."""
        return None if self.entered is None or self.entered.is_closed() else self.entered

    # Under the lock.

    def note(self, job: Job[Any], status: JobStatus) -> None:
        """Decide a step, and its place among the events of the job. Can be done again.

        RUNNING is decided by `claim`, and on the hot paths by what hands on a slot.
        """
        if job._status is status:
            return
        moment = monotonic()
        steps = job._steps
        # Though nobody hears of it, an end comes after what is still to be heard.
        if steps or job._listeners.on_status:
            steps += ((job._status, status, moment, time(), job._progress, job._failure),)
        if status is PENDING:
            job._status = status
            job._steps = steps  # no signal is seen to between the line before and this one
        else:
            self.history.end(job, status, moment, steps)

    def note_progress(self, job: Job[Any]) -> None:
        """Give what a job has reported its place among the events of the job."""
        if job._listeners.on_progress:
            running = JobStatus.RUNNING
            step = (running, running, monotonic(), time(), job._progress, job._failure)
            job._steps += (step,)

    def accept(self, job: Job[Any]) -> list[Job[Any]]:
        """A job is PENDING; unless that is to be told first, it takes its place."""
        self.note(job, JobStatus.PENDING)
        if NO_LATE_THREADS and not self.is_prepared(job):
            self.prepare(job)
        return [] if job._steps else self.admission.place(job)

    def is_prepared(self, job: Job[Any]) -> bool:
        """Whether the threads are there that a job will need: see `NO_LATE_THREADS`."""
        if self.needs_timer(job) and self.timer.thread is None:
            return False
        if job._is_async:
            return (job._loop or self.home or (self.loops and self.loops.private)) is not None
        return bool(self.threads.workers)

    def needs_timer(self, job: Job[Any]) -> bool:
        """Whether something about a job is to be done when a time has come."""
        return job._listeners.patience is not None or self.stagger is not None

    def prepare(self, job: Job[Any]) -> None:
        """Have the threads that a job will need."""
        if self.needs_timer(job):
            self.timer.prepare()
        if not job._is_async:
            self.threads.prepare()
        elif (job._loop or self.home) is None:
            self.todo.add(self.lane(None).wake)

    def claim(self, job: Job[Any]) -> bool:
        """Let a job that holds a slot run, unless it has been cancelled."""
        if job._status is not PENDING:
            return False
        if not self.admission.slots:  # paused since the job was given its slot
            self.admission.hold_back(job)
            return False
        moment, me = monotonic(), get_ident()
        job._started = moment
        job._active = True
        job._status = RUNNING
        if job._listeners.on_status:
            job._steps = ((PENDING, RUNNING, moment, None, None, None),)
            job._teller = me
        if self.stagger is not None:
            self.next_start = moment + self.stagger
            self._await_next_start()
        return True

    def hand_over(self, jobs: Iterable[Job[Any]], *, worker: bool = False) -> Job[Any] | None:
        """Give those who have got a slot to their lanes; the first one to this worker."""
        mine = None
        while True:
            for job in jobs:
                if job._is_async:
                    self.to_loop(job)
                elif worker and mine is None:
                    mine = job if self.claim(job) else None
                else:
                    self.threads.put(job)
            let_in = self.admission.let_in() if self.admission.outside else ()
            if let_in:
                jobs = [started for job in let_in for started in self.accept(job)]
                self.open_rooms()
            elif self.stagger is None or not (jobs := self.pace()):
                return mine

    def pace(self) -> list[Job[Any]]:
        """Who starts now, if the last start was long enough ago. Can be done again."""
        admission = self.admission
        # One that has its slot and has not begun says when it does: see `claim`.
        if not admission.held or any(job._status is PENDING for job in admission.running):
            return []
        if monotonic() < self.next_start:
            self._await_next_start()
            return []
        admission.held = False
        return admission.start()

    def _await_next_start(self) -> None:
        if self.admission.pending:
            # Maybe no job runs, and no thread but the timer's knows of those that wait.
            self.timer.keeps = self
            self.timer.at(self.next_start)

    def stop_accepting(self) -> bool:
        """Take no more jobs; those who wait for room find that they were not accepted.

        Return whether that is worth saying: jobs were taken until now, and some were handed in,
        unless it is but the interpreter that exits.
        """
        says = not self.admission.closed and not (
            self.exiting and self.history.ended == 0 and self.is_quiet()
        )
        self.is_closing = self.is_closing or says
        self.admission.close()
        self.open_rooms()
        return says

    def open_rooms(self) -> None:
        """Let the submitters go on whose jobs do not wait for room any more."""
        outside, arriving = self.admission.outside, self.admission.arriving
        for job, ring in self.rooms.items():
            # One that was let in, and by a Ctrl-C not accepted yet, is so by whoever mends that.
            if job not in outside and (job._status is not None or job not in arriving):
                ring()

    def to_loop(self, job: Job[Any]) -> None:
        """Give a job to its loop lane."""
        self.lane(job._loop or self.home).put(job)

    def lane(self, loop: AbstractEventLoop | None) -> LoopLane:
        """The lane of a loop; of the private one if there is none."""
        if self.loops is None:
            with importing:
                from boundedjobs._loops import Loops

            self.loops = Loops(self.name, self.todo, last_orders=self.exiting)
            self.finalizers.append(finalize(self, self.loops.stop))
        return self.loops.lane(loop)

    def loops_of(self, job: Job[Any]) -> list[AbstractEventLoop | None]:
        """The event loops that a job needs to end: its body's, and its listeners'."""
        private = None if self.loops is None else self.loops.private
        loops = []
        if job._is_async or job._awaitable is not None:
            loops.append(job._loop or self.home or private)
        if job._listeners.has_async():
            loops.append(self.home or job._loop or private)
        return loops

    def is_quiet(self) -> bool:
        """Whether every job that was accepted has come to its end."""
        admission = self.admission
        unfinished = (
            admission.arriving or admission.pending or self.ending or bool(self.todo.deferred)
        )
        return not unfinished and all(job._settled for job in admission.running)

    def overdue_on(self) -> set[object]:
        """On which threads and tasks the bodies are whose jobs have had their end."""
        return {job._on for job in self.admission.running if job._settled}

    def overdue(self) -> int:
        """How many slots are held by bodies whose jobs have had their end."""
        return sum(job._active and job._status in FINAL for job in self.admission.running)

    def jobs(self) -> list[Job[Any]]:
        """Every job that has been handed in and not been let go of yet."""
        admission = self.admission
        waiting = [*admission.outside, *admission.arriving, *admission.pending]
        return list(dict.fromkeys([*waiting, *admission.running, *self.ending]))

    # Outside the lock.

    def reap(self, *, stopped: bool = False) -> None:
        """See to the jobs of loops that are closed, or have `stopped`, without a word."""
        if self.loops is not None:
            self.loops.reap(stopped=stopped)

    def listener_failed(
        self, listener: Listener, event: JobEvent, exc: BaseException | None
    ) -> None:
        """A listener has raised, or (None) could not hear."""
        make_sure_of_room(25)
        with self.lock:
            self.listener_errors += 1
        log_listener_error(listener, event, exc)

    def mend_after(self, exc: BaseException | None) -> bool:
        """Mend, if `exc`, that came out of the runner's own code, is a Ctrl-C; return whether."""
        is_ctrl_c = exc is not None and not isinstance(exc, Exception)
        if is_ctrl_c:
            self.mend()
        return is_ctrl_c

    def mend(self, thread: int | None = None) -> None:
        """After a Ctrl-C: take up what was decided, and not carried out.

        In the place of another `thread`, that can't.
        """
        with self.lock:
            self._mend(thread)
        self.wake_loops(thread)

    def _mend(self, thread: int | None) -> None:
        # PENDING is noted, heard and followed by a place in the queue in single steps.
        cut_off = [each for each in self.admission.arriving if not each._steps]
        started = [job for each in cut_off for job in self.accept(each)]
        self.open_rooms()
        # What is with its lane already is claimed once all the same.
        waiting = [j for j in self.admission.running if j._status is JobStatus.PENDING]
        self.hand_over([*started, *self.admission.start(), *waiting])
        self.threads.mend(thread)
        self.timer.mend(thread)

    def wake_loops(self, thread: int | None = None) -> None:
        """Wake those that a Ctrl-C may have kept from being woken; do all that is to be done."""
        with self.lock:
            if self.loops is not None:
                self.loops.mend(thread)
        self.carry_out()

    def put_off(self, fn: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Have a call made that came in the midst of a step on the same thread."""
        self.todo.put_off(partial(fn, *args, **kwargs), self.carry_out)

    def carry_out(self) -> None:
        """Do outside the lock what was decided under it."""
        self.todo.carry_out()
        self.rest()

    def rest(self) -> None:
        """If the runner is closed and nothing is left to do, let its threads go."""
        if not self.admission.closed or self.todo.is_interrupting():
            return
        with self.lock:
            if not (self.admission.closed and self.is_quiet()):
                return
            self.threads.dismiss()
            self.timer.dismiss()
            # A body that was let go of may still be on the private loop.
            private = None
            if self.loops is not None and not self.admission.running:
                private = self.loops.detach()  # in one step: nothing more is put there
            closings = [*self.closings]
            is_over, self.is_closing = self.is_closing, False
        if is_over:
            log_closed(self.name, self.history.counts())
        if private is not None:
            private.stop()
        if self.executors is not None:
            self.executors.dismiss()
        for closing in closings:
            closing.set()
            self.closings.pop(closing, None)
