"""`executor=` with loky, whose workers do not import `__main__`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from textwrap import dedent

import pytest

from boundedjobs import BoundedRunner, JobCancelled, RemoteError, WorkerLost
from tests import elsewhere
from tests.elsewhere import PATIENCE, Begun, gate, hold
from tests.gates import Heard

loky = pytest.importorskip("loky")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the bodies wait at named pipes"),
]


def make() -> Executor:
    return loky.ProcessPoolExecutor(2)  # type: ignore[no-any-return]  # it has no types


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Two workers that all the tests share that do them no harm."""
    with make() as executor:
        executor.submit(elsewhere.pid).result(PATIENCE)  # its threads are there before any test
        yield executor


@pytest.fixture
def begun() -> Begun:
    return Begun()


@pytest.fixture
def runner(pool: Executor, begun: Begun) -> Iterator[BoundedRunner]:
    with BoundedRunner(2, executor=pool, on_progress=begun) as runner:
        yield runner


def test_a_body_runs_in_another_process(runner: BoundedRunner) -> None:
    assert runner.submit(elsewhere.pid).result(PATIENCE) != os.getpid()


def test_a_function_that_no_module_has_is_sent_whole(runner: BoundedRunner) -> None:
    factor = 6
    assert runner.submit(lambda number: factor * number, 7).result(PATIENCE) == 42


def test_what_a_wrapper_hides_is_sent_by_its_name(runner: BoundedRunner) -> None:
    assert runner.submit(elsewhere.hidden, 2).result(PATIENCE) == 6


def test_what_a_body_reports_is_heard_in_order_before_its_end(pool: Executor) -> None:
    heard = Heard()
    with BoundedRunner(1, executor=pool, on_status=heard, on_progress=heard) as runner:
        runner.submit(elsewhere.reporting, 20).result(PATIENCE)
    found = [event.progress and event.progress.message for event in heard.events[2:-1]]
    assert found == [f"{number} of 20" for number in range(20)]
    assert heard.statuses()[-1] == "succeeded"


def test_a_body_hears_that_it_is_asked_to_stop(runner: BoundedRunner, begun: Begun) -> None:
    job = runner.submit(elsewhere.until_stopped)
    begun.pid()
    assert not job.cancel()
    with pytest.raises(JobCancelled):
        job.result(PATIENCE)


def test_an_exception_that_cannot_be_unpickled_does_no_harm(runner: BoundedRunner) -> None:
    error = runner.submit(elsewhere.raising, "two arguments").exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert str(error) == "tests.elsewhere.TwoArguments: slow down"
    assert isinstance(runner.submit(elsewhere.raising, "exit").exception(PATIENCE), SystemExit)
    assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


def test_the_innocent_are_told_apart_and_the_runner_goes_on(begun: Begun, tmp_path: Path) -> None:
    with BoundedRunner(2, executor=make, on_progress=begun) as runner:
        innocent = runner.submit(hold, gate(tmp_path, "innocent"))
        begun.pid()
        victim = runner.submit(hold, gate(tmp_path, "victim"))
        os.kill(begun.pid(), signal.SIGKILL)
        errors = [victim.exception(PATIENCE), innocent.exception(PATIENCE)]
        assert [type(error) for error in errors] == [WorkerLost, WorkerLost]
        assert [error.by_another for error in errors] == [False, True]  # type: ignore[union-attr]
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


def test_a_script_and_its_exit(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    code = """
    import os
    from loky import get_reusable_executor
    from boundedjobs import BoundedRunner, current_job

    class OwnError(Exception):
        pass

    runner = BoundedRunner(1, executor=lambda: get_reusable_executor(1))

    @runner.wrap
    def work(number):
        current_job().report(0)
        if number < 0:
            raise OwnError(number)
        os.write(1, f"ran {number}\\n".encode())
        return number

    if __name__ == "__main__":
        assert work(1).result() == 1
        assert isinstance(work(-1).exception(), OwnError)
        for number in range(2, 5):
            work(number)
    """
    path.write_text(dedent(code), encoding="utf-8")
    found = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == ["ran 1", "ran 2", "ran 3", "ran 4"]
