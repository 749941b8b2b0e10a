"""The checksums of a folder: as `sha256sum` has them, errors at the end, with any progress bar."""

import asyncio
import io
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress
from tqdm import tqdm
from tqdm.asyncio import tqdm as async_tqdm

from boundedjobs import BoundedRunner
from tests.examples.support import environment

BARS = ["none", "tqdm", "rich"]


def checksums(folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "examples.checksums", str(folder), *options],
        stdin=subprocess.DEVNULL,
        env=environment(),
        capture_output=True,
        timeout=30,
        check=False,
    )


def errors_of(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some files, in some folders, with contents of their own."""
    folder = tmp_path / "folder"
    for n in range(60):
        path = folder / f"folder {n % 7}" / f"file {n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % n * n)
    return folder


def expected(folder: Path) -> list[str]:
    return sorted(
        f"{sha256(path.read_bytes()).hexdigest()}  {path}"
        for path in folder.rglob("*")
        if path.is_file()
    )


@pytest.mark.slow
@pytest.mark.parametrize("bar", BARS)
def test_each_file_has_its_checksum_with_any_bar(folder: Path, bar: str) -> None:
    done = checksums(folder, "--progress", bar)
    assert sorted(done.stdout.decode().splitlines()) == expected(folder)
    assert (done.returncode, errors_of(done)) == (0, [])
    assert (b"60 files" in done.stderr) == (bar == "tqdm")
    assert (b"Checksums" in done.stderr) == (bar == "rich")


@pytest.mark.slow
def test_without_a_terminal_a_bar_that_is_installed_is_there_unasked(folder: Path) -> None:
    assert b"60 files" in checksums(folder).stderr


@pytest.mark.slow
def test_sha256sum_agrees_whatever_a_file_is_called(folder: Path) -> None:
    for name in ("two\nlines", "back\\slash", "ümläut", " "):
        (folder / name).write_text(name)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_bytes(b"no UTF-8")
    done = checksums(folder)
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("sha256sum is not installed")
    checked = subprocess.run(
        [program, "--check", "--strict", "--quiet"],
        input=done.stdout,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    assert done.stdout.count(b"\n") == 65


@pytest.mark.slow
@pytest.mark.parametrize("bar", BARS)
def test_errors_are_listed_at_the_end_and_the_exit_code_says_so(folder: Path, bar: str) -> None:
    before = expected(folder)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    done = checksums(folder, "--progress", bar, "--jobs", "2")
    assert done.returncode == 1
    assert sorted(done.stdout.decode().splitlines()) == before
    errors = [
        f"error: [Errno 2] No such file or directory: '{folder / 'dangling'}'",
        f"error: not a regular file: '{folder / 'pipe'}'",
    ]
    assert sorted(done.stderr.decode().splitlines()[-2:]) == errors
    assert sorted(errors_of(done)) == errors


@pytest.mark.slow
def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = checksums(tmp_path / "nowhere", "--progress", "none")
    assert (done.returncode, done.stdout) == (1, b"")
    assert errors_of(done) == [
        f"error: [Errno 2] No such file or directory: '{tmp_path / 'nowhere'}'"
    ]


# What the example can't show: its inputs have no length.


@pytest.fixture(autouse=True)
def _no_thread_of_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps one that outlives its bars, to redraw those that stand still."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


def test_tqdm_knows_the_total_of_inputs_that_have_a_length() -> None:
    with BoundedRunner(2) as runner:
        bar: Any = tqdm(runner.as_completed(int, ["1"] * 9), file=io.StringIO())
        assert bar.total == 9
        assert sum(job.result() for job in bar) == 9
        assert bar.n == 9


def test_tqdm_wraps_async_for_too() -> None:
    async def main() -> int:
        async with BoundedRunner(2) as runner:
            jobs = runner.as_completed(int, ["1"] * 9)
            return sum([job.result() async for job in async_tqdm(jobs, file=io.StringIO())])

    assert asyncio.run(main()) == 9


def test_rich_knows_the_total_of_inputs_that_have_a_length_or_a_hint() -> None:
    console = Console(file=io.StringIO())
    with BoundedRunner(2) as runner, Progress(console=console) as progress:
        for items in (["1"] * 9, iter(["1"] * 9)):
            jobs = runner.as_completed(int, items)
            assert sum(job.result() for job in progress.track(jobs)) == 9
        assert [(task.total, task.completed) for task in progress.tasks] == [(9, 9), (9, 9)]
