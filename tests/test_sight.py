"""`snapshot()`, `get()` and `record()`: what can be seen of a runner and of its jobs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobEvent,
    JobRecord,
    JobStatus,
    NotRunnable,
    Progress,
    RunnerFull,
    Snapshot,
    current_job,
)
from tests.clock import FakeClock
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

FINAL = ("succeeded", "failed", "cancelled", "interrupted")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


@pytest.fixture
def switches() -> Iterator[None]:
    """Threads are switched as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def totals(seen: Snapshot) -> dict[str, int]:
    return {status: count for status in (*FINAL, "rejected") if (count := getattr(seen, status))}


def nothing() -> None:
    pass


def broken() -> None:
    raise ValueError("no")


# A snapshot.


def test_a_new_runner_has_nothing_to_show() -> None:
    with BoundedRunner(2, name="content", max_pending=5) as runner:
        assert runner.snapshot() == Snapshot(
            name="content",
            state="open",
            limit=2,
            max_pending=5,
            running=0,
            pending=0,
            overdue=0,
            succeeded=0,
            failed=0,
            cancelled=0,
            interrupted=0,
            rejected=0,
            listener_errors=0,
            waited=0.0,
            ran=0.0,
            jobs=(),
        )


def test_it_lists_those_that_run_and_then_those_that_wait_with_all_that_is_seen_of_them(
    clock: FakeClock,
) -> None:
    gate = Gate()

    def body() -> None:
        current_job().report(0.4, "drafting")
        gate()

    with BoundedRunner(1) as runner:
        first = runner.wrap(body, name="first")()
        gate.wait_for()
        clock.advance(2)
        second = runner.wrap(nothing, name="second")()
        clock.advance(3)
        seen = runner.snapshot()
        gate.open()
    running, pending = JobStatus.RUNNING, JobStatus.PENDING
    assert seen.jobs == (
        JobRecord(first.id, "first", running, Progress(0.4, "drafting"), None, 0.0, 5.0),
        JobRecord(second.id, "second", pending, None, None, 3.0, None),
    )
    assert (seen.running, seen.pending, seen.overdue) == (1, 1, 0)


def test_it_counts_every_final_status() -> None:
    gate, started = Gate(), Gate()
    runner = BoundedRunner(1, max_pending=1)
    runner.submit(nothing).result(TIMEOUT)
    for _ in range(2):
        runner.submit(broken).exception(TIMEOUT)
    running = runner.submit(gate)
    gate.wait_for()
    assert runner.submit(nothing).cancel()
    waiting = runner.submit(nothing)
    for _ in range(3):
        with pytest.raises(RunnerFull):
            runner.submit(nothing)
    with pytest.raises(NotRunnable):
        runner.submit(3)  # type: ignore[call-overload]
    runner.shutdown(timeout=0)
    assert {running.status, waiting.status} == {JobStatus.INTERRUPTED}
    assert totals(runner.snapshot()) == {
        "succeeded": 1,
        "failed": 2,
        "cancelled": 1,
        "interrupted": 2,
        "rejected": 4,
    }
    gate.open()
    del started


def test_jobs_that_nobody_listens_to_and_those_that_are_heard_are_counted_alike() -> None:
    for on_status in (None, Heard()):
        with BoundedRunner(1, on_status=on_status) as runner:
            runner.submit(nothing).result(TIMEOUT)
            runner.submit(asyncio.sleep, 0).result(TIMEOUT)
            assert totals(runner.snapshot()) == {"succeeded": 2}


def test_a_job_whose_report_is_still_to_be_heard_as_it_ends_is_counted_once() -> None:
    hearing, ended = Gate(), threading.Event()

    def on_progress(event: JobEvent) -> None:
        hearing()

    def body() -> None:
        job = current_job()
        reporter = threading.Thread(target=job.report, args=(0.5,))
        reporter.start()
        hearing.wait_for()
        ended.set()

    with BoundedRunner(1, on_progress=on_progress) as runner:
        job = runner.submit(body)
        assert ended.wait(TIMEOUT)
        hearing.open()
        job.result(TIMEOUT)
        seen = runner.snapshot()
        assert totals(seen) == {"succeeded": 1}


@pytest.mark.parametrize("outcome", [7, ValueError("the point")], ids=["succeed", "fail"])
@pytest.mark.parametrize("hears", [None, Heard()], ids=["nobody", "sync"])
def test_it_sums_up_what_ended_jobs_have_waited_and_run(
    clock: FakeClock, hears: Heard | None, outcome: int | Exception
) -> None:
    gate, second = Gate(), Gate()

    def body(gate: Gate) -> int:
        gate()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with BoundedRunner(1, on_status=hears) as runner:
        first = runner.submit(body, gate)
        gate.wait_for()
        following = runner.submit(body, second)
        refused = runner.submit(nothing)
        clock.advance(5)
        assert refused.cancel()  # it has never started
        gate.open()
        first.exception(TIMEOUT)
        second.wait_for()
        clock.advance(2)
        second.open()
        following.exception(TIMEOUT)
        seen = runner.snapshot()
    assert (seen.waited, seen.ran) == (5.0, 7.0)


def test_it_counts_what_listeners_raise() -> None:
    def on_status(event: JobEvent) -> None:
        raise SystemExit(event.status)

    with BoundedRunner(1, on_status=on_status) as runner:
        runner.submit(nothing).result(TIMEOUT)
        assert runner.snapshot().listener_errors == 3


def test_a_body_that_goes_on_past_its_timeout_is_overdue(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1, timeout=5) as runner:
        job = runner.submit(gate)
        gate.wait_for()
        clock.advance(5)
        job.exception(TIMEOUT)
        clock.advance(1)
        seen = runner.snapshot()
        assert (seen.running, seen.overdue, seen.failed) == (1, 1, 1)
        (live,) = seen.jobs
        assert (live.status, live.ran) == (JobStatus.FAILED, 5.0)
        assert live.failure == job.failure
        gate.open()
        runner.submit(nothing).result(TIMEOUT)
        seen = runner.snapshot()
        assert seen.overdue == 0
        assert totals(seen) == {"failed": 1, "succeeded": 1}


def test_it_says_whether_the_runner_is_open_paused_or_closed() -> None:
    with BoundedRunner(1) as runner:
        states = [runner.snapshot().state]
        runner.pause()
        states.append(runner.snapshot().state)
        runner.resume()
        states.append(runner.snapshot().state)
    states.append(runner.snapshot().state)
    assert states == ["open", "paused", "open", "closed"]


def test_a_job_that_is_heard_to_be_pending_is_listed_as_pending() -> None:
    seen: list[Snapshot] = []

    def on_status(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            seen.append(runner.snapshot())

    with BoundedRunner(1, on_status=on_status) as runner:
        job = runner.submit(nothing)
    assert [(each.pending, [j.id for j in each.jobs]) for each in seen] == [(1, [job.id])]


def test_a_cancelled_job_whose_listeners_have_yet_to_hear_it_is_listed() -> None:
    gate, hearing = Gate(), Gate()

    def on_status(event: JobEvent) -> None:
        if event.status is JobStatus.CANCELLED:
            hearing()

    with BoundedRunner(1, on_status=on_status) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(nothing)
        canceller = threading.Thread(target=job.cancel)
        canceller.start()
        hearing.wait_for()
        seen = runner.snapshot()
        assert [each.status.value for each in seen.jobs] == ["running", "cancelled"]
        assert (seen.pending, seen.cancelled) == (0, 1)
        assert runner.get(job.id) is job
        hearing.open()
        canceller.join(TIMEOUT)
        gate.open()


def test_it_is_fit_for_json() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(broken).exception(TIMEOUT)
        job = runner.submit(gate, {"not": object()})
        gate.wait_for()
        text = json.dumps(dataclasses.asdict(runner.snapshot()))
        gate.open()
    decoded = json.loads(text)
    assert decoded["failed"] == 1
    assert [(each["id"], each["status"]) for each in decoded["jobs"]] == [(job.id, "running")]


def test_snapshots_and_records_are_read_only() -> None:
    with BoundedRunner(1) as runner:
        seen, record = runner.snapshot(), runner.submit(nothing).record()
    for each in (seen, record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.name = "other"  # type: ignore[misc]
        assert not hasattr(each, "__dict__")


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize("on_status", [None, Heard()])
def test_all_of_a_snapshot_was_true_at_once(on_status: Heard | None) -> None:
    count, gate, snapshots = 300, Gate(), list[Snapshot]()
    with BoundedRunner(3, on_status=on_status) as runner:

        def body() -> None:
            gate()
            snapshots.append(runner.snapshot())

        jobs = [runner.submit(body) for _ in range(count)]
        gate.wait_for(3)
        gate.open()
        for job in jobs:
            job.result(TIMEOUT)
    for seen in snapshots:
        unfinished = sum(not each.status.is_final for each in seen.jobs)
        assert seen.succeeded + unfinished == count
        assert seen.pending + seen.running == len(seen.jobs)
        assert seen.running <= 3


# A job by its id.


def test_a_live_job_is_found_as_itself_wherever_it_is(clock: FakeClock) -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        running = runner.submit(gate)
        gate.wait_for()
        pending = runner.submit(nothing)
        assert runner.get(running.id) is running
        assert runner.get(pending.id) is pending
        gate.open()


def test_of_a_job_that_has_ended_the_record_is_found(clock: FakeClock) -> None:
    gate = Gate()

    def body() -> None:
        current_job().report(0.9, "nearly")
        gate()
        raise ValueError("no")

    with BoundedRunner(1) as runner:
        blocker = Gate()
        runner.submit(blocker)
        blocker.wait_for()
        job = runner.wrap(body, name="draft")()
        clock.advance(1)
        blocker.open()
        gate.wait_for()
        clock.advance(2)
        gate.open()
        job.exception(TIMEOUT)
        failure = job.failure
        assert failure is not None
        expected = JobRecord(
            job.id, "draft", JobStatus.FAILED, Progress(0.9, "nearly"), failure, 1.0, 2.0
        )
        assert job.record() == expected
        clock.advance(9)
        assert runner.get(job.id) == expected
        assert job.record() == expected


@pytest.mark.parametrize("on_status", [None, Heard()])
def test_of_a_job_that_succeeded_the_record_is_found_sync_or_async(on_status: Heard | None) -> None:
    async def main() -> None:
        async with BoundedRunner(1, on_status=on_status) as runner:
            for job in (runner.submit(nothing), runner.submit(asyncio.sleep, 0)):
                await job
                assert runner.get(job.id) == job.record()
                assert job.record().status is JobStatus.SUCCEEDED
                assert job.record().ran == job.ran

    asyncio.run(main())


def test_a_job_and_its_record_have_the_same_to_say() -> None:
    names = [field.name for field in dataclasses.fields(JobRecord)]
    with BoundedRunner(1) as runner:
        job = runner.submit(broken)
        job.exception(TIMEOUT)
        record = runner.get(job.id)
        assert isinstance(record, JobRecord)
        assert [getattr(record, n) for n in names] == [getattr(job, n) for n in names]


def test_a_job_that_was_cancelled_before_it_started_has_a_record() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(nothing)
        job.cancel()
        record = runner.get(job.id)
        gate.open()
    assert isinstance(record, JobRecord)
    assert (record.status, record.ran) == (JobStatus.CANCELLED, None)


def test_a_refused_job_leaves_no_record() -> None:
    with BoundedRunner(1) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(3)  # type: ignore[call-overload]
    job = caught.value.job
    assert job is not None
    assert runner.get(job.id) is None
    assert job.record().status is JobStatus.REJECTED


@pytest.mark.parametrize("history", [1, 3])
def test_the_last_records_are_kept_and_no_more(history: int) -> None:
    with BoundedRunner(1, history=history) as runner:
        ids = []
        for _ in range(7):
            job = runner.submit(nothing)
            job.result(TIMEOUT)
            ids.append(job.id)
        found = [job_id for job_id in ids if runner.get(job_id)]
    assert found == ids[-history:]


def test_a_thousand_records_are_kept_if_nothing_else_is_said() -> None:
    with BoundedRunner(1) as runner:
        ids = [runner.submit(nothing).id for _ in range(1_001)]
    assert [runner.get(each) is None for each in ids] == [True, *[False] * 1_000]


def test_with_no_history_there_are_no_records_and_the_totals_go_on() -> None:
    for on_status in (None, Heard()):
        with BoundedRunner(1, history=0, on_status=on_status) as runner:
            for body in (nothing, broken):
                job: Job[Any] = runner.submit(body)
                job.exception(TIMEOUT)
                assert runner.get(job.id) is None
            assert totals(runner.snapshot()) == {"succeeded": 1, "failed": 1}


@pytest.mark.parametrize(
    "job_id", ["", "nope", "0x12", "12", f"{3:024x} ", "-" + "0" * 23, "٣" * 24]
)
def test_an_id_that_no_job_has_is_none(job_id: str) -> None:
    with BoundedRunner(1) as runner:
        runner.submit(nothing).result(TIMEOUT)
        assert runner.get(job_id) is None


def test_an_id_is_a_string() -> None:
    with BoundedRunner(1) as runner, pytest.raises(TypeError) as caught:
        runner.get(3)  # type: ignore[arg-type]
    assert str(caught.value) == "job_id must be a string, got 3"


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize("on_status", [None, Heard()])
def test_a_job_is_never_found_neither_live_nor_ended(on_status: Heard | None) -> None:
    count, gate, jobs = 120, Gate(), list[Job[None]]()
    lost: list[str] = []
    with BoundedRunner(3, on_status=on_status) as runner:

        def body() -> None:
            gate()
            lost.extend(job.id for job in jobs if runner.get(job.id) is None)

        jobs += [runner.submit(body) for _ in range(count)]
        gate.wait_for(3)
        gate.open()
        for job in jobs:
            job.result(TIMEOUT)
    assert lost == []


def test_records_keep_no_argument_result_or_exception() -> None:
    class Thing:
        gone = 0

        def __del__(self) -> None:
            Thing.gone += 1

    class Odd(Exception):
        def __init__(self, thing: Thing) -> None:
            self.thing = thing

    def body(argument: Thing, *, fails: bool) -> Thing:
        local = Thing()
        if fails:
            raise Odd(local)
        return local

    with BoundedRunner(1) as runner:
        for fails in (False, True):
            job = runner.submit(body, Thing(), fails=fails)
            assert (job.exception(TIMEOUT) is None) is not fails
            job_id = job.id
            del job
            runner.submit(nothing).result(TIMEOUT)
            assert isinstance(runner.get(job_id), JobRecord)
    assert Thing.gone == 4


def test_an_async_job_is_seen_while_it_runs() -> None:
    gate = AsyncGate()

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate)
            await asyncio.to_thread(gate.wait_for)
            assert runner.get(job.id) is job
            assert [each.id for each in runner.snapshot().jobs] == [job.id]
            gate.open()
            await job

    asyncio.run(main())


def test_a_listener_may_look_at_its_runner() -> None:
    seen: list[Snapshot] = []
    with BoundedRunner(1, on_status=lambda event: seen.append(runner.snapshot())) as runner:
        runner.submit(nothing).result(TIMEOUT)
    assert [each.succeeded for each in seen] == [0, 0, 1]


# What has ended since an earlier snapshot.


def test_a_snapshot_has_the_records_of_those_that_have_ended_since_another_oldest_first() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(nothing).result(TIMEOUT)
        first = runner.snapshot()
        failed = runner.submit(broken)
        failed.exception(TIMEOUT)
        runner.submit(gate)
        gate.wait_for()
        cancelled = runner.submit(nothing)
        cancelled.cancel()
        with pytest.raises(NotRunnable):
            runner.submit(3)  # type: ignore[call-overload]
        second = runner.snapshot(since=first)
        gate.open()
    third = runner.snapshot(since=second)
    assert (first.ended, second.ended) == ((), (failed.record(), cancelled.record()))
    assert [each.name for each in third.ended] == ["Gate"]
    assert runner.snapshot(since=third).ended == ()


@pytest.mark.parametrize("history", [0, 1, 3])
def test_of_those_that_have_ended_since_another_the_last_are_kept(history: int) -> None:
    with BoundedRunner(1, history=history) as runner:
        runner.submit(nothing).result(TIMEOUT)
        first = runner.snapshot()
        jobs = [runner.submit(nothing) for _ in range(7)]
    assert [each.id for each in runner.snapshot(since=first).ended] == [
        job.id for job in jobs[len(jobs) - history :]
    ]


def test_those_that_were_let_go_of_have_ended_too() -> None:
    runner, gate = BoundedRunner(2), Gate()
    runner.submit(gate)
    gate.wait_for()
    runner.shutdown(timeout=0)
    first = runner.snapshot()
    gate.open()
    with runner:
        job = runner.submit(nothing)
    assert (first.interrupted, runner.snapshot(since=first).ended) == (1, (job.record(),))


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize("on_status", [None, Heard()])
def test_who_looks_again_and_again_finds_each_job_that_ends_once(on_status: Heard | None) -> None:
    found: list[str] = []
    with BoundedRunner(3, on_status=on_status) as runner:
        seen = runner.snapshot()
        jobs = [runner.submit(nothing) for _ in range(300)]
        while not all(job.done() for job in jobs):
            seen = runner.snapshot(since=seen)
            found += [each.id for each in seen.ended]
        found += [each.id for each in runner.snapshot(since=seen).ended]
    assert sorted(found) == sorted(job.id for job in jobs)


def test_a_snapshot_is_since_another_snapshot() -> None:
    with BoundedRunner(1) as runner, pytest.raises(TypeError) as caught:
        runner.snapshot(since=3)  # type: ignore[arg-type]
    assert str(caught.value) == "since must be a Snapshot or None, got 3"
