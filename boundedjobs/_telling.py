"""Telling listeners, in order, and what may follow only when all have heard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from boundedjobs._book import Book
from boundedjobs._here import importing, running_loop, running_task
from boundedjobs._job import Job, current
from boundedjobs._latch import Latch
from boundedjobs._listeners import Calls
from boundedjobs._status import FINAL, JobStatus

if TYPE_CHECKING:
    from asyncio import Task


class Telling(Book):
    """Lets the listeners hear what has been noted, and ends the jobs of which all is heard."""

    def conclude(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Let the listeners hear how a job ended, and end it."""
        if job._events:
            return self.tell(job, worker=worker)
        return self.settle(job, worker=worker)

    def tell(
        self, job: Job[Any], *, worker: bool = False, again: bool = False, resuming: bool = False
    ) -> Job[Any] | None:
        """Let the listeners hear the events of a job, unless somebody is at it already.

        `again` says that this one is, `resuming` that a Ctrl-C may have cut it off.

        On the thread of an event loop, async listeners are scheduled: what remains to be
        told, and to be done, follows when they have ended.
        """
        mine, me = None, get_ident()
        with self.lock:
            if resuming:
                calls = job._events[0] if job._events else None
                again = job._teller == me or (
                    calls is not None and (job._teller is calls or calls.heard_by == me)
                )
            if job._teller is not None and not again:
                return None
            job._teller = me
        while (calls := self._next_calls(job)) is not None:
            self._inside(job, calls.call_sync)
            if calls.is_left() or calls.errand is not None:
                if running_loop() is not None and calls.heard is None:
                    job._teller = calls
                    self._call_async(job, calls)
                    return mine
                if calls.heard is None:
                    calls.heard_by, calls.heard = me, Latch()
                self._call_async(job, calls)
                calls.heard.wait()
                job._teller = me
            mine = self._heard(job, calls, worker=worker) or mine
            if job._teller != me:
                break  # it has its place in the queue: the rest is told where it runs
        return mine

    def _next_calls(self, job: Job[Any]) -> Calls | None:
        """The event to tell now. It stays in its place until it has been heard."""
        with self.lock:
            if job._events:
                return job._events[0]
            job._teller = None
            told, job._on_told = job._on_told, None
            over = job._settled and not job._active
        if told is not None:
            told()
        if over:
            job._drop()
        return None

    def _inside(self, job: Job[Any], fn: Callable[[], None]) -> None:
        """Call `fn` in the context of a job."""
        context = job._context
        if context is None or current.get(None) is job:
            fn()
        elif job._started is not None or job._status in FINAL:  # its task may be inside it now
            context.copy().run(_enter, job, fn)
        else:
            context.run(_enter, job, fn)

    def _call_async(self, job: Job[Any], calls: Calls) -> None:
        """Have the rest awaited on an event loop, then go on. Can be done again."""
        with importing:
            from boundedjobs._lanes._loops import Errand

        begun: list[Task[Any] | None] = []
        gone_on: list[bool] = []

        def end() -> None:
            if calls.heard is not None:
                calls.heard.set()
            elif not gone_on:
                self._go_on(job, calls)
                gone_on.append(True)

        async def listen() -> None:
            if begun:  # it has been put twice
                if not calls.is_left():
                    end()
                return
            begun.append(running_task())
            job._teller = begun[0]
            current.set(job)
            try:
                await calls.call_async()
            finally:
                end()

        def lose(exc: BaseException | None) -> None:
            begun.append(None)
            self.mend_after(exc)
            calls.lose()
            end()

        def lost(exc: BaseException | None) -> None:
            if calls.heard is None:
                self.todo.follow_up(partial(lose, exc))  # what follows calls listeners
            else:
                lose(exc)  # a thread waits for it, maybe the one that would follow up

        context = job._context
        if context is None or job._settled:  # too late: the runner has closed without it
            lost(None)
            return
        with self.lock:
            if calls.errand is None:
                calls.errand = Errand(listen, context.copy(), lost)
            self.lane(self.home, job._loop).put(calls.errand)
        self.carry_out()

    def resume(self, job: Job[Any]) -> None:
        """Tell and end what is left to be told and ended of a job, after a Ctrl-C too."""
        if job._events or job._teller is not None:
            self.tell(job, resuming=True)
        if job._status in FINAL and not job._events:
            self.settle(job)
        self.carry_out()

    def _go_on(self, job: Job[Any], calls: Calls) -> None:
        teller = job._teller
        self._heard(job, calls, worker=False)
        if job._teller is teller:
            self.tell(job, again=True)

    def _heard(self, job: Job[Any], calls: Calls, *, worker: bool) -> Job[Any] | None:
        status = calls.event._status
        is_accepted = status is JobStatus.PENDING
        with self.lock:
            started = self.admission.place(job) if is_accepted else ()
            if job._events and job._events[0] is calls:
                job._events.popleft()
            calls.errand = None  # it refers to the calls
            if is_accepted:
                if not job._events:  # else it was cancelled meanwhile: that is to be told
                    job._teller = None
                self.hand_over(started)
        if self.todo:
            self.carry_out()
        return self.settle(job, worker=worker) if status in FINAL else None

    def settle(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Free the slot, make the future done, wake who waits, call back. Can be done again."""
        with self.lock:
            mine = self.free(job, worker=worker)
        return self.wake(job, mine)

    def free(self, job: Job[Any], *, worker: bool) -> Job[Any] | None:
        """Free the slot, unless the body still runs; the future is done if nobody waits.

        Under the lock. Return the next job of this worker.
        """
        mine = None
        meeting = job._meeting
        if not job._active:
            # A worker that has callbacks to call must not keep a job from others meanwhile.
            worker = worker and (meeting is None or not meeting.callbacks)
            mine = self.hand_over(self.admission.remove(job), worker=worker)
        if meeting is None:
            job._settled = True
        return mine

    def wake(self, job: Job[Any], mine: Job[Any] | None) -> Job[Any] | None:
        """Do outside the lock what `free` has left; return the next job of this worker."""
        if job._meeting is not None:
            job._settle(job._meeting)
        if job in self.ending:
            with self.lock:
                self.ending.pop(job, None)
                if not job._active:  # the body may have ended since `free`
                    self.hand_over(self.admission.remove(job))
        if not job._active and job._teller is None:
            job._drop()
        if self.todo:
            self.carry_out()
        if self.admission.closed:
            self.rest()
        return mine


def _enter(job: Job[Any], fn: Callable[[], None]) -> None:
    current.set(job)
    fn()
