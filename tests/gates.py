"""What tests wait with: each wait has a timeout, and a timeout is a failure."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boundedjobs import JobEvent

TIMEOUT = 10.0
"""Seconds after which a test that waits has failed."""


def on_time(message: str) -> str:
    """A message that says how late something is, as if it were not."""
    return re.sub(r"\d+\.\d s late", "0.0 s late", message)


class Gate:
    """Holds sync bodies until it is opened; says when the first has come, and how many."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, result: Any = None) -> Any:
        """A body: come to the gate, wait until it is open, return `result`."""
        self._arrived.release()
        if not self._open.wait(TIMEOUT):
            raise TimeoutError("the gate was never opened")
        return result

    def wait_for(self, count: int = 1) -> None:
        """Wait until `count` more bodies have come."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=TIMEOUT), "a body never came to the gate"

    def open(self) -> None:
        """Let all go on."""
        self._open.set()


class AsyncGate:
    """The same for coroutines of any loop; opened from any thread."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def __call__(self, result: Any = None) -> Any:
        """A body: come to the gate, wait until it is open, return `result`."""
        event = asyncio.Event()
        with self._lock:
            if self._is_open:
                event.set()
            self._waiting.append((asyncio.get_running_loop(), event))
        self._arrived.release()
        async with asyncio.timeout(TIMEOUT):
            await event.wait()
        return result

    def wait_for(self, count: int = 1) -> None:
        """Wait, off the loop, until `count` more bodies have come."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=TIMEOUT), "a body never came to the gate"

    def open(self) -> None:
        """Let all go on."""
        with self._lock:
            self._is_open = True
            for loop, event in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)


class Heard:
    """A sync listener that keeps what it hears, in order."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []

    def __call__(self, event: JobEvent) -> None:
        self.events.append(event)

    def statuses(self, name: str | None = None) -> list[str]:
        """The statuses heard, of all jobs or of those of one name."""
        return [e.status.value for e in self.events if name is None or e.name == name]
