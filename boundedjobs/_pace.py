"""How many jobs run at once, set while they run; and none, for a while."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from boundedjobs._failure import attempt
from boundedjobs._here import NO_LATE_THREADS
from boundedjobs._log import log
from boundedjobs.errors import JobDeadlock

if TYPE_CHECKING:
    from boundedjobs._core import Core


def set_limit(core: Core, limit: int) -> None:
    """Have at most `limit` jobs run at once from now on. What runs goes on."""
    if core.todo.is_interrupting():
        core.put_off(_set_limit_late, core, limit)
        return
    knot = core.mending(None, _set_limit, core, limit)
    if knot is not None:
        raise JobDeadlock(
            f"with a limit of {limit}, jobs of runner {core.name!r} would wait for ever: {knot}; "
            "set it when they have ended, or use another runner for the inner jobs"
        )


def _set_limit_late(core: Core, limit: int) -> None:
    exc = attempt(set_limit, core, limit)
    if exc is not None:  # and nobody to raise it to
        text = "the limit of runner %r stays as it is: %s"
        log(logging.WARNING, core.name, text, core.name, exc)


def _set_limit(core: Core, limit: int) -> str | None:
    """Return why it can't be."""
    with core.lock:
        knot = None
        if limit < core.admission.limit:
            knot = core.waits.knot(limit, core.loops_of)
        if knot is None:
            _let_run(core, limit)
    core.carry_out()
    return knot


def _let_run(core: Core, limit: int) -> None:
    admission, threads = core.admission, core.threads
    is_frozen = NO_LATE_THREADS and core.exiting
    workers = threads.limit if is_frozen else limit
    # No signal is seen to between these.
    admission.limit = limit
    admission.slots = admission.slots and limit
    threads.limit = workers
    threads.grow()
    core.hand_over(admission.start())
    for ring in core.if_limit_is_set.values():
        ring()


def pause(core: Core) -> None:
    """Start no job from now on; not once it is closed, for then it is to come to its end."""
    if core.todo.is_interrupting():
        core.put_off(pause, core)
        return
    with core.lock:
        if not core.admission.closed:
            core.admission.slots = 0


def resume(core: Core) -> None:
    """Start jobs again."""
    if core.todo.is_interrupting():
        core.put_off(resume, core)
        return
    if not core.admission.slots:
        core.mending(None, _resume, core)


def _resume(core: Core) -> None:
    with core.lock:
        core.admission.slots = core.admission.limit
        core.hand_over(core.admission.start())
    core.carry_out()
