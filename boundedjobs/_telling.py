"""Telling listeners, in order, and what may follow only when all have heard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from boundedjobs._book import Book
from boundedjobs._callables import must_be_awaited
from boundedjobs._event import JobEvent
from boundedjobs._here import importing, running_loop, running_task
from boundedjobs._job import Job, current
from boundedjobs._latch import Latch
from boundedjobs._listeners import Calls
from boundedjobs._status import FINAL, JobStatus

if TYPE_CHECKING:
    from asyncio import Task

# An attribute of an enum is looked up anew each time, which costs as much as a call.
_PENDING, _RUNNING = JobStatus.PENDING, JobStatus.RUNNING


class Telling(Book):
    """Lets the listeners hear what has been noted, and ends the jobs of which all is heard."""

    def conclude(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Let the listeners hear how a job ended, and end it."""
        if not job._steps:
            return self.settle(job, worker=worker)
        return self.tell(job, worker=worker) if self.begin_telling(job) else None

    def begin_telling(self, job: Job[Any]) -> bool:
        """Become the one who tells what is noted of a job, unless somebody is at it already."""
        with self.lock:
            if job._teller is not None or not job._steps:
                return False
            job._teller = get_ident()
            return True

    def tell(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Let the listeners hear what is noted of a job, as its teller.

        On the thread of an event loop, async listeners are scheduled: what remains to be
        told, and to be done, follows when they have ended.
        """
        mine, me = None, job._teller
        while job._steps:
            event = job._event
            if event is None:
                event = self._begin_event(job)
            if current.get(None) is job:
                self._call(job, event)
            else:
                self._inside(job, partial(self._call, job, event))
            calls = job._calls
            if calls is not None:
                if running_loop() is not None and calls.heard is None:
                    job._teller = calls
                    self._call_async(job, calls)
                    return mine
                if calls.heard is None:
                    calls.heard_by, calls.heard = get_ident(), Latch()
                self._call_async(job, calls)
                calls.heard.wait()
                job._teller = me
            mine = self._heard(job, event, worker=worker) or mine
            if job._teller is not me:
                return mine  # all is told; or the rest is, where the job runs now
        return mine

    def _begin_event(self, job: Job[Any]) -> JobEvent:
        """The event of the first step. It stays in its place until it has been heard."""
        previous, status, moment, at, progress, failure = job._steps[0]
        event = JobEvent(job, previous, status, moment, at or time(), progress, failure)
        listeners = job._listeners
        hearers = listeners.on_progress if previous is status else listeners.on_status
        calls = Calls(event, hearers[1], self.listener_failed) if hearers[1] else None
        job._uncalled, job._calls = iter(hearers[0]), calls
        job._event = event
        return event

    def _call(self, job: Job[Any], event: JobEvent) -> None:
        """Call the sync listeners."""
        assert job._uncalled is not None
        for listener in job._uncalled:
            try:
                value = listener(event)
                if value is not None and must_be_awaited(value):  # it looked sync: a lambda, say
                    if job._calls is None:
                        job._calls = Calls(event, (), self.listener_failed)
                    job._calls.returned.append((listener, value))
            except BaseException as exc:  # noqa: BLE001 - a listener may raise anything: it is isolated
                self.listener_failed(listener, event, exc)

    def _inside(self, job: Job[Any], fn: Callable[[], None]) -> None:
        """Call `fn` in the context of a job."""
        context = job._context
        if context is None:
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
        me = get_ident()
        with self.lock:
            calls = job._calls
            is_mine = job._teller in (None, me) or (
                calls is not None and (job._teller is calls or calls.heard_by == me)
            )
            if is_mine:
                job._teller = me if job._steps else None
        if is_mine and job._steps:
            self.tell(job)
        if job._status in FINAL and not job._steps:
            self.settle(job)
        self.carry_out()

    def _go_on(self, job: Job[Any], calls: Calls) -> None:
        teller = job._teller
        self._heard(job, calls.event, worker=False)
        if teller is not None and job._teller is teller:
            job._teller = get_ident()
            self.tell(job)

    def _heard(self, job: Job[Any], event: JobEvent, *, worker: bool) -> Job[Any] | None:
        """All have heard an event; what it stood in the way of follows."""
        status, admission = event._status, self.admission
        starts = False
        told = None
        with self.lock:  # a quick one: no call, no loop
            if job._event is event:
                if job._calls is not None:
                    job._calls.errand = None  # it refers to the calls
                job._event = job._uncalled = job._calls = None
                job._steps = job._steps[1:]
            if status is _PENDING and job in admission.arriving:
                admission.pending[job] = None
                del admission.arriving[job]
                starts = True
            if not job._steps:
                job._teller = None
                told, job._on_told = job._on_told, None
        if starts and len(admission.running) < admission.limit:
            self.start()
        if told is not None:
            told()
        if status is _PENDING or status is _RUNNING:
            return None
        return self.settle(job, worker=worker)

    def start(self) -> None:
        """Hand free slots to those who wait for one."""
        with self.lock:
            self.hand_over(self.admission.start())
        self.carry_out()

    def settle(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Free the slot, unless the body still runs; make the future done, wake who waits.

        Can be done again. Return the next job of this worker.
        """
        mine = None
        moment = monotonic()
        admission = self.admission
        with self.lock:  # nearly always a quick one
            meeting = job._meeting
            if job._active:
                pass
            elif not worker or admission.outside or job not in admission.running:
                mine = self.hand_over(admission.remove(job), worker=worker)
            elif meeting is not None and meeting.callbacks:
                # A worker that has callbacks to call must not keep a job from others meanwhile.
                self.hand_over(admission.remove(job))
            else:
                for mine in admission.pending:
                    break
                if mine is None:
                    del admission.running[job]
                elif mine._is_async or mine._status is not _PENDING:
                    mine = self.hand_over(admission.remove(job), worker=True)
                else:
                    admission.running[mine] = None
                    del admission.pending[mine]
                    del admission.running[job]
                    mine._started = moment
                    mine._active = True
                    mine._status = _RUNNING
                    if mine._listeners.on_status:
                        mine._steps = ((_PENDING, _RUNNING, moment, None, None, None),)
                        mine._teller = job._on
            if meeting is None:
                job._settled = True
        if meeting is not None:
            job._settle(meeting)
        if job in self.ending:
            with self.lock:
                self.ending.pop(job, None)
                if not job._active:  # the body may have ended since
                    self.hand_over(admission.remove(job))
        if not job._active and job._teller is None:
            job._drop()
        if self.todo.added or self.todo.deferred:
            self.carry_out()
        if admission.closed:
            self.rest()
        return mine


def _enter(job: Job[Any], fn: Callable[[], None]) -> None:
    current.set(job)
    fn()
