"""Telling listeners, in order, and what may follow only when all have heard."""

from __future__ import annotations

from _thread import start_new_thread
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

from boundedjobs._callables import must_be_awaited
from boundedjobs._ending import Ending
from boundedjobs._event import JobEvent, event_of
from boundedjobs._failure import attempt
from boundedjobs._here import make_sure_of_room, running_loop, running_task
from boundedjobs._job import Job, current, set_current
from boundedjobs._latch import Latch
from boundedjobs._listeners import Calls, Listener, Listening
from boundedjobs._status import FINAL, PENDING, RUNNING

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# In place of a teller: whoever comes next on the job's loop, or finds that it is gone.
_LOOP: Final = object()

# Whoever on its thread is the teller.
ANYONE: Final = object()

_NO_MORE: Final[Iterator[Listener]] = iter(())


class Telling(Ending):
    """Lets the listeners hear what has been noted, and ends the jobs of which all is heard."""

    def conclude(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Let the listeners hear how a job ended, and end it."""
        if not job._steps:
            return self.settle(job, worker=worker)
        return self.tell(job, worker=worker) if self.begin_telling(job) else None

    def release(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        mine = super().release(job, worker=worker)
        if self.ending and job in self.ending:
            self.conclude(job)  # whoever was to do so may be gone: its loop, say
        return mine

    def begin_telling(self, job: Job[Any]) -> bool:
        """Become the one who tells what is noted of a job, unless somebody is at it already."""
        with self.lock:
            if job._teller not in (None, _LOOP) or not job._steps:
                return False
            job._teller = get_ident()
            return True

    def tell(self, job: Job[Any], *, worker: bool = False) -> Job[Any] | None:
        """Let the listeners hear what is noted of a job, as its teller; inside it on a worker.

        On the thread of an event loop, async listeners are scheduled: what remains to be
        told, and to be done, follows when they have ended.
        """
        mine, me = None, job._teller
        while job._steps:
            event = job._event or self._begin_event(job)
            if worker or current.get(None) is job:
                self._call(event)
            else:
                self._call_inside(job, event)
            calls = event._calls
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
            status = event._step[1]
            if status is RUNNING or status is PENDING:
                self.heard(job, event)
            else:
                mine = self.settle(job, worker=worker, heard=event)
            if calls is not None:
                calls.errand = event._calls = None  # these refer to each other
            if job._teller is not me:
                break  # all is told; or the rest is, where the job runs now
        return mine

    def _begin_event(self, job: Job[Any]) -> JobEvent:
        """The event of the first step. It stays in its place until it has been heard."""
        step = job._steps[0]
        listeners = job._listeners
        hearers = listeners.on_status
        if step[0] is step[1]:
            hearers = listeners.on_stuck if len(step) == 7 else listeners.on_progress
        sync, asynchronous = hearers or ((), ())
        event = event_of(job, step, iter(sync))
        if asynchronous:
            event._calls = Calls(event, asynchronous, self.listener_failed)
        job._event = event
        return event

    def tell_first(self, job: Job[Any], first: Listener) -> JobEvent | None:
        """Let those hear the first step who look sync, inside the job, as its teller.

        Return the event, if all have heard it; else `tell` goes on. This is what `tell` does for
        nearly every step, at half its cost.
        """
        rest = job._listeners.rest
        # No signal is seen to from where it is the event of the job to the call of the first.
        event = job._event = event_of(job, job._steps[0], iter(rest) if rest else _NO_MORE)
        try:
            value = first(event)
            if value is not None:
                self._returned(first, event, value)
        except BaseException as exc:  # noqa: BLE001 - a listener may raise anything: it is isolated
            event._job._unsaid = first, event, exc  # if its stack has no room to say so now
            self._say(event._job)
        if rest:
            self._call(event)
        return event if event._calls is None else None

    def tell_first_inside(self, job: Job[Any], first: Listener) -> JobEvent | None:
        """The same from outside the job, run in its context."""
        set_current(job)
        return self.tell_first(job, first)

    def _call(self, event: JobEvent) -> None:
        """Call the sync listeners."""
        self._say(event._job)
        for listener in event._uncalled:
            try:
                value = listener(event)
                if value is not None:
                    self._returned(listener, event, value)
            except BaseException as exc:  # noqa: BLE001 - a listener may raise anything: it is isolated
                event._job._unsaid = listener, event, exc  # if its stack has no room to say so now
                self._say(event._job)

    def _say(self, job: Job[Any]) -> None:
        """Say that a listener has raised; with no room to, whoever resumes does."""
        if job._unsaid is not None:
            self.listener_failed(*job._unsaid)
            job._unsaid = None

    def _returned(self, listener: Listener, event: JobEvent, value: object) -> None:
        """A listener has returned something: see whether it only looked sync, as a lambda may."""
        if must_be_awaited(value):
            if event._calls is None:
                event._calls = Calls(event, (), self.listener_failed)
            event._calls.returned.append((listener, value))  # type: ignore[arg-type]

    def _call_inside(self, job: Job[Any], event: JobEvent) -> None:
        """Call the sync listeners in the context of a job."""
        context = job._context
        if context is None:
            self._call(event)
            return
        if job._started is not None or job._status in FINAL:
            context = context.copy()  # its task may be inside it now
        context.run(self._call_as, job, event)

    def _call_as(self, job: Job[Any], event: JobEvent) -> None:
        current.set(job)
        self._call(event)

    def _call_async(self, job: Job[Any], calls: Calls) -> None:
        """Have the rest awaited on an event loop, then go on. Can be done again."""
        begun: list[Task[Any] | None] = []
        gone_on: list[bool] = []

        def end() -> None:
            if calls.heard is not None:
                calls.heard.set()
            elif not gone_on:
                self._go_on(job, calls, {calls, get_ident(), *begun} - {None})
                gone_on.append(True)

        async def listen() -> None:
            if begun:  # put once more when it had ended, after a Ctrl-C: nothing is left
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
                calls.errand = Listening(listen, context.copy(), lost)
            self.lane(self.home or job._loop).put(calls.errand)
        self.carry_out()

    def mending(self, job: Job[Any] | None, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Take a step, for a job; take up what a Ctrl-C cuts off, and after one more, elsewhere."""
        make_sure_of_room()
        try:
            return step(*args, **kwargs)
        except BaseException:
            try:
                self.mend_job(job)
            except BaseException:  # noqa: BLE001 - what is raised is the first one
                teller = None if job is None else job._teller
                start_new_thread(self.mend_job, (job, get_ident(), teller))
            raise

    def mend_job(
        self, job: Job[Any] | None, thread: int | None = None, teller: object = ANYONE
    ) -> None:
        """Take up what a Ctrl-C has cut off of what this thread, or another, did for a job."""
        self.mend(thread)
        if job is not None:
            self.resume(job, thread, teller)

    def resume(self, job: Job[Any], thread: int | None = None, teller: object = ANYONE) -> None:
        """Tell and end what is left to be told and ended of a job, after a Ctrl-C too.

        In the place of another `thread`, that could not go on with it where `teller` was the
        teller. Is that thread the teller by another token now, it does go on, further out.
        """
        me = get_ident()
        at_it = (me, me if thread is None else thread)
        with self.lock:
            calls = None if job._event is None else job._event._calls
            is_mine = job._teller in (None, *at_it) or (
                calls is not None and (job._teller is calls or calls.heard_by in at_it)
            )
            if teller is not ANYONE and job._teller == thread and job._teller is not teller:
                is_mine = False
            if is_mine:
                job._teller = me if job._steps else None
            if job._status is None:
                self.ending.pop(job, None)  # its refusal was cut off before it was decided
            meeting = job._meeting
            if meeting is not None and meeting.caller == thread:
                meeting.caller = None
        if is_mine and job._steps:
            self.tell(job)
        if self.is_told(job):
            self.settle(job)
        self.carry_out()

    def is_told(self, job: Job[Any]) -> bool:
        """Whether a job has ended, and all is heard of it."""
        with self.lock:  # without it, an end may be found before the event that tells of it
            return job._status in FINAL and not job._steps

    def _go_on(self, job: Job[Any], calls: Calls, tellers: set[Any]) -> None:
        """What must be awaited has been. Can be done again: by then, another may tell the rest."""
        event, teller = calls.event, job._teller
        if event.status in FINAL:
            self.settle(job, heard=event)
        else:
            self.heard(job, event)
        calls.errand = event._calls = None  # these refer to each other
        if teller in tellers and job._teller is teller:
            job._teller = get_ident()
            self.tell(job)

    def heard(self, job: Job[Any], event: JobEvent) -> None:
        """All have heard an event that is not the last; what it stood in the way of follows."""
        admission = self.admission
        told = on = None
        is_placed = False
        with self.lock:
            steps = job._steps
            if job._event is event:
                job._event = None
                job._steps = steps = () if steps[-1] is event._step else steps[1:]
            if not steps:
                job._teller = None
                told = job._on_told
                if told is not None:
                    job._on_told = None
            elif event.stack and not isinstance(job._on, int):
                job._teller, on = _LOOP, job._on
            if event._step[1] is PENDING and job in admission.arriving:
                admission.pending[job] = None
                del admission.arriving[job]
                is_placed = True
        if told is not None:
            told()
        if on is not None:
            self._tell_on_loop(job, on)
        if is_placed and len(admission.running) < admission.slots:
            self.start()

    def _tell_on_loop(self, job: Job[Any], task: Task[None]) -> None:
        """What is left to be told of an async job is told on its loop; here, if that is closed."""

        def go_on() -> object:
            return self.begin_telling(job) and self.tell(job)

        if attempt(task.get_loop().call_soon_threadsafe, go_on) is not None:
            go_on()
