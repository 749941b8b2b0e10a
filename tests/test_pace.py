"""The limit, set while jobs run: more start at once, fewer let what runs go on. And pausing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import math
import os
import threading
import time
from functools import partial
from itertools import count
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, Job, JobDeadlock, JobStatus, RunnerFull, current_job
from tests.blocking import let_in, when_blocking
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Callable

PENDING, RUNNING, SUCCEEDED = JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUCCEEDED

HEARD = pytest.mark.parametrize("is_heard", [False, True], ids=["unheard", "heard"])


def open_runner(limit: int, is_heard: bool = False, **options: Any) -> BoundedRunner:
    """A runner that gives up what hangs when its test does."""
    on_status = Heard() if is_heard else None
    return BoundedRunner(limit, on_status=on_status, drain_timeout=TIMEOUT, **options)


def workers(runner: BoundedRunner) -> int:
    """How many threads a runner has."""
    return sum(t.name.startswith(f"{runner.name}-") for t in threading.enumerate())


def held(runner: BoundedRunner, gate: Gate | AsyncGate, count: int) -> list[Job[Any]]:
    """Jobs that run until the gate is opened, as they all do by now."""
    jobs = [runner.submit(gate) for _ in range(count)]
    gate.wait_for(count)
    return jobs


def statuses(jobs: list[Job[Any]]) -> list[JobStatus]:
    return [job.status for job in jobs]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody tells of."""
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline
        os.sched_yield()


# More.


@HEARD
@pytest.mark.parametrize("kind", [Gate, AsyncGate])
def test_a_higher_limit_starts_those_who_wait_longest_at_once(
    kind: type[Gate | AsyncGate], is_heard: bool
) -> None:
    gate = kind()
    with open_runner(1, is_heard) as runner:
        jobs = held(runner, gate, 1) + [runner.submit(gate) for _ in range(3)]
        runner.limit = 3
        assert runner.limit == 3
        gate.wait_for(2)
        assert statuses(jobs) == [RUNNING, RUNNING, RUNNING, PENDING]
        gate.open()
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()


def test_as_many_bodies_meet_as_the_higher_limit_allows() -> None:
    barrier = Barrier(5)
    with open_runner(1) as runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3
        runner.limit = 5
        jobs = [runner.submit(barrier.wait, TIMEOUT) for _ in range(10)]
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
        assert [job.failure for job in jobs] == [None] * 10


@HEARD
@pytest.mark.parametrize("max_pending", [0, 1])
def test_a_higher_limit_lets_in_who_waits_for_room(max_pending: int, is_heard: bool) -> None:
    gate = Gate()
    options: dict[str, Any] = {"max_pending": max_pending, "when_full": "wait"}
    with open_runner(1, is_heard, **options) as runner:
        held(runner, gate, 1)
        for _ in range(max_pending):
            runner.submit(gate)
        waits, returned = Event(), Event()

        def submit() -> None:
            with when_blocking(waits.set):
                runner.submit(gate)
            returned.set()

        thread = Thread(target=submit, daemon=True)
        thread.start()
        assert waits.wait(TIMEOUT)
        runner.limit = 2
        assert returned.wait(TIMEOUT), "submit() still waits for room"
        gate.wait_for()
        gate.open()
        thread.join(TIMEOUT)


def test_a_job_that_waits_for_a_worker_in_a_callback_has_one_of_its_own_then() -> None:
    gate = Gate()
    with open_runner(1) as runner:
        busy = runner.submit(lambda: current_job().add_done_callback(gate))
        gate.wait_for()
        behind = runner.submit(len, "abcd")
        assert busy.done()
        runner.limit = 2
        assert behind.result(TIMEOUT / 2) == 4  # long before the gate gives up
        gate.open()


def test_a_job_that_is_handed_in_as_the_limit_grows_starts() -> None:
    for number in count(1):
        gate = Gate()
        with open_runner(1) as runner:
            held(runner, gate, 1)
            with let_in(number, partial(runner.submit, gate)) as submitted:
                runner.limit = 2
            if submitted:
                submitted[0].result(TIMEOUT)
                gate.wait_for()
            gate.open()
        if not submitted:
            break
    assert number > 3


# Fewer.


@HEARD
@pytest.mark.parametrize("kind", [Gate, AsyncGate])
def test_a_lower_limit_lets_what_runs_go_on_and_starts_none_until_fewer_run(
    kind: type[Gate | AsyncGate], is_heard: bool
) -> None:
    gates = [kind() for _ in range(3)]
    with open_runner(3, is_heard) as runner:
        jobs = [job for gate in gates for job in held(runner, gate, 1)]
        last = kind()
        jobs += [runner.submit(last), runner.submit(last)]
        runner.limit = 1
        seen = []
        for gate, job in zip(gates, jobs, strict=False):
            seen.append(statuses(jobs))
            gate.open()
            job.result(TIMEOUT)
        last.wait_for()
        seen.append(statuses(jobs))
        last.open()
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
    assert seen == [
        [RUNNING, RUNNING, RUNNING, PENDING, PENDING],
        [SUCCEEDED, RUNNING, RUNNING, PENDING, PENDING],
        [SUCCEEDED, SUCCEEDED, RUNNING, PENDING, PENDING],
        [SUCCEEDED, SUCCEEDED, SUCCEEDED, RUNNING, PENDING],
    ]


def test_a_job_that_is_handed_in_as_the_limit_falls_takes_no_slot_above_it() -> None:
    for number in count(1):
        gate, jobs = Gate(), list[tuple[Job[Any], int]]()

        def submit(runner: BoundedRunner, gate: Gate, jobs: list[tuple[Job[Any], int]]) -> None:
            jobs.append((runner.submit(gate), runner.limit))

        with open_runner(3) as runner:
            barrier = Barrier(3)
            for job in [runner.submit(barrier.wait, TIMEOUT) for _ in range(3)]:
                job.result(TIMEOUT)  # the third worker idles from now on
            held(runner, gate, 2)
            with let_in(number, partial(submit, runner, gate, jobs)) as submitted:
                runner.limit = 2
            if submitted:
                submitted[0].result(TIMEOUT)
                job, limit = jobs[0]
                assert limit == 3 or job.status is PENDING, f"at call {number}"
            gate.open()
        if not submitted:
            break
    assert number > 3


def test_a_lower_limit_starts_no_thread_above_it() -> None:
    gate = Gate()
    with open_runner(2, name="fewer") as runner:
        runner.submit(lambda: current_job().add_done_callback(gate))
        gate.wait_for()
        before = workers(runner)
        runner.limit = 1
        job = runner.submit(len, "abc")
        assert workers(runner) == before
        gate.open()
        assert job.result(TIMEOUT) == 3


def test_a_limit_that_falls_and_grows_again_starts_no_more_than_it_says() -> None:
    gate = Gate()
    with open_runner(3) as runner:
        jobs = held(runner, gate, 3) + [runner.submit(gate) for _ in range(2)]
        runner.limit = 1
        runner.limit = 4
        gate.wait_for()
        assert statuses(jobs) == [RUNNING] * 4 + [PENDING]
        gate.open()


# What it can't be.


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, "limit must be at least 1, got 0"),
        (-3, ValueError, "limit must be at least 1, got -3"),
        (True, TypeError, "limit must be an int, got True"),
        (2.0, TypeError, "limit must be an int, got 2.0"),
        (math.nan, TypeError, "limit must be an int, got nan"),
        ("2", TypeError, "limit must be an int, got '2'"),
        (None, TypeError, "limit must be an int, got None"),
    ],
)
def test_a_bad_limit_is_an_error_and_changes_nothing(
    value: Any, error: type[Exception], message: str
) -> None:
    with open_runner(2) as runner:
        with pytest.raises(error) as caught:
            runner.limit = value
        assert str(caught.value) == message
        assert runner.limit == 2


# None, for a while.


@HEARD
@pytest.mark.parametrize("kind", [Gate, AsyncGate])
def test_a_paused_runner_starts_nothing_and_lets_what_runs_go_on(
    kind: type[Gate | AsyncGate], is_heard: bool
) -> None:
    gate, last = kind(), kind()
    with open_runner(2, is_heard) as runner:
        jobs = [*held(runner, gate, 2), runner.submit(last)]
        runner.pause()
        jobs.append(runner.submit(last))
        gate.open()
        assert concurrent.futures.wait(jobs[:2], TIMEOUT).not_done == set()
        jobs.append(runner.submit(last))  # there are free slots, and idle workers
        assert statuses(jobs) == [SUCCEEDED, SUCCEEDED, PENDING, PENDING, PENDING]
        runner.resume()
        last.wait_for(2)
        assert statuses(jobs) == [SUCCEEDED, SUCCEEDED, RUNNING, RUNNING, PENDING]
        last.open()
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()


def test_a_job_that_has_been_given_a_slot_and_not_begun_is_held_back_and_the_first_to_start() -> (
    None
):
    gate, order = Gate(), list[int]()
    with open_runner(2) as runner:
        for _ in range(2):
            runner.submit(lambda: current_job().add_done_callback(gate))
        gate.wait_for(2)  # both workers are in a callback: their slots are free
        jobs = [runner.submit(order.append, number) for number in range(2)]
        runner.pause()
        jobs.append(runner.submit(order.append, 2))
        runner.limit = 1
        gate.open()
        jobs += [runner.submit(order.append, number) for number in (3, 4)]
        until(lambda: "running=0" in repr(runner))
        assert statuses(jobs) == [PENDING] * 5
        runner.resume()
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
    assert order == [0, 1, 2, 3, 4]


async def _held_back_on_a_loop(runner: BoundedRunner, order: list[int]) -> None:
    async def body(number: int) -> None:
        order.append(number)

    async with runner:
        jobs = [runner.submit(body, number) for number in range(4)]
        runner.pause()  # the first three have their slots: they start when this task waits
        for _ in range(10):
            await asyncio.sleep(0)
        assert order == []
        runner.resume()
        for job in jobs:
            await job


def test_coroutines_that_were_held_back_start_in_their_order() -> None:
    order: list[int] = []
    asyncio.run(_held_back_on_a_loop(open_runner(3), order))
    assert order == [0, 1, 2, 3]


def test_a_paused_runner_shows_that_it_is() -> None:
    with open_runner(1) as runner:
        runner.pause()
        assert repr(runner) == "<BoundedRunner 'runner' paused limit=1 running=0 pending=0>"
        runner.resume()
        assert repr(runner) == "<BoundedRunner 'runner' open limit=1 running=0 pending=0>"


def test_a_paused_runner_takes_max_pending_jobs_and_no_more() -> None:
    with open_runner(2, max_pending=1) as runner:
        runner.pause()
        job = runner.submit(len, "abc")
        with pytest.raises(RunnerFull) as caught:
            runner.submit(len, "abc")
        runner.resume()
        assert job.result(TIMEOUT) == 3
    assert str(caught.value) == (
        "runner 'runner' is paused and full: 0 of limit 2 run and 1 of max_pending 1 wait; "
        "submit again later, or raise max_pending"
    )


def test_a_limit_that_is_set_while_paused_holds_when_it_is_resumed() -> None:
    barrier = Barrier(3)
    with open_runner(1) as runner:
        runner.pause()
        jobs = [runner.submit(barrier.wait, TIMEOUT) for _ in range(3)]
        runner.limit = 3
        assert statuses(jobs) == [PENDING] * 3
        runner.resume()
        assert concurrent.futures.wait(jobs, TIMEOUT).not_done == set()
        assert [job.failure for job in jobs] == [None] * 3


def test_a_job_that_waits_for_a_pending_one_of_a_paused_runner_is_let_be() -> None:
    with open_runner(2) as runner:
        outer = Outer(runner)
        until(outer.job.running)
        runner.pause()
        outer.go.set()
        assert outer.waits.wait(TIMEOUT)
        assert statuses(outer.inner) == [PENDING]
        runner.resume()
        assert outer.job.result(TIMEOUT) == 3


def test_pausing_and_resuming_again_and_again_changes_nothing_more() -> None:
    with open_runner(1) as runner:
        runner.resume()
        for _ in range(2):
            runner.pause()
            runner.pause()
            job = runner.submit(len, "abc")
            assert job.status is PENDING
            runner.resume()
            runner.resume()
            assert job.result(TIMEOUT) == 3


@pytest.mark.parametrize(
    "form", ["with", "shutdown", "shutdown without waiting", "aclose", "async with"]
)
def test_a_paused_runner_finishes_what_it_has_accepted_when_it_is_closed(form: str) -> None:
    runner = BoundedRunner(1)  # with a deadline there would always be one who drains

    async def close() -> None:
        if form == "aclose":
            await runner.aclose()
        else:
            async with runner:
                pass

    runner.pause()
    jobs = [runner.submit(len, "abc") for _ in range(2)]
    if form == "with":
        with runner:
            pass
    elif form == "shutdown":
        runner.shutdown()
    elif form == "shutdown without waiting":
        runner.shutdown(wait=False)
    else:
        asyncio.run(close())
    assert [job.result(TIMEOUT) for job in jobs] == [3, 3]


@pytest.mark.parametrize("form", ["with", "async with", "shutdown", "aclose"])
def test_closing_a_paused_runner_starts_nothing_of_what_it_cancels(form: str) -> None:
    heard = Heard()
    runner = BoundedRunner(3, on_status=heard)

    async def close() -> None:
        if form == "aclose":
            await runner.aclose(cancel_futures=True)
        else:
            with pytest.raises(ZeroDivisionError):
                async with runner:
                    raise ZeroDivisionError

    runner.pause()
    jobs = [runner.submit(len, "abc") for _ in range(3)]
    if form == "with":
        with pytest.raises(ZeroDivisionError), runner:
            raise ZeroDivisionError
    elif form == "shutdown":
        runner.shutdown(cancel_futures=True)
    else:
        asyncio.run(close())
    assert statuses(jobs) == [JobStatus.CANCELLED] * 3
    assert heard.statuses() == ["pending"] * 3 + ["cancelled"] * 3


def test_a_closing_that_must_not_be_waited_for_inside_a_job_resumes_all_the_same() -> None:
    runner = open_runner(2)
    later: list[Job[int]] = []

    def body() -> None:
        with pytest.raises(JobDeadlock), runner:
            runner.pause()
            later.append(runner.submit(len, "abc"))

    runner.submit(body).result(TIMEOUT)
    assert later[0].result(TIMEOUT) == 3


def test_a_closing_that_would_block_the_loop_it_needs_resumes_all_the_same() -> None:
    runner = open_runner(2)

    async def main() -> None:
        with pytest.raises(JobDeadlock), runner:
            runner.pause()
            job = runner.submit(asyncio.sleep, 0, "done")
        async with asyncio.timeout(TIMEOUT):
            assert await job == "done"

    asyncio.run(main())


def test_a_closed_runner_is_not_paused_and_one_that_is_opened_anew_is_open() -> None:
    runner = open_runner(1)
    gate = Gate()
    with runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(len, "abc")
        runner.shutdown(wait=False)
        runner.pause()
        gate.open()
        assert job.result(TIMEOUT) == 3
    runner.pause()
    with runner:
        assert runner.submit(len, "abc").result(TIMEOUT) == 3


def test_jobs_of_a_paused_runner_that_is_dropped_are_not_lost() -> None:
    runner = open_runner(1)
    runner.pause()
    runner.resume()
    runner.pause()
    ended = Event()
    runner.submit(ended.set)
    del runner
    gc.collect()
    assert ended.wait(TIMEOUT)


# Who waits for whom.


class Outer:
    """A job that waits for another one, which waits for a slot."""

    def __init__(self, runner: BoundedRunner) -> None:
        self.waits = Event()
        self.go = Event()
        self.inner: list[Job[Any]] = []
        self.job = runner.wrap(self.body, name="outer")(runner)

    def body(self, runner: BoundedRunner) -> object:
        assert self.go.wait(TIMEOUT)
        self.inner.append(runner.wrap(len, name="inner")("abc"))
        with when_blocking(self.waits.set):
            return self.inner[0].result()


def test_a_limit_with_which_a_wait_could_never_end_is_refused() -> None:
    gate = Gate()
    with open_runner(2) as runner:
        held(runner, gate, 1)
        outer = Outer(runner)
        outer.go.set()
        assert outer.waits.wait(TIMEOUT)
        with pytest.raises(JobDeadlock) as caught:
            runner.limit = 1
        assert runner.limit == 2
        gate.open()
        assert outer.job.result(TIMEOUT) == 3
    assert str(caught.value) == (
        "with a limit of 1, jobs of runner 'runner' would wait for ever: 'outer' waits for "
        "'inner'; set it when they have ended, or use another runner for the inner jobs"
    )


def test_a_lower_limit_with_which_a_wait_can_end_is_not_refused() -> None:
    gate = Gate()
    with open_runner(3) as runner:
        held(runner, gate, 2)
        outer = Outer(runner)
        outer.go.set()
        assert outer.waits.wait(TIMEOUT)
        runner.limit = 2
        gate.open()
        assert outer.job.result(TIMEOUT) == 3


def test_a_wait_that_can_never_end_since_the_limit_fell_is_refused() -> None:
    gate = Gate()
    with open_runner(2) as runner:
        outer = Outer(runner)
        held(runner, gate, 1)
        runner.limit = 1
        outer.go.set()
        assert isinstance(outer.job.exception(TIMEOUT), JobDeadlock)
        gate.open()


def test_a_wait_that_another_worker_will_end_is_let_be_after_the_limit_fell() -> None:
    first, second = Gate(), Gate()
    outcome: list[object] = []
    waits = Event()
    inner: list[Job[int]] = []

    def wait_for_inner(_: object) -> None:
        first()
        with when_blocking(waits.set):
            try:
                outcome.append(inner[0].result())
            except JobDeadlock as exc:
                outcome.append(exc)
                waits.set()

    with open_runner(2) as runner:
        runner.submit(lambda: current_job().add_done_callback(wait_for_inner))
        runner.submit(lambda: current_job().add_done_callback(second))
        first.wait_for()
        second.wait_for()
        runner.limit = 1
        inner.append(runner.submit(len, "abc"))
        first.open()
        assert waits.wait(TIMEOUT)
        second.open()  # this worker comes free, though as many wait as the limit says
        assert inner[0].result(TIMEOUT) == 3
    assert outcome == [3]
