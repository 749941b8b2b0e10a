"""What can be seen of a runner: a snapshot of it, and one job by its id."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from boundedjobs._record import JobRecord, Snapshot, number_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boundedjobs._core import Core
    from boundedjobs._job import Job
    from boundedjobs._record import Entry


def snapshot(core: Core, since: Snapshot | None) -> Snapshot:
    """The runner as it is now, and what has ended since an earlier one."""
    with core.lock:
        seen, entries, now = _seen(core)
        ended = [] if since is None else core.history.since(_ended(since))
    return Snapshot(
        **seen,
        jobs=tuple(record_of(entry, now) for entry in entries),
        ended=tuple(record_of(entry, now) for entry in ended),
    )


def _ended(seen: Snapshot) -> int:
    return seen.succeeded + seen.failed + seen.cancelled + seen.interrupted


def find(core: Core, job_id: str) -> Job[Any] | JobRecord | None:
    """The job with this id, if it is live; else its record, if that is kept."""
    number = number_of(job_id)
    if number is None:
        return None
    with core.lock:
        jobs, entries = _live(core), core.history.entries.copy()
    for job in jobs:
        if job._number == number:
            return job
    for entry in entries.values():
        if entry[0] == number:
            return record_of(entry, 0.0)
    return None


def state(core: Core) -> str:
    """Whether jobs are accepted, and start. Under the lock."""
    return "closed" if core.admission.closed else "open" if core.admission.slots else "paused"


# Under the lock, and not written out in the block that holds it: see `_closing`.


def _live(core: Core) -> Iterable[Job[Any]]:
    admission = core.admission
    waiting = [*admission.arriving, *admission.pending]
    return dict.fromkeys([*admission.running, *core.ending, *waiting])


def _seen(core: Core) -> tuple[dict[str, Any], list[Entry], float]:
    admission, history = core.admission, core.history
    seen = {
        "name": core.name,
        "state": state(core),
        "limit": admission.limit,
        "max_pending": admission.max_pending,
        "running": len(admission.running),
        "pending": len(admission.arriving) + len(admission.pending),
        "overdue": core.overdue(),
        **{status.value: count for status, count in history.counts().items()},
        "listener_errors": core.listener_errors,
        "waited": history.waited,
        "ran": history.ran,
    }
    return seen, [job._entry() for job in _live(core)], monotonic()
