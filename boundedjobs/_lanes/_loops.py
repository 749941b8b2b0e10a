"""The loop lane: coroutines on an event loop, each accounted for if the loop goes away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from functools import partial
from threading import Thread, current_thread, get_ident
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol

from boundedjobs._callables import close_coroutine
from boundedjobs._daemon import Daemon
from boundedjobs._failure import attempt, call
from boundedjobs._here import NO_LATE_THREADS, running_loop
from boundedjobs._log import log_private_loop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from boundedjobs._todo import Todo


_TORN_DOWN = (asyncio.CancelledError, GeneratorExit)


class Errand(Protocol):
    """What is run on a loop: a job, or the async listeners of one.

    Either the coroutine that `_start` makes runs to its end, or `_lost` is called.
    """

    @property
    def _context(self) -> Context | None: ...
    def _start(self) -> Coroutine[Any, Any, None]: ...
    def _lost(self, exc: BaseException | None) -> None: ...


@coroutine
def _pause() -> Generator[None, None, None]:
    yield


class LoopLane:
    """Runs errands as tasks of one loop. `put` is called under the runner's lock."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, todo: Todo) -> None:
        self.loop = loop
        self._todo = todo
        self._lock = todo.lock
        # Guarded by the lock. An event loop keeps only weak references to its tasks: what runs
        # is kept here, and the lanes by the finalizer of their runner.
        self._inbox: dict[Errand, None] = {}
        self._tasks: dict[Errand, asyncio.Task[None]] = {}
        self._losing: dict[Errand, None] = {}  # these are being told that they are lost
        self._torn_down: list[asyncio.Task[None]] = []
        self._raised: dict[Errand, BaseException] = {}  # by what was run for them
        self._waking = False
        self.gone = False
        self._is_watched = False
        self._begins_by_hand = False  # of the loop's own thread only, as is the next
        self._guard: AsyncGenerator[None, None] | None = None

    def is_here(self) -> bool:
        """Whether this is the loop's own thread."""
        return self.loop is not None and running_loop() is self.loop

    def put(self, errand: Errand) -> None:
        """Run an errand on the loop. Under the lock."""
        self._inbox[errand] = None
        # One that was woken, and closed before it came to that, has never seen to its inbox.
        if not self._waking or (self.loop is not None and self.loop.is_closed()):
            self._waking = True
            self._todo.add(self.wake)

    def wake(self) -> None:
        """Have the loop see to the inbox: later, in no midst of anything that goes on now."""
        if self.gone:
            self.abandon()
            return
        assert self.loop is not None
        call_soon = self.loop.call_soon if self.is_here() else self.loop.call_soon_threadsafe
        exc = attempt(call_soon, self._see_to_inbox)
        if exc is not None:  # the loop is closed
            self.abandon(exc)

    def mend(self, thread: int | None) -> None:
        """Wake again a loop that a Ctrl-C has kept from being woken. Under the lock."""
        if self._inbox or (self.gone and self._tasks):
            self._todo.add(self.wake)

    def abandon(self, exc: BaseException | None = None) -> None:
        """The loop is gone, or about to be: nothing of it will end by itself. Can be done again."""
        with self._lock:
            self.gone = True
            self._waking = False
            errands = [*self._inbox, *self._tasks]
        for errand in errands:
            self._lose(errand, self._raised.get(errand, exc))
        with self._lock:
            tasks, self._torn_down = self._torn_down, []
        for task in tasks:  # when all have had their end: what is closed may wait for others
            if self.loop is None or not self.loop.is_running():
                # Its job has had its end: no word of a pending task that is destroyed.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                close_coroutine(task.get_coro())  # runs its `finally` clauses
            else:
                task.cancel()

    def _lose(self, errand: Errand, exc: BaseException | None) -> None:
        """Tell one that it is lost, unless somebody else does."""
        is_mine = False
        try:
            with self._lock:
                if errand not in self._losing and (errand in self._inbox or errand in self._tasks):
                    self._losing[errand] = None
                    is_mine = True
            if is_mine:
                errand._lost(exc)
                with self._lock:  # not before, or a Ctrl-C could lose it
                    self._inbox.pop(errand, None)
                    task = self._tasks.pop(errand, None)
                    if task is not None:
                        self._torn_down.append(task)
        finally:
            if is_mine:
                self._losing.pop(errand, None)

    def cancel(self, task: asyncio.Task[None]) -> bool:
        """Ask a task to stop; return whether it could be asked."""
        if self.is_here():
            return task.cancel()
        assert self.loop is not None
        exc = attempt(self.loop.call_soon_threadsafe, task.cancel)
        if exc is not None:  # the loop is closed
            self.abandon(exc)
        return exc is None

    def _see_to_inbox(self) -> None:
        assert self.loop is not None
        try:
            if not self._is_watched:
                self._watch()
            with self._lock:
                self._waking = False
                errands = [] if self.gone else [*self._inbox]
            for errand in errands:
                self._begin(errand)
        except BaseException:
            attempt(self.loop.call_soon, self._see_to_inbox)  # a Ctrl-C: the loop may go on
            raise
        if self.gone:
            self.abandon()

    def _begin(self, errand: Errand) -> None:
        assert self.loop is not None
        if errand in self._tasks:  # put twice, after a Ctrl-C
            self._done_with(errand)
            return
        coroutine = self._attend(errand)
        try:
            task = self.loop.create_task(coroutine, context=errand._context)
            if not task.done():  # as an eager one may be
                self._tasks[errand] = task
                if task.get_coro() is not coroutine:
                    # Within one of a factory or a tracer, which could not await it had it begun.
                    task.add_done_callback(partial(self._left_out, errand, coroutine))
                elif not coroutine.cr_suspended:  # type: ignore[attr-defined]  # by an eager one
                    self._begins_by_hand = True
                    coroutine.send(None)
                    self._begins_by_hand = False
        except BaseException as exc:
            self._tasks.pop(errand, None)
            try:
                errand._lost(exc)
                self._done_with(errand)  # not before: one more Ctrl-C could lose it
            finally:
                coroutine.close()
            if not isinstance(exc, Exception):
                raise
        else:
            self._done_with(errand)

    async def _attend(self, errand: Errand) -> None:
        """Run an errand, or say that it is lost.

        It is begun by hand before its task takes the first step, and so hears, too, that the
        task is cancelled before that. A callback of the task would cost as much as the task.
        """
        try:
            if self._begins_by_hand:
                await _pause()
            await errand._start()
        except _TORN_DOWN:
            errand._lost(None)
            self._forget(errand)  # not before: one more Ctrl-C could lose it
            raise
        except BaseException as exc:
            self._raised[errand] = exc
            errand._lost(exc)
            self._forget(errand)
            raise
        else:
            self._forget(errand)
        finally:
            del errand  # a traceback of the body leads to this frame

    def _left_out(
        self, errand: Errand, coroutine: Coroutine[Any, Any, None], _task: object
    ) -> None:
        """What was to await the coroutine of an errand has ended, maybe without having done so."""
        coroutine.close()
        if errand in self._tasks:
            errand._lost(None)
            self._forget(errand)  # not before: one more Ctrl-C could lose it

    def _done_with(self, errand: Errand) -> None:
        self._inbox.pop(errand, None)  # none if the lane has been abandoned meanwhile

    def _forget(self, errand: Errand) -> None:
        self._tasks.pop(errand, None)
        self._raised.pop(errand, None)
        assert self.loop is not None
        if not self._tasks:
            # One more turn: an idle loop keeps the timers that were cancelled in this one, and
            # they keep the contexts, and so the jobs, that they were set in.
            attempt(self.loop.call_soon, int)

    def _watch(self) -> None:
        """Be told when the loop ends.

        asyncio.run() and its like close their async generators just before they close the
        loop: the one moment at which a loop says so. Its finalizer is not wanted: it would
        schedule an `aclose()` on a loop that has been closed by hand.
        """
        self._guard = self._until_loop_ends()
        hooks = sys.get_asyncgen_hooks()
        try:
            sys.set_asyncgen_hooks(finalizer=None)
            attempt(self._guard.asend(None).send, None)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        self._is_watched = True
        try:
            yield
        finally:
            self.abandon()


class PrivateLane(LoopLane):
    """A lane with a loop of its own, on a daemon thread that is started when needed."""

    def __init__(self, name: str, todo: Todo) -> None:
        super().__init__(None, todo)
        self._name = name
        self._stop: Callable[[], object] | None = None  # does so, from any thread
        self.thread: Thread | None = None
        self._starter: int  # the thread that starts that one
        self._until_idle = False  # it runs on a thread that has other things to do

    def wake(self) -> None:
        with self._lock:
            starts = self.thread is None
            if starts:
                self._starter = get_ident()
                self.thread = Daemon(target=self._run, name=f"{self._name}-loop")
        if starts:
            self._start()
        elif self.loop is not None:
            super().wake()

    def _start(self) -> None:
        assert self.thread is not None
        exc = attempt(self.thread.start)
        if exc is None:
            log_private_loop(self._name)
        elif NO_LATE_THREADS and "shutdown" in str(exc) and running_loop() is None:
            self._until_idle, self.thread = True, current_thread()
            self._run()  # here, then
        else:
            self.thread = None
            self.abandon(exc)

    def mend(self, thread: int | None) -> None:
        started, at_it = self.thread, (get_ident(), thread)
        if isinstance(started, Daemon) and not started.is_up and self._starter in at_it:
            self.thread = None  # a Ctrl-C has kept it from starting that
        super().mend(thread)

    def stop(self) -> None:
        """End the loop and its thread, once nothing is left to run there. Can be done again."""
        with self._lock:
            self.gone = True
            stop = self._stop
        if stop is not None:
            attempt(stop)  # the loop may be closed

    def _run(self) -> None:
        with self._lock:
            if self.thread is not current_thread():
                return  # a Ctrl-C came while this was being started, and another one was
        serving = self._serve()
        _, exc = call(self._run_loop, (serving,), {})
        serving.close()  # it has not begun if no loop could be made
        self.abandon(exc)

    def _run_loop(self, serving: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner() as runner:
            try:
                runner.run(serving)
            finally:
                # Before what still runs is torn down, and those who wait for it go on: what they
                # submit then is for another loop.
                self.gone = True

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self.loop = loop
            self._stop = partial(loop.call_soon_threadsafe, stop.set)
            if self.gone:
                stop.set()
        self._see_to_inbox()
        self._leave_if_idle()  # it may be needed later only
        await stop.wait()

    def _forget(self, errand: Errand) -> None:
        super()._forget(errand)
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        with self._lock:  # in one step with the decision: nothing is put here any more
            if self._until_idle and not self._tasks and not self._inbox:
                self.stop()
