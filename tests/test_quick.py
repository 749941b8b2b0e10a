"""What is done for each job leaves the lock before it calls anything.

CPython may switch threads at each call. A thread that is switched away from while it holds the
lock makes the others wait for it, and from then on they wait for each other at every step.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from boundedjobs import BoundedRunner, JobEvent
from tests.gates import TIMEOUT, Gate

HARMLESS = {"__exit__", "len"}  # the way out of the lock; and no instruction looks at threads in it


class Watch:
    """Notes what is called, on any thread, while that thread holds the lock of a runner."""

    def __init__(self) -> None:
        self.is_on = False
        self.holds_lock: Callable[[], bool] = bool
        self.calls: set[str] = set()

    def see(self, frame: FrameType, event: str, arg: Any) -> None:
        if self.is_on and event in ("call", "c_call") and self.holds_lock():
            name = frame.f_code.co_qualname if event == "call" else arg.__name__
            if name not in HARMLESS:
                self.calls.add(f"{name} in {frame.f_code.co_filename}:{frame.f_lineno}")


def heard(event: JobEvent) -> None:
    """A listener."""


@pytest.mark.parametrize("on_status", [None, heard])
@pytest.mark.parametrize("max_pending", [None, 1_000])
def test_nothing_is_called_under_the_lock_as_jobs_are_submitted_and_run(
    on_status: Callable[[JobEvent], None] | None, max_pending: int | None
) -> None:
    watch = Watch()
    before = sys.getprofile()
    threading.setprofile(watch.see)  # for the workers, which are still to be started
    try:
        with BoundedRunner(1, on_status=on_status, max_pending=max_pending) as runner:
            watch.holds_lock = getattr(runner, "_core").owns_lock  # noqa: B009
            gate = Gate()
            running = runner.submit(gate)
            gate.wait_for()
            sys.setprofile(watch.see)
            watch.is_on = True
            jobs = [runner.submit(len, "abc") for _ in range(20)]
            sys.setprofile(before)
            gate.open()
            assert [job.result(TIMEOUT) for job in jobs] == [3] * 20
            watch.is_on = False
            assert running.done()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    assert watch.calls == set()
