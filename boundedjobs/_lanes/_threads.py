"""The thread lane: at most `limit` workers, each started when it is needed."""

from __future__ import annotations

import sys
from functools import partial
from math import inf
from queue import SimpleQueue
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from boundedjobs._daemon import Daemon
from boundedjobs._failure import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from boundedjobs._job import Job
    from boundedjobs._todo import Todo


_STIR: Final = object()  # in place of a job: one may be about to come

# From 3.13 on, a queue hands what is put to one of those who wait for it: with another one
# there, that one would get the job, and the one that is stirred has woken for nothing.
MOST_STIRRED = 1 if sys.version_info >= (3, 13) else inf
"""How many workers may be idle where one is stirred."""


class Worker(Daemon):
    """A daemon: one that hangs in a body must not keep the process from exiting."""

    def __init__(self, lane: ThreadLane, name: str, job: Job[Any] | None) -> None:
        super().__init__(name=name)
        self.starter: int | None = None  # the thread that starts it
        self._lane = lane
        self.first = job

    def run(self) -> None:
        lane = self._lane
        if not lane.come_up(self):
            return
        job, self.first = self.first, None
        try:
            if job is None:  # started beforehand
                job = lane.wait(self)
            while job is not None:
                core = job._keeper
                core.work(job)
                del job, core  # an idle worker must not keep its runner alive
                job = lane.wait(self)
        finally:
            lane.leave(self)


class ThreadLane:
    """Hands jobs to idle workers, or to new ones while there are fewer than `limit`.

    `put` is called under the runner's lock, and leaves what must be done outside it in
    `todo`. Keeps no reference to the runner.
    """

    def __init__(self, name: str, limit: int, todo: Todo) -> None:
        self.limit = limit
        self._name = name
        self._todo = todo
        self._lock = todo.lock
        self._started = 0
        # Guarded by the lock. `spare` is the workers that wait at `ready` less the jobs
        # that lie there; below zero, a worker that is busy now will find a job there. After
        # a Ctrl-C it may be too low, which costs a thread, and never too high, which would
        # leave a job to a worker that is not there.
        self.workers: dict[Worker, None] = {}
        # These take no more jobs: who closes waits until their threads have ended.
        self.leaving: WeakSet[Worker] = WeakSet()
        self.spare = 0
        self.ready: SimpleQueue[Any] = SimpleQueue()  # jobs; None: leave; or _STIR
        self._dismissed = False

    def put(self, job: Job[Any]) -> None:
        """Have a worker run `job`. Under the lock."""
        if self.spare > 0 or len(self.workers) >= self.limit:
            self.spare -= 1
            self.ready.put(job)
            return
        self._add(job)

    def prepare(self) -> None:
        """Have a worker, though there is nothing to run yet. Under the lock."""
        if not self.workers:
            self._add(None)

    def stir(self) -> None:
        """Wake an idle worker, for a job that is about to be put; without one it goes on waiting.

        Waking a thread takes longer than making a job ready: so the one hides the other. Needs no
        lock: nothing is promised.
        """
        if 0 < self.spare <= MOST_STIRRED:
            self.ready.put(_STIR)

    def freeze(self) -> None:
        """Start no more workers: those that there are must do."""
        with self._lock:
            self.limit = len(self.workers)

    def _add(self, job: Job[Any] | None) -> None:
        worker = Worker(self, f"{self._name}-{self._started}", job)
        self._started += 1
        self.workers[worker] = None
        self._todo.add(partial(self._start, worker, job))

    def grow(self) -> None:
        """Have workers for the jobs that lie here, as far as `limit` goes. Under the lock."""
        for _ in range(min(-self.spare, self.limit - len(self.workers))):
            self._add(None)

    def mend(self, thread: int | None) -> None:
        """Start others for those that a Ctrl-C has kept from it here, or that `thread` was to.

        Under the lock.
        """
        for worker in [*self.workers]:
            if not worker.is_up and worker.starter in (None, get_ident(), thread):
                del self.workers[worker]  # should it come up, it finds that
                self._add(worker.first)

    def come_up(self, worker: Worker) -> bool:
        """A worker begins; return whether it is still wanted."""
        with self._lock:
            worker.is_up = worker in self.workers
            return worker.is_up

    def _start(self, worker: Worker, job: Job[Any] | None) -> None:
        with self._lock:
            if worker.starter is not None or worker not in self.workers:
                return
            worker.starter = get_ident()
        exc = attempt(worker.start)
        if exc is not None:
            with self._lock:
                if worker not in self.workers:
                    return  # there is another one in its place
                self.leave(worker)
                if job is None and not self.workers and self.spare < 0:
                    self.spare += 1  # one was put for it meanwhile
                    job = _job_from(self.ready.get_nowait)
            if job is not None:
                job._keeper.lose(job, exc, None)

    def wait(self, worker: Worker) -> Job[Any] | None:
        """Wait, as a worker, for a job; None: leave."""
        while True:
            with self._lock:
                self.spare += 1
                ready = self.ready
            job = _job_from(ready.get)
            if job is not None:
                return job
            ready.put(None)  # for the next one
            with self._lock:
                if ready is self.ready:  # else the runner has been opened anew
                    # In one step with the decision: no job is left to one that leaves.
                    self.leave(worker)
                    return None

    def leave(self, worker: Worker) -> None:
        """A worker ends."""
        with self._lock:
            self.leaving.add(worker)
            self.workers.pop(worker, None)

    def dismiss(self) -> None:
        """Let the workers go: the idle ones now, the others when they become idle."""
        with self._lock:
            if not self._dismissed:
                self._dismissed = True
                self.ready.put(None)

    def recall(self) -> None:
        """Take work again, with workers that have not left yet or new ones. Under the lock."""
        if self._dismissed:
            self._dismissed = False
            self.ready = SimpleQueue()
            self.spare = 0


def _job_from(get: Callable[[], Any]) -> Job[Any] | None:
    job: Job[Any] | None = get()
    while job is _STIR:
        job = get()
    return job
