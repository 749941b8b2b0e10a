"""Where code runs, and on which Python."""

from __future__ import annotations

import pytest

from boundedjobs._here import starts_no_late_threads


@pytest.mark.parametrize(
    ("version", "starts_none"),
    [
        ((3, 11, 0), False),
        ((3, 11, 9), False),
        ((3, 12, 0, "final", 0), True),
        ((3, 12, 1, "final", 0), True),
        ((3, 12, 2), False),
        ((3, 13, 0), False),
        ((3, 13, 1), False),
        ((4, 12, 0), False),
    ],
)
def test_two_pythons_start_no_thread_once_they_exit(
    version: tuple[int | str, ...], starts_none: bool
) -> None:
    assert starts_no_late_threads(version) == starts_none
