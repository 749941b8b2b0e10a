"""What a listener is handed: every field, as it was when the step was decided."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from boundedjobs import BoundedRunner, JobEvent, JobStatus, Progress, RunnerFull, current_job
from tests.gates import TIMEOUT, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Callable


def fail(*_: object, **__: object) -> NoReturn:
    raise ValueError("no")


def told(body: Callable[..., Any], *args: Any, **kwargs: Any) -> list[JobEvent]:
    """What a listener hears of one job."""
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(body, *args, **kwargs).exception(TIMEOUT)
    return heard.events


def steps(events: list[JobEvent]) -> list[tuple[str | None, str]]:
    return [(e.previous and e.previous.value, e.status.value) for e in events]


def test_the_events_of_a_job_that_succeeds_are_three() -> None:
    assert steps(told(int)) == [(None, "pending"), ("pending", "running"), ("running", "succeeded")]


def test_the_events_of_a_job_that_fails_are_three() -> None:
    assert steps(told(fail)) == [(None, "pending"), ("pending", "running"), ("running", "failed")]


def test_the_events_of_a_job_that_is_cancelled_before_it_starts_are_two() -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        job.cancel()
        gate.open()
    events = [e for e in heard.events if e.job_id == job.id]
    assert steps(events) == [(None, "pending"), ("pending", "cancelled")]


def test_the_event_of_a_job_that_is_refused_is_one_and_its_previous_is_none() -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, max_pending=0, on_status=heard) as runner:
        runner.submit(gate)
        with pytest.raises(RunnerFull):
            runner.submit(int)
        gate.open()
    (event,) = [e for e in heard.events if e.name == "int"]
    assert (event.previous, event.status) == (None, JobStatus.REJECTED)
    assert event.failure is not None
    assert event.failure.type == "boundedjobs.errors.RunnerFull"
    assert event.waited >= 0
    assert event.ran is None


def test_an_event_names_its_job_and_has_its_arguments() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(fail, 1, "two", three=3)
        job.exception(TIMEOUT)
    for event in heard.events:
        assert (event.job_id, event.name) == (job.id, "fail")
        assert (event.args, dict(event.kwargs)) == ((1, "two"), {"three": 3})


def test_an_event_has_the_name_that_wrap_was_given() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.wrap(int, name="a number")().result(TIMEOUT)
    assert {event.name for event in heard.events} == {"a number"}


@pytest.mark.parametrize(
    "field",
    [name for name, value in vars(JobEvent).items() if isinstance(value, property)],
)
def test_no_field_of_an_event_can_be_set_or_deleted(field: str) -> None:
    event = told(int)[-1]
    with pytest.raises(AttributeError):
        setattr(event, field, None)
    with pytest.raises(AttributeError):
        delattr(event, field)


def test_an_event_has_the_fields_of_the_contract_and_no_others() -> None:
    times = {"at", "waited", "ran"}
    fields = {"job_id", "name", "args", "kwargs", "previous", "status", "progress", "failure"}
    fields |= {"stack"}
    assert {name for name in dir(JobEvent) if not name.startswith("_")} == fields | times
    with pytest.raises(AttributeError):
        told(int)[0].more = 1  # type: ignore[attr-defined]  # the point


def test_a_listener_that_changes_the_keyword_arguments_changes_nothing() -> None:
    def meddle(event: JobEvent) -> None:
        event.kwargs["base"] = 7  # type: ignore[index]  # the point

    with BoundedRunner(1, on_status=meddle) as runner:
        job = runner.submit(int, "11", base=2)
        assert job.result(TIMEOUT) == 3
    assert dict(job.kwargs) == {"base": 2}


def test_the_moments_of_the_events_are_aware_utc_in_order_and_now() -> None:
    before = datetime.now(UTC)
    events = told(int)
    after = datetime.now(UTC)
    moments = [event.at for event in events]
    assert [moment.tzinfo for moment in moments] == [UTC] * 3
    assert moments == sorted(moments)
    slack = timedelta(milliseconds=1)  # a float holds microseconds, about
    assert before - slack <= moments[0]
    assert moments[-1] <= after + slack


def test_a_job_s_submission_is_an_aware_utc_moment() -> None:
    before = datetime.now(UTC)
    with BoundedRunner(1) as runner:
        job = runner.submit(int)
        after = datetime.now(UTC)
    assert job.submitted_at.tzinfo is UTC
    slack = timedelta(milliseconds=1)
    assert before - slack <= job.submitted_at <= after + slack


def test_what_an_event_says_does_not_change_when_the_job_goes_on() -> None:
    gate, heard = Gate(), Heard()

    def body() -> NoReturn:
        current_job().report(0.5)
        gate()
        raise ValueError("no")

    def said(event: JobEvent) -> tuple[object, ...]:
        return (event.status, event.at, event.waited, event.ran, event.progress, event.failure)

    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(body)
        gate.wait_for()
        early = list(heard.events)
        before = [said(event) for event in early]
        gate.open()
        job.exception(TIMEOUT)
    assert [said(event) for event in early] == before


def test_waited_and_ran_add_up() -> None:
    pending, running, ended = told(int)
    assert pending.ran is None
    assert running.ran == 0
    assert ended.ran is not None
    assert ended.ran >= 0
    assert 0 <= pending.waited <= running.waited == ended.waited


def test_waited_of_the_pending_event_is_not_that_of_the_start() -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        gate.open()
        job.result(TIMEOUT)
    pending, running, _ = [e for e in heard.events if e.job_id == job.id]
    assert pending.waited < running.waited
    assert running.waited == job.waited


def test_a_job_that_never_ran_has_waited_to_its_end() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        first = job.waited
        assert job.waited > first >= 0
        job.cancel()
        assert job.ran is None
        assert job.waited == job.waited > first
        gate.open()


def test_the_event_of_an_end_without_a_start_has_waited_as_long_as_the_job() -> None:
    heard, gate = Heard(), Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        job.cancel()
        gate.open()
    _, cancelled = [e for e in heard.events if e.job_id == job.id]
    assert cancelled.waited == job.waited


def test_a_job_that_runs_has_run_until_now() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate)
        gate.wait_for()
        first, waited = job.ran, job.waited
        assert first is not None
        assert job.ran is not None
        assert job.ran > first
        assert job.waited == waited
        gate.open()
        job.result(TIMEOUT)
        assert job.ran == job.ran
        assert job.ran > first


def test_the_failure_of_the_final_event_is_that_of_the_job() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(fail)
        job.exception(TIMEOUT)
    assert [event.failure for event in heard.events] == [None, None, job.failure]
    assert job.failure is not None


def test_an_event_has_the_progress_of_its_moment() -> None:
    def body() -> None:
        current_job().report(0.25, "first")
        current_job().report(0.75, "second")

    heard = Heard()
    with BoundedRunner(1, on_status=heard, on_progress=heard) as runner:
        runner.submit(body).result(TIMEOUT)
    quarter, three = Progress(0.25, "first"), Progress(0.75, "second")
    assert [event.progress for event in heard.events] == [None, None, quarter, three, three]


def test_an_event_shows_its_step_and_never_arguments() -> None:
    events = told(fail, "a secret", key="another")
    assert [repr(event) for event in events] == [
        f"<JobEvent 'fail' id={events[0].job_id} {step}>"
        for step in ("None -> pending", "pending -> running", "running -> failed")
    ]


def test_a_job_shows_its_status_and_never_arguments() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(fail, "a secret", key="another")
        job.exception(TIMEOUT)
    assert repr(job) == f"<Job 'fail' id={job.id} failed>"


def test_ids_are_strings_and_no_two_are_the_same() -> None:
    with BoundedRunner(4) as one, BoundedRunner(4) as other:
        jobs = [runner.submit(int) for _ in range(200) for runner in (one, other)]
        ids = [job.id for job in jobs]
    assert {type(given) for given in ids} == {str}
    assert len(set(ids)) == 400


def test_an_event_can_be_read_from_any_thread_after_the_job() -> None:
    events = told(int)
    read: list[Any] = []
    thread = threading.Thread(target=lambda: read.extend((e.job_id, e.ran) for e in events))
    thread.start()
    thread.join(TIMEOUT)
    assert len(read) == 3
