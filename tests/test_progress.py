"""What a job reports: checked, kept, heard in order, and only while it runs."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, Job, JobEvent, JobStatus, Progress, RunnerFull, current_job
from tests.blocking import let_in
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KINDS = ["sync", "async"]
OUTSIDE = "current_job() was called outside a job: it is for a job's body, its listeners and its callbacks"


def reports(*fractions: Any) -> Callable[[], None]:
    def body() -> None:
        for fraction in fractions:
            current_job().report(fraction)

    return body


def areports(*fractions: Any) -> Callable[[], Awaitable[None]]:
    async def body() -> None:
        for fraction in fractions:
            current_job().report(fraction)
            await asyncio.sleep(0)

    return body


def fractions(heard: Heard) -> list[float | None]:
    return [None if e.progress is None else e.progress.fraction for e in heard.events]


# --- the value ---


@pytest.mark.parametrize("fraction", [0, 1, 0.0, 1.0, 0.5, 5e-324, 1 - 2**-53, -0.0])
def test_a_fraction_from_0_to_1_is_progress(fraction: float) -> None:
    assert Progress(fraction).fraction == fraction


@pytest.mark.parametrize(
    "fraction",
    [-0.1, 1.1, -1, 2, math.nan, math.inf, -math.inf, -5e-324, 1 + 2**-52, 10**400, -(10**400)],
    ids=lambda fraction: repr(fraction)[:9],
)
def test_a_number_beyond_0_to_1_is_a_value_error(fraction: float) -> None:
    with pytest.raises(ValueError) as caught:
        Progress(fraction)
    assert str(caught.value) == f"fraction must be from 0 to 1, got {fraction!r}"


@pytest.mark.parametrize(
    "fraction", [True, False, "0.5", None, b"1", 0.5j, Decimal("0.5"), Fraction(1, 2), [0.5]]
)
def test_what_is_no_number_is_a_type_error(fraction: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Progress(fraction)
    assert str(caught.value) == f"fraction must be a number from 0 to 1, got {fraction!r}"


@pytest.mark.parametrize("message", [None, 7, b"half"])
def test_a_message_that_is_no_string_is_a_type_error(message: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Progress(0.5, message)
    assert str(caught.value) == f"message must be a string, got {message!r}"


def test_progress_is_frozen() -> None:
    with pytest.raises(
        dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'fraction'"
    ):
        Progress(0.5).fraction = 0.7  # type: ignore[misc]  # the point


# --- reporting ---


def test_a_job_has_no_progress_until_it_reports() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(int)
        job.result(TIMEOUT)
    assert job.progress is None


@pytest.mark.parametrize("body", [reports(0.25, 0.5), areports(0.25, 0.5)], ids=KINDS)
def test_a_job_keeps_what_it_reported_last(body: Callable[[], Any]) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        job.result(TIMEOUT)
    assert job.progress == Progress(0.5, "")


def test_progress_is_seen_while_the_job_runs() -> None:
    gate = Gate()

    def body() -> None:
        current_job().report(0.5, "half")
        gate()

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        gate.wait_for()
        assert job.progress == Progress(0.5, "half")
        gate.open()


def test_progress_may_go_back_and_repeat() -> None:
    heard = Heard()
    with BoundedRunner(1, on_progress=heard) as runner:
        runner.submit(reports(0.5, 0.5, 0.25, 1, 0)).result(TIMEOUT)
    assert fractions(heard) == [0.5, 0.5, 0.25, 1, 0]


@pytest.mark.parametrize(
    ("fraction", "error"), [(math.nan, ValueError), (2, ValueError), (True, TypeError)]
)
def test_a_bad_report_raises_in_the_body_and_is_not_heard(
    fraction: float, error: type[Exception]
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_progress=heard) as runner:
        job = runner.submit(reports(0.5, fraction))
        assert isinstance(job.exception(TIMEOUT), error)
    assert fractions(heard) == [0.5]
    assert job.progress == Progress(0.5)


def test_a_handle_reports_from_any_thread_while_the_job_runs() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, on_progress=heard) as runner:
        job = runner.submit(gate)
        gate.wait_for()
        job.report(0.5, "from outside")
        assert job.progress == Progress(0.5, "from outside")
        gate.open()
        job.result(TIMEOUT)
    assert fractions(heard) == [0.5]


def test_a_report_before_the_start_does_nothing() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, on_progress=heard) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        job.report(0.5)
        assert job.progress is None
        gate.open()
        job.result(TIMEOUT)
    assert heard.events == []


@pytest.mark.parametrize("body", [reports(), areports()], ids=KINDS)
def test_a_report_after_the_end_does_nothing(body: Callable[[], Any]) -> None:
    heard = Heard()
    with BoundedRunner(1, on_progress=heard) as runner:
        job: Job[Any] = runner.submit(body)
        job.result(TIMEOUT)
        job.report(0.5)
    assert job.progress is None
    assert heard.events == []


def test_a_report_of_a_refused_job_does_nothing() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, max_pending=0, on_progress=heard) as runner:
        runner.submit(gate)
        with pytest.raises(RunnerFull) as caught:
            runner.submit(int)
        gate.open()
        assert caught.value.job is not None
        caught.value.job.report(0.5)
        assert caught.value.job.progress is None
    assert heard.events == []


def test_a_bad_report_is_an_error_even_when_it_would_do_nothing() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(int)
        job.result(TIMEOUT)
        with pytest.raises(ValueError, match=r"^fraction must be from 0 to 1, got 7$"):
            job.report(7)


def test_a_report_of_an_interrupted_job_does_nothing() -> None:
    gate, heard = Gate(), Heard()
    ended = threading.Event()

    def body() -> None:
        gate()
        current_job().report(0.9)
        ended.set()

    runner = BoundedRunner(1, on_progress=heard)
    job = runner.submit(body)
    gate.wait_for()
    runner.shutdown(timeout=0)
    assert job.status is JobStatus.INTERRUPTED
    gate.open()
    assert ended.wait(TIMEOUT)
    assert job.progress is None
    assert heard.events == []


# --- listeners ---


@pytest.mark.parametrize("body", [reports(0.25, 0.5), areports(0.25, 0.5)], ids=KINDS)
def test_a_progress_event_is_a_step_from_running_to_running(body: Callable[[], Any]) -> None:
    heard = Heard()
    with BoundedRunner(1, on_progress=heard) as runner:
        job: Job[Any] = runner.submit(body)
        job.result(TIMEOUT)
    assert [(e.job_id, e.previous, e.status) for e in heard.events] == [
        (job.id, JobStatus.RUNNING, JobStatus.RUNNING)
    ] * 2
    assert all(event.ran is not None and event.ran >= 0 for event in heard.events)


@pytest.mark.parametrize("body", [reports(0.25, 0.5), areports(0.25, 0.5)], ids=KINDS)
@pytest.mark.parametrize("is_async", [False, True])
def test_progress_is_heard_in_order_between_the_statuses(
    body: Callable[[], Any], is_async: bool
) -> None:
    heard = Heard()

    async def alisten(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard(event)

    listener = alisten if is_async else heard
    with BoundedRunner(1, on_status=listener, on_progress=listener) as runner:
        runner.submit(body).result(TIMEOUT)
    assert heard.statuses() == ["pending", "running", "running", "running", "succeeded"]
    assert fractions(heard) == [None, None, 0.25, 0.5, 0.5]


def test_status_listeners_hear_no_progress() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(reports(0.5)).result(TIMEOUT)
    assert heard.statuses() == ["pending", "running", "succeeded"]


def test_a_report_returns_when_its_sync_listeners_have_heard() -> None:
    heard, after = Heard(), []

    def body() -> None:
        current_job().report(0.5)
        after.append(len(heard.events))

    with BoundedRunner(1, on_progress=heard) as runner:
        runner.submit(body).result(TIMEOUT)
    assert after == [1]


def test_listeners_of_the_runner_hear_before_those_of_the_callable() -> None:
    order: list[str] = []
    with BoundedRunner(1, on_progress=[lambda _: order.append("runner")]) as runner:
        wrapped = runner.wrap(reports(0.5), on_progress=lambda _: order.append("callable"))
        wrapped().result(TIMEOUT)
    assert order == ["runner", "callable"]


def test_an_async_listener_hears_after_the_sync_ones() -> None:
    order: list[str] = []

    async def alisten(_event: JobEvent) -> None:
        order.append("async")

    listeners: list[Any] = [alisten, lambda _: order.append("sync")]
    with BoundedRunner(1, on_progress=listeners) as runner:
        runner.submit(reports(0.5, 1)).result(TIMEOUT)
    assert order == ["sync", "async"] * 2


def test_a_progress_listener_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()

    def broken(_event: JobEvent) -> None:
        raise SystemExit("from the listener")

    with BoundedRunner(1, on_progress=[broken, heard]) as runner:
        job = runner.submit(reports(0.5, 1))
        job.result(TIMEOUT)
        assert runner.listener_errors == 2
    assert fractions(heard) == [0.5, 1]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    assert "SystemExit: from the listener" in caplog.text


def test_a_listener_that_reports_is_heard_in_turn_and_does_not_recurse() -> None:
    seen: list[float] = []
    depth: list[int] = []

    def listen(event: JobEvent) -> None:
        assert event.progress is not None
        depth.append(1)
        assert len(depth) == 1, "called within itself"
        fraction = event.progress.fraction
        seen.append(fraction)
        if fraction < 1:
            current_job().report(fraction + 0.25)
        depth.pop()

    with BoundedRunner(1, on_progress=listen) as runner:
        runner.submit(reports(0.25)).result(TIMEOUT)
        assert runner.listener_errors == 0
    assert seen == [0.25, 0.5, 0.75, 1]


def test_reports_of_many_threads_are_each_heard_once() -> None:
    heard, threads, each = Heard(), 4, 50

    def body() -> None:
        job = current_job()
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda n: job.report(n / (threads * each)), range(threads * each)):
                pass

    with BoundedRunner(1, on_progress=heard) as runner:
        runner.submit(body).result(TIMEOUT)
    assert sorted(f or 0 for f in fractions(heard)) == [
        n / (threads * each) for n in range(threads * each)
    ]


def test_a_job_ends_when_what_it_reported_last_has_been_heard() -> None:
    """Also if nobody hears its status."""
    gate = AsyncGate()
    with BoundedRunner(1, on_progress=gate) as runner:
        job = runner.submit(areports(0.5)), runner.submit(areports(1))
        gate.wait_for()
        gate.open()
        for each in job:
            each.result(TIMEOUT)


def test_a_job_whose_progress_another_thread_tells_has_ended_when_that_is_heard() -> None:
    """Also where nobody listens to its statuses."""
    done: list[bool] = []
    gate = Gate()

    def listen(_event: JobEvent) -> None:
        gate()
        done.append(job.done())

    def body() -> None:
        report = copy_context().run
        threading.Thread(target=report, args=(current_job().report, 0.5)).start()
        gate.wait_for()

    with BoundedRunner(1, on_progress=listen) as runner:
        job = runner.submit(body)
        pause, began = threading.Event(), time.monotonic()
        while job.status is not JobStatus.SUCCEEDED:
            assert time.monotonic() < began + TIMEOUT
            pause.wait(0.001)
        gate.open()
        job.result(TIMEOUT)
    assert done == [False]


@pytest.mark.parametrize("hears", ["progress alone", "status, too"])
def test_what_was_reported_is_heard_once_and_before_the_end_wherever_that_is(hears: str) -> None:
    for number in itertools.count(1):
        gate, heard = Gate(), Heard()
        on_status = heard if hears == "status, too" else None
        with BoundedRunner(1, on_progress=heard, on_status=on_status) as runner:
            job = runner.submit(gate)
            gate.wait_for()

            def end(gate: Gate = gate, job: Job[Any] = job) -> None:
                gate.open()
                job.result(TIMEOUT)

            with let_in(number, end) as outcome:
                job.report(0.5)
            if not outcome:
                gate.open()
                break
            outcome[0].result(TIMEOUT)
        reported = [e for e in heard.events if e.previous is e.status]
        assert len(reported) == (job.progress is not None)
        assert not reported or reported[-1] is heard.events[-2 if on_status else -1]
    assert number > 3


class InTurn:
    """A listener that hears 0.5 until it is let go on; the next one comes when it has."""

    def __init__(self) -> None:
        self.hears, self.go_on = threading.Event(), threading.Event()
        self.said: list[str] = []

    def __call__(self, event: JobEvent) -> None:
        assert event.progress is not None
        self.said.append(f"hears {event.progress.fraction}")
        if event.progress.fraction == 0.5:
            self.hears.set()
            assert self.go_on.wait(TIMEOUT)
        self.said.append(f"has heard {event.progress.fraction}")

    def body(self) -> None:
        current_job().report(0.7)
        self.go_on.set()

    async def abody(self) -> None:
        self.body()


IN_TURN = ["hears 0.5", "has heard 0.5", "hears 0.7", "has heard 0.7"]


def test_one_report_is_told_at_a_time_though_one_comes_before_the_body_begins() -> None:
    def told(number: int) -> list[str]:
        gate, listener, made = Gate(), InTurn(), list[Any]()

        def report() -> None:
            job.report(0.5)
            listener.go_on.set()

        def body() -> None:
            gate()
            made.append(let_in(number, report))
            made.append(made[0].__enter__())  # it goes on when this body has ended

        with BoundedRunner(1, on_progress=listener) as runner:
            runner.submit(body)
            gate.wait_for()
            job = runner.submit(listener.body)
            gate.open()
        for outcome in made[1]:
            outcome.result(TIMEOUT)
        return listener.said if made[1] else []

    for number in itertools.count(1):
        said = told(number)
        if not said:
            break
        assert said in (IN_TURN, IN_TURN[2:], IN_TURN[2:] + IN_TURN[:2])
    assert number > 3


def test_one_report_is_told_at_a_time_though_an_awaitable_is_returned_meanwhile() -> None:
    listener = InTurn()
    threads: list[threading.Thread] = []

    def body() -> Awaitable[None]:
        threads.append(threading.Thread(target=current_job().report, args=(0.5,)))
        threads[0].start()
        assert listener.hears.wait(TIMEOUT)
        return listener.abody()

    with BoundedRunner(1, on_progress=listener) as runner:
        runner.submit(body).result(TIMEOUT)
        threads[0].join(TIMEOUT)
    assert listener.said == IN_TURN


def test_without_a_listener_progress_is_kept_all_the_same() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(reports(0.5))
        job.result(TIMEOUT)
    assert job.progress == Progress(0.5)


# --- current_job ---


def test_outside_a_job_there_is_no_current_one() -> None:
    with pytest.raises(LookupError) as caught:
        current_job()
    assert str(caught.value) == OUTSIDE
    assert type(caught.value) is LookupError


def test_the_current_job_is_the_handle_that_submit_returned() -> None:
    async def abody() -> Job[Any]:
        return current_job()

    with BoundedRunner(1) as runner:
        for body in (current_job, abody, lambda: abody()):
            job: Job[Any] = runner.submit(body)
            assert job.exception(TIMEOUT) is None
            assert job._result is job  # `result()` is typed by the body


def test_the_caller_does_not_get_the_job_of_its_body() -> None:
    with BoundedRunner(1) as runner:
        runner.submit(int).result(TIMEOUT)
        with pytest.raises(LookupError):
            current_job()


def test_each_of_many_jobs_finds_itself() -> None:
    with BoundedRunner(4) as runner:
        jobs = [runner.submit(lambda: current_job().id) for _ in range(50)]
        assert [job.result(TIMEOUT) for job in jobs] == [job.id for job in jobs]


def test_a_job_submitted_from_inside_another_finds_itself() -> None:
    with BoundedRunner(2) as runner:
        inner = runner.submit(lambda: runner.submit(lambda: current_job().id))
        job = inner.result(TIMEOUT)
        assert job.result(TIMEOUT) == job.id


def test_tasks_and_threads_that_a_body_starts_in_its_context_find_the_job() -> None:
    async def abody() -> list[str]:
        async def child() -> str:
            return current_job().id

        return [
            await asyncio.create_task(child()),
            await asyncio.to_thread(lambda: current_job().id),
        ]

    def body() -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, lambda: current_job().id).result(TIMEOUT)

    with BoundedRunner(1) as runner:
        job = runner.submit(abody)
        assert job.result(TIMEOUT) == [job.id] * 2
        other = runner.submit(body)
        assert other.result(TIMEOUT) == other.id


@pytest.mark.parametrize("is_async", [False, True])
def test_a_listener_finds_the_job_that_it_hears_of(is_async: bool) -> None:
    found: list[tuple[str, str]] = []

    async def alisten(event: JobEvent) -> None:
        found.append((event.job_id, current_job().id))

    def listen(event: JobEvent) -> None:
        found.append((event.job_id, current_job().id))

    listener = alisten if is_async else listen
    gate = Gate()
    with BoundedRunner(1, max_pending=1, on_status=listener, on_progress=listener) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        with pytest.raises(RunnerFull):
            runner.submit(int)
        job.cancel()
        gate.open()
    assert len(found) == 3 + 2 + 1
    assert [one for one, other in found if one != other] == []


def callback_finds(job: Job[Any], found: list[bool]) -> None:
    def callback(_: object) -> None:
        found.append(current_job() is job)

    job.add_done_callback(callback)


@pytest.mark.parametrize("gate", [Gate, AsyncGate])
def test_a_done_callback_finds_its_job(gate: type[Gate | AsyncGate]) -> None:
    found: list[bool] = []
    held = gate()
    with BoundedRunner(1) as runner:
        job: Job[Any] = runner.submit(held)
        held.wait_for()
        callback_finds(job, found)
        held.open()
    assert found == [True]


def test_a_done_callback_of_a_cancelled_job_finds_its_job() -> None:
    found: list[bool] = []
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        callback_finds(job, found)
        job.cancel()
        gate.open()
    assert found == [True]


def test_a_done_callback_of_a_job_that_another_one_cancels_finds_its_own() -> None:
    found: list[bool] = []
    gate = Gate()
    with BoundedRunner(1) as runner:
        jobs: list[Job[int]] = []
        gate_job = runner.submit(lambda: gate() or jobs[0].cancel())
        gate.wait_for()
        jobs.append(runner.submit(int))
        callback_finds(jobs[0], found)
        gate.open()
        gate_job.result(TIMEOUT)
    assert found == [True]


def test_a_done_callback_of_an_interrupted_job_finds_its_job() -> None:
    found: list[bool] = []
    gate = Gate()
    runner = BoundedRunner(1)
    job = runner.submit(gate)
    gate.wait_for()
    callback_finds(job, found)
    runner.shutdown(timeout=0)
    gate.open()
    assert found == [True]


def test_a_done_callback_added_after_the_end_finds_its_job() -> None:
    found: list[bool] = []
    with BoundedRunner(1) as runner:
        job = runner.submit(int)
        job.result(TIMEOUT)
        callback_finds(job, found)
        with pytest.raises(LookupError):
            current_job()
    assert found == [True]
