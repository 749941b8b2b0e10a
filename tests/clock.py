"""A clock that stands still until a test moves it: what is about time is tested without any."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from queue import Empty
from typing import TYPE_CHECKING, Any

from tests.gates import TIMEOUT

if TYPE_CHECKING:
    import pytest


class FakeClock:
    """The monotonic clock of the package, and what its timers wait with.

    It is put in place before a runner is made. What threads wait for each other, a timeout of
    `result()` say, goes by real time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._changed = threading.Condition()
        self._waiting: dict[object, float] = {}  # until when each timer waits
        self.goes_on = threading.Event()  # cleared, it holds the timers that have waited
        self.goes_on.set()
        self._bells: list[_Bell] = []
        for name, module in list(sys.modules.items()):
            if name.startswith("boundedjobs.") and getattr(module, "monotonic", None):
                monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr("boundedjobs._timer.SimpleQueue", lambda: _Bell(self))

    def advance(self, seconds: float) -> None:
        """Let time pass; return when every timer has done what was due, and waits again."""
        with self._changed:
            self.now += seconds
            self._changed.notify_all()
        self.settle()

    def settle(self) -> None:
        """Return when every timer waits."""
        deadline = time.monotonic() + TIMEOUT
        with self._changed:
            while not self._all_wait():  # that a thread has ended is not notified
                assert time.monotonic() < deadline, "a timer never waited"
                self._changed.wait(0.01)

    def _all_wait(self) -> bool:
        """Each that has a thread; one that is about to be started has none yet."""
        return all(
            not bell.items and self._waiting.get(bell, self.now) > self.now
            for bell in self._bells
            if bell.thread is None or bell.thread.is_alive()
        )

    def due(self) -> list[float]:
        """In how many seconds each timer looks."""
        with self._changed:
            return [until - self.now for until in self._waiting.values()]


class _Bell:
    """As much of a `SimpleQueue` as a timer uses."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.items: deque[Any] = deque()
        self.thread: threading.Thread | None = None  # who waits
        clock._bells.append(self)

    def put(self, item: Any) -> None:
        with self._clock._changed:
            self.items.append(item)
            self._clock._changed.notify_all()

    def get(self, timeout: float) -> Any:
        clock = self._clock
        with clock._changed:
            self.thread = threading.current_thread()
            until = clock._waiting[self] = clock.now + timeout
            clock._changed.notify_all()
            while not self.items and clock.now < until:
                clock._changed.wait()
            del clock._waiting[self]
            clock._changed.notify_all()
        assert clock.goes_on.wait(TIMEOUT), "a timer was held for ever"
        with clock._changed:
            if not self.items:
                raise Empty
            return self.items.popleft()
