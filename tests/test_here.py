"""Where code runs, and on which Python."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import ModuleType

import pytest

from boundedjobs import _here
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


def test_a_sync_job_runs_without_asyncio() -> None:
    script = (
        "import sys\n"
        "from boundedjobs import BoundedRunner\n"
        "with BoundedRunner(1) as runner:\n"
        "    print(runner.submit(len, 'abc').result(), 'asyncio' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("3 False\n", "")


def test_a_loop_is_found_once_asyncio_has_been_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, object] = {}
    monkeypatch.setattr(_here, "_find", None)
    monkeypatch.setattr(_here, "_modules", modules)

    async def found() -> object:
        return _here.running_loop()

    assert asyncio.run(found()) is None
    modules["asyncio"] = ModuleType("asyncio")  # as long as it is being imported
    assert asyncio.run(found()) is None
    modules["asyncio"] = asyncio
    assert asyncio.run(found()) is not None
    assert _here.running_loop() is None  # here is none
    modules.clear()  # it is not looked for again
    assert asyncio.run(found()) is not None
