"""The statuses, and the steps between them, are those of the design and no others."""

from __future__ import annotations

import json

import pytest

from boundedjobs import JobStatus
from boundedjobs._status import FINAL, STEPS

DRAWN: dict[str | None, set[str]] = {
    None: {"pending", "rejected"},
    "pending": {"running", "cancelled", "interrupted"},
    "running": {"succeeded", "failed", "cancelled", "interrupted"},
    "succeeded": set(),
    "failed": set(),
    "cancelled": set(),
    "rejected": set(),
    "interrupted": set(),
}
"""The table of section 4 of the design, by hand."""


def test_there_are_seven_statuses_with_lower_case_values() -> None:
    assert {status.name: status.value for status in JobStatus} == {
        "PENDING": "pending",
        "RUNNING": "running",
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "CANCELLED": "cancelled",
        "REJECTED": "rejected",
        "INTERRUPTED": "interrupted",
    }


@pytest.mark.parametrize("status", JobStatus)
def test_a_status_is_its_string_wherever_a_string_is_wanted(status: JobStatus) -> None:
    assert isinstance(status, str)
    assert (str(status), f"{status}", json.loads(json.dumps(status))) == (status.value,) * 3
    assert JobStatus(status.value) is status


def test_a_step_is_allowed_only_where_the_design_draws_it() -> None:
    steps = {before and before.value: {step.value for step in STEPS[before]} for before in STEPS}
    assert steps == DRAWN


def test_every_status_has_its_steps_in_the_table() -> None:
    assert set(STEPS) == {None, *JobStatus}


@pytest.mark.parametrize("status", JobStatus)
def test_a_status_is_final_exactly_if_none_can_follow(status: JobStatus) -> None:
    final = status.value in {"succeeded", "failed", "cancelled", "rejected", "interrupted"}
    assert status.is_final is final
    assert (status in FINAL) is final
    assert (not STEPS[status]) is final


def test_every_status_can_be_reached() -> None:
    reached: set[JobStatus] = set()
    ahead = set(STEPS[None])
    while ahead:
        status = ahead.pop()
        reached.add(status)
        ahead |= STEPS[status] - reached
    assert reached == set(JobStatus)
