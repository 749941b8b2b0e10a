"""The timer of a runner: one thread at the most, that looks when the time has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, current_thread, get_ident
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from boundedjobs._daemon import Daemon
from boundedjobs._failure import attempt

if TYPE_CHECKING:
    from boundedjobs._todo import Todo


class Looker(Protocol):
    """Whose timer it is."""

    def look(self) -> None:
        """The time has come: do what is due, and name the next time to the timer."""

    def look_without_timer(self, exc: Exception) -> None:
        """There is no thread that would look."""


class Timer:
    """A daemon thread, started when there is something to wait for, gone when its runner is.

    There is no heap of what is due: whoever looks finds that among what runs, which is bounded
    by the limit; what has ended in time was never entered, and need not be taken out. So to
    start a job costs one comparison, unless it is due before all others.

    `at`, `prepare` and `mend` are called under the runner's lock. What looks must not call user
    code: while it does, nothing else that is due is seen to.
    """

    __slots__ = (
        "_bell",
        "_lock",
        "_looker",
        "_name",
        "_starter",
        "_todo",
        "due",
        "keeps",
        "stopping",
        "thread",
    )

    def __init__(self, name: str, todo: Todo, looker: Callable[[], Looker | None]) -> None:
        self._name = name
        self._todo = todo
        self._lock = todo.lock
        self._looker = looker  # a weak reference: an idle timer must not keep its runner alive
        # Guarded by the lock.
        self.due = inf
        """When it looks next; whoever looks sets it anew."""
        self.keeps: object = None
        """What must be kept alive until then: a runner whose jobs wait for nothing but time."""
        self.thread: Daemon | None = None
        self.stopping: Daemon | None = None  # the last one that was let go, to be joined
        self._starter: int | None = None  # the thread that starts that one
        self._bell: SimpleQueue[None]  # of the thread

    def at(self, moment: float) -> None:
        """Look at `moment`, or before."""
        if moment < self.due:
            if self.thread is None:
                self._todo.add(self._start)
            else:
                self._bell.put(None)
            self.due = moment

    def prepare(self) -> None:
        """Have the thread, though there is nothing to wait for yet."""
        if self.thread is None:
            self._todo.add(self._start)

    def mend(self, thread: int | None) -> None:
        """Start the thread again that a Ctrl-C has kept this one, or `thread`, from starting."""
        started, at_it = self.thread, (get_ident(), thread)
        if started is not None and not started.is_up and self._starter in at_it:
            self.thread = None
        if self.due < inf:
            self.prepare()

    def dismiss(self) -> None:
        """Let the thread go: nothing is due any more, or its runner is gone."""
        with self._lock:
            self.due, self.keeps = inf, None
            if self.thread is not None:
                self.stopping, self.thread = self.thread, None
                self._bell.put(None)

    def _start(self) -> None:
        with self._lock:
            if self.thread is not None:
                return
            self._starter = get_ident()
            bell: SimpleQueue[None] = SimpleQueue()
            name = f"{self._name}-timer"
            thread = Daemon(target=self._run, args=(bell,), name=name)
            self._bell, self.thread = bell, thread
        exc = attempt(thread.start)
        if exc is not None:
            with self._lock:
                self.thread, self.due, self.keeps = None, inf, None
            looker = self._looker()
            if looker is not None:
                looker.look_without_timer(exc)

    def _run(self, bell: SimpleQueue[None]) -> None:
        while True:
            with self._lock:
                if self.thread is not current_thread():
                    return
                seconds = self.due - monotonic()
            if seconds > 0:
                with suppress(Empty):
                    bell.get(timeout=min(seconds, TIMEOUT_MAX))
                continue
            looker = self._looker()
            if looker is None:
                return
            looker.look()
            del looker  # an idle timer must not keep its runner alive
