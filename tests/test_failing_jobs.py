"""Jobs that fail: each is logged exactly once, whatever it raised and whoever listens."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import inspect
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from boundedjobs import BoundedRunner, Job, JobEvent, JobInterrupted, JobStatus
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard, on_time


class BrokenError(Exception):
    """An exception that can't even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def too_deep(n: int = 0) -> int:
    return too_deep(n + 1) + 1


def fail() -> None:
    raise ValueError("oh")


async def fail_async() -> None:
    await asyncio.sleep(0)
    raise ValueError("oh")


FAILING: dict[str, Callable[[], Any]] = {
    "sync": fail,
    "async": fail_async,
    "returns an awaitable": lambda: fail_async(),
}
each_kind = pytest.mark.parametrize("body", FAILING.values(), ids=FAILING.keys())


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str]]:
    """Logger, level and text of all that was logged at WARNING and above."""
    return [
        (record.name, record.levelno, record.getMessage())
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


def the_error(caplog: pytest.LogCaptureFixture) -> str:
    """The one thing that was logged: an ERROR on our logger."""
    ((name, level, text),) = logged(caplog)
    assert (name, level) == ("boundedjobs", logging.ERROR)
    return text


@each_kind
def test_a_failed_job_logs_one_error_with_its_traceback_without_any_listener(
    body: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with BoundedRunner(1) as runner:
        job = runner.wrap(body, name="draft")()
        assert job.exception(TIMEOUT) is not None
    assert job.failure is not None
    assert the_error(caplog) == (
        f"job 'draft' ({job.id}) failed at {job.failure.location}: ValueError: oh\n"
        f"{job.failure.traceback}"
    )
    assert job.failure.traceback.startswith("Traceback (most recent call last):\n")
    assert job.failure.traceback.endswith("\nValueError: oh\n")
    assert "in fail" in job.failure.location


@each_kind
@pytest.mark.parametrize("count", [1, 3])
def test_a_failed_job_logs_one_error_however_many_listen_and_wait(
    body: Callable[[], Any], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)

    listeners: list[Any] = [Heard(), listener] * count
    with BoundedRunner(1, on_status=listeners) as runner:
        job = runner.submit(body)
        for _ in range(count):
            assert isinstance(job.exception(TIMEOUT), ValueError)
            with pytest.raises(ValueError, match=r"^oh$"):
                job.result(TIMEOUT)
    the_error(caplog)


def test_the_error_is_logged_before_anyone_who_waits_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with BoundedRunner(1) as runner:
        for i in range(100):
            runner.submit(fail).exception(TIMEOUT)
            assert len(logged(caplog)) == i + 1


def test_each_of_many_failed_jobs_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with BoundedRunner(4) as runner:
        jobs: list[Job[Any]] = [runner.submit(body) for body in [fail, fail_async] * 50]
        concurrent.futures.wait(jobs, TIMEOUT)
    texts = [text for *_, text in logged(caplog)]
    assert len(texts) == 100
    for job in jobs:
        assert sum(job.id in text for text in texts) == 1


@pytest.mark.parametrize("status", ["succeeded", "cancelled"])
def test_a_job_that_did_not_fail_logs_nothing(
    status: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        if status == "cancelled":
            job.cancel()
        gate.open()
    assert job.status == status
    assert logged(caplog) == []


def test_the_record_keeps_no_exception_and_so_no_frames(caplog: pytest.LogCaptureFixture) -> None:
    with BoundedRunner(1) as runner:
        runner.submit(fail).exception(TIMEOUT)
    (record,) = (r for r in caplog.records if r.name == "boundedjobs")
    assert record.exc_info is None
    assert {type(arg) for arg in record.args or ()} <= {str, JobStatus}


# What was raised.


def raiser(exc: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise exc

    return body


def async_raiser(exc: BaseException) -> Callable[[], Any]:
    async def body() -> None:
        raise exc

    return body


@pytest.mark.parametrize(
    "exc",
    [
        SystemExit(3),
        KeyboardInterrupt("oh"),
        GeneratorExit("oh"),
        asyncio.CancelledError("oh"),
        MemoryError("oh"),
        RecursionError("oh"),
        BaseExceptionGroup("oh", [SystemExit(3), ValueError("inner")]),
        BaseException("oh"),
    ],
    ids=lambda exc: type(exc).__name__,
)
@pytest.mark.parametrize("make", [raiser, async_raiser], ids=["sync", "async"])
def test_whatever_a_body_raises_fails_the_job_and_is_logged_once(
    make: Callable[[BaseException], Callable[[], Any]],
    exc: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(make(exc))
        assert job.exception(TIMEOUT) is exc
        assert job.status is JobStatus.FAILED
        assert runner.submit(int, "7").result(TIMEOUT) == 7
    assert type(exc).__name__ in the_error(caplog)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_body_that_recurses_too_deep_fails(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def too_deep_async() -> None:
        too_deep()

    with BoundedRunner(1) as runner:
        job = runner.submit(too_deep_async if is_async else too_deep)
        assert isinstance(job.exception(TIMEOUT), RecursionError)
        assert runner.submit(int, "7").result(TIMEOUT) == 7
    assert "RecursionError" in the_error(caplog)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_listener_that_recurses_too_deep_changes_nothing(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    def listener(event: JobEvent) -> None:
        too_deep()

    async def listener_async(event: JobEvent) -> None:
        too_deep()

    with BoundedRunner(1, on_status=[listener_async if is_async else listener, heard]) as runner:
        assert runner.submit(int, "7").result(TIMEOUT) == 7
        assert runner.listener_errors == 3
    assert heard.statuses() == ["pending", "running", "succeeded"]
    assert len(logged(caplog)) == 3


def test_an_exception_that_can_not_be_shown_fails_the_job_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exc = BrokenError()
    with BoundedRunner(1) as runner:
        assert runner.submit(raiser(exc)).exception(TIMEOUT) is exc
    assert "BrokenError" in the_error(caplog)


def test_a_listener_error_that_can_not_be_shown_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def listener(event: JobEvent) -> None:
        raise BrokenError

    with BoundedRunner(1, on_status=listener) as runner:
        assert runner.submit(int, "7").result(TIMEOUT) == 7
        assert runner.listener_errors == 3
    assert len(logged(caplog)) == 3


def test_a_missing_import_fails_the_job_with_its_traceback_and_the_next_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()

    def process_job(job_id: str) -> None:
        importlib.import_module("boundedjobs_test_no_such_module")

    with BoundedRunner(2, on_status=heard) as runner:
        job = runner.submit(process_job, "job-1")
        assert isinstance(job.exception(TIMEOUT), ModuleNotFoundError)
        assert runner.submit(int, "7").result(TIMEOUT) == 7
    assert heard.statuses(job.name) == ["pending", "running", "failed"]
    failure = heard.events[[e.status for e in heard.events].index(JobStatus.FAILED)].failure
    assert failure is not None
    assert (failure.type, failure.message, failure.phase) == (
        "ModuleNotFoundError",
        "No module named 'boundedjobs_test_no_such_module'",
        "call",
    )
    assert failure.traceback in the_error(caplog)


def test_a_wrong_call_fails_the_job(caplog: pytest.LogCaptureFixture) -> None:
    with BoundedRunner(1) as runner:
        for body in (fail, fail_async):
            job = runner.submit(body, "one too many")  # type: ignore[call-overload]
            assert isinstance(job.exception(TIMEOUT), TypeError)
    assert len(logged(caplog)) == 2


def test_a_failure_goes_into_json(caplog: pytest.LogCaptureFixture) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(fail)
        job.exception(TIMEOUT)
    failure = job.failure
    assert failure is not None
    values = {name: getattr(failure, name) for name in failure.__dataclass_fields__}
    assert json.loads(json.dumps(values)) == values


@pytest.mark.parametrize("exc", [SystemExit(3), GeneratorExit()], ids=["exit", "generator exit"])
def test_a_done_callback_that_raises_is_logged_and_the_others_are_called(
    exc: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    called: list[str] = []

    def callback(_: object) -> None:
        raise exc

    with BoundedRunner(1) as runner:
        job = runner.submit(gate)
        job.add_done_callback(callback)
        job.add_done_callback(lambda _: called.append("second"))
        gate.open()
        runner.submit(int).result(TIMEOUT)
    assert called == ["second"]
    text = the_error(caplog)
    assert text.startswith(f"exception calling callback for <Job 'Gate' id={job.id} succeeded>\n")
    assert type(exc).__name__ in text


# Logging that breaks.


class Broken(logging.Handler):
    """A handler that raises."""

    def __init__(self, exc: BaseException) -> None:
        super().__init__()
        self.calls = 0
        self._exc = exc

    def emit(self, record: logging.LogRecord) -> None:
        self.calls += 1
        raise self._exc


@contextmanager
def handling(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("boundedjobs")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@each_kind
@pytest.mark.parametrize(
    "exc",
    [ValueError("disk full"), SystemExit(3), KeyboardInterrupt()],
    ids=["error", "exit", "int"],
)
def test_a_log_handler_that_raises_changes_nothing(
    body: Callable[[], Any], exc: BaseException
) -> None:
    heard = Heard()
    broken = Broken(exc)

    def listener(event: JobEvent) -> None:
        raise ValueError

    with handling(broken), BoundedRunner(1, on_status=[listener, heard]) as runner:
        for _ in range(2):
            job = runner.submit(body)
            assert str(job.exception(TIMEOUT)) == "oh"
            assert job.status is JobStatus.FAILED
        assert runner.listener_errors == 6
    assert heard.statuses() == ["pending", "running", "failed"] * 2
    assert broken.calls == 8


def test_a_log_handler_that_submits_and_waits_for_nothing_is_fine() -> None:
    jobs: list[Job[Any]] = []

    class Ship(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            jobs.append(runner.submit(int, "7"))

    with handling(Ship()), BoundedRunner(1) as runner:
        runner.submit(fail).exception(TIMEOUT)
        assert [job.result(TIMEOUT) for job in jobs] == [7]


def test_a_filter_that_raises_changes_nothing() -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise ValueError

    logger = logging.getLogger("boundedjobs")
    logger.addFilter(broken)
    try:
        with BoundedRunner(1) as runner:
            assert str(runner.submit(fail).exception(TIMEOUT)) == "oh"
    finally:
        logger.removeFilter(broken)


# Late ends.


@pytest.mark.parametrize(
    ("body", "what"),
    [(lambda: None, "returns"), (fail, "raises (ValueError)")],
    ids=["result", "failure"],
)
def test_what_a_body_brings_after_its_job_was_interrupted_is_dropped_with_a_warning(
    body: Callable[[], None], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate, left = Gate(), Gate()

    def late() -> None:
        gate()
        body()

    runner = BoundedRunner(1)
    job = runner.wrap(late, name="late")()
    gate.wait_for()
    runner.shutdown(timeout=0)
    caplog.clear()
    with runner:
        after = runner.submit(left)
        gate.open()
        left.wait_for()  # the slot is free: the late one has ended
        left.open()
        after.result(TIMEOUT)
    assert [(name, level, on_time(text)) for name, level, text in logged(caplog)] == [
        (
            "boundedjobs",
            logging.WARNING,
            f"<Job 'late' id={job.id} interrupted> had already ended: "
            f"what its body {what} now, 0.0 s late, is dropped",
        )
    ]
    with pytest.raises(JobInterrupted):
        job.result()


def test_an_interrupted_coroutine_that_stops_when_asked_to_is_no_late_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        gate = AsyncGate()
        runner = BoundedRunner(1)
        job = runner.submit(gate)
        await asyncio.to_thread(gate.wait_for)
        await runner.aclose(timeout=0)
        assert job.status is JobStatus.INTERRUPTED

    asyncio.run(main())
    assert [text for *_, text in logged(caplog) if "had already ended" in text] == []


# The end of a stack.


@pytest.mark.parametrize("also_async", [False, True], ids=["alone", "with an async one"])
def test_a_listener_that_has_no_room_on_the_stack_of_a_submitter_is_logged_and_counted(
    also_async: bool,
) -> None:
    said = threading.Semaphore(0)

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "did not hear" in record.getMessage():
                said.release()

    def with_room_for(frames: int) -> None:
        def down(left: int) -> object:
            return down(left - 1) if left else runner.submit(int)

        with contextlib.suppress(RecursionError):
            down(sys.getrecursionlimit() - len(inspect.stack(0)) - frames)

    def listener(event: JobEvent, calls: int = 5) -> None:
        if calls:
            listener(event, calls - 1)
        else:
            heard(event)

    async def async_listener(event: JobEvent) -> None: ...

    listeners: list[Any] = [listener, async_listener] if also_async else [listener]
    handler, heard = Said(), Heard()
    logger = logging.getLogger("boundedjobs")
    logger.addHandler(handler)
    try:
        with BoundedRunner(1, on_status=listeners) as runner:
            for frames in range(1, 30):
                with_room_for(frames)
        pending, running = heard.statuses().count("pending"), heard.statuses().count("running")
        assert heard.statuses().count("succeeded") == running > pending > 0
        for _ in range(running - pending):
            assert said.acquire(timeout=TIMEOUT)
        assert runner.listener_errors == running - pending
    finally:
        logger.removeHandler(handler)
