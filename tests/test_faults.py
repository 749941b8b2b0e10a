"""What goes wrong around a runner: memory, the system's threads, the clock.

Signals, exits, forks, and loops that go away have files of their own: `test_signals`, `test_exit`,
`test_fork`, `test_loops`; a stack that ends is in `test_interrupted_anywhere`.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from datetime import UTC, datetime
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, JobEvent, JobStatus, JobTimeout
from tests.clock import FakeClock
from tests.gates import TIMEOUT, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Callable

ENDS_WELL = ["pending", "running", "succeeded"]


# Memory.


def too_much(_: object = None) -> None:
    bytearray(1 << 62)


async def too_much_async(_: object = None) -> None:
    await asyncio.sleep(0)
    too_much()


KINDS = pytest.mark.parametrize("fn", [too_much, too_much_async], ids=["sync", "async"])


@KINDS
def test_a_body_for_which_there_is_not_enough_memory_fails_and_the_next_one_runs(
    fn: Callable[..., Any],
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        failed = runner.submit(fn)
        assert isinstance(failed.exception(TIMEOUT), MemoryError)
        assert failed.failure is not None
        assert failed.failure.location.endswith(" in too_much")
        assert runner.submit(int).result(TIMEOUT) == 0
    assert heard.statuses() == ["pending", "running", "failed", *ENDS_WELL]


@KINDS
def test_a_listener_for_which_there_is_not_enough_memory_is_counted_and_changes_nothing(
    fn: Callable[..., Any],
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=[fn, heard]) as runner:
        assert runner.submit(int).result(TIMEOUT) == 0
        assert runner.listener_errors == 3
    assert heard.statuses() == ENDS_WELL


# Threads. A process of its own, in which the system has no memory for the stack of another.


@pytest.mark.skipif(sys.platform != "linux", reason="its limits are counted in another way here")
@pytest.mark.parametrize("fn", ["int", "double"], ids=["sync", "async"])
def test_a_job_whose_thread_the_system_refuses_is_interrupted_and_the_next_one_runs(
    fn: str,
) -> None:
    script = """
        import asyncio, logging, resource, sys, threading
        from boundedjobs import BoundedRunner

        async def double(number=0):
            return 2 * number

        def room_for_threads(is_there):
            now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            most = resource.RLIM_INFINITY if is_there else now + (1 << 27)
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

        logging.getLogger("boundedjobs").disabled = True
        heard = []
        runner = BoundedRunner(2, on_status=lambda event: heard.append(event.status.value))
        threading.stack_size(1 << 28)
        room_for_threads(False)
        job = runner.submit(FN)
        assert job.done()
        print(job.failure.phase, job.failure.message)
        room_for_threads(True)
        print(runner.submit(FN).result(10))
        runner.shutdown()
        print(*heard)
        print([thread.name for thread in threading.enumerate()])
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script).replace("FN", fn)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "start the job could not be started: can't start new thread",
        "0",
        "pending interrupted pending running succeeded",
        "['MainThread']",
    ]


# The clock of the wall, which is set anew now and then.


class Wall:
    """Tells a time that is another day whenever it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[float] = []
        self._days = itertools.cycle([20_000, 7, 19_000, 40_000])
        for name, module in list(sys.modules.items()):
            if name.startswith("boundedjobs.") and getattr(module, "time", None):
                monkeypatch.setattr(module, "time", self)

    def __call__(self) -> float:
        self.told.append(next(self._days) * 86_400.0)
        return self.told[-1]


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def test_a_wall_clock_that_jumps_changes_the_moments_that_are_told_and_nothing_else(
    wall: Wall,
) -> None:
    async def coroutine() -> int:
        return 0

    heard = Heard()
    options: dict[str, Any] = {"timeout": 60, "drain_timeout": 60, "stagger": 0.001}
    with BoundedRunner(1, on_status=heard, on_progress=heard, **options) as runner:
        jobs = [runner.submit(fn) for fn in (int, coroutine, int, coroutine)]
        for job in jobs:
            assert job.result(TIMEOUT) == 0
            assert 0 <= job.waited < TIMEOUT
            assert job.ran is not None
            assert 0 <= job.ran < TIMEOUT
    told = {datetime.fromtimestamp(moment, UTC) for moment in wall.told}
    assert {job.submitted_at for job in jobs} | {event.at for event in heard.events} <= told
    assert len(told) == 4
    for job in jobs:
        of_job: list[JobEvent] = [each for each in heard.events if each.job_id == job.id]
        assert [event.status.value for event in of_job] == ENDS_WELL
        assert all(0 <= event.waited < TIMEOUT for event in of_job)


def test_the_time_of_a_body_is_up_by_the_monotonic_clock_whatever_the_wall_says(
    wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, gate, heard = FakeClock(monkeypatch), Gate(), Heard()
    with BoundedRunner(1, timeout=5, on_status=heard) as runner:
        job = runner.submit(gate)
        gate.wait_for()
        clock.advance(4.9)
        assert job.status is JobStatus.RUNNING
        clock.advance(0.2)
        assert isinstance(job.exception(TIMEOUT), JobTimeout)
        gate.open()
    assert heard.statuses() == ["pending", "running", "failed"]
    assert len(wall.told) > 2
