"""Threads that do not keep a process from exiting."""

from __future__ import annotations

from contextvars import Context
from threading import Thread


class Daemon(Thread):
    """A daemon thread, of which all that can fail fails in `start`.

    An interpreter in a worker of `InterpreterPoolExecutor` has no daemon threads, and `Thread`
    says so where one is made: under a lock, say, where nothing is ready for an error.
    """

    is_up = False
    """Whether it has begun. After a Ctrl-C in `start` it may do so late, or never: that can leave
    the lock taken that both sides use there, and the new thread waits for it.
    """

    def start(self) -> None:
        self.daemon = True
        # Python without the GIL gives a thread a copy of the context that it is started in. That
        # of whoever submits is not wanted: the thread would keep all that is in there.
        Context().run(super().start)

    def run(self) -> None:
        self.is_up = True
        super().run()
