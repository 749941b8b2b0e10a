"""The short examples, run as their first lines say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.support import environment


def output_of(module: str, folder: Path) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.slow
def test_quickstart_prints_each_status_and_one_failure(tmp_path: Path) -> None:
    lines = output_of("examples.quickstart", tmp_path)
    for name, end in [
        ("alice-in-wonderland.md", "succeeded"),
        ("declaration-of-independence.txt", "succeeded"),
        ("gettysburg-address.md", "succeeded"),
        ("missing.md", "failed"),
    ]:
        heard = [line for line in lines if line.startswith(f"{name}: ")]
        assert heard == [f"{name}: {status}" for status in ("pending", "running", end)]
    assert "gettysburg-address.md has 290 words" in lines
    assert lines[-1].startswith("missing.md failed: FileNotFoundError: ")


@pytest.mark.slow
def test_squeeze_shows_what_goes_on_and_prints_the_sizes_of_what_it_could_read(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a").write_bytes(b"a" * 10_000)
    ended = subprocess.run(
        [sys.executable, "-m", "examples.squeeze", str(folder), str(tmp_path / "missing")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert re.fullmatch(r"letters: 10,000 bytes, \d+ squeezed\n", ended.stdout)
    shown = ended.stderr.splitlines()
    assert any(line.startswith("squeeze: succeeded letters in ") for line in shown)
    assert any(line.startswith("squeeze: failed missing in ") for line in shown)
    assert shown[-1].startswith("squeeze: 1 succeeded, 1 failed in ")


@pytest.mark.slow
def test_async_service_answers_each_line_and_hears_each_step(tmp_path: Path) -> None:
    lines = output_of("examples.async_service", tmp_path)
    assert lines[0] == "'to be or not to be': 2 2 2 3 2 2"
    assert lines[1] == "'': error: the line must have at least one word, got none"
    assert lines[-1] == "1 failed, 10 pending, 10 running, 9 succeeded"
