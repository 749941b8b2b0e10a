"""What is logged on `boundedjobs`: levels, texts, and the fields that every record has."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from boundedjobs import BoundedRunner, JobEvent, NotRunnable, current_job
from tests.clock import FakeClock
from tests.gates import TIMEOUT, Gate


def nothing() -> None:
    pass


def broken() -> None:
    raise ValueError("no")


def wait_for_the_slot(runner: BoundedRunner) -> None:
    """Until a body that goes on past the end of its job has returned."""
    logging.getLogger("boundedjobs").setLevel(logging.INFO)
    runner.submit(nothing).result(TIMEOUT)


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="boundedjobs")
    return caplog


def at(level: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_each_step_and_each_report_is_logged_at_debug(everything: pytest.LogCaptureFixture) -> None:
    def body() -> None:
        current_job().report(0.25)
        current_job().report(0.5, "drafting")

    with BoundedRunner(1) as runner:
        job = runner.wrap(body, name="draft")()
    assert at(logging.DEBUG, everything) == [
        f"job 'draft' ({job.id}) is pending",
        f"job 'draft' ({job.id}) is running",
        f"job 'draft' ({job.id}) is at 25%",
        f"job 'draft' ({job.id}) is at 50%: drafting",
        f"job 'draft' ({job.id}) is succeeded",
    ]


def test_a_step_is_logged_before_listeners_hear_it(everything: pytest.LogCaptureFixture) -> None:
    before: list[int] = []
    with BoundedRunner(
        1, on_status=lambda event: before.append(len(at(logging.DEBUG, everything)))
    ) as runner:
        runner.submit(nothing).result(TIMEOUT)
    assert before == [1, 2, 3]


def test_a_refused_job_is_logged_at_debug_too(everything: pytest.LogCaptureFixture) -> None:
    with BoundedRunner(1) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(3)  # type: ignore[call-overload]
    job = caught.value.job
    assert job is not None
    assert at(logging.DEBUG, everything) == [f"job 'int' ({job.id}) is rejected"]


def test_steps_are_not_logged_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="boundedjobs")
    with BoundedRunner(1) as runner:
        runner.submit(nothing).result(TIMEOUT)
    assert at(logging.DEBUG, caplog) == []


def test_the_level_counts_as_it_is_when_a_job_is_submitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with BoundedRunner(1) as runner:
        runner.submit(nothing).result(TIMEOUT)
        caplog.set_level(logging.DEBUG, logger="boundedjobs")
        runner.submit(nothing).result(TIMEOUT)
    assert len(at(logging.DEBUG, caplog)) == 3


def test_closing_is_logged_at_info_with_counts(everything: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with BoundedRunner(1, name="content") as runner:
        runner.submit(broken).exception(TIMEOUT)
        runner.submit(gate)
        gate.wait_for()
        runner.submit(nothing)
        runner.submit(nothing).cancel()
        runner.shutdown(wait=False)
        gate.open()
    assert at(logging.INFO, everything) == [
        "runner 'content' closes: 1 jobs run, 1 wait",
        "runner 'content' has closed; its jobs so far: 2 succeeded, 1 failed, 1 cancelled, "
        "0 rejected, 0 interrupted",
    ]


def test_each_closing_is_logged_once(everything: pytest.LogCaptureFixture) -> None:
    runner = BoundedRunner(1)
    for _ in range(2):
        with runner:
            runner.submit(nothing)
        runner.shutdown()
    assert len(at(logging.INFO, everything)) == 4


def test_that_a_runner_has_closed_is_logged_before_who_waits_for_that_goes_on(
    everything: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    runner = BoundedRunner(1)
    runner.submit(gate)
    gate.wait_for()
    runner.shutdown(wait=False)
    assert len(at(logging.INFO, everything)) == 1
    gate.open()
    runner.shutdown()
    assert len(at(logging.INFO, everything)) == 2


def test_a_runner_that_had_no_job_says_nothing_when_the_interpreter_exits() -> None:
    code = """
import logging
from boundedjobs import BoundedRunner
logging.basicConfig(level=logging.INFO, format="%(message)s")
unused, used = BoundedRunner(1, name="unused"), BoundedRunner(1, name="used")
used.submit(len, "abc")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True
    )
    runners = [line.split()[1] for line in done.stderr.splitlines()]
    assert runners == ["'used'", "'used'"], done.stderr


def test_every_record_says_of_which_runner_and_job(
    everything: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, gate = FakeClock(monkeypatch), Gate()

    def on_status(event: JobEvent) -> None:
        if event.previous is None and event.name == "slow":
            raise ValueError("no")

    with BoundedRunner(1, name="content", timeout=5, stuck_after=3, on_status=on_status) as runner:
        job = runner.wrap(gate, name="slow")()
        gate.wait_for()
        clock.advance(4)  # stuck
        clock.advance(1)  # timed out, and overdue
        job.exception(TIMEOUT)
        gate.open()  # late
        wait_for_the_slot(runner)
    levels = {record.levelno for record in everything.records}
    assert levels == {logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR}
    for record in everything.records:
        fields = {name: getattr(record, name) for name in ("runner", "job_id", "job_name")}
        if record.levelno == logging.INFO:
            assert fields == {"runner": "content", "job_id": "", "job_name": ""}
        else:
            assert fields == {"runner": "content", "job_id": job.id, "job_name": "slow"}
    assert len(at(logging.WARNING, everything)) == 3
    assert len(at(logging.ERROR, everything)) == 2  # a listener, and the job


def test_what_is_said_of_a_callback_says_of_which_job(everything: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with BoundedRunner(1, name="content") as runner:
        job = runner.wrap(gate, name="slow")()
        job.add_done_callback(lambda _: broken())
        gate.open()
    (record,) = (each for each in everything.records if each.levelno == logging.ERROR)
    fields = [getattr(record, name) for name in ("runner", "job_id", "job_name")]
    assert fields == ["content", job.id, "slow"]


def test_a_handler_that_raises_changes_nothing() -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit(record.getMessage())

    logger, handler = logging.getLogger("boundedjobs"), Bad()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with BoundedRunner(1) as runner:
            assert runner.submit(len, "abc").result(TIMEOUT) == 3
            assert runner.listener_errors == 0
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
