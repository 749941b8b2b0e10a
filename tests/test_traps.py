"""The traps that others fell into: which test keeps this library out of each, and a few more.

Most rules have their tests where the rule is tested; `TRAPS` says where. Here are those that
belong nowhere else.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, Job, JobEvent, JobStatus
from tests.gates import TIMEOUT, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = "test_traps"

TRAPS: dict[str, list[tuple[str, str]]] = {
    "1. a token lost when a waiter is cancelled, or released twice when a hook raises": [
        ("test_overflow", "test_a_ctrl_c_while_submit_waits_loses_no_room"),
        ("test_overflow", "test_a_ctrl_c_while_submit_waits_lets_the_next_one_in"),
        ("test_interrupted_anywhere", "test_submitting_and_waiting_for_room_that_comes"),
        (HERE, "test_hooks_that_raise_free_a_slot_exactly_once"),
        (HERE, "test_awaiters_that_give_up_take_no_slot_with_them"),
    ],
    "2. Future.cancel() alone leaves concurrent.futures.wait hanging": [
        ("test_cancelling", "test_cancelling_wakes_who_waits_with_concurrent_futures"),
    ],
    "3. the race of cancel against start": [
        ("test_cancelling", "test_a_job_never_both_runs_and_is_cancelled"),
        ("test_cancelling", "test_an_async_job_never_both_runs_and_is_cancelled"),
    ],
    "4. a done-callback that raises SystemExit kills the worker": [
        (HERE, "test_a_callback_that_raises_system_exit_does_not_kill_the_only_worker"),
        ("test_future", "test_a_callback_that_raises_whatever_it_is_harms_nobody"),
    ],
    "5. queued work runs in the first submitter's context": [
        ("test_context", "test_each_job_has_its_own_context_and_not_the_first_submitters"),
    ],
    "6. a job spawned into a full queue from inside a job deadlocks": [
        (
            "test_overflow",
            "test_inside_the_body_of_a_job_a_full_runner_refuses_there_and_then",
        ),
        ("test_map", "test_inside_a_job_it_yields_all_though_room_is_short"),
    ],
    "7. close drops queued jobs; daemon threads lose jobs at exit; others block exit": [
        ("test_closing", "test_shutdown_waits_for_what_runs_and_what_is_pending"),
        (HERE, "test_no_way_of_closing_drops_a_job_without_a_word"),
        ("test_exit", "test_pending_jobs_run_when_the_interpreter_exits"),
        ("test_exit", "test_a_process_that_has_passed_its_deadline_can_exit"),
    ],
    "8. threads can't be started at exit; concurrent.futures.thread can't be imported late": [
        ("test_exit", "test_async_listeners_that_are_first_needed_at_exit_hear"),
        (
            "test_exit",
            "test_boundedjobs_can_be_imported_and_used_for_the_first_time_in_an_atexit_handler",
        ),
        (
            "test_faults",
            "test_a_job_whose_thread_the_system_refuses_is_interrupted_and_the_next_one_runs",
        ),
    ],
    "9. a stopped loop's future stays pending; a closed loop leaks the coroutine": [
        ("test_exit", "test_jobs_of_a_loop_that_nobody_runs_any_more_are_interrupted_at_exit"),
        (
            "test_loops",
            "test_an_awaitable_that_had_no_time_to_start_when_its_loop_ended_is_not_left_unawaited",
        ),
    ],
    "10. tasks that nobody references are collected in mid-flight": [
        ("test_loops", "test_running_tasks_survive_a_garbage_collection"),
        ("test_loops", "test_running_tasks_of_a_dropped_runner_survive_a_garbage_collection"),
    ],
    "11. one context entered twice raises; a shared one leaks values": [
        ("test_context", "test_jobs_of_one_context_do_not_share_a_copy"),
        (HERE, "test_a_context_is_never_entered_twice"),
    ],
    "12. tracebacks pin every local; cycles of frames, and of jobs with their contexts": [
        ("test_failing_jobs", "test_the_record_keeps_no_exception_and_so_no_frames"),
        ("test_future", "test_a_job_whose_result_has_raised_is_freed_without_the_collector"),
        ("test_memory", "test_two_thousand_jobs_leave_memory_as_it_was"),
        ("test_references", "test_all_of_a_job_that_has_ended_goes_with_its_handle"),
        (
            "test_references",
            "test_a_body_that_holds_its_own_job_makes_no_cycle_once_it_has_ended",
        ),
    ],
    "13. __del__ runs inside the lock and submits": [
        ("test_signals", "test_a_job_submitted_by_a_del_that_the_garbage_collector_calls_runs"),
        ("test_signals", "test_a_callable_whose_del_submits_may_be_dropped_by_the_runner"),
    ],
    "14. waiters wake before callbacks have run": [
        ("test_listeners", "test_the_final_status_is_heard_before_anyone_who_waits_goes_on"),
        (HERE, "test_the_row_that_a_listener_writes_is_there_for_every_kind_of_waiter"),
    ],
    "15. a callback that blocks on another job; a Ctrl-C between slot and body": [
        (
            "test_deadlocks",
            "test_a_callback_that_waits_for_a_job_that_only_its_thread_could_run_is_told_so",
        ),
        (
            "test_deadlocks",
            "test_a_listener_that_waits_for_a_pending_job_with_its_own_jobs_slot_is_told_so",
        ),
        ("test_interrupted_anywhere", "test_submitting_to_an_idle_runner"),
    ],
    "16. except Exception misses what is no Exception": [
        ("test_failing_jobs", "test_whatever_a_body_raises_fails_the_job_and_is_logged_once"),
        ("test_shapes", "test_an_exception_of_any_shape_is_captured_in_full"),
        ("test_loops", "test_no_exception_of_a_coroutine_stops_its_loop"),
        (HERE, "test_a_listener_that_raises_what_is_no_exception_changes_nothing"),
    ],
}


def test_each_trap_has_its_tests() -> None:
    missing = []
    for trap, tests in TRAPS.items():
        for module, name in tests:
            # Not by `ast`: a traceback that is formatted meanwhile breaks it (CPython #106905).
            text = (Path(__file__).parent / f"{module}.py").read_text("utf-8")
            if f"\ndef {name}(" not in text:
                missing.append(f"{trap}: {module}.{name}")
    assert missing == []
    assert [int(trap.partition(".")[0]) for trap in TRAPS] == list(range(1, 17))


class Counter:
    """How many bodies run at once, and how many at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, barrier: Barrier) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        barrier.wait(TIMEOUT)
        with self._lock:
            self._now -= 1


def test_hooks_that_raise_free_a_slot_exactly_once() -> None:
    """Trap 1: too few slots is a defect as well as too many."""

    def raises(*_: object) -> None:
        raise KeyError("hook")

    limit = 3
    running = Counter()
    with BoundedRunner(limit, on_status=[raises, raises], on_progress=raises) as runner:
        for _ in range(5):
            runner.submit(len, "abc").add_done_callback(raises)
            runner.submit(raises).add_done_callback(raises)
        meet = Barrier(limit)
        jobs = [runner.submit(running, meet) for _ in range(5 * limit)]
        for job in jobs:
            job.result(TIMEOUT)
        assert runner.listener_errors == 2 * 3 * (10 + 5 * limit)
    assert running.most == limit


def test_awaiters_that_give_up_take_no_slot_with_them() -> None:
    """Trap 1: a permit lost to a waiter that was cancelled or timed out."""
    limit = 2
    running = Counter()

    async def main() -> None:
        gate = Gate()
        async with BoundedRunner(limit) as runner:
            jobs = [runner.submit(gate) for _ in range(6)]

            async def wait(job: Job[Any]) -> None:
                await job

            waiting = [asyncio.create_task(wait(job)) for job in jobs]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            gate.open()  # at once with the cancelling
            await asyncio.gather(*waiting, return_exceptions=True)
            meet = Barrier(limit)
            for job in [runner.submit(running, meet) for _ in range(2 * limit)]:
                await job

    asyncio.run(main())
    assert running.most == limit


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_callback_that_raises_system_exit_does_not_kill_the_only_worker(
    error: type[BaseException],
) -> None:
    """Trap 4."""
    gate, called = Gate(), Event()

    def call_back(_: object) -> None:
        called.set()
        raise error

    with BoundedRunner(1) as runner:
        runner.submit(gate).add_done_callback(call_back)
        gate.open()
        assert called.wait(TIMEOUT)
        assert runner.submit(len, "abc").result(TIMEOUT) == 3


CLOSINGS: list[Callable[[BoundedRunner], object]] = [
    lambda runner: runner.shutdown(),
    lambda runner: runner.shutdown(wait=False),
    lambda runner: runner.shutdown(cancel_futures=True),
    lambda runner: runner.shutdown(timeout=0),
    lambda runner: runner.shutdown(wait=False, timeout=0),
    lambda runner: asyncio.run(runner.aclose(timeout=0)),
    lambda runner: asyncio.run(runner.aclose(cancel_futures=True)),
]


def test_no_way_of_closing_drops_a_job_without_a_word() -> None:
    """Trap 7: each job is heard to its end, whatever it is."""
    for close in CLOSINGS:
        gate, heard = Gate(), Heard()
        runner = BoundedRunner(1, on_status=heard)
        jobs = [runner.submit(gate) for _ in range(4)]
        gate.wait_for()
        threading.Thread(target=gate.open).start()
        close(runner)
        runner.shutdown()
        of_job = {job.id: [e.status for e in heard.events if e.job_id == job.id] for job in jobs}
        for job in jobs:
            assert of_job[job.id][-1] is job.status
            assert [status.is_final for status in of_job[job.id]].count(True) == 1


def test_a_context_is_never_entered_twice() -> None:
    """Trap 11: by listeners, callbacks, body and task, on whatever thread they come."""
    problems: list[object] = []

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.RUNNING and event.name == "first":
            inner.append(runner.submit(lambda: body()))

    async def body() -> str:
        await asyncio.sleep(0)
        return "ran"

    inner: list[Job[str]] = []
    with BoundedRunner(2, on_status=listener) as runner:
        for _ in range(20):
            job = runner.wrap(lambda: body(), name="first")()
            job.add_done_callback(lambda done: problems.append(done.exception(0)))
            waits = runner.submit(body)
            waits.add_done_callback(lambda done: None)
            waits.cancel()
            assert job.result(TIMEOUT) == "ran"
        for each in inner:
            assert each.result(TIMEOUT) == "ran"
    assert runner.listener_errors == 0
    assert set(problems) == {None}


def test_the_row_that_a_listener_writes_is_there_for_every_kind_of_waiter() -> None:
    """Trap 14."""
    row: dict[str, str] = {}

    def record(event: JobEvent) -> None:
        row[event.job_id] = event.status.value

    async def arecord(event: JobEvent) -> None:
        await asyncio.sleep(0)
        row["async " + event.job_id] = event.status.value

    async def body() -> None: ...

    async def main() -> None:
        async with BoundedRunner(1, on_status=[record, arecord]) as runner:
            for fn in (int, body):
                for wait in (_await, _wrap, _in_thread):
                    job: Job[Any] = runner.submit(fn)
                    await wait(job)
                    assert row[job.id] == row["async " + job.id] == "succeeded"

    async def _await(job: Job[Any]) -> None:
        await job

    async def _wrap(job: Job[Any]) -> None:
        await asyncio.wrap_future(job)

    async def _in_thread(job: Job[Any]) -> None:
        await asyncio.to_thread(job.result, TIMEOUT)

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_listener_that_raises_what_is_no_exception_changes_nothing(is_async: bool) -> None:
    """Trap 16."""
    errors = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration]

    def listener(event: JobEvent) -> None:
        raise errors[len(heard.events) % len(errors)]

    async def alistener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        listener(event)

    heard = Heard()
    chosen: Callable[[JobEvent], object] = alistener if is_async else listener
    with BoundedRunner(1, on_status=[heard, chosen]) as runner:
        for n in range(10):
            assert runner.submit(len, "a" * n).result(TIMEOUT) == n
        assert runner.listener_errors == 30
    assert heard.statuses() == ["pending", "running", "succeeded"] * 10
