"""The statuses of a job and the steps between them."""

from __future__ import annotations

from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Final


class JobStatus(StrEnum):
    """Where a job stands. The values are strings, fit for a database column.

    A job's first status is PENDING or REJECTED; it ends in exactly one final status.
    """

    PENDING = "pending"
    """Accepted; waits for a slot."""
    RUNNING = "running"
    """Holds a slot; its body is about to start, or has."""
    SUCCEEDED = "succeeded"
    """The body returned."""
    FAILED = "failed"
    """The body raised, or timed out."""
    CANCELLED = "cancelled"
    """Cancelled before it started, or stopped when it was asked to."""
    REJECTED = "rejected"
    """Never accepted: the runner was full or closed, or the callable can't be run."""
    INTERRUPTED = "interrupted"
    """Accepted, then the runner had to let it go."""

    if not TYPE_CHECKING:
        # That of `Enum` is written in Python, and costs three times as much.
        value = property(attrgetter("_value_"), doc="The string.")

    @property
    def is_final(self) -> bool:
        """Whether no other status can follow."""
        return self in FINAL


STEPS: Final[dict[JobStatus | None, frozenset[JobStatus]]] = {
    None: frozenset({JobStatus.PENDING, JobStatus.REJECTED}),
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.INTERRUPTED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED}
    ),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.REJECTED: frozenset(),
    JobStatus.INTERRUPTED: frozenset(),
}
"""Every step that a job can take, by the status that it leaves (None: not yet submitted)."""

FINAL: Final = frozenset(status for status, steps in STEPS.items() if status and not steps)
"""The statuses that no other follows."""

# For hot paths: an attribute of an enum is looked up anew each time, which costs as much as a call.
PENDING, RUNNING, SUCCEEDED = JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUCCEEDED
REJECTED = JobStatus.REJECTED
