"""An event that a signal handler may set in the midst of its own wait."""

from __future__ import annotations

from contextlib import suppress
from threading import TIMEOUT_MAX, Lock


class Latch:
    """Set once; everybody who waits goes on.

    `threading.Event` is not re-entrant: a signal handler that sets the very event which its
    thread is about to wait for deadlocks.
    """

    __slots__ = ("_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        self._lock = Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let all go on who wait, now or later. May be done again."""
        self._is_set = True
        with suppress(RuntimeError):  # nobody holds it: it was set before
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds until it is set; return whether it is."""
        seconds = -1 if timeout is None else min(max(0.0, timeout), TIMEOUT_MAX)
        try:
            self._lock.acquire(timeout=seconds)
        finally:
            if self._is_set:  # for the next one, even if a Ctrl-C has ended this wait
                try:  # noqa: SIM105 - a Ctrl-C may come in the midst of suppress()
                    self._lock.release()
                except RuntimeError:
                    pass
        return self._is_set
