"""What type checkers say of the samples beside this file: every promise, and every error."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAMPLES = [HERE / "right.py", HERE / "wrong.py"]
PYRIGHT = shutil.which("pyright") or shutil.which("pyright", path=Path(sys.executable).parent)

pytestmark = pytest.mark.slow


def output(*command: str | Path) -> str:
    """What a type checker prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},  # that there is a newer one
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def changed(folder: Path) -> list[Path]:
    """The samples with a promise broken in the one, and no error where one is expected in the other."""
    right, wrong = (folder / f"changed_{sample.name}" for sample in SAMPLES)
    right.write_text(SAMPLES[0].read_text().replace("Job[Job[str]])", "Job[int])", 1))
    wrong.write_text(SAMPLES[1].read_text().replace('wrapped("1")', "wrapped(1)", 1))
    return [right, wrong]


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command, with a cache that the tests of this module share."""
    cache = tmp_path_factory.mktemp("mypy")
    options = ["--strict", "--no-color-output", "--no-error-summary", f"--cache-dir={cache}"]
    return [sys.executable, "-m", "mypy", *options]


def test_mypy_finds_each_type_as_promised_and_each_error_where_it_is_expected(
    mypy: list[str],
) -> None:
    assert output(*mypy, *SAMPLES) == ""


def test_mypy_says_so_when_a_promise_is_broken_or_an_error_missing(
    mypy: list[str], tmp_path: Path
) -> None:
    # The guard of the test above: its samples are looked at, and their comments matter.
    found = re.findall(r"error: .*\[(.*)\]$", output(*mypy, *changed(tmp_path)), re.MULTILINE)
    assert sorted(found) == ["assert-type", "unused-ignore"]


@pytest.fixture
def pyright() -> list[str]:
    """The command; what it prints is JSON."""
    if PYRIGHT is None:
        pytest.skip("no pyright here; .ci/run brings it")
    return [PYRIGHT, "--outputjson", "--pythonpath", sys.executable]


def test_pyright_agrees(pyright: list[str]) -> None:
    found = json.loads(output(*pyright, *SAMPLES))
    assert found["generalDiagnostics"] == []
    assert found["summary"]["filesAnalyzed"] == len(SAMPLES)


def test_pyright_says_so_too(pyright: list[str], tmp_path: Path) -> None:
    found = json.loads(output(*pyright, *changed(tmp_path)))
    rules = [each.get("rule") for each in found["generalDiagnostics"]]
    assert sorted(rules) == ["reportAssertTypeFailure", "reportUnnecessaryTypeIgnoreComment"]
