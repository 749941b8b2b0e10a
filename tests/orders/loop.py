"""An event loop whose ready steps run in any order, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.orders.baton import Baton

LAST_TURNS = 1_000
"""That a loop may take when the run is over, to have its tasks end."""


class Abandoned(BaseException):
    """Raised in a thread whose run is over: it is to end, wherever it stands."""


class _Ready(deque[Any]):
    """The steps that are ready. asyncio takes the oldest first; this, the one that is chosen."""

    def __init__(self, baton: Baton) -> None:
        super().__init__()
        self._baton = baton

    def popleft(self) -> Any:
        chosen = self._baton.choose(len(self))
        step = self[chosen]
        del self[chosen]
        return step


class Loop(asyncio.BaseEventLoop):
    """Waits for its turn where others wait for input, and reads no file and no socket.

    That asyncio runs what is ready in the order of its coming is documented, but nothing here may
    count on it: what a step waits for may itself be ready any number of steps later.
    """

    def __init__(self, baton: Baton) -> None:
        super().__init__()
        self._baton = baton
        self._is_woken = False
        self._ready = _Ready(baton)
        self._selector = self
        self._idle: asyncio.Future[None] | None = None
        self._turns_left = LAST_TURNS

    def abandon(self) -> None:
        """The run is over, and has failed: have what is left here end."""
        self._turns_left -= 1
        with suppress(Abandoned), asyncio.Runner(loop_factory=lambda: self) as runner:
            runner.get_loop()

    def time(self) -> float:
        return self._baton.now

    def select(self, timeout: float | None) -> list[Any]:
        """As a selector: wait until another thread has something to be run, or it is time."""
        if self._turns_left < LAST_TURNS:  # it is being closed
            self._turns_left -= 1
            if not self._turns_left:
                raise Abandoned  # that takes too long
            return []
        try:
            self._wait(timeout)
        except Abandoned:
            self._turns_left -= 1
            raise
        return []

    def _wait(self, timeout: float | None) -> None:
        self._baton.point()
        if timeout is None or timeout > 0:
            if self._idle is not None:
                self._baton.settle(lambda: self._is_woken)
                if not self._is_woken:
                    self._idle.set_result(None)
            else:
                self._baton.wait(lambda: self._is_woken, timeout)
        self._is_woken = False

    async def idle(self) -> None:
        """Wait until nothing is left to be done, here and on all threads. For the main thread."""
        self._idle = self.create_future()
        await self._idle
        self._idle = None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody has handled fails the test."""
        self._baton.note_failure(AssertionError(context))

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._baton.point()
        self._is_woken = True
