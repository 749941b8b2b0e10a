"""One executor of a runner: what kind it is, and the line to its workers."""

from __future__ import annotations

from contextvars import Context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from boundedjobs._failure import attempt
from boundedjobs._line import Switchboard
from boundedjobs._pickling import main_for
from boundedjobs._remote import Ticket, run

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from boundedjobs._errand import Errand
    from boundedjobs._job import Job
    from boundedjobs._line import Call
    from boundedjobs._remote import Envelope

# By the module of an executor's class. The workers of these are on this machine.
_LOCAL = {"concurrent.futures.process", "concurrent.futures.thread", "loky.process_executor"}
_DASK = "distributed.cfexecutor"
_INTERPRETERS = "concurrent.futures.interpreter"
# The workers of these do not import `__main__`: what is defined there is sent whole.
_BY_VALUE = {"loky.process_executor", _DASK}

_GRACE = 2.0
"""Seconds that workers have to end when another one of their pool has died."""


class Board(Protocol):
    """A line as the runner sees it."""

    kind: str
    address: Any

    def expect(self, number: int, call: Call) -> None: ...
    def forget(self, number: int) -> None: ...
    def stop(self, number: int) -> None: ...
    def close(self) -> None: ...


class Pool:
    """One executor, and the line to its workers."""

    __slots__ = (
        "asks",
        "board",
        "by_value",
        "errands",
        "executor",
        "has_main",
        "is_buried",
        "is_dask",
        "is_used",
        "name",
    )

    def __init__(self, executor: Executor) -> None:
        modules = {cls.__module__ for cls in type(executor).__mro__}
        self.executor = executor
        self.name = type(executor).__name__
        self.by_value = bool(modules & _BY_VALUE)
        self.has_main = _INTERPRETERS not in modules
        # Whether no body begins unless the runner has said so.
        self.asks = bool(modules & _LOCAL)
        self.is_dask = _DASK in modules
        self.is_buried = False  # or about to be
        self.is_used = False
        # Guarded by the lane's lock.
        self.board: Board | None = None
        self.errands: dict[Errand, None] = {}

    def open_line(self, runner: str) -> None:
        """Have a line to the workers, if they can have one."""
        if self.board is not None:
            return
        if self.asks:
            self.board = Switchboard(runner)
        elif self.is_dask:
            from boundedjobs._dask import DaskBoard

            self.board = DaskBoard(self.executor)

    def submit(self, errand: Errand, job: Job[Any]) -> Future[Envelope]:
        """Hand a call to the executor."""
        line = None
        if self.board is not None:
            self.board.expect(errand.number, errand)
            line = (self.board.kind, self.board.address)
        # Nothing but positional arguments of which none is like another: an engine that has
        # options of its own (Dask: `key`, `retries`, `pure`) would take them out, or make one
        # call of two.
        main = None if self.has_main else main_for(errand.payload)
        ticket = Ticket(errand.number, job.id, job.name, self.by_value, main, line)
        # Not in the context of the job: Python without the GIL gives a copy of it to threads that
        # the executor may start now, and these would keep the job, and its runner.
        return Context().run(self.executor.submit, run, errand.payload, tuple(ticket))

    def alert(self) -> None:
        """Have the executor see which of its workers have died.

        ProcessPoolExecutor does not see that of one that it has started since it last looked
        (it wakes up its own thread, and starts it then), until something else happens. Nothing
        public does only that: to submit might start one more process, that nobody would end.
        """
        attempt(self._ring)  # another executor has nothing of the kind

    def _ring(self) -> None:
        executor: Any = self.executor
        with executor._shutdown_lock:
            executor._executor_manager_thread_wakeup.wakeup()

    def kill(self) -> None:
        """End its workers, where an executor has a way to."""
        kill = getattr(self.executor, "kill_workers", None)  # from Python 3.14 on
        if callable(kill):
            attempt(kill)
            return
        for process in self._workers():
            attempt(process.kill)

    def bury(self) -> None:
        """Let go of it, now that it is broken, and see to it that its workers end.

        ProcessPoolExecutor asks them to by a SIGTERM, and waits until they have; on some versions
        (3.12 and 3.13 among them) with its lock held. One that takes no notice is killed: else
        nobody who wants that lock, and no exit, would come past that.
        """
        attempt(self._end_workers)
        attempt(partial(self.executor.shutdown, wait=False))

    def _end_workers(self) -> None:
        from multiprocessing.connection import wait

        left: dict[Any, Any] = {process.sentinel: process for process in self._workers()}
        end = monotonic() + _GRACE
        while left and (ended := wait(left, max(0.0, end - monotonic()))):
            for sentinel in ended:
                del left[sentinel]
        for process in left.values():
            attempt(process.kill)

    def _workers(self) -> list[Any]:
        """Its processes, as far as it tells: those of multiprocessing, or alike."""
        return [*(getattr(self.executor, "_processes", None) or {}).values()]
