"""Threads that run one at a time, so that a test decides who goes on, and can do it again.

While a `Baton` is in place, what the package waits with (locks, queues, events, the start and the
end of threads, the clock, event loops) is replaced. Threads are real ones, but only the one that
has the baton runs; the others stand still. At each *point*, which is just before a thread takes
a lock, uses a queue, sets or waits, and if asked for before each line of the package, the baton
may go to another; its `choose` says to whom. So the whole run follows from what `choose` returned.

    with Baton(Schedule({3: 1})) as baton:
        runner = BoundedRunner(1)
        job = runner.submit(work)
        baton.together(job.cancel, ...)     # under the orders that the schedule tells
        runner.shutdown()                   # from here on, things take their plain course

Time stands still while anybody can go on. When nobody can, it jumps to the moment when the first
who waits with a timeout gives up; in `together` it may do so before, where the schedule says so.
If nobody can go on and nobody waits for time, that is a deadlock: it is raised in the main
thread, with the stacks of all.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import importlib
import pkgutil
import sys
import threading
import time
import traceback
from _thread import start_new_thread
from collections import deque
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import boundedjobs
from boundedjobs import BoundedRunner, _here, _process
from tests.orders.loop import Abandoned, Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

OURS = str(Path(boundedjobs.__file__).parent)
TESTS = str(Path(__file__).parents[1])
REAL_SECONDS = 30.0
"""If one that runs has not come to a point by then, it waits for what the baton knows nothing of."""
MOST_POINTS = 100_000
"""In one run; then it is taken to be endless."""

_real_start = threading.Thread.start
_real_join = threading.Thread.join
_real_is_alive = threading.Thread.is_alive
_RealEvent = threading.Event
_real_lock = threading.Lock


class Deadlock(AssertionError):
    """Nobody can go on, and nobody waits for time."""


class Strand:
    """One thread, as the baton sees it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turn = _real_lock()
        self.turn.acquire()  # released by whoever hands over the baton
        self.thread: threading.Thread | None = None
        self.ident: int | None = None
        self.waits_for: Callable[[], bool] | None = None
        self.until = inf
        self.ended = False

    def where(self) -> list[str]:
        """Its stack as far as it is of the package and of the test, the innermost last."""
        frames = traceback.extract_stack(sys._current_frames().get(self.ident or 0))
        shown = [
            f for f in frames if f.filename.startswith((OURS, TESTS)) and f.filename != __file__
        ]
        return traceback.format_list(shown)

    def __repr__(self) -> str:
        return self.name


class Baton:
    """See the module. `choose` is told how many could go on, and returns which one does."""

    def __init__(self, choose: Callable[[int], int], *, at_lines: bool = False) -> None:
        self._choose = choose
        self._at_lines = at_lines
        self.now = 1000.0
        self.exploring = False  # else things take their plain course
        self._time_passes = False
        self.is_over = False
        self.deviations: list[str] = []  # what was chosen otherwise, in words
        self.points = 0
        self._main = Strand("main")
        self._current = self._main
        self._strands = [self._main]
        self._by_ident: dict[int, Strand] = {}
        self._by_thread: dict[threading.Thread, Strand] = {}
        self._let_end = _RealEvent()
        self._loops: list[Loop] = []
        self._raised: list[BaseException] = []
        self._has_failed = False  # then only the main thread goes on, and raises
        self._settles: Callable[[], bool] | None = None  # of the main thread: it lets others go
        self._undo: list[tuple[Any, str, Any]] = []

    # The run

    def __enter__(self) -> Self:
        self._main.ident = threading.get_ident()
        self._by_ident[threading.get_ident()] = self._main
        self._gc = gc.isenabled()
        gc.disable()  # it comes when it likes
        self._cores = list(_process._cores)
        self._trace_before = sys.gettrace()
        self._replace_all()
        if self._at_lines:
            sys.settrace(self._trace)
        return self

    def __exit__(self, kind: object, exc: BaseException | None, tb: object) -> None:
        try:
            if self._at_lines:
                sys.settrace(self._trace_before)
            left = [strand for strand in self._strands[1:] if not strand.ended]
            stacks = self._stacks(left)
            self.is_over = True
            for strand in left:
                strand.turn.release()
            self._let_end.set()
            for strand in self._strands[1:]:
                assert strand.thread is not None
                _real_join(strand.thread, REAL_SECONDS)
                assert not _real_is_alive(strand.thread), f"{strand} could not be ended"
            for loop in self._loops:
                if not loop.is_closed():
                    loop.abandon()
        finally:
            for owner, name, value in reversed(self._undo):
                setattr(owner, name, value)
            for core in set(_process._cores) - set(self._cores):
                _process._cores.discard(core)  # maybe not closed: at exit it would be waited for
            if self._gc:
                gc.enable()
        if exc is not None:
            for told in self.deviations:
                exc.add_note(told)
            if not isinstance(exc, Deadlock):  # which has them
                exc.add_note(stacks)
            return
        self._raise_what_was_raised()
        assert not left, f"threads are left that nobody has ended:\n{stacks}"

    def together(self, *calls: Callable[[], object], time_passes: bool = False) -> None:
        """Make calls at the same time, each on a thread of its own, until nobody can go on.

        With `time_passes`, who waits with a timeout may give up though others could go on.
        """
        threads = [
            threading.Thread(target=call, name=f"caller-{number}")
            for number, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        with self.explored(time_passes=time_passes):
            self.settle()

    @contextmanager
    def explored(self, *, time_passes: bool) -> Iterator[None]:
        """What goes on in here is under the orders that the schedule tells."""
        self._time_passes, self.exploring = time_passes, True
        try:
            yield
        finally:
            self.exploring = False

    def settle(self, until: Callable[[], bool] = bool) -> None:
        """Let all others go on until none of them can, or something is so. Time stands still."""
        self._settles = until
        try:
            self._hand_over()
        finally:
            self._settles = None
        self._raise_what_was_raised()

    def advance(self, seconds: float) -> None:
        """Let time pass, as one after the other gives up waiting; and let all settle."""
        end = self.now + seconds
        self.settle()
        while (first := self._first_by_time()) is not None and first.until <= end:
            self.now = first.until
            self.settle()
        self.now = end

    def call(self, call: Callable[[], object], name: str = "call") -> threading.Thread:
        """Make a call that may block on another thread; it goes on when this one waits."""
        thread = threading.Thread(target=call, name=name)
        thread.start()
        return thread

    # What those who run call

    def point(self) -> None:
        """Here another may go on."""
        if self.is_over:
            self._abandon()
        elif self.exploring:
            self._hand_over()

    def wait(self, waits_for: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let others go on until something is so, or it is too late; return whether it is so."""
        strand = self._current
        if self.is_over:
            self._abandon()
            return waits_for()
        if waits_for() and not self.exploring:
            return True
        strand.waits_for = waits_for
        strand.until = inf if timeout is None else self.now + timeout
        try:
            self._hand_over()
            return waits_for()
        finally:
            strand.waits_for, strand.until = None, inf

    def note_failure(self, problem: BaseException) -> None:
        """Have it raised in the main thread, when that is next to go on."""
        if not self.is_over:
            self._raised.append(problem)

    def choose(self, options: int) -> int:
        """Which of so many things is done first; 0 unless a schedule is gone through."""
        return self._choose(options) if self.exploring and options > 1 else 0

    # Handing over

    def _hand_over(self) -> None:
        """Let whoever is chosen go on; return when it is the turn of this thread again."""
        mine = self._current
        self.points += 1
        if self.points == MOST_POINTS:
            self._end_with(AssertionError(f"endless: {MOST_POINTS} points\n{self._stacks()}"))
        options = self._options(mine)
        if not options:
            self._end_with(Deadlock(f"nobody can go on:\n{self._stacks()}"))
        chosen = self._main
        if not self._has_failed:
            chosen = options[self.choose(len(options))]
            if chosen is not options[0]:
                self.deviations.append(self._told(chosen, options[0], mine))
            if chosen.until < inf and not self._is_ready(chosen):
                self.now = chosen.until  # it gives up waiting: so it is that late
        self._current = chosen
        if chosen is not mine:
            chosen.turn.release()
            if not mine.ended:
                self._await_turn(mine)
        if self._has_failed and mine is self._main:
            self._raise_what_was_raised()

    def _options(self, mine: Strand) -> list[Strand]:
        """Who could go on: first who does so now, then the others by age."""
        ready = [strand for strand in self._strands if self._is_ready(strand)]
        if mine in ready:
            ready.remove(mine)
            ready.insert(0, mine)
        if not ready and self._settles is not None:
            return [self._main]
        first = self._first_by_time()
        if first is not None and (not ready or (self.exploring and self._time_passes)):
            ready.append(first)
        return ready

    def _is_ready(self, strand: Strand) -> bool:
        if strand is self._main and self._settles is not None:
            return self._settles()
        if strand.ended:
            return False
        return strand.waits_for is None or strand.until <= self.now or strand.waits_for()

    def _first_by_time(self) -> Strand | None:
        waiting = [s for s in self._strands if s.until < inf and not self._is_ready(s)]
        return min(waiting, key=lambda strand: strand.until, default=None)

    def _await_turn(self, mine: Strand) -> None:
        while not mine.turn.acquire(timeout=REAL_SECONDS):
            if mine is self._main:
                raise AssertionError(
                    f"one waits for what the baton does not know:\n{self._stacks()}"
                )
        if self.is_over and mine is not self._main:
            raise Abandoned

    def _end_with(self, error: BaseException) -> None:
        """Have an error raised in the main thread, at once."""
        self._raised.insert(0, error)
        self._has_failed = True

    def _raise_what_was_raised(self) -> None:
        if self._raised:
            raise self._raised.pop(0)

    def _abandon(self) -> None:
        """The run is over: strands end; what comes by later, a finalizer say, finds all free."""
        strand = self._by_ident.get(threading.get_ident(), self._main)
        if strand is not self._main and not strand.ended:  # else another thread has its number
            raise Abandoned

    def _told(self, chosen: Strand, first: Strand, mine: Strand) -> str:
        where = "at its end"
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(OURS):
                where = f"in {code.co_qualname} ({Path(code.co_filename).name}:{frame.f_lineno})"
                break
            frame = frame.f_back
        return f"{mine} is {where}, and {chosen} goes on in place of {first}"

    def _stacks(self, strands: list[Strand] | None = None) -> str:
        return "".join(
            f"{strand}{' (waits for time)' if strand.until < inf else ''}:\n{''.join(strand.where())}"
            for strand in (self._strands if strands is None else strands)
            if not strand.ended
        )

    # Threads

    def _begin(self, thread: threading.Thread) -> None:
        """Start a thread that waits for its turn before it runs anything."""
        strand = Strand(thread.name)
        strand.thread = thread
        run = thread.run

        def run_in_turn() -> None:
            strand.ident = threading.get_ident()
            self._by_ident[strand.ident] = strand
            is_up.set()
            with suppress(Abandoned):
                self._await_turn(strand)
                try:
                    if self._at_lines:
                        sys.settrace(self._trace)
                    run()
                except Exception as exc:
                    self.note_failure(exc)
                finally:
                    sys.settrace(None)
                    strand.ended = True
                if not self.is_over:
                    self._hand_over()
            strand.ended = True
            self._let_end.wait()  # no other thread of this run shall be given its number

        is_up = _RealEvent()
        thread.run = run_in_turn  # type: ignore[method-assign]
        try:
            _real_start(thread)
            is_up.wait()
        finally:
            del thread.run
        self._by_thread[thread] = strand
        self._strands.append(strand)
        self.point()

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(OURS) or code.co_name == "make_sure_of_room":
            return None  # the latter touches nothing that others do
        return self._at_line

    def _at_line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line" and self.exploring:
            self.point()
        return self._at_line

    # What is replaced

    def _replace_all(self) -> None:
        for module, name, kind in _REPLACED:
            self._replace(module, name, getattr(self, kind))
        # Of the standard library: with what `concurrent.futures.wait` waits.
        waits_with = SimpleNamespace(**vars(threading))
        waits_with.Event = self.new_event
        self._replace(concurrent.futures._base, "threading", waits_with)
        self._replace(asyncio.events, "new_event_loop", self.new_event_loop)
        importing = self._rlock()
        for module in _MODULES:
            if getattr(module, "importing", None) is _here.importing and module is not _here:
                self._replace(module, "importing", importing)
        for name in ("start", "join", "is_alive"):
            self._replace(threading.Thread, name, _for_thread(self, name))

    def _replace(self, owner: Any, name: str, value: object) -> None:
        self._undo.append((owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """A loop that waits for its turn, and goes by this clock."""
        self._loops.append(Loop(self))
        return self._loops[-1]

    def _monotonic(self) -> float:
        return self.now

    def _rlock(self) -> Lock:
        return Lock(self, is_reentrant=True)

    def _lock(self) -> Lock:
        return Lock(self, is_reentrant=False)

    def _condition(self) -> threading.Condition:
        return threading.Condition(self._rlock())  # type: ignore[arg-type]

    def new_event(self) -> Event:
        """For bodies to wait with."""
        return Event(self)

    def _queue(self) -> Queue:
        return Queue(self)

    def _start_bare(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.is_over:  # a strand that ends takes that for a Ctrl-C, and has it mended
            self._abandon()
        threading.Thread(target=call, args=args, name="bare", daemon=True).start()


def _for_thread(baton: Baton, name: str) -> Any:
    def start(thread: threading.Thread) -> None:
        baton._begin(thread)

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        strand = baton._by_thread.get(thread)
        if strand is None:
            _real_join(thread, timeout)
            return
        baton.point()
        baton.wait(lambda: strand.ended, timeout)

    def is_alive(thread: threading.Thread) -> bool:
        strand = baton._by_thread.get(thread)
        return _real_is_alive(thread) if strand is None else not strand.ended

    return {"start": start, "join": join, "is_alive": is_alive}[name]


class Lock:
    """A lock, re-entrant or not."""

    def __init__(self, baton: Baton, *, is_reentrant: bool) -> None:
        self._baton = baton
        self._is_reentrant = is_reentrant
        self._owner: int | None = None
        self._count = 0
        self._is_known = False  # before it was taken once, nobody else knows it

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = threading.get_ident()
        if self._is_reentrant and self._owner == me:
            self._count += 1
            return True
        if self._is_known:
            self._baton.point()
        self._is_known = True
        if self._owner is not None:
            if not blocking:
                return False
            self._baton.wait(lambda: self._owner is None, None if timeout < 0 else timeout)
            if self._owner is not None and not self._baton.is_over:
                return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        if self._owner is None or (self._is_reentrant and self._owner != threading.get_ident()):
            raise RuntimeError("release unlocked lock")
        self._count -= 1
        if not self._count:
            self._owner = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        if not self._baton.is_over:
            self.release()

    def locked(self) -> bool:
        return self._owner is not None

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()


class Event:
    """As `threading.Event`."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._baton.point()
        self._is_set = True

    def wait(self, timeout: float | None = None) -> bool:
        self._baton.point()
        return self._baton.wait(self.is_set, timeout)


class Queue:
    """As `queue.SimpleQueue`."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._items: deque[Any] = deque()

    def put(self, item: object) -> None:
        self._baton.point()
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self._baton.point()
        if block and not self._items:
            self._baton.wait(lambda: bool(self._items), timeout)
        if not self._items:
            raise Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)


BoundedRunner(1).shutdown()  # has the hooks of the process put in place, with the real lock
_MODULES: list[ModuleType] = []
for _found in pkgutil.walk_packages(boundedjobs.__path__, "boundedjobs."):
    with suppress(ImportError):  # of an extra that is not there
        _MODULES.append(importlib.import_module(_found.name))
_KINDS = {
    id(threading.RLock): "_rlock",
    id(threading.Lock): "_lock",
    id(threading.Condition): "_condition",
    id(threading.Event): "new_event",
    id(SimpleQueue): "_queue",
    id(time.monotonic): "_monotonic",
    id(start_new_thread): "_start_bare",
}
_REPLACED = [
    (module, name, _KINDS[id(value)])
    for module in _MODULES
    for name, value in vars(module).items()
    if id(value) in _KINDS
]
