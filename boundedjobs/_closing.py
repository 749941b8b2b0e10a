"""Closing a runner: finish what was accepted, with a deadline."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from threading import TIMEOUT_MAX, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING

from boundedjobs._daemon import Daemon
from boundedjobs._failure import attempt
from boundedjobs._latch import Latch
from boundedjobs._log import log_closing, log_interrupted, log_unheard
from boundedjobs._pace import resume
from boundedjobs._status import JobStatus
from boundedjobs.errors import JobDeadlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from boundedjobs._core import Core

# Seconds that listeners have, past the deadline, to hear of the jobs that were interrupted.
GRACE = 0.8
TELLERS = 8


def close(core: Core, *, cancel_pending: bool) -> None:
    """Accept nothing from now on; cancel what has not started, if asked to."""
    if core.todo.is_interrupting():
        core.put_off(close, core, cancel_pending=cancel_pending)
        return
    core.mending(None, _close, core, cancel_pending=cancel_pending)


def _close(core: Core, *, cancel_pending: bool) -> None:
    with core.lock:
        says = core.stop_accepting()
    if says:
        say_closing(core)
    if cancel_pending:
        cancel_waiting(core)
    resume(core)  # what was accepted is finished
    core.carry_out()


def say_closing(core: Core) -> None:
    """Log that no more jobs are accepted."""
    admission = core.admission
    log_closing(core.name, len(admission.running), len(admission.arriving) + len(admission.pending))


# No `if` of a comprehension, and no loop, stands in a `with` block of a lock itself: CPython 3.12
# and 3.13 leave the jump back of such a one without a handler, and a Ctrl-C there keeps the lock.


def cancel_waiting(core: Core) -> None:
    """Cancel what has not started."""
    with core.lock:
        jobs = core.jobs()
    for job in jobs:
        if job._status is JobStatus.PENDING:
            core.cancel(job)


def reopen(core: Core) -> None:
    """Accept jobs again; a closing that is still under way comes to an end. Under the lock."""
    if core.exiting:
        return
    core.admission.open()
    core.threads.recall()
    for closing in [*core.closings]:
        closing.set()
    core.closings.clear()
    core.waits.closing.clear()  # nobody's wait for the closing goes on


def check_may_wait(core: Core, form: str) -> None:
    """Refuse to wait for the end of the runner where that would never come."""
    if core.is_inside() or core.todo.is_interrupting():
        resume(core)  # nobody will `drain` it
        raise JobDeadlock(
            f"{form} inside a job of runner {core.name!r}, or in the midst of one of its own "
            "steps, would wait for itself; closing has begun: don't wait, use "
            "shutdown(wait=False)"
        )


def _closing(core: Core) -> Latch:
    """A latch that is set when nothing is left to do, or the runner is opened anew."""
    latch = Latch()
    with core.lock:
        if core.admission.closed:
            core.closings[latch] = None
        else:
            latch.set()  # the jobs that are there now are not to be waited for, nor let go of
    return latch


def drain(core: Core, deadline: float | None) -> None:
    """Wait until every job has ended and the threads have left; at `deadline` let go."""
    core.reap()
    resume(core)
    with core.lock:
        if core.loops is not None:
            core.loops.wake()
    core.carry_out()
    done = _closing(core)
    core.rest()
    if not done.wait(None if deadline is None else max(0.0, deadline - monotonic())):
        let_go(core)
    join(core, deadline)


def join(core: Core, deadline: float | None) -> None:
    """Wait until the threads have left, save those that hang in a body let go of."""
    with core.lock:
        if not core.admission.closed:
            return
        # The bodies of jobs that have had their end may never return: nobody waits for them.
        overdue = core.overdue_on()
        core.left_behind.update(w for w in core.threads.workers if w.ident in overdue)
        threads: list[Thread] = [*core.threads.workers, *core.threads.leaving]
    if core.timer.stopping is not None:
        threads.append(core.timer.stopping)
    stopping = None if core.loops is None else core.loops.stopping
    if stopping is not None and stopping.thread is not None:
        threads.append(stopping.thread)
    if core.executors is not None and core.executors.closer is not None:
        threads.append(core.executors.closer)
    end = None if deadline is None else max(deadline, monotonic() + GRACE)
    for thread in threads:
        if thread is current_thread() or not thread.is_alive():
            continue  # itself; or one that could not be started, or has not begun
        if thread not in core.left_behind:
            thread.join(None if end is None else max(0.0, end - monotonic()))
            if thread.is_alive():
                core.left_behind.add(thread)


def let_go(core: Core) -> None:
    """The deadline: what waits is INTERRUPTED, then what runs; nobody waits any longer."""
    with core.lock:
        if not core.admission.closed:  # it has just been opened anew
            return
        admission = core.admission
        jobs = [*admission.arriving, *admission.pending, *admission.running]
        busy = {job._on for job in core.admission.running}
        core.left_behind.update(w for w in core.threads.workers if w.ident in busy)
        # They are among those that are ending before they are out of the queue.
        victims = core.interrupt(jobs, "drain", "the runner was closed before the job had ended")
        admission.give_up()
    if victims:
        log_interrupted(core.name, [(job.name, job.id) for job in victims])
    # With those of a closing that was cut off here.
    with core.lock:
        ending = list(core.ending)
    victims = [job for job in ending if job._status is JobStatus.INTERRUPTED]
    for job in victims:
        core.cancel_task(job)
    quiet = _closing(core)
    left = deque(victims)

    def tell() -> None:
        with suppress(IndexError):  # somebody else was quicker
            while left:
                core.conclude(left.popleft())
        core.rest()

    # A listener that hangs holds up one of these, and not what the others have to tell.
    for _ in range(TELLERS):
        in_thread(core, tell)
        if quiet.wait(GRACE / TELLERS):
            break
    else:
        _wake_all(core)


def _wake_all(core: Core) -> None:
    with core.lock:
        jobs, workers = core.jobs(), list(core.threads.workers)
    unheard = [job for job in jobs if not job._settled]
    tellers = {job._teller for job in unheard}
    core.left_behind.update(worker for worker in workers if worker.ident in tellers)
    if unheard:
        log_unheard(core.name, unheard)
    for job in unheard:
        core.settle(job)
    core.rest()


def drain_patiently(core: Core, deadline: float | None, *, raised: bool) -> None:
    """Drain; the first Ctrl-C cancels what has not started, the second leaves at once.

    `raised` says that there has been a first one.
    """
    first: BaseException | None = None
    while True:
        try:
            if raised:
                core.mend()
                cancel_waiting(core)
            drain(core, deadline)
            break
        except BaseException as exc:
            # Not from user code, which is isolated: KeyboardInterrupt, or whatever else a
            # signal handler raises. It goes on to the caller when the jobs are seen to.
            if raised:
                let_go(core)
                raise
            raised, first = True, exc
    if first is not None:
        raise first


def in_thread(core: Core, run: Callable[[], None]) -> None:
    """Run something on a thread of its own; here if no more threads can be started."""
    if attempt(Daemon(target=run, name=f"{core.name}-closing").start) is not None:
        run()


def deadline_in(seconds: float | None, now: float | None = None) -> float | None:
    """The moment when `seconds` have passed; None if that is never."""
    if seconds is None or seconds > TIMEOUT_MAX:  # math.inf, or no clock goes as far
        return None
    return (monotonic() if now is None else now) + seconds
