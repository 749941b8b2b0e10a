"""The event loops of one runner, and the lane of each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from boundedjobs._lanes._loops import LoopLane, PrivateLane

if TYPE_CHECKING:
    from boundedjobs._todo import Todo


class Loops:
    """The lanes of one runner, by their loops: the home loop, a job's own, the private one."""

    def __init__(self, name: str, todo: Todo, *, last_orders: bool) -> None:
        self._name = name
        self._todo = todo
        self._lock = todo.lock
        self._lanes: dict[asyncio.AbstractEventLoop, LoopLane] = {}
        self._private: PrivateLane | None = None
        self._last_orders = last_orders  # a loop that does not run now will not run again
        self.stopping: PrivateLane | None = None  # the last one, whose thread is to be joined

    def lane(self, loop: asyncio.AbstractEventLoop | None) -> LoopLane:
        """The lane of `loop`; of the private one if there is none. Under the lock."""
        if loop is not None:
            lane = self._lanes.get(loop)
            if lane is None:
                for other in [o for o in self._lanes if o.is_closed()]:
                    self._todo.add(self._lanes.pop(other).abandon)
                lane = self._lanes[loop] = LoopLane(loop, self._todo)
                lane.gone = self._last_orders and not loop.is_running()
            return lane
        if self._private is None or self._private.gone:
            self._private = PrivateLane(self._name, self._todo)
        return self._private

    @property
    def private(self) -> asyncio.AbstractEventLoop | None:
        """The private loop, if it runs."""
        return None if self._private is None else self._private.loop

    def mend(self, thread: int | None) -> None:
        """Wake, or stop, again whom a Ctrl-C has kept from it. Under the lock."""
        self.wake()
        if self._private is not None:
            self._private.mend(thread)
        if self.stopping is not None:
            self._todo.add(self.stopping.stop)

    def wake(self) -> None:
        """Wake again what has something to begin, and by a Ctrl-C has not. Under the lock.

        That on the thread of the private loop there is none of.
        """
        for lane in self._lanes.values():
            lane.mend(None)

    def are_only(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Whether there is no lane of another loop that could have gone."""
        return len(self._lanes) == (loop in self._lanes)

    def reap(self, *, stopped: bool) -> None:
        """Abandon the lanes of loops that are closed, or have `stopped`."""
        with self._lock:
            self._last_orders |= stopped
            lanes = list(self._lanes.items())
        for loop, lane in lanes:
            if loop.is_closed() or (stopped and not loop.is_running()):
                lane.abandon()
                with self._lock:
                    self._lanes.pop(loop, None)

    def detach(self) -> PrivateLane | None:
        """Put nothing more on the private loop; return its lane, to be stopped. Under the lock."""
        lane, self._private = self._private, None
        if lane is not None:
            self.stopping = lane
        return lane

    def stop(self) -> None:
        """Stop the private loop: its runner is gone."""
        with self._lock:
            lane = self.detach()
        if lane is not None:
            lane.stop()
