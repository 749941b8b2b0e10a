"""Where scenes are played: jobs on threads, on the private loop, or all on one loop.

A scene is a function that is handed a `Stage`: it has jobs that are held, then things happen
`together`, and in the end it says what it must have come to. What holds for every scene, the
promise, is checked by `Stage.end`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from boundedjobs import (
    BoundedJobsError,
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobInterrupted,
    JobStatus,
    JobTimeout,
    RunnerClosed,
    RunnerFull,
)
from boundedjobs._status import FINAL, STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boundedjobs import AsCompleted
    from tests.orders.baton import Baton


class Body:
    """What a job runs: notes that it has begun, waits until it is let go, notes its end."""

    def __init__(self, stage: Stage, *, is_held: bool) -> None:
        self._stage = stage
        self._event = stage.baton.new_event()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_open = not is_held
        self.began = self.ended = 0

    def open(self) -> None:
        """Let it go on, from any thread."""
        self._is_open = True
        self._event.set()
        waiting, self._waiting = self._waiting, []
        for rings in waiting:
            if not rings.get_loop().is_closed():
                rings.get_loop().call_soon_threadsafe(partial(_ring, rings))

    def on_thread(self) -> int:
        self._begin()
        try:
            if not self._may_go_on():
                self._event.wait()
            return self.began
        finally:
            self._end()

    async def on_loop(self) -> int:
        self._begin()
        try:
            rings = asyncio.get_running_loop().create_future()
            self._waiting.append(rings)
            if not self._may_go_on():
                await rings
            return self.began
        finally:
            self._end()

    def _may_go_on(self) -> bool:
        return self._is_open or self._stage.lets_all_go

    def _begin(self) -> None:
        self.began += 1
        self._stage.active += 1
        self._stage.most = max(self._stage.most, self._stage.active)

    def _end(self) -> None:
        self.ended += 1
        self._stage.active -= 1


def _ring(rings: asyncio.Future[None]) -> None:
    if not rings.done():
        rings.set_result(None)


@contextmanager
def _what_comes_of(job: Job[int]) -> Iterator[None]:
    """What a wait for a job raises is what the job has come to."""
    raised = None
    try:
        yield
    except BoundedJobsError as exc:
        raised = exc
    if raised is not None:
        expected: dict[JobStatus, type[BoundedJobsError]] = {
            JobStatus.CANCELLED: JobCancelled,
            JobStatus.FAILED: JobTimeout,
            JobStatus.INTERRUPTED: JobInterrupted,
        }
        assert type(raised) is expected[job.status]


class Stage:
    """One runner whose sync jobs are played with."""

    is_async = False

    def __init__(self, baton: Baton, limit: int = 1, hearing: str = "sync", **options: Any) -> None:
        self.baton = baton
        self.heard: list[JobEvent] = []
        self.highest = limit
        self.active = self.most = 0
        self.bodies: dict[Job[int], Body] = {}
        self.inputs: list[Body] = []  # of jobs that are made as somebody iterates
        self.iterated = 0  # how many have iterated to the end
        self.knows_all = True  # who leaves an iterator never sees some of its jobs
        self.refused = 0
        self.to_be_called: list[Future[int]] = []
        self.called: list[Future[int]] = []
        self.lets_all_go = False  # nobody is held any more
        self.hearing = hearing
        self.staggers = options.get("stagger") is not None
        listener: Any = {"nobody": None, "sync": self.heard.append, "async": self._hear}[hearing]
        self.runner = BoundedRunner(
            limit, on_status=listener, on_progress=listener, on_stuck=listener, **options
        )

    async def _hear(self, event: JobEvent) -> None:
        await asyncio.sleep(0)
        self.heard.append(event)

    def submit(self, *, is_held: bool = False) -> Job[int]:
        """Submit a job; one that is held goes on when it is opened."""
        body = Body(self, is_held=is_held)
        fn: Callable[[], Any] = body.on_loop if self.is_async else body.on_thread
        job: Job[int] = self.runner.submit(fn)
        self.bodies[job] = body
        return job

    def try_to_submit(self, refused: list[BoundedJobsError], *, is_held: bool = False) -> None:
        """Submit a job, unless it is too late, or there is no room."""
        try:
            self.submit(is_held=is_held)
        except (RunnerClosed, RunnerFull) as exc:
            self.refused += 1
            refused.append(exc)

    def as_completed(self, *held: bool, **options: Any) -> AsCompleted[int]:
        """To be iterated over: so many jobs, of which those that are held wait to be opened."""
        bodies = [Body(self, is_held=each) for each in held]
        self.inputs += bodies
        fn: Callable[[Body], Any] = Body.on_loop if self.is_async else Body.on_thread
        return self.runner.as_completed(fn, bodies, **options)

    def iterate(self, jobs: AsCompleted[int]) -> Any:
        """Take each job as it ends, until none is left or the runner has been closed."""
        try:
            for job in jobs:
                self._got(job)
        except RunnerClosed:
            self.refused += 1
        self.iterated += 1

    def take_one(self, jobs: AsCompleted[int]) -> Any:
        """Take one job, if there is one, and never come back."""
        for job in jobs:
            self._got(job)
            return

    def _got(self, job: Job[int]) -> None:
        assert job.done(), f"{job} was yielded before its end"
        assert job not in self.bodies, f"{job} was yielded twice"
        self.bodies[job] = job.args[0]

    def some(self, number: int) -> list[Job[int]]:
        """One job, or none: those submitted last have the lowest numbers."""
        return [*self.bodies][::-1][number : number + 1]

    def report(self, *jobs: Job[int]) -> None:
        for job in jobs:
            job.report(0.5)

    def call_back(self, *jobs: Job[int]) -> None:
        for job in jobs:
            self.to_be_called.append(job)
            job.add_done_callback(self.called.append)

    def in_sequence(self, calls: list[Callable[[], Any]]) -> Any:
        """Make calls one after the other."""
        for call in calls:
            call()

    def hold(self) -> Job[int]:
        """Submit a job that is held, and let all come to rest."""
        job = self.submit(is_held=True)
        self.settle()
        return job

    def open(self, *jobs: Job[int]) -> None:
        """Let jobs go on."""
        for body in [self.bodies[job] for job in jobs] or [*self.bodies.values(), *self.inputs]:
            body.open()

    def open_after(self, seconds: float, job: Job[int]) -> Any:
        """Let a job go on, but not at once."""
        self.baton.new_event().wait(seconds)
        self.open(job)

    def set_limit(self, limit: int) -> None:
        self.highest = max(self.highest, limit)
        self.runner.limit = limit

    def together(self, *calls: Callable[[], object], time_passes: bool = False) -> None:
        """Make calls in every order. On a loop they may return what is to be awaited."""
        self.baton.together(*calls, time_passes=time_passes)

    def settle(self) -> None:
        """Let all come to rest."""
        self.baton.settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in every order of what happens then."""
        with self.baton.explored(time_passes=False):
            self.baton.advance(seconds)

    def wait_for(self, *jobs: Job[int]) -> Any:
        """Wait for jobs, as a caller does."""
        for job in jobs:
            with _what_comes_of(job):
                assert job.result() == 1

    def end(self) -> None:
        """Let all go on, close, and check what must hold after every scene."""
        self.lets_all_go = True
        self.open()
        self.settle()
        while " paused " in repr(self.runner):  # maybe again, by one who had waited
            self.runner.resume()
            self.settle()
        if " closed " not in repr(self.runner) and not self.staggers:  # that would take time
            self.lets_all_go = False
            self._all_slots_are_there()
        while " closed " not in repr(self.runner):  # maybe opened anew, by one who had waited
            self.close()
            self.baton.settle()
        self.close()
        self.baton.settle()
        assert self.most <= self.highest, f"{self.most} ran at once"
        assert self.active == 0
        assert Counter(self.called) == Counter(self.to_be_called)
        for job, body in self.bodies.items():
            self._has_ended_once(job, body)
        told = {event.job_id for event in self.heard}
        for job_id in told:
            self._was_told_in_order([event for event in self.heard if event.job_id == job_id])
        ends = Counter(job.status for job in self.bodies)
        ends[JobStatus.REJECTED] = self.refused
        seen = self.runner.snapshot()
        if self.knows_all:
            assert {s: getattr(seen, s.value) for s in FINAL} == {s: ends[s] for s in FINAL}
        assert repr(self.runner).endswith("running=0 pending=0>")
        assert self.runner.listener_errors == 0

    def close(self) -> None:
        self.runner.shutdown()

    def close_and_wait(self) -> Any:
        """Close; all that was accepted must have ended then."""
        self.runner.shutdown()
        assert all(job.done() for job in self.bodies), "not all have ended"

    def _all_slots_are_there(self) -> None:
        jobs = [self.submit(is_held=True) for _ in range(self.runner.limit)]
        self.settle()
        assert self.active == self.runner.limit, "a slot is lost"
        self.open(*jobs)
        self.settle()
        assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * len(jobs)

    def _has_ended_once(self, job: Job[int], body: Body) -> None:
        status = job.status
        assert job.done(), f"{job} never ended"
        assert status.is_final
        assert body.began == body.ended <= 1
        assert job.cancelled() == (status is JobStatus.CANCELLED)
        if status is JobStatus.SUCCEEDED:
            assert body.ended == job.result() == 1
        if status is JobStatus.CANCELLED and not self.is_async:
            assert body.began == 0, "it was cancelled, and ran"
        if self.hearing != "nobody":
            heard = [event.status for event in self.heard if event.job_id == job.id]
            assert heard[-1:] == [status], f"{job} is {status}, and heard was {heard}"

    def _was_told_in_order(self, events: list[JobEvent]) -> None:
        before = None
        for event in events:
            assert event.previous is before, f"heard {events}"
            if event.status is not before:  # else it is progress
                assert event.status in STEPS[before], f"heard {events}"
            before = event.status
        assert before is not None
        assert before.is_final, f"heard {events}"


class PrivateLoop(Stage):
    """One whose async jobs run on the private loop, and are played with by other threads."""

    is_async = True


LATEST = 12
"""By so many turns, less one, what happens on a loop may be late with one deviation."""


class HomeLoop(Stage):
    """One whose async jobs, and all that happens, are steps on one loop."""

    is_async = True

    def __init__(self, baton: Baton, limit: int = 1, hearing: str = "sync", **options: Any) -> None:
        super().__init__(baton, limit, hearing, **options)
        self._steps: list[asyncio.Task[Any]] = []
        self.loop: Any = baton.new_event_loop()
        self.loop.run_until_complete(self.runner.__aenter__())

    def together(self, *calls: Callable[[], object], time_passes: bool = False) -> None:
        async def begin() -> list[asyncio.Task[Any]]:
            return [asyncio.create_task(self._as_step(call)) for call in calls]

        with self.baton.explored(time_passes=time_passes):
            self._steps += self.loop.run_until_complete(begin())
            self.settle()

    def submit(self, *, is_held: bool = False) -> Job[int]:
        submit = partial(super().submit, is_held=is_held)
        if self.loop.is_running():
            return submit()

        async def as_step() -> Job[int]:
            return submit()

        job: Job[int] = self.loop.run_until_complete(as_step())
        return job

    def in_sequence(self, calls: list[Callable[[], Any]]) -> Any:
        async def make() -> None:
            for call in calls:
                value = call()
                if asyncio.iscoroutine(value):
                    await value
                await asyncio.sleep(0)

        return make()

    async def _as_step(self, call: Callable[[], object]) -> None:
        for _ in range(self.baton.choose(LATEST)):
            await asyncio.sleep(0)
        value = call()
        if asyncio.iscoroutine(value):
            await value

    def settle(self) -> None:
        self.loop.run_until_complete(self.loop.idle())
        self.baton.settle()

    def pass_time(self, seconds: float) -> None:
        with self.baton.explored(time_passes=False):
            self.loop.run_until_complete(asyncio.sleep(seconds))
            self.settle()

    def open_after(self, seconds: float, job: Job[int]) -> Any:
        async def open_it() -> None:
            await asyncio.sleep(seconds)
            self.open(job)

        return open_it()

    def wait_for(self, *jobs: Job[int]) -> Any:
        async def wait() -> None:
            for job in jobs:
                with _what_comes_of(job):
                    assert await job == 1

        return wait()

    def iterate(self, jobs: AsCompleted[int]) -> Any:
        async def take() -> None:
            try:
                async for job in jobs:
                    self._got(job)
            except RunnerClosed:
                self.refused += 1
            self.iterated += 1

        return take()

    def take_one(self, jobs: AsCompleted[int]) -> Any:
        async def take() -> None:
            async for job in jobs:
                self._got(job)
                return

        return take()

    def close_and_wait(self) -> Any:
        async def close() -> None:
            await self.runner.aclose()
            assert all(job.done() for job in self.bodies), "not all have ended"

        return close()

    def close(self) -> None:
        self.loop.run_until_complete(self.runner.aclose())
        self.loop.run_until_complete(self.loop.idle())

    def end(self) -> None:
        super().end()
        for step in self._steps:
            step.result()
        self.loop.close()


STAGES = {"threads": Stage, "private_loop": PrivateLoop, "home_loop": HomeLoop}
