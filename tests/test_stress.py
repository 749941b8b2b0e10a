"""Everything at once, at random: whatever comes together, no job is lost and none is told twice.

Several threads and event loops submit, cancel, set the limit and pause, and somebody closes the
runner meanwhile. Nothing here waits for an order of events: it is for the threads to make one, and
without the GIL they make more of them. A run that fails says its seed; the orders are not repeated
with it, but the mix is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from concurrent.futures import Future, wait
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobStatus,
    RunnerClosed,
    RunnerFull,
    current_job,
)
from boundedjobs._status import STEPS
from tests.gates import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from boundedjobs import JobEvent

LIMITS = (1, 2, 3, 4)
REPORTED = (JobStatus.RUNNING, JobStatus.RUNNING)
PATIENCE = 3 * TIMEOUT  # a busy machine takes long over what is done without a pause


class Meter:
    """How many bodies are within, and were at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.within = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.within += 1
            self.most = max(self.most, self.within)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.within -= 1


class Refused(Exception):
    """What some bodies and listeners raise."""


class Mix:
    """One runner, what is done with it, and what was heard of that."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random = Random(seed)
        self.size = size
        self.meter = Meter()
        self.heard: dict[str, list[tuple[str, JobStatus | None, JobStatus]]] = {
            name: [] for name in ("runner", "sync", "async")
        }
        self.jobs: list[Job[Any]] = []
        self.listens: dict[str, str] = {}  # which listener of its own a job has, by its id
        self.called_back: list[str] = []
        self.raised = 0  # by sync listeners: so many errors the runner is to have counted
        self._lock = threading.Lock()
        self.limit = random.choice(LIMITS)
        self.sets_limit = random.random() < 0.5
        self.runner = BoundedRunner(
            self.limit,
            max_pending=random.choice([None, 0, 3, 100]),
            when_full=random.choice(["reject", "wait"]),
            on_status=self.listener("runner"),
            on_progress=self.listener("runner"),
            history=10,
        )

    def listener(self, name: str) -> Callable[[JobEvent], None]:
        heard = self.heard[name]

        def listen(event: JobEvent) -> None:
            heard.append((event.job_id, event.previous, event.status))
            if name == "sync" and event.previous is JobStatus.PENDING:
                with self._lock:
                    self.raised += 1
                raise Refused

        return listen

    # Bodies.

    def quick(self) -> str:
        with self.meter:
            return "quick"

    def fails(self) -> None:
        with self.meter:
            raise Refused

    def stops(self) -> None:
        with self.meter:
            for _ in range(50):
                current_job().check_cancelled()
                current_job().report(0.5)
                os.sched_yield()

    def hands_on(self) -> Job[Any]:
        with self.meter:
            return self.submit(self.quick, None)

    async def waits(self) -> None:
        with self.meter:
            for _ in range(5):
                await asyncio.sleep(0)

    async def fails_late(self) -> None:
        with self.meter:
            await asyncio.sleep(0)
            raise Refused

    def looks_sync(self) -> Any:
        return self.waits()

    # Producers.

    def submit(self, body: Callable[[], Any], listens: str | None) -> Job[Any]:
        listeners: list[Any] = []
        if listens is not None:
            listeners.append(self.listener(listens))
        if listens == "async":
            listen = listeners.pop()

            async def listen_async(event: JobEvent) -> None:
                await asyncio.sleep(0)
                listen(event)

            listeners.append(listen_async)
        try:
            job: Any = self.runner.wrap(body, on_status=listeners, on_progress=listeners)()
        except (RunnerFull, RunnerClosed) as exc:
            job = exc.job
        job.add_done_callback(self.call_back)
        if listens is not None:
            self.listens[job.id] = listens
        self.jobs.append(job)
        return job  # type: ignore[no-any-return]

    def call_back(self, job: Future[Any]) -> None:
        assert isinstance(job, Job)
        self.called_back.append(job.id)

    def step(self, random: Random) -> None:
        """One of the things that are done with a runner."""
        choice = random.random()
        if choice < 0.8 or not self.jobs:
            sync: list[Any] = [self.quick, self.fails, self.stops, self.hands_on]
            body = random.choice([*sync, self.waits, self.fails_late, self.looks_sync])
            self.submit(body, random.choice([None, None, "sync", "async"]))
        elif choice < 0.95:
            random.choice(self.jobs[-20:]).cancel()
        elif choice < 0.97:
            self.runner.pause()
            os.sched_yield()
            self.runner.resume()
        elif self.sets_limit:
            self.runner.limit = random.choice(LIMITS)

    def produce(self, seed: int) -> None:
        random = Random(seed)
        for _ in range(self.size):
            self.step(random)

    def produce_on_a_loop(self, seed: int) -> None:
        random = Random(seed)

        async def main() -> None:
            for _ in range(self.size):
                self.step(random)
                if random.random() < 0.1:
                    await asyncio.sleep(0)
                if random.random() < 0.05 and self.jobs:
                    await asyncio.wait([asyncio.wrap_future(random.choice(self.jobs))])
            # The loop is there until its jobs have ended.
            await asyncio.to_thread(wait, self.jobs[:], PATIENCE)

        asyncio.run(main())

    def watch(self, seed: int) -> None:
        """Look on, and wait for some."""
        random = Random(seed)
        for _ in range(self.size):
            repr(self.runner)
            snapshot = self.runner.snapshot()
            assert snapshot.running <= max(LIMITS)
            if self.jobs:
                job = random.choice(self.jobs)
                for recent in self.jobs[-5:]:
                    recent.report(random.random())
                with suppress(Refused, JobCancelled, RunnerFull, RunnerClosed):
                    job.result(PATIENCE)
                assert job.done()

    # All of it.

    def run(self) -> None:
        problems: list[BaseException] = []

        def kept(fn: Callable[[int], None], seed: int) -> None:
            try:
                fn(seed)
            except BaseException as exc:
                problems.append(exc)

        work = [self.produce, self.produce, self.produce_on_a_loop, self.watch]
        seeds = [self.random.getrandbits(32) for _ in work]
        threads = [
            threading.Thread(target=kept, args=each) for each in zip(work, seeds, strict=True)
        ]
        closes_early = self.random.random() < 0.3
        for thread in threads:
            thread.start()
        if closes_early:
            while len(self.jobs) < self.size:
                os.sched_yield()
            self.runner.shutdown(cancel_futures=self.random.random() < 0.5)
        for thread in threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive(), f"{thread!r} hangs: {self.runner!r}"
        self.runner.shutdown()
        assert problems == []

    def check(self) -> None:
        not_done = wait(self.jobs, 0).not_done
        assert not not_done
        assert self.meter.most <= (max(LIMITS) if self.sets_limit else self.limit)
        ended = Counter(job.status for job in self.jobs)
        assert set(ended) <= {s for s in JobStatus if s.is_final}
        snapshot = self.runner.snapshot()
        assert (snapshot.running, snapshot.pending, snapshot.overdue) == (0, 0, 0)
        for status in ended:
            assert getattr(snapshot, status.value) == ended[status]
        assert Counter(self.called_back) == Counter(job.id for job in self.jobs)
        paths = {name: self.paths(name) for name in self.heard}
        for job in self.jobs:
            path = paths["runner"].pop(job.id)
            assert [previous for previous, _ in path] == [None, *(s for _, s in path[:-1])]
            steps = [step for step in path if step != REPORTED]
            assert all(status in STEPS[previous] for previous, status in steps)
            assert path[-1][1] is job.status
            listens = self.listens.get(job.id)
            if listens is not None:
                assert paths[listens].pop(job.id) == path
        assert paths == {"runner": {}, "sync": {}, "async": {}}
        assert self.runner.listener_errors == self.raised
        # As many as the limit meet: no slot is lost.
        with self.runner as runner:
            runner.limit = limit = max(LIMITS)
            barrier = threading.Barrier(limit)
            for job in [runner.submit(barrier.wait, TIMEOUT) for _ in range(limit)]:
                job.result(TIMEOUT)

    def paths(self, name: str) -> dict[str, list[tuple[JobStatus | None, JobStatus]]]:
        paths: dict[str, list[tuple[JobStatus | None, JobStatus]]] = {}
        for job_id, previous, status in self.heard[name]:
            paths.setdefault(job_id, []).append((previous, status))
        return paths


SOME = [pytest.param(seed, 60, id=f"{seed}") for seed in range(8)]
MANY = [
    pytest.param(seed, 1000, id=f"{seed}-in_full", marks=pytest.mark.proof)
    for seed in range(100, 140)
]


@pytest.mark.parametrize(("seed", "size"), SOME + MANY)
def test_whatever_comes_together_no_job_is_lost_and_none_is_told_twice(
    seed: int, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="boundedjobs")  # thousands fail, as they are to
    mix = Mix(seed, size)
    mix.run()
    mix.check()
