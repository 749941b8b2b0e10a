"""The executor lane: sync bodies in the workers of a `concurrent.futures.Executor`.

A job that runs there has a thread of the thread lane all the same, which waits for it. So the
limit, the deadlines, the listeners and their context are what they are for any other job.
"""

from __future__ import annotations

import logging
from concurrent.futures import BrokenExecutor, Executor
from contextvars import Context
from itertools import count
from threading import RLock, Thread, get_ident
from typing import TYPE_CHECKING, Any

from boundedjobs._callables import Kind, kind_of, shown
from boundedjobs._daemon import Daemon
from boundedjobs._errand import Errand
from boundedjobs._failure import attempt, shown_short
from boundedjobs._latch import Latch
from boundedjobs._log import log
from boundedjobs._pickling import dumps, why_not
from boundedjobs._pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from boundedjobs._job import Job
    from boundedjobs._line import Caller


class ExecutorLane:
    """Has the bodies of jobs run by an executor: one that was given, or those of a factory.

    One that was given is its owner's to shut down. One that the factory made is replaced when
    it breaks, and shut down when the runner closes. Keeps no reference to the runner.
    """

    def __init__(
        self,
        name: str,
        source: Executor | Callable[[], Executor],
        on_start: Callable[[], object],
    ) -> None:
        if not isinstance(source, Executor) and kind_of(source) is not Kind.SYNC:
            raise TypeError(
                "executor must be a concurrent.futures.Executor, or a callable without arguments "
                f"that makes one, got {shown(source)}"
            )
        # A submit may come from a signal handler, in the midst of another on the same thread.
        self.lock = RLock()
        self.closer: Thread | None = None  # shuts the last one down that the factory has made
        self._name = name
        self._source = source
        self._on_start = on_start  # called when an executor has taken its first call
        self._numbers = count(1)
        self._foreign = False
        # Guarded by the lock.
        self._pool: Pool | None = None
        self._leaving: dict[Pool, None] = {}  # to be dismissed
        self._making: Latch | None = None  # set when somebody has made one, or could not
        self._maker: int | None = None  # the thread that does
        self._is_warned = False

    def twin(self) -> ExecutorLane:
        """The lane of a forked child: an executor that was given is the parent's."""
        twin = ExecutorLane(self._name, self._source, self._on_start)
        twin._foreign = isinstance(self._source, Executor)
        twin._is_warned = self._is_warned
        return twin

    def pack(self, job: Job[Any], limit: int) -> str:
        """Have a job run by the executor; return why it can't be, if so. Not inside the job."""
        fn, kwargs = job._fn, dict(job.kwargs)
        assert fn is not None
        try:
            by_value = self._open(limit).by_value
        except Exception:  # noqa: BLE001 - it is tried again, and if in vain ends the job, at its start
            by_value = False
        try:
            payload = dumps((fn, job.args, kwargs), by_value=by_value)
        except Exception as exc:  # noqa: BLE001 - pickling calls code of those who are pickled
            why = why_not(fn, job.args, kwargs, exc, by_value=by_value)
            return f"{job.name!r} can't be sent to a worker of its executor: {why}"
        job._fn = Errand(self, payload)
        return ""

    def take(self, errand: Errand) -> Pool:
        """The executor for a call that is about to be handed over. On a worker of the runner."""
        try:
            pool = self._open(None)
            with self.lock:
                pool.open_line(self._name)
        except Exception as exc:
            raise errand.not_begun(shown_short(exc), exc) from exc
        with self.lock:
            errand.number = next(self._numbers)
            errand.pool = pool
            errand.caller = None
            pool.errands[errand] = None
        return pool

    def stop(self, fn: object) -> None:
        """The job of that callable has been asked to stop."""
        if isinstance(fn, Errand):
            fn.stop()

    def where(self, fn: object) -> str:
        """What can be said of where the body of that callable is; empty if not elsewhere."""
        return fn.where() if isinstance(fn, Errand) else ""

    def used(self, pool: Pool) -> None:
        """An executor has taken a call."""
        if not pool.is_used:
            pool.is_used = True
            self._on_start()

    def withdraw(self, errand: Errand) -> Caller | None:
        """Let the body of a call not begin any more; return where it has."""
        with self.lock:
            errand.pool = None
            return errand.caller

    def leave(self, errand: Errand, pool: Pool) -> None:
        """A call is over, or to be handed over anew."""
        with self.lock:
            errand.pool = None
            pool.errands.pop(errand, None)
            is_last = not pool.errands and pool is not self._pool
        if pool.board is not None:
            pool.board.forget(errand.number)
            if is_last:  # they had to find out who had died
                pool.board.close()

    def replace(self, pool: Pool, exc: BaseException) -> bool:
        """Have a new executor in place of one that takes no more calls; return whether one can.

        What runs in the old one goes on, unless it is broken.
        """
        if isinstance(self._source, Executor):
            return False
        is_broken = isinstance(exc, BrokenExecutor)
        with self.lock:
            if self._pool is pool:
                self._pool = None
            is_buried, pool.is_buried = pool.is_buried, pool.is_buried or is_broken
        if not is_broken:
            attempt(_let_go, pool.executor)
        elif not is_buried:
            burial = Daemon(target=pool.bury, name=f"{self._name}-executor")
            if attempt(burial.start) is not None:
                pool.bury()
        return True

    def dismiss(self, *, may_wait: bool = True) -> None:
        """The runner has closed, or is gone. What still runs in an executor of ours ends there.

        Can be done again.
        """
        with self.lock:
            if self._pool is not None:
                self._leaving[self._pool] = None
                self._pool = None
            leaving = list(self._leaving)
        for pool in leaving:
            self._dismiss(pool, may_wait=may_wait)
            with self.lock:
                self._leaving.pop(pool, None)

    def _dismiss(self, pool: Pool, *, may_wait: bool) -> None:
        if pool.board is not None:
            pool.board.close()
        if isinstance(self._source, Executor):
            return
        if pool.errands:
            pool.kill()  # nobody waits for these bodies any more, and the process is to exit
        name = f"{self._name}-executor"
        closer = Daemon(target=_shut_down, args=(self._name, pool), name=name)
        if not may_wait or attempt(closer.start) is not None:
            attempt(_let_go, pool.executor)
        else:
            self.closer = closer

    def _open(self, limit: int | None) -> Pool:
        """The executor that is there, or a new one."""
        mine = Latch()
        try:
            while True:
                with self.lock:
                    if self._pool is not None:
                        return self._pool
                    making = self._making = self._making or mine
                    if making is mine:
                        self._maker = get_ident()
                if making is mine:
                    return self._make(limit)
                if self._maker == get_ident():
                    raise RuntimeError("the executor is being made, by this very thread")
                making.wait()
        finally:
            with self.lock:
                if self._making is mine:
                    self._making = None
            mine.set()

    def _make(self, limit: int | None) -> Pool:
        source = self._source
        if self._foreign:
            raise RuntimeError(
                "the process was forked, and the executor is its parent's: pass executor= a "
                "callable that makes one"
            )
        # In an empty context, as it is used: see `Pool.submit`.
        executor = source if isinstance(source, Executor) else Context().run(source)
        if not isinstance(executor, Executor):
            raise TypeError(
                "executor must make a concurrent.futures.Executor, but "
                f"{shown(source)} returned {shown(executor)}"
            )
        with self.lock:
            pool = self._pool = self._pool or Pool(executor)
        if limit is not None:
            self.check_width(limit)
        return pool

    def check_width(self, limit: int) -> None:
        """Say once that the executor is narrower than the limit."""
        pool = self._pool
        width = None if pool is None else getattr(pool.executor, "_max_workers", None)
        if isinstance(width, int) and width < limit and not self._is_warned:
            self._is_warned = True
            log(
                logging.WARNING,
                self._name,
                "runner %r has a limit of %d, but its executor has %d workers: no more than %d "
                "bodies run at once, and other jobs that count as running wait in the executor; "
                "make both the same",
                self._name,
                limit,
                width,
                width,
            )


def _shut_down(name: str, pool: Pool) -> None:
    exc = attempt(pool.executor.shutdown)
    if exc is not None:
        text = "runner %r could not shut down its %s: %s"
        log(logging.WARNING, name, text, name, pool.name, exc)


def _let_go(executor: Executor) -> None:
    executor.shutdown(wait=False)
