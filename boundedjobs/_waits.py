"""Who waits for whom, and whether that can end."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from boundedjobs._here import running_task
from boundedjobs._job import Job, current
from boundedjobs._status import FINAL

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Collection, Iterable

    from boundedjobs._admission import Admission
    from boundedjobs._lanes._threads import ThreadLane

    # The event loops that a job needs to end. Handed in with each call: kept, it would tie
    # the runner into a reference cycle.
    LoopsOf = Callable[[Job[Any]], Collection[AbstractEventLoop | None]]


class Wait:
    """One wait without a timeout that has begun."""

    __slots__ = ("loop", "targets", "thread", "waiter", "what")

    def __init__(
        self, waiter: Job[Any] | None, targets: Collection[Job[Any]] | None, thread: int | None
    ) -> None:
        self.waiter = waiter
        """The job that it is inside of, if it is inside one."""
        self.targets = targets
        """It waits for the first of these to end; None: for room in the queue."""
        self.what = "room"
        """That, by its name."""
        for target in targets or ():
            self.what = repr(target.name)
            break
        self.thread = thread
        """The thread that it blocks; None where a task awaits."""
        self.loop: AbstractEventLoop | None = None
        """The event loop that it blocks."""


class Waits:
    """The waits without a timeout for jobs of one runner, under its lock.

    Seen are waits by a job's own thread or task: its body, its listeners, its callbacks; and
    those that block an event loop. Not seen are those of helper threads and tasks, and of
    `concurrent.futures.wait`.
    """

    def __init__(
        self,
        admission: Admission[Job[Any]],
        threads: ThreadLane,
    ) -> None:
        self._admission = admission
        self._threads = threads
        self._begun: dict[object, Wait] = {}
        # The event loops on whose threads somebody waits for the end of the runner.
        self.closing: dict[object, AbstractEventLoop] = {}

    def begin(self, token: object, wait: Wait, loops_of: LoopsOf) -> str | None:
        """Note a wait, or that it blocks a loop as well; say why not, if it could never end."""
        self._begun[token] = wait
        stuck = self._stuck_with(wait, loops_of, self._admission.limit)
        if not stuck:
            return None
        del self._begun[token]
        return _shown(stuck)

    def knot(self, limit: int, loops_of: LoopsOf) -> str | None:
        """Say which waits that have begun could never end with a limit of `limit`, if any."""
        stuck = self._stuck_with(None, loops_of, limit)
        return _shown(stuck) if stuck else None

    def hangs(self, job: Job[Any], loops_of: LoopsOf) -> bool:
        """Whether a job can never end: the thread of a loop that it needs by now waits for it."""
        if not set(self.closing.values()).isdisjoint(loops_of(job)):
            return True
        stuck = self._stuck_with(None, loops_of, self._admission.limit)
        return not {wait.loop for wait in stuck}.isdisjoint(loops_of(job))

    def is_begun(self, token: object) -> bool:
        """Whether this wait has been noted: asked by who waits, without the lock."""
        return token in self._begun

    def end(self, token: object) -> None:
        """A wait is over, or could not begin."""
        self._begun.pop(token, None)

    def _stuck_with(self, wait: Wait | None, loops_of: LoopsOf, limit: int) -> list[Wait]:
        """The waits that can never end; none of them, if this one can.

        All are taken to be stuck, until it shows of each that what it waits for can end.
        """
        stuck = dict.fromkeys(self._begun.values())
        while True:
            ending = self._ending(stuck, loops_of, limit)
            if wait in ending:
                return []
            if not ending:
                return list(stuck)
            for other in ending:
                del stuck[other]

    def _ending(self, stuck: Collection[Wait], loops_of: LoopsOf, limit: int) -> list[Wait]:
        """Which waits will end, even if none of `stuck` did."""
        running, workers = self._admission.running, self._threads.workers
        waiting = {wait.waiter for wait in stuck}
        blocked = {on for w in stuck for on in (w.thread, w.waiter and w.waiter._on) if on}
        loops = {wait.loop for wait in stuck if wait.loop is not None}
        # After the limit was set lower there may be more of both than it says.
        has_thread = sum(worker.ident in blocked for worker in workers) < max(limit, len(workers))

        def goes_on(job: Job[Any]) -> bool:
            if job in waiting or job._on in blocked or loops.intersection(loops_of(job)):
                return False
            return job._started is not None or job._is_async or has_thread

        has_slot = sum(map(goes_on, running)) > len(running) - limit

        def can_end(target: Job[Any]) -> bool:
            holds_slot = target in running or target._started is not None
            return target._settled or (
                goes_on(target) and (holds_slot or has_slot or target._status in FINAL)
            )

        def ends(wait: Wait) -> bool:
            if wait.targets is None:
                return has_slot
            return not wait.targets or any(map(can_end, wait.targets))  # if none is left, at once

        return [wait for wait in stuck if ends(wait)]


def _shown(waits: Iterable[Wait]) -> str:
    return ", ".join(
        f"{wait.waiter.name!r} waits for {wait.what}" for wait in waits if wait.waiter is not None
    )


def own_job(keeper: object) -> Job[Any] | None:
    """The job of this runner that this thread or task is inside of, if it is its own."""
    job = current.get(None)
    if job is None or job._keeper is not keeper:
        return None
    own = (job._on, job._teller)
    task = running_task()
    return job if get_ident() in own or (task is not None and task in own) else None
