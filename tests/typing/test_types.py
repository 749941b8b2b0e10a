"""What type checkers say of the samples beside this file: every promise, and every error."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAMPLES = [HERE / "right.py", HERE / "wrong.py"]


def checked(config: pytest.Config, *files: Path) -> str:
    """What mypy prints of these files."""
    assert config.cache is not None
    cache = config.cache.mkdir("mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--warn-unused-ignores",
        "--no-color-output",
    ]
    done = subprocess.run(
        [*command, "--no-error-summary", f"--cache-dir={cache}", *map(str, files)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_mypy_finds_each_type_as_promised_and_each_error_where_it_is_expected(
    pytestconfig: pytest.Config,
) -> None:
    assert checked(pytestconfig, *SAMPLES) == ""


@pytest.mark.slow
def test_mypy_says_so_when_a_promise_is_broken_or_an_error_missing(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    # The guard of the test above: its samples are looked at, and their comments matter.
    right, wrong = (tmp_path / f"changed_{sample.name}" for sample in SAMPLES)
    right.write_text(SAMPLES[0].read_text().replace("Job[Job[str]])", "Job[int])", 1))
    wrong.write_text(SAMPLES[1].read_text().replace('wrapped("1")', "wrapped(1)", 1))
    found = re.findall(r"error: .*\[(.*)\]$", checked(pytestconfig, right, wrong), re.MULTILINE)
    assert sorted(found) == ["assert-type", "unused-ignore"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="no pyright here; .ci/run brings it")
def test_pyright_agrees() -> None:
    done = subprocess.run(
        ["pyright", "--pythonpath", sys.executable, *map(str, SAMPLES)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout
