"""`executor=` with interpreters, each of which is a world of its own within this process."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from boundedjobs import BoundedRunner, JobCancelled, JobInterrupted, RemoteError
from tests import elsewhere
from tests.elsewhere import PATIENCE, Begun, gate, hold
from tests.gates import Heard

InterpreterPoolExecutor: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", None)

needs_interpreters = pytest.mark.skipif(
    InterpreterPoolExecutor is None, reason="Python 3.14 brought InterpreterPoolExecutor"
)
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the bodies wait at named pipes")


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Two workers that all the tests share."""
    with InterpreterPoolExecutor(2) as executor:
        gathered = [executor.submit(elsewhere.pid) for _ in range(2)]
        assert [future.result(PATIENCE) for future in gathered] == [os.getpid()] * 2
        yield executor


@pytest.fixture
def begun() -> Begun:
    return Begun()


@pytest.fixture
def runner(pool: Executor, begun: Begun) -> Iterator[BoundedRunner]:
    with BoundedRunner(2, executor=pool, on_progress=begun) as runner:
        yield runner


@needs_interpreters
def test_a_body_runs_in_another_interpreter_of_this_process(runner: BoundedRunner) -> None:
    elsewhere.here.append("this interpreter")
    try:
        assert runner.submit(elsewhere.pid).result(PATIENCE) == os.getpid()
        assert runner.submit(elsewhere.count_here).result(PATIENCE) == 0
    finally:
        elsewhere.here.clear()


@needs_interpreters
def test_what_a_body_reports_is_heard_in_order_before_its_end(pool: Executor) -> None:
    heard = Heard()
    with BoundedRunner(1, executor=pool, on_status=heard, on_progress=heard) as runner:
        runner.submit(elsewhere.reporting, 20).result(PATIENCE)
    found = [event.progress and event.progress.message for event in heard.events[2:-1]]
    assert found == [f"{number} of 20" for number in range(20)]
    assert heard.statuses()[-1] == "succeeded"


@needs_interpreters
def test_a_body_hears_that_it_is_asked_to_stop(runner: BoundedRunner, begun: Begun) -> None:
    job = runner.submit(elsewhere.until_stopped)
    begun.pid()
    assert not job.cancel()
    with pytest.raises(JobCancelled):
        job.result(PATIENCE)


@needs_interpreters
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("two arguments", RemoteError),
        ("lock", RemoteError),
        ("plain", ValueError),
        ("exit", SystemExit),
        ("ctrl-c", KeyboardInterrupt),
    ],
)
def test_whatever_a_body_raises_ends_its_job_and_not_the_worker(
    kind: str, expected: type[BaseException], runner: BoundedRunner
) -> None:
    job = runner.submit(elsewhere.raising, kind)
    assert type(job.exception(PATIENCE)) is expected
    assert job.failure is not None
    assert job.failure.location.endswith(" in raising")
    assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


@needs_interpreters
def test_as_many_bodies_run_at_once_as_there_are_interpreters(
    runner: BoundedRunner, begun: Begun, tmp_path: Path
) -> None:
    gates = [gate(tmp_path, str(number)) for number in range(2)]
    jobs = [runner.submit(hold, each) for each in gates]
    begun.pid(), begun.pid()
    for each in gates:
        each.write_text("go", encoding="utf-8")
    assert [job.result(PATIENCE) for job in jobs] == ["go", "go"]


@needs_interpreters
def test_interpreters_that_never_come_up_end_the_job_interrupted() -> None:
    def make() -> Executor:
        made = InterpreterPoolExecutor(1, initializer=elsewhere.fail_to_start)
        assert isinstance(made, Executor)
        return made

    with BoundedRunner(1, executor=make) as runner:
        job = runner.submit(elsewhere.pid)
        error = job.exception(PATIENCE)
    assert isinstance(error, JobInterrupted)
    assert str(error).startswith(
        "the job could not be started: not by 3 executors, one after the other: "
    )
    assert job.failure is not None
    assert job.failure.phase == "start"


@needs_interpreters
@pytest.mark.parametrize("body", [elsewhere.job_of_a_runner, elsewhere.async_job_of_a_runner])
def test_a_runner_within_an_interpreter_says_that_it_can_start_no_thread(
    body: Any, runner: BoundedRunner
) -> None:
    assert runner.submit(body).result(PATIENCE) == (
        "interrupted",
        "start",
        "the job could not be started: daemon threads are disabled in this interpreter",
    )


@needs_interpreters
def test_at_the_drain_deadline_a_body_is_let_go_of_and_goes_on(
    begun: Begun, tmp_path: Path
) -> None:
    held = gate(tmp_path)
    with InterpreterPoolExecutor(1) as given:
        runner = BoundedRunner(1, executor=given, on_progress=begun)
        job = runner.submit(hold, held)
        begun.pid()
        runner.shutdown(timeout=0)
        assert job.status.value == "interrupted"
        held.write_text("go", encoding="utf-8")
        assert given.submit(elsewhere.add, 1).result(PATIENCE) == 1


# What is in `__main__`, and how a process ends: each is a script.

BARE = '''
import pickle, subprocess, sys
from concurrent.futures import Executor, Future

CODE = """
import pickle, sys
fn, args = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(fn(*args)))
"""

class Bare(Executor):
    """In place of interpreters, for Pythons without: processes whose `__main__` is empty too."""

    __module__ = "concurrent.futures.interpreter"

    def submit(self, fn, /, *args):
        sent, future = pickle.dumps((fn, args)), Future()
        ended = subprocess.run([sys.executable, "-c", CODE], input=sent, stdout=subprocess.PIPE)
        future.set_result(pickle.loads(ended.stdout))
        return future

make = Bare
'''

INTERPRETERS = """
from concurrent.futures import InterpreterPoolExecutor

make = lambda: InterpreterPoolExecutor(1)
"""

THREADS = """
from concurrent.futures import ThreadPoolExecutor

make = lambda: ThreadPoolExecutor(1)
"""


def script(code: str, folder: Path, path: str, *how: str) -> str:
    """Write a script, and run it; return what it prints."""
    (folder / path).write_text(code, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, *how],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "by"),
    [(["folder/script.py"], ""), (["-m", "folder.script"], "from . import by")],
    ids=["file", "module"],
)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(BARE, id="stand-in"),
        pytest.param(INTERPRETERS, id="interpreters", marks=needs_interpreters),
    ],
)
def test_what_a_script_defines_is_found_in_its_workers(
    make: str, how: list[str], by: str, tmp_path: Path
) -> None:
    code = f"""
import logging
from boundedjobs import BoundedRunner

by = 1
{by}

class Own:
    def __init__(self, number):
        self.number = number

class OwnError(Exception):
    pass

def body(own):
    if own.number < 0:
        raise OwnError
    return Own(own.number + by)

if __name__ == "__main__":
    logging.disable()  # the job that fails
    with BoundedRunner(1, executor=make) as runner:
        print(runner.submit(body, Own(1)).result().number)
        print(runner.submit(body, Own(2)).result().number)
        print(type(runner.submit(body, Own(-1)).exception()) is OwnError)
        print(runner.submit(abs, -4).result())  # of which it has nothing to find
"""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__init__.py").write_text("by = 1", encoding="utf-8")
    assert script(make + code, tmp_path, "folder/script.py", *how) == "2\n3\nTrue\n4\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(THREADS, id="threads"),
        pytest.param(INTERPRETERS, id="interpreters", marks=needs_interpreters),
    ],
)
def test_nothing_that_a_worker_has_opened_is_left_at_the_end(make: str, tmp_path: Path) -> None:
    code = """
from boundedjobs import BoundedRunner

with BoundedRunner(1, executor=make) as runner:
    print(runner.submit(int, 7).result())
"""
    assert script(make + code, tmp_path, "script.py", "-X", "dev", "script.py") == "7\n"
