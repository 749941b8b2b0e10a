"""Slots, queue, overflow and closing: decides, and does nothing else.

A plain object: it is told what happened and returns what to do. It starts nothing, waits
for nothing, reads no clock and takes no lock; whoever owns it calls it under theirs.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from itertools import takewhile
from typing import Generic, Literal, TypeVar

T = TypeVar("T")


class Verdict(Enum):
    """What becomes of a job that is handed in."""

    ACCEPTED = "accepted"
    WAIT = "wait"
    """Full. The job is first in, first out among those that wait for room outside."""
    FULL = "full"
    CLOSED = "closed"


class Admission(Generic[T]):
    """At most `limit` jobs hold a slot; the others wait in the order of their coming.

    A job is in at most one of `outside` (waits for room, not accepted), `arriving`
    (accepted, its listeners are hearing so), `pending` (waits for a slot) and `running`
    (holds one). Every change of place enters the new one before it leaves the old one and
    can be done again, so that an interruption between the two loses nothing.
    """

    __slots__ = (
        "arriving",
        "closed",
        "held",
        "limit",
        "max_pending",
        "outside",
        "pending",
        "running",
        "slots",
        "spaced",
    )

    def __init__(self, limit: int, max_pending: int | None) -> None:
        self.limit = limit
        # How many there are now: `limit`, or none while paused. More may be held than there are.
        self.slots = limit
        self.max_pending = max_pending
        self.closed = False
        # Where starts are spaced, each holds back the next: until whoever knows the time lets go.
        self.spaced = False
        self.held = False
        self.outside: OrderedDict[T, None] = OrderedDict()
        self.arriving: dict[T, None] = {}
        # Ordered dictionaries: first in, first out, and a job that is cancelled is gone at
        # once, wherever it stands. A slot is a place in `running`: there is no counter.
        # True stands with those that had one, and were held back.
        self.pending: OrderedDict[T, Literal[True] | None] = OrderedDict()
        self.running: dict[T, None] = {}

    def submit(self, item: T, *, may_wait: bool) -> Verdict:
        """Accept or refuse. What is accepted counts as pending, and awaits `place`."""
        if self.closed:
            return Verdict.CLOSED
        if self._has_room() and not self.outside:
            self.arriving[item] = None
            return Verdict.ACCEPTED
        if not may_wait:
            return Verdict.FULL
        self.outside[item] = None
        return Verdict.WAIT

    def place(self, item: T) -> list[T]:
        """Give an arriving job its place in the queue; return the jobs to start."""
        if item not in self.arriving:
            return []
        self.pending[item] = None
        del self.arriving[item]
        return self.start()

    def start(self) -> list[T]:
        """Hand the free slots to those who wait longest; return them."""
        started: list[T] = []
        while self.pending and len(self.running) < self.slots and not self.held:
            self.held = self.spaced
            item = next(iter(self.pending))
            self.running[item] = None  # in one step with the next: no signal is seen to between
            del self.pending[item]
            started.append(item)
        return started

    def hold_back(self, item: T) -> None:
        """Take the slot of one that has not begun while paused; it is first to get one again."""
        held = [*takewhile(self.pending.get, self.pending), item]
        self.pending[item] = True
        for each in reversed(held):  # in their order, before all others
            self.pending.move_to_end(each, last=False)
        self.running.pop(item, None)

    def remove(self, item: T) -> list[T]:
        """Take a job out, wherever it stands, with its slot; return the jobs to start."""
        for place in (self.running, self.pending, self.arriving, self.outside):
            if item in place:
                del place[item]
        return self.start()

    def let_in(self) -> list[T]:
        """Accept those who wait outside, as far as there is room; return them."""
        accepted: list[T] = []
        while self.outside and self._has_room():
            item = next(iter(self.outside))
            self.arriving[item] = None  # as above
            del self.outside[item]
            accepted.append(item)
        return accepted

    def close(self) -> list[T]:
        """Accept nothing from now on; return those who waited outside in vain."""
        self.closed = True
        refused = list(self.outside)
        self.outside.clear()
        return refused

    def open(self) -> None:
        """Accept again. What still holds a slot keeps it."""
        self.closed = False

    def give_up(self) -> list[T]:
        """Empty the queue, so that no slot is handed on; return whom it held."""
        waiting = [*self.arriving, *self.pending]
        self.arriving.clear()
        self.pending.clear()
        return waiting

    def _has_room(self) -> bool:
        # Whoever finds a free slot does not wait, and so does not count.
        return self.max_pending is None or (
            len(self.pending) + len(self.arriving)
            < self.max_pending + max(0, self.slots - len(self.running))
        )
