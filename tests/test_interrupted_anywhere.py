"""A Ctrl-C that lands anywhere in the runner's own code loses no slot and no job's end.

Each test does one thing on the main thread again and again; the k-th time KeyboardInterrupt is
raised at the k-th point that the runner's code comes by, until it is through untouched. After
each time: as many bodies as the limit allows still meet, every job that was accepted ends with
one final status that is heard once, everybody who waits goes on, and the runner closes.

The same is done with two: the second one comes while the first is mended.

The points are those where CPython looks whether a signal has come: a function is entered, a call
has returned, a loop goes back. A plain store is none, nor is the way into or out of a `with`.

The same is done once more with a thread that comes to the end of its stack: RecursionError is
raised wherever the k-th frame would be entered, and whoever is to mend that has no room either.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dis
import gc
import os
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from functools import cache, partial
from itertools import count
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary, ref

import pytest

import boundedjobs
from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobInterrupted,
    JobStatus,
    RunnerClosed,
    current_job,
)
from boundedjobs._admission import Admission
from boundedjobs._closing import drain_patiently
from boundedjobs._core import Core
from boundedjobs._failure import call, capture
from boundedjobs._flight import Turn
from boundedjobs._lanes._loops import LoopLane, PrivateLane
from tests.blocking import MOMENT, when_blocking
from tests.freeing import FREE_THREADED
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard
from tests.interrupting import interrupted_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import CodeType, FrameType

pytestmark = [
    # One that comes as a generator is dropped is not raised: Python prints it.
    pytest.mark.filterwarnings("ignore:Exception ignored (in.|while closing generator) <generator"),
    pytest.mark.skipif(
        (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 1) and sys.gettrace() is not None,
        reason="3.12.0 and 3.12.1 crash when opcodes are traced under coverage: run it without",
    ),
]

OURS = str(Path(boundedjobs.__file__).parent) + os.sep
PATIENCE = float(os.environ.get("PATIENCE", "5"))  # seconds after which something is lost
LIMIT = 2
MOST_LOST = int(os.environ.get("LOST", "8"))  # then the test has seen enough
MOST_FRAMES = 140  # that anything takes that the runner does


@cache
def signal_points(code: CodeType) -> frozenset[int]:
    """The offsets in `code` before which CPython looks whether a signal has come.

    Not after the call of an `__enter__`: that 3.14 does is a defect of its own, of which the lock is
    left taken, and nothing could be done about that (python/cpython#148874).
    """
    points = set()
    after, before = False, ""
    for instruction in dis.get_instructions(code):
        if after:
            points.add(instruction.offset)
        after = instruction.opname == "RESUME" or (
            instruction.opname.startswith("CALL") and before != "LOAD_SPECIAL"
        )
        before = instruction.opname
        if instruction.opname == "JUMP_BACKWARD":  # and not JUMP_BACKWARD_NO_INTERRUPT
            points.add(instruction.offset)
    return frozenset(points)


class Interruption:
    """Raises KeyboardInterrupt at the `k`-th point that this thread comes by.

    And of `k, m` once more at the `m`-th after that: while the first one is mended.
    """

    def __init__(self, at: tuple[int, ...], when_waiting: Callable[[], None]) -> None:
        self.left = [*at]
        self.when_waiting = when_waiting
        self.where: list[str] = []
        self._profile: Any = None

    def run(self, operation: Callable[[], object]) -> None:
        """Do it, with the interruption."""
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # else 3.12 stops at no opcode the first time
        sys.settrace(self._enter)
        try:
            with suppress(KeyboardInterrupt), when_blocking(self.when_waiting):
                operation()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if code.co_name == "wait":
            self.when_waiting()
        if not code.co_filename.startswith(OURS) or code.co_name == "make_sure_of_room":
            return None  # the latter does nothing: the point before it stands for all of them
        frame.f_trace = self._step  # else 3.13 takes no notice of the next two
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        code, at = frame.f_code, frame.f_lasti
        if event == "opcode" and at in signal_points(code) and self.left:
            self.left[0] -= 1
            if self.left[0] == 0:
                file = code.co_filename.rpartition(os.sep)[2]
                self.where.append(f"{file}:{frame.f_lineno} in {code.co_qualname}, at {at}")
                del self.left[0]
                if self.left:
                    self._profile = sys.getprofile()
                    sys.setprofile(self._trace_again)
                raise KeyboardInterrupt
        return self._step

    def _trace_again(self, frame: FrameType | None, event: str, arg: object) -> None:
        """Python traces no more once a trace function has raised."""
        sys.setprofile(self._profile)
        sys.settrace(self._enter)
        while frame is not None:
            if frame.f_code.co_filename.startswith(OURS):
                frame.f_trace, frame.f_trace_lines, frame.f_trace_opcodes = self._step, False, True
            frame = frame.f_back


class EndOfStack:
    """Has an operation done by a thread that has room for `k` more frames on its stack."""

    def __init__(self, at: tuple[int, ...], when_waiting: Callable[[], None]) -> None:
        (self.room,) = at
        self.when_waiting = when_waiting
        self.where = [f"with room for {self.room} frames"] if self.room <= MOST_FRAMES else []

    def run(self, operation: Callable[[], object]) -> None:
        """Do it there. With room enough it must come to no such end."""

        def down(frames: int) -> object:
            return down(frames - 1) if frames else operation()

        # To be told that this thread is about to wait would take room, too.
        is_over = threading.Event()
        helper = Thread(target=lambda: is_over.wait(MOMENT) or self.when_waiting())
        helper.start()
        try:
            with suppress(RecursionError) if self.where else nullcontext():
                down(sys.getrecursionlimit() - _depth() - self.room)
        finally:
            is_over.set()
            helper.join()


class EndOfAwaits(EndOfStack):
    """The same, for what is awaited. So is each frame above it, and the loop itself has room."""

    def run(self, operation: Callable[[], Any]) -> None:
        async def down(frames: int) -> object:
            return await (down(frames - 1) if frames else operation())

        async def main() -> None:
            with suppress(RecursionError) if self.where else nullcontext():
                await down(sys.getrecursionlimit() - _depth() - self.room)

        asyncio.run(main())


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


# What may be heard of a job.
STORIES = [
    ["pending", "running", "succeeded"],
    ["pending", "running", "cancelled"],
    ["pending", "cancelled"],
    ["rejected"],
    ["pending", "running", "interrupted"],
    ["pending", "interrupted"],
    ["pending", "running", "failed"],
]


def _is_part(statuses: list[str], story: list[str]) -> bool:
    return statuses == [status for status in story if status in statuses]


def _threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate()}


class World:
    """One runner, who waits for what in it, and what is to be found of it afterwards."""

    def __init__(self, **options: Any) -> None:
        self.heard = Heard()
        self.runner = BoundedRunner(LIMIT, **options)
        self.gate = Gate()
        self.async_gate = AsyncGate()
        self.jobs: list[Job[Any]] = []
        self.waiters: list[Thread] = []
        self.problems: list[str] = []
        self.watched: list[Job[Any]] = []
        self.called_back: list[Job[Any]] = []
        self.is_closed = self.resumes = False
        self.early: list[Job[Any]] = []  # end before the gates are open, if there is a higher limit
        self.ends = {JobStatus.SUCCEEDED, JobStatus.CANCELLED}
        self.threads_before = set(sys._current_frames())

    def when_waiting(self) -> None:
        """Called when the main thread is about to wait."""

    def body(self, fn: Callable[..., object]) -> Callable[..., object]:
        """As it is handed in."""
        return fn

    def warm_up(self, *, loop: bool = False) -> None:
        """Have the threads started already."""
        barrier = Barrier(LIMIT)
        for job in [self.runner.submit(self.body(barrier.wait), TIMEOUT) for _ in range(LIMIT)]:
            job.result(TIMEOUT)
        if loop:
            self.runner.submit(asyncio.sleep, 0).result(TIMEOUT)

    def fill(self, pending: int = 0) -> None:
        """Have all slots taken, and so many jobs wait."""
        self.jobs += [self.runner.submit(self.body(self.gate), n) for n in range(LIMIT)]
        self.gate.wait_for(LIMIT)
        self.jobs += [self.runner.submit(self.body(self.gate), n) for n in range(pending)]

    def in_thread(self, what: str, fn: Callable[[], object]) -> Thread:
        """Call `fn`, which may block, on another thread; it must come back in the end."""
        started = threading.Event()

        def run() -> None:
            started.set()
            try:
                fn()
            except BaseException as exc:
                self.problems.append(f"{what}: {exc!r}")

        thread = Thread(target=run, name=what, daemon=True)
        thread.start()
        assert started.wait(TIMEOUT)
        return thread

    def watch(self, job: Job[Any]) -> None:
        """Have the end of a job waited for in every way."""

        def result() -> None:
            with suppress(JobCancelled):
                job.result(2 * PATIENCE)

        def wait() -> None:
            done, _ = concurrent.futures.wait([job], 2 * PATIENCE)
            if not done:
                self.problems.append("futures.wait() hung")

        self.waiters += [self.in_thread("result()", result), self.in_thread("wait()", wait)]
        for _ in range(2):
            self.watched.append(job)
            job.add_done_callback(self.called_back.append)  # type: ignore[arg-type]
        while len(getattr(job, "_waiters")) < 1:  # noqa: B009 - until futures.wait() does wait
            os.sched_yield()

    def check(self) -> None:
        """Find what is wrong, now that all may go on."""
        if self.resumes:
            self.runner.resume()
        if self.runner.limit > LIMIT and concurrent.futures.wait(self.early, PATIENCE).not_done:
            self.problems.append("a job still waits for a worker")
        self.gate.open()
        self.async_gate.open()
        concurrent.futures.wait(self.jobs, PATIENCE)
        if not self.is_closed:
            self._meet()
        self.runner.shutdown(timeout=PATIENCE)
        for thread in self.waiters[:]:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.problems.append(f"{thread.name} hangs")
        for job in self.jobs:
            if not job.done() or job.status not in self.ends:
                self.problems.append(f"{job!r}, done: {job.done()}")
        of_job: dict[str, list[str]] = {}
        for event in self.heard.events:
            of_job.setdefault(event.job_id, []).append(event.status.value)
        # A listener that was interrupted as it was called has raised: that is logged and counted,
        # if need be by a bare thread.
        end = monotonic() + PATIENCE
        while set(sys._current_frames()) - self.threads_before - _threads() and monotonic() < end:
            os.sched_yield()
        missed = self.runner.listener_errors
        for statuses in of_job.values():
            stories = [story for story in STORIES if _is_part(statuses, story)]
            missed -= min((len(story) - len(statuses) for story in stories), default=0)
            if not stories or missed < 0:
                self.problems.append(f"heard {statuses}")
        seen = self.runner.snapshot()
        ended = sum(getattr(seen, status) for status in JobStatus if status.is_final)
        if of_job and not self.runner.listener_errors and ended != len(of_job):
            self.problems.append(f"{len(of_job)} jobs were heard, {ended} counted")
        if any(self.runner.get(job.id) != job.record() for job in self.jobs):
            self.problems.append("a record is missing, or wrong")
        if self.called_back != self.watched:
            self.problems.append(f"{len(self.called_back)} of {len(self.watched)} callbacks")
        if not repr(self.runner).endswith("running=0 pending=0>"):
            self.problems.append(repr(self.runner))

    def _meet(self) -> None:
        barrier = Barrier(self.runner.limit)

        def meet() -> None:
            barrier.wait(PATIENCE)

        for job in [self.runner.submit(self.body(meet)) for _ in range(self.runner.limit)]:
            try:
                job.result(2 * PATIENCE)
            except (BrokenBarrierError, TimeoutError) as exc:
                self.problems.append(f"a slot is lost: {exc!r}")


class Sweep:
    """Interrupts an operation at each of its points, or at one in so many of them.

    With two `steps` it is interrupted twice: for each of the first points, at each of the second.
    """

    def __init__(self, steps: tuple[int, ...], interrupt: type[Interruption | EndOfStack]) -> None:
        self._steps = steps
        self.interrupt = interrupt

    def __call__(self, prepare: Callable[[], tuple[World, Callable[[], object]]]) -> None:
        """Interrupt what `prepare` returns, each time another one, until it is through."""
        lost: list[str] = []
        at = (1,) * len(self._steps)
        for n in count():
            if n % 50 == 49:
                gc.collect()
            world, operation = prepare()
            interruption = self.interrupt(at, world.when_waiting)
            self._try(world, interruption, operation)
            if world.problems:
                where = ", then ".join(interruption.where)
                lost.append(f"{at}: {where}: {'; '.join(world.problems)}")
            if not interruption.where or len(lost) == MOST_LOST:
                assert n > 0, "nothing was interrupted"
                break
            if len(interruption.where) == len(at):
                at = (*at[:-1], at[-1] + self._steps[-1])
            else:
                at = (at[0] + self._steps[0], 1)
        assert not lost, "\n".join(["what was lost, and where the interruption was:", *lost])

    def _try(
        self, world: World, interruption: Interruption | EndOfStack, operation: Callable[[], object]
    ) -> None:
        is_through, is_checked = threading.Event(), threading.Event()

        def main_thread() -> None:
            interruption.run(operation)
            is_through.set()
            is_checked.wait(9 * PATIENCE)  # as the main thread does, it outlives all that it began

        # A thread of its own stands for the main one, so that a hang is found where it is.
        main = world.in_thread("the interrupted call", main_thread)
        if not is_through.wait(2 * PATIENCE):
            world.problems.append("the interrupted call hangs")
        checking = world.in_thread("the check", world.check)
        checking.join(9 * PATIENCE)
        if checking.is_alive():
            world.problems.append("the check hangs")
        is_checked.set()
        main.join(PATIENCE)
        if main.is_alive():
            world.problems.append("the interrupted call hangs")


# Every point takes minutes, and one in some, seconds.
ONCE = [
    pytest.param(((23,), Interruption), id="some_points"),
    pytest.param(((1,), Interruption), id="every_point", marks=pytest.mark.proof),
]
TWICE = [
    pytest.param(((67, 37), Interruption), id="some_pairs"),
    pytest.param(((5, 3), Interruption), id="many_pairs", marks=pytest.mark.proof),
]
ON_LOOPS = [
    pytest.param(
        ((173, 131), Interruption),
        id="some_pairs",
        marks=[pytest.mark.proof, pytest.mark.leaves_tasks],
    ),
]
STACKS = [
    pytest.param(((11,), EndOfStack), id="some_stacks"),
    pytest.param(((1,), EndOfStack), id="every_stack", marks=pytest.mark.proof),
]
AWAITS = [
    pytest.param(((11,), EndOfAwaits), id="some_stacks"),
    pytest.param(((1,), EndOfAwaits), id="every_stack", marks=pytest.mark.proof),
]


@pytest.fixture(params=[*ONCE, *TWICE, *STACKS])
def sweep(request: pytest.FixtureRequest) -> Sweep:
    return Sweep(*request.param)


@pytest.fixture(autouse=True)
def _no_garbage_collection_in_the_midst() -> Iterator[None]:
    """What an earlier round has left would be finalised, and interrupted, in a later one."""
    gc.disable()
    yield
    gc.enable()


HEARD = pytest.mark.parametrize("is_heard", [False, True], ids=["unheard", "heard"])


def world_for(is_heard: bool, **options: Any) -> World:
    heard = Heard()
    if is_heard:
        options["on_status"] = heard
    world = World(**options)
    world.heard = heard
    return world


@HEARD
def test_submitting_to_an_idle_runner(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.warm_up()
        return world, lambda: world.jobs.append(world.runner.submit(world.gate))

    sweep(prepare)


def test_submitting_to_a_runner_without_threads(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard=True)
        return world, lambda: world.jobs.append(world.runner.submit(world.gate))

    sweep(prepare)


@HEARD
@pytest.mark.parametrize("sweep", [*ONCE, TWICE[0], *STACKS], indirect=True)  # many take minutes
def test_submitting_where_no_worker_can_be_started(
    sweep: Sweep, is_heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Thread.start

    def refuse(thread: Thread) -> None:
        if thread.name.startswith("runner-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.ends.add(JobStatus.INTERRUPTED)

        def operation() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(Thread, "start", refuse)
                world.jobs.append(world.runner.submit(world.gate))

        return world, operation

    sweep(prepare)


@HEARD
def test_submitting_to_a_full_runner(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.fill(pending=1)
        return world, lambda: world.jobs.append(world.runner.submit(world.gate))

    sweep(prepare)


@HEARD
def test_submitting_an_async_job(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.warm_up(loop=True)
        return world, lambda: world.jobs.append(world.runner.submit(world.async_gate))

    sweep(prepare)


def test_submitting_an_async_job_that_starts_the_private_loop(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard=True)
        return world, lambda: world.jobs.append(world.runner.submit(world.async_gate))

    sweep(prepare)


def test_submitting_where_an_async_listener_hears(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        heard = Heard()

        async def listener(event: Any) -> None:
            heard(event)

        world = World(on_status=listener)
        world.heard = heard
        world.warm_up()
        return world, lambda: world.jobs.append(world.runner.submit(world.gate))

    sweep(prepare)


@HEARD
def test_submitting_what_is_refused(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard, max_pending=0)
        world.fill()

        def operation() -> None:
            with pytest.raises(boundedjobs.RunnerFull):
                world.runner.submit(world.gate)

        return world, operation

    sweep(prepare)


@HEARD
def test_submitting_and_waiting_for_room_that_comes(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard, max_pending=0, when_full="wait")
        world.fill()
        world.when_waiting = world.gate.open  # type: ignore[method-assign]
        return world, lambda: world.jobs.append(world.runner.submit(world.gate))

    sweep(prepare)


@HEARD
def test_cancelling_a_pending_job_that_many_wait_for(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.fill(pending=2)
        job = world.jobs[-1]
        world.watch(job)
        return world, job.cancel

    sweep(prepare)


@HEARD
def test_cancelling_a_pending_job_that_nobody_waits_for(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.fill(pending=2)
        return world, world.jobs[-2].cancel

    sweep(prepare)


def test_cancelling_a_pending_job_whose_place_somebody_waits_for(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard=True, max_pending=1, when_full="wait")
        world.fill(pending=1)
        submit = partial(world.runner.submit, world.gate, "late")
        world.waiters.append(world.in_thread("submit()", lambda: world.jobs.append(submit())))
        while not getattr(world.runner, "_core").rooms:  # noqa: B009 - until submit() waits
            os.sched_yield()
        return world, world.jobs[-1].cancel

    sweep(prepare)


@HEARD
def test_cancelling_a_running_sync_job(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.fill()
        return world, world.jobs[0].cancel

    sweep(prepare)


@HEARD
def test_cancelling_a_running_async_job(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        job = world.runner.submit(world.async_gate)
        world.jobs.append(job)
        world.async_gate.wait_for()
        world.watch(job)
        return world, job.cancel

    sweep(prepare)


def test_reporting(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        heard, progress = Heard(), Heard()
        world = World(on_status=heard, on_progress=progress)
        world.heard = heard
        world.fill(pending=1)
        return world, lambda: world.jobs[0].report(0.5)

    sweep(prepare)


def test_reporting_where_an_async_listener_hears(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        heard, progress = Heard(), Heard()

        async def listener(event: Any) -> None:
            progress(event)

        world = World(on_status=heard, on_progress=listener)
        world.heard = heard
        world.fill(pending=1)
        return world, lambda: world.jobs[0].report(0.5)

    sweep(prepare)


@HEARD
def test_setting_the_limit_higher(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard, max_pending=1, when_full="wait")
        world.fill(pending=1)
        submit = partial(world.runner.submit, world.gate, "late")
        world.waiters.append(world.in_thread("submit()", lambda: world.jobs.append(submit())))
        while not getattr(world.runner, "_core").rooms:  # noqa: B009 - until submit() waits
            os.sched_yield()
        return world, partial(setattr, world.runner, "limit", LIMIT + 2)

    sweep(prepare)


def test_setting_the_limit_higher_for_those_who_wait_for_a_worker(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = World()
        for _ in range(LIMIT):
            job = world.runner.submit(lambda: current_job().add_done_callback(world.gate))
            world.jobs.append(job)
        world.gate.wait_for(LIMIT)  # in a callback: the slots are free, and no worker is
        world.early = [world.runner.submit(len, "abc") for _ in range(LIMIT)]
        world.jobs += world.early
        return world, partial(setattr, world.runner, "limit", 2 * LIMIT)

    sweep(prepare)


@HEARD
def test_setting_the_limit_lower(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.fill(pending=2)
        return world, partial(setattr, world.runner, "limit", 1)

    sweep(prepare)


@HEARD
@pytest.mark.parametrize("closes", [False, True], ids=["resume", "close"])
def test_resuming(sweep: Sweep, is_heard: bool, closes: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.warm_up(loop=True)
        world.runner.pause()
        world.jobs += [world.runner.submit(body) for body in (world.gate, world.async_gate)]
        world.jobs += [world.runner.submit(world.gate) for _ in range(2)]
        world.is_closed = closes
        world.resumes = True  # what is cut off before it has begun is done again
        return world, partial(world.runner.shutdown, wait=False) if closes else world.runner.resume

    sweep(prepare)


def test_pausing(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = World()
        world.fill(pending=2)
        world.resumes = True
        return world, world.runner.pause

    sweep(prepare)


@HEARD
def test_beginning_to_close(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.is_closed = True
        world.fill(pending=1)
        return world, lambda: world.runner.shutdown(wait=False)

    sweep(prepare)


@HEARD
def test_closing_and_cancelling_what_waits(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.is_closed = True
        world.fill(pending=2)
        return world, lambda: world.runner.shutdown(wait=False, cancel_futures=True)

    sweep(prepare)


@HEARD
@pytest.mark.parametrize("sweep", [*ONCE, *STACKS], indirect=True)  # the second one leaves at once
def test_closing_and_waiting(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.is_closed = True
        world.fill(pending=1)
        world.when_waiting = world.gate.open  # type: ignore[method-assign]
        return world, lambda: world.runner.shutdown(timeout=PATIENCE)

    sweep(prepare)


def test_closing_while_others_wait_for_room(sweep: Sweep) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard=True, max_pending=0, when_full="wait")
        world.is_closed = True
        world.fill()

        def submit() -> None:
            with suppress(RunnerClosed):
                world.jobs.append(world.runner.submit(world.gate, "late"))

        for _ in range(3):
            world.waiters.append(world.in_thread("submit()", submit))
        while len(getattr(world.runner, "_core").rooms) < 3:  # noqa: B009 - until all wait
            os.sched_yield()
        return world, lambda: world.runner.shutdown(wait=False)

    sweep(prepare)


@HEARD
def test_cancelling_the_last_job_while_another_thread_waits_for_the_end(
    sweep: Sweep, is_heard: bool
) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.is_closed = True
        job = world.runner.submit(world.async_gate)
        world.async_gate.wait_for()
        world.jobs.append(job)
        held = world.runner.submit(world.async_gate)
        world.async_gate.wait_for()
        world.jobs.append(held)
        last = world.runner.submit(world.gate)
        world.jobs.append(last)
        world.waiters.append(world.in_thread("shutdown()", world.runner.shutdown))
        while not getattr(world.runner, "_core").closings:  # noqa: B009 - until it waits
            os.sched_yield()
        return world, last.cancel

    sweep(prepare)


@HEARD
@pytest.mark.parametrize("sweep", [*ONCE, *STACKS], indirect=True)  # the second one leaves at once
def test_leaving_with(sweep: Sweep, is_heard: bool) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = world_for(is_heard)
        world.is_closed = True
        world.runner.__enter__()
        world.fill(pending=1)
        world.when_waiting = world.gate.open  # type: ignore[method-assign]
        return world, lambda: world.runner.__exit__(None, None, None)

    sweep(prepare)


@pytest.mark.leaves_tasks(FREE_THREADED)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # between call and await
@HEARD
@pytest.mark.parametrize("listens", ["sync", "async"])
@pytest.mark.parametrize("sweep", [*ONCE, *ON_LOOPS], indirect=True)  # asyncio.run() needs room
def test_running_async_jobs_on_the_loop_that_is_interrupted(
    sweep: Sweep, is_heard: bool, listens: str
) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        heard = Heard()

        async def listener(event: Any) -> None:
            heard(event)

        options = {"on_status": heard if listens == "sync" else listener} if is_heard else {}
        world = World(**options)
        world.heard = heard
        # The loop ends with it; in the midst of the first step of a body it is the body's.
        world.ends |= {JobStatus.INTERRUPTED, JobStatus.FAILED}

        async def body() -> None:
            await asyncio.sleep(0)

        async def main() -> None:
            world.jobs += [world.runner.submit(body) for _ in range(LIMIT + 1)]
            for job in world.jobs:
                await job

        return world, lambda: asyncio.run(main())

    sweep(prepare)


_sent: WeakValueDictionary[int, Callable[..., object]] = WeakValueDictionary()


class Sent:
    """A body that is pickled, on its way to a thread of this process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, *args: object) -> object:
        return _sent[self.number](*args)


class InExecutor(World):
    """Its bodies run in an executor."""

    def __init__(self, executor: Executor, **options: Any) -> None:
        super().__init__(executor=executor, **options)
        self._bodies: list[Callable[..., object]] = []

    def body(self, fn: Callable[..., object]) -> Callable[..., object]:
        self._bodies.append(fn)
        _sent[id(fn)] = fn
        return Sent(id(fn))


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2 * LIMIT) as executor:
        yield executor


def in_executor(executor: Executor, is_heard: bool) -> InExecutor:
    heard = Heard()
    world = InExecutor(executor, **({"on_status": heard} if is_heard else {}))
    world.heard = heard
    return world


@HEARD
def test_submitting_what_runs_in_an_executor(
    sweep: Sweep, is_heard: bool, executor: Executor
) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = in_executor(executor, is_heard)
        world.warm_up()
        body = world.body(world.gate)
        return world, lambda: world.jobs.append(world.runner.submit(body))

    sweep(prepare)


@HEARD
def test_cancelling_what_runs_in_an_executor(
    sweep: Sweep, is_heard: bool, executor: Executor
) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = in_executor(executor, is_heard)
        world.fill(pending=1)
        world.watch(world.jobs[0])
        return world, world.jobs[0].cancel

    sweep(prepare)


@HEARD
def test_closing_what_has_an_executor(sweep: Sweep, is_heard: bool, executor: Executor) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = in_executor(executor, is_heard)
        world.is_closed = True
        world.fill(pending=1)
        return world, lambda: world.runner.shutdown(wait=False)

    sweep(prepare)


# Beside the sweeps, whose tracing coverage does not see through.


def test_a_second_ctrl_c_while_the_first_is_mended_leaves_that_to_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(len, "abc")
        core = getattr(runner, "_core")  # noqa: B009
        interrupted_once(monkeypatch, core, "conclude")
        interrupted_once(monkeypatch, core, "mend")
        with pytest.raises(KeyboardInterrupt):
            job.cancel()
        with pytest.raises(JobCancelled):
            job.result(TIMEOUT)
        gate.open()
    assert heard.statuses("len") == ["pending", "cancelled"]


def test_who_is_let_in_or_started_as_a_ctrl_c_comes_stands_in_one_place() -> None:
    for k in count(1):
        admission: Admission[str] = Admission(2, 2)
        admission.slots = 0
        for item in "abcd":
            admission.submit(item, may_wait=True)
        admission.place("a")
        admission.place("b")
        admission.slots = 2

        def operation(admission: Admission[str] = admission) -> None:
            admission.start()
            admission.let_in()

        interruption = Interruption((k,), lambda: None)
        interruption.run(operation)
        stands = [*admission.outside, *admission.arriving, *admission.pending, *admission.running]
        assert sorted(stands) == ["a", "b", "c", "d"], interruption.where
        if not interruption.where:
            break
    assert k > 10


def test_a_job_that_begins_elsewhere_is_not_lost_with_a_thread_that_did_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, gate = Gate(), Gate()
    with BoundedRunner(1) as runner:
        runner.submit(before)
        job = runner.submit(gate)
        before.wait_for()

        def capture_while_it_begins(exc: BaseException, phase: Any) -> Any:
            before.open()
            gate.wait_for()
            return capture(exc, phase)

        monkeypatch.setattr("boundedjobs._bodies.capture", capture_while_it_begins)
        getattr(runner, "_core")._lose(job, RuntimeError("no thread"), None)  # noqa: B009
        assert job.status is JobStatus.RUNNING
        gate.open()
        job.result(TIMEOUT)


def test_nor_is_one_that_has_begun_elsewhere_before_that_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, refused, start = Gate(), list[Thread](), Thread.start
    with BoundedRunner(2) as runner:

        def refuse_the_first(thread: Thread) -> None:
            if not refused:
                refused.append(thread)
                getattr(runner, "_core").mend()  # noqa: B009 - as after a Ctrl-C on another thread
                gate.wait_for()
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(Thread, "start", refuse_the_first)
        job = runner.submit(gate)
        assert refused
        assert job.status is JobStatus.RUNNING
        gate.open()
        job.result(TIMEOUT)


def waiting_for_room(runner: BoundedRunner, fn: Callable[[], object]) -> tuple[Thread, list[Any]]:
    """A thread that calls `fn`, which waits for room; and what comes of it."""
    outcome: list[Any] = []
    thread = Thread(target=lambda: outcome.append(call(fn, (), {})))
    thread.start()
    while not getattr(runner, "_core").rooms:  # noqa: B009 - until it waits
        os.sched_yield()
    return thread, outcome


def test_one_that_was_let_in_and_by_a_ctrl_c_not_accepted_yet_is_not_told_that_it_is_out() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        runner.submit(gate)
        gate.wait_for()
        core = getattr(runner, "_core")  # noqa: B009
        thread, outcome = waiting_for_room(runner, lambda: runner.submit(len, "abc"))
        told: list[str] = []
        with core.lock:
            core.admission.max_pending = 1
            (waiting,) = core.admission.let_in()  # where a Ctrl-C comes
            ring, core.rooms[waiting] = core.rooms[waiting], lambda: told.append("out")
            core.open_rooms()  # by somebody else
            core.rooms[waiting] = ring
        core.mend()
        gate.open()
        thread.join(TIMEOUT)
        job, exc = outcome[0]
        assert (exc, told) == (None, [])
        assert job.result(TIMEOUT) == 3


def test_pending_is_heard_of_a_job_that_is_let_in_when_its_waiting_has_been_mended() -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, max_pending=0, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        core = getattr(runner, "_core")  # noqa: B009
        jobs = runner.as_completed(len, ["abc"])
        thread, _ = waiting_for_room(runner, lambda: next(jobs))
        core.resume(next(iter(core.rooms)), thread.ident)
        gate.open()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert heard.statuses("len") == ["pending", "running", "succeeded"]


def test_a_refusal_that_is_cut_off_before_it_is_decided_does_not_hold_up_the_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    runner = BoundedRunner(1, max_pending=0)
    runner.submit(gate)
    gate.wait_for()
    core = getattr(runner, "_core")  # noqa: B009
    interrupted_once(monkeypatch, core, "note")
    with pytest.raises(KeyboardInterrupt):
        runner.submit(len, "abc")
    gate.open()
    runner.shutdown()
    assert core.is_quiet()


def test_callbacks_that_two_ctrl_cs_have_cut_off_are_called_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, called = Gate(), threading.Event()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(len, "abc")
        job.add_done_callback(lambda _: called.set())
        core = getattr(runner, "_core")  # noqa: B009
        interrupted_once(monkeypatch, Job, "_call_back")
        interrupted_once(monkeypatch, core, "mend")
        with pytest.raises(KeyboardInterrupt):
            job.cancel()
        assert called.wait(TIMEOUT)
        gate.open()


def test_who_mends_does_not_tell_what_another_thread_is_telling() -> None:
    hangs, heard = Gate(), Heard()

    def hang(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            hangs()

    with BoundedRunner(1, on_status=[hang, heard]) as runner:
        job = runner.submit(len, "abc")
        hangs.wait_for()
        getattr(runner, "_core").resume(job)  # noqa: B009
        assert heard.statuses() == ["pending"]
        hangs.open()
    assert heard.statuses() == ["pending", "running", "succeeded"]


def test_nor_what_is_being_told_on_a_loop() -> None:
    hangs = AsyncGate()

    async def hang(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING:
            await hangs()

    async def body() -> None:
        """A body."""

    with BoundedRunner(1, on_status=hang) as runner:
        job = runner.submit(body)
        hangs.wait_for()
        teller = job._teller
        getattr(runner, "_core").resume(job)  # noqa: B009
        assert job._teller is teller
        hangs.open()


def test_what_is_told_after_a_ctrl_c_is_told_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, others = Gate(), list[bool]()

    def hear(event: JobEvent) -> None:
        if event.status is JobStatus.CANCELLED:
            others.append(core.begin_telling(job))

    with BoundedRunner(1) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        runner.submit(gate)
        job = runner.wrap(len, on_status=hear)("abc")
        interrupted_once(monkeypatch, core, "begin_telling")
        with pytest.raises(KeyboardInterrupt):
            job.cancel()
        gate.open()
    assert others == [False]


def test_an_async_job_whose_end_a_ctrl_c_has_cut_off_ends_though_its_loop_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, gate, jobs = BoundedRunner(1), AsyncGate(), list[Job[Any]]()

    async def main() -> None:
        jobs.extend(runner.submit(gate, n) for n in range(2))
        await asyncio.to_thread(gate.wait_for)
        interrupted_once(monkeypatch, LoopLane, "put")  # the slot of the first goes to the second
        gate.open()
        await jobs[0]

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert jobs[0].result(TIMEOUT) == 0
    runner.shutdown(timeout=TIMEOUT)
    assert jobs[1].status.is_final


def test_two_ctrl_cs_on_a_loop_lose_no_job_that_is_being_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard, jobs = Heard(), list[Job[Any]]()
    runner = BoundedRunner(1, on_status=heard)
    core = getattr(runner, "_core")  # noqa: B009

    async def main() -> None:
        jobs.append(runner.submit(asyncio.sleep, TIMEOUT))
        interrupted_once(monkeypatch, core, "heard")  # as RUNNING has been told
        interrupted_once(monkeypatch, Job, "_lost")  # and as that is mended
        await jobs[0]

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert runner.submit(len, "abc").result(TIMEOUT) == 3
    assert heard.statuses("sleep") == ["pending", "running", "interrupted"]
    runner.shutdown(timeout=TIMEOUT)


async def nothing() -> None:
    """A body."""


async def turns(count: int = 5) -> None:
    """Let a loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["_watch", "_begin", "_attend", "_done_with"])
def test_a_ctrl_c_as_a_loop_sees_to_its_jobs_loses_none_if_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def begin() -> None:
        interrupted_once(monkeypatch, LoopLane, name)
        jobs.extend(runner.submit(nothing) for _ in range(3))
        await turns()

    runner, jobs = BoundedRunner(3), list[Job[Any]]()
    with closing(asyncio.new_event_loop()) as loop:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(begin())
        loop.run_until_complete(turns())
        statuses = [job.status for job in jobs]
        loop.run_until_complete(loop.shutdown_asyncgens())
    assert statuses == [JobStatus.SUCCEEDED] * 3
    runner.shutdown()


def test_nothing_is_kept_of_a_job_that_a_ctrl_c_has_kept_from_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, jobs = BoundedRunner(1), list[Job[Any]]()
    core = getattr(runner, "_core")  # noqa: B009

    async def begin() -> None:
        interrupted_once(monkeypatch, core, "claim")
        jobs.append(runner.submit(nothing))
        await turns()

    with closing(asyncio.new_event_loop()) as loop:
        # A log record of what was raised would keep the frames that it came by.
        loop.set_exception_handler(lambda *_: None)
        task = loop.create_task(begin())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        loop.run_until_complete(task)
        job = jobs.pop()
        assert (job.status, job.done()) == (JobStatus.INTERRUPTED, True)
        kept = ref(job)
        del job
        gc.collect()
        assert kept() is None
        loop.run_until_complete(loop.shutdown_asyncgens())
    runner.shutdown()


def check_that_no_job_is_lost(factory: Any) -> None:
    """Though a Ctrl-C comes as its task is made, or ends, by this factory, and the loop goes on."""

    async def begin() -> Job[Any]:
        job = runner.submit(nothing)
        asyncio.get_running_loop().set_task_factory(factory)
        await turns()
        return job

    runner = BoundedRunner(1)
    with closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(begin())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        job = loop.run_until_complete(task)
        is_done = job.done()
        loop.run_until_complete(loop.shutdown_asyncgens())
    assert is_done
    assert runner.submit(len, "abc").result(TIMEOUT) == 3
    runner.shutdown()


@pytest.mark.parametrize("name", ["_done_with", "_lost"])
def test_a_ctrl_c_loses_no_job_whose_task_could_not_be_made(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def factory(loop: asyncio.AbstractEventLoop, _coroutine: Any, **_: Any) -> Any:
        loop.set_task_factory(None)
        interrupted_once(monkeypatch, Job if name == "_lost" else LoopLane, name)
        raise ValueError("no tasks today")

    check_that_no_job_is_lost(factory)


def test_nor_one_that_the_task_of_a_factory_has_never_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def factory(loop: asyncio.AbstractEventLoop, _coroutine: Any, **options: Any) -> Any:
        loop.set_task_factory(None)

        async def lazy() -> None:
            interrupted_once(monkeypatch, LoopLane, "_forget")

        return asyncio.Task(lazy(), loop=loop, **options)

    check_that_no_job_is_lost(factory)


@pytest.mark.parametrize(("owner", "name"), [(Job, "_lost"), (Core, "settle")])
def test_a_ctrl_c_as_the_jobs_of_a_closed_loop_are_given_up_loses_none(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    gate, runner = AsyncGate(), BoundedRunner(2, on_status=Heard())
    loop = asyncio.new_event_loop()

    async def begin() -> list[Job[Any]]:
        jobs = [runner.submit(gate) for _ in range(2)]
        await asyncio.to_thread(gate.wait_for, 2)
        return jobs

    jobs = loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    interrupted_once(monkeypatch, owner, name)
    with pytest.raises(KeyboardInterrupt):
        runner.shutdown()  # without a deadline, which would let go of what is left
    for job in jobs:
        assert isinstance(job.exception(MOMENT), JobInterrupted)
    runner.shutdown()
    phases = [job.failure and job.failure.phase for job in jobs]
    assert phases == ["loop"] * 2  # and not "drain", by the deadline


def test_what_a_ctrl_c_has_kept_a_loop_from_seeing_it_sees_when_the_runner_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the loop goes on, by hand."""
    gate, runner, jobs = AsyncGate(), BoundedRunner(1), list[Job[Any]]()
    gate.open()

    async def submit() -> None:
        jobs.append(runner.submit(gate, 3))
        await asyncio.Event().wait()

    async def close() -> None:
        async with asyncio.timeout(TIMEOUT):
            await runner.aclose()

    with closing(asyncio.new_event_loop()) as loop:
        submitting = loop.create_task(submit())
        interrupted_once(monkeypatch, LoopLane, "_see_to_inbox")
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(submitting)
        submitting.cancel()
        loop.run_until_complete(close())
    assert jobs[0].result(TIMEOUT) == 3


def test_a_ctrl_c_does_not_keep_a_lane_from_being_told_that_its_loop_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, jobs = BoundedRunner(1), list[Job[Any]]()

    async def begin() -> None:
        jobs.append(runner.submit(AsyncGate()))
        interrupted_once(monkeypatch, sys, "get_asyncgen_hooks")  # as the lane sees to its inbox
        await turns()

    with closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(begin())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        assert jobs[0].status is JobStatus.INTERRUPTED
    runner.shutdown()


@pytest.mark.leaves_tasks
def test_what_a_ctrl_c_has_left_of_a_loop_that_is_gone_is_taken_up_by_whoever_mends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though that loop is not closed."""
    gate, runner = AsyncGate(), BoundedRunner(2)

    async def begin() -> list[Job[Any]]:
        jobs = [runner.submit(gate) for _ in range(2)]
        await asyncio.to_thread(gate.wait_for, 2)
        return jobs

    with closing(asyncio.new_event_loop()) as loop:
        jobs = loop.run_until_complete(begin())
        loop.run_until_complete(loop.shutdown_default_executor())
        interrupted_once(monkeypatch, Job, "_lost")
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(loop.shutdown_asyncgens())
        getattr(runner, "_core").mend()  # noqa: B009 - as after any Ctrl-C
        for job in jobs:
            assert isinstance(job.exception(MOMENT), JobInterrupted)
    runner.shutdown()


def test_a_private_loop_whose_start_two_ctrl_cs_have_cut_off_is_started_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard, gate = Heard(), AsyncGate()
    with BoundedRunner(1, on_status=heard, drain_timeout=TIMEOUT) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        interrupted_once(monkeypatch, core, "mend")
        with monkeypatch.context() as patch:
            interrupted_once(patch, Thread, "start")
            with pytest.raises(KeyboardInterrupt):
                runner.submit(gate)
        gate.open()
    assert heard.statuses() == ["pending", "running", "succeeded"]


@pytest.mark.parametrize(
    "close",
    [
        BoundedRunner.shutdown,
        partial(BoundedRunner.shutdown, wait=False),
        lambda runner: runner.__exit__(None, None, None),
    ],
    ids=["shutdown", "shutdown without wait", "with"],
)
def test_a_private_loop_that_a_ctrl_c_has_kept_from_being_stopped_is_stopped(
    monkeypatch: pytest.MonkeyPatch, close: Callable[[BoundedRunner], object]
) -> None:
    async def here() -> Thread:
        return threading.current_thread()

    runner = BoundedRunner(1, drain_timeout=MOMENT)
    thread = runner.submit(here).result(TIMEOUT)
    interrupted_once(monkeypatch, PrivateLane, "stop")
    with pytest.raises(KeyboardInterrupt):
        close(runner)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_nor_is_it_left_by_one_that_comes_in_the_midst_of_a_drain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def here() -> Thread:
        return threading.current_thread()

    runner = BoundedRunner(1)
    thread = runner.submit(here).result(TIMEOUT)
    core = getattr(runner, "_core")  # noqa: B009
    with core.lock:
        core.stop_accepting()
    interrupted_once(monkeypatch, PrivateLane, "stop")
    with pytest.raises(KeyboardInterrupt):
        drain_patiently(core, monotonic() + MOMENT, raised=False)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_closing_that_waits_goes_on_though_a_ctrl_c_comes_as_another_thread_ends_the_last_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closing = Thread(target=lambda: runner.shutdown())

    def close_and_cancel(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            closing.start()
            while not core.closings:
                os.sched_yield()
            current_job().cancel()

    runner = BoundedRunner(1, drain_timeout=TIMEOUT)
    core = getattr(runner, "_core")  # noqa: B009
    runner.submit(asyncio.sleep, 0).result(TIMEOUT)  # has a private loop
    interrupted_once(monkeypatch, PrivateLane, "stop")
    began = monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner.wrap(len, on_status=close_and_cancel)("abc")
    closing.join(TIMEOUT)
    assert monotonic() - began < TIMEOUT  # nothing was let go of
    assert not closing.is_alive()


def test_a_ctrl_c_as_a_task_is_woken_goes_to_the_caller_and_wakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, awaits = Gate(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def await_it() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].call_soon(awaits.set)
        with pytest.raises(JobCancelled):
            await job

    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(len, "abc")
        thread = Thread(target=lambda: asyncio.run(await_it()))
        thread.start()
        assert awaits.wait(TIMEOUT)
        interrupted_once(monkeypatch, loops[0], "call_soon_threadsafe")
        with pytest.raises(KeyboardInterrupt):
            job.cancel()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
        gate.open()


def test_a_worker_that_could_not_be_started_is_not_tried_again_after_a_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Thread] = []

    def refuse(thread: Thread) -> None:
        tried.append(thread)
        raise RuntimeError("can't start new thread")

    with BoundedRunner(1) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        with monkeypatch.context() as patch:
            patch.setattr(Thread, "start", refuse)
            interrupted_once(monkeypatch, core, "lose")
            with pytest.raises(KeyboardInterrupt):
                runner.submit(len, "abc")
        assert len(set(tried)) == len(tried) > 0
        assert runner.submit(len, "abc").result(TIMEOUT) == 3


def test_an_end_that_is_decided_once_more_is_counted_and_heard_once() -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(len, "abc")
        job.cancel()
        core = getattr(runner, "_core")  # noqa: B009
        with core.lock:
            core.note(job, JobStatus.CANCELLED)
        gate.open()
        assert runner.snapshot().cancelled == 1
    assert heard.statuses("len") == ["pending", "cancelled"]


@pytest.mark.parametrize("way", ["for", "async for"])
def test_an_error_of_an_input_that_was_taken_as_a_ctrl_c_came_is_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    class CtrlC(BaseException):
        """Another one, for asyncio ends by a real one."""

    def inputs() -> Iterator[str]:
        yield from ()
        raise ValueError("no input")

    async def main(left: AsyncIterator[Job[int]]) -> None:
        interrupted_once(monkeypatch, Turn, "end", CtrlC)
        with pytest.raises(CtrlC):
            await anext(left)
        with pytest.raises(ValueError, match="no input"):
            await anext(left)

    with BoundedRunner(1) as runner:
        left = runner.as_completed(len, inputs())
        if way == "async for":
            asyncio.run(main(left))
            return
        interrupted_once(monkeypatch, Turn, "end", CtrlC)
        with pytest.raises(CtrlC):
            next(left)
        with pytest.raises(ValueError, match="no input"):
            next(left)


class Iterating(World):
    """Somebody iterates over what `as_completed` yields, and goes on after the interruption."""

    def iterate(self, items: int) -> None:
        self.left: Iterator[Job[Any]] = self.runner.as_completed(len, ["abc"] * items)
        self.items = items

    def all(self) -> None:
        for job in self.left:
            self.jobs.append(job)

    async def all_async(self) -> None:
        async for job in cast("AsyncIterator[Job[Any]]", self.left):
            self.jobs.append(job)

    def check(self) -> None:
        self.gate.open()
        self.all()
        if len(self.jobs) != self.items or len(set(self.jobs)) != self.items:
            self.problems.append(f"{len(self.jobs)} of {self.items} jobs were yielded")
        super().check()


MAX_PENDING = pytest.mark.parametrize("max_pending", [None, 0], ids=["room", "no_room"])


def iterating(is_heard: bool, max_pending: int | None) -> Iterating:
    heard = Heard()
    options = {"on_status": heard} if is_heard else {}
    world = Iterating(max_pending=max_pending, **options)
    world.heard = heard
    world.warm_up()
    world.iterate(6)
    return world


@HEARD
@MAX_PENDING
def test_iterating_over_as_completed(sweep: Sweep, is_heard: bool, max_pending: int | None) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        world = iterating(is_heard, max_pending)
        return world, world.all

    sweep(prepare)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # between call and await
@HEARD
@MAX_PENDING
@pytest.mark.parametrize("sweep", [*ONCE, *AWAITS], indirect=True)
def test_iterating_over_as_completed_on_a_loop(
    sweep: Sweep, is_heard: bool, max_pending: int | None
) -> None:
    if sweep.interrupt is EndOfAwaits and sys.version_info < (3, 12) and sys.gettrace():
        pytest.skip("beside a tracer, 3.11 comes to the end of a stack of awaits far too early")

    def prepare() -> tuple[World, Callable[[], object]]:
        world = iterating(is_heard, max_pending)
        if sweep.interrupt is EndOfAwaits:
            return world, world.all_async
        return world, lambda: asyncio.run(world.all_async())

    sweep(prepare)


@HEARD
def test_iterating_over_as_completed_where_others_have_the_room(
    sweep: Sweep, is_heard: bool
) -> None:
    def prepare() -> tuple[World, Callable[[], object]]:
        heard = Heard()
        options = {"on_status": heard} if is_heard else {}
        world = Iterating(max_pending=0, **options)
        world.heard = heard
        world.fill()
        world.iterate(4)
        world.items += len(world.jobs)
        world.when_waiting = world.gate.open  # type: ignore[method-assign]
        return world, world.all

    sweep(prepare)
