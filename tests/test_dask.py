"""`executor=` with Dask: a scheduler, and workers that reach nothing but that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boundedjobs import BoundedRunner, JobCancelled, Progress, RemoteError, WorkerLost
from boundedjobs._dask import DaskBoard, DaskLine
from tests import elsewhere
from tests.elsewhere import PATIENCE, Begun, gate, hold
from tests.gates import Heard
from tests.test_line import Noted

distributed = pytest.importorskip("distributed")

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.proof,  # a cluster takes longer to be there than all that is done with it
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the bodies wait at named pipes"),
    pytest.mark.timeout(180),
]


@contextmanager
def program(name: str, *arguments: str | Path) -> Iterator[None]:
    """One of Dask's, as one starts them on machines of their own."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a scheduler and two workers, which are started again when they are killed."""
    folder = tmp_path_factory.mktemp("cluster")
    address = folder / "scheduler.json"
    here = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", address)
    with ExitStack() as stack:
        stack.enter_context(program("scheduler", "--port", "0", *here))
        for _ in range(2):
            alone = ("--nthreads", "1", "--local-directory", folder)
            stack.enter_context(program("worker", *here, *alone))
        yield stack.enter_context(distributed.Client(scheduler_file=str(address)))


@pytest.fixture
def client(cluster: Any) -> Any:
    """That client, when both workers are there."""
    cluster.wait_for_workers(2, timeout=2 * PATIENCE)
    cluster.get_executor(pure=False).submit(elsewhere.pid).result(PATIENCE)
    return cluster


@pytest.fixture
def begun() -> Begun:
    return Begun()


@pytest.fixture
def runner(client: Any, begun: Begun) -> Iterator[BoundedRunner]:
    with BoundedRunner(2, executor=client.get_executor(), on_progress=begun) as runner:
        yield runner


def test_calls_that_are_alike_are_each_made(client: Any, tmp_path: Path) -> None:
    bare, ours = tmp_path / "bare", tmp_path / "ours"
    executor = client.get_executor()  # `pure` as Dask has it by default
    futures = [executor.submit(elsewhere.noted, bare, "ran") for _ in range(3)]
    assert [future.result(PATIENCE) for future in futures] == ["ran"] * 3
    assert bare.read_text(encoding="utf-8") == "ran\n"
    with BoundedRunner(2, executor=executor) as runner:
        jobs = [runner.submit(elsewhere.noted, ours, "ran") for _ in range(3)]
        assert [job.result(PATIENCE) for job in jobs] == ["ran"] * 3
    assert ours.read_text(encoding="utf-8") == "ran\n" * 3


def test_arguments_that_are_named_as_options_of_dask_are_the_functions(
    runner: BoundedRunner,
) -> None:
    options = {"key": 1, "retries": 2, "priority": 3, "pure": True, "workers": None}
    assert runner.submit(elsewhere.named, **options).result(PATIENCE) == options


def test_a_function_that_no_module_has_is_sent_whole(runner: BoundedRunner) -> None:
    factor = 6
    assert runner.submit(lambda number: factor * number, 7).result(PATIENCE) == 42


def test_what_a_body_reports_is_heard_in_order_before_its_end(client: Any) -> None:
    heard = Heard()
    executor = client.get_executor()
    with BoundedRunner(1, executor=executor, on_status=heard, on_progress=heard) as runner:
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


def test_a_body_does_not_begin_whose_job_was_asked_to_stop(
    client: Any, begun: Begun, tmp_path: Path
) -> None:
    note, gates = tmp_path / "note", [gate(tmp_path, str(number)) for number in range(2)]
    with BoundedRunner(3, executor=client.get_executor(), on_progress=begun) as runner:
        held = [runner.submit(hold, each) for each in gates]
        begun.pid(), begun.pid()
        job = runner.submit(elsewhere.noted, note, "ran")
        while not job.stack().startswith("Handed to ClientExecutor"):
            pass
        assert not job.cancel()
        flag = distributed.Event(flag_of(runner, job, "stop"), client=client)
        assert flag.wait(PATIENCE)
        for each in gates:
            each.write_text("go", encoding="utf-8")
        assert [each.result(PATIENCE) for each in held] == ["go", "go"]
        with pytest.raises(JobCancelled):
            job.result(PATIENCE)
    assert not note.exists()


def flag_of(runner: BoundedRunner, job: Any, word: str) -> str:
    """The name of a flag that the scheduler keeps of a job."""
    errand = job._fn
    return f"{errand.pool.board.address}-{errand.number}-{word}"


def test_a_system_exit_is_a_failure_and_not_a_lost_worker(runner: BoundedRunner) -> None:
    before = runner.submit(elsewhere.pid).result(PATIENCE)
    assert isinstance(runner.submit(elsewhere.raising, "exit").exception(PATIENCE), SystemExit)
    pids = [runner.submit(elsewhere.pid) for _ in range(8)]
    assert before in {job.result(PATIENCE) for job in pids}


def test_an_exception_that_cannot_be_unpickled_has_a_stand_in(runner: BoundedRunner) -> None:
    error = runner.submit(elsewhere.raising, "two arguments").exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert str(error) == "tests.elsewhere.TwoArguments: slow down"


def test_a_body_whose_worker_was_killed_is_not_run_again(client: Any, tmp_path: Path) -> None:
    bare, ours = tmp_path / "bare", tmp_path / "ours"
    executor = client.get_executor(pure=False)
    assert executor.submit(elsewhere.killed_once, bare).result(PATIENCE) == "ran again"
    with BoundedRunner(1, executor=executor) as runner:
        job = runner.submit(elsewhere.killed_once, ours)
        error = job.exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert str(error) == (
            "the worker that ran it died, and the executor made the call again: its body was not "
            "let begin a second time"
        )
        assert job.failure is not None
        assert job.failure.phase == "executor"
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1
    assert ours.read_text(encoding="utf-8") == "ran\n"


def test_a_job_that_has_ended_is_not_run_again_when_its_worker_dies(
    client: Any, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    with BoundedRunner(1, executor=client.get_executor()) as runner:
        job = runner.submit(elsewhere.noted_pid, note)
        pid = job.result(PATIENCE)
        following = runner.submit(elsewhere.pid)
        following.result(PATIENCE)
        while client.run_on_scheduler(tasks_of_ours):
            pass
        os.kill(pid, signal.SIGKILL)
        while client.run_on_scheduler(is_there, pid):
            pass
        for _ in range(3):
            runner.submit(elsewhere.add, 1).result(PATIENCE)
    assert note.read_text(encoding="utf-8") == f"{pid}\n"


def tasks_of_ours(dask_scheduler: Any) -> int:
    """How many tasks the scheduler has still to account for."""
    return len(dask_scheduler.tasks)


def is_there(pid: int, dask_scheduler: Any) -> bool:
    return any(worker.extra.get("pid") == pid for worker in dask_scheduler.workers.values())


@contextmanager
def making_no_call_again(client: Any) -> Iterator[None]:
    def allow(failures: int, dask_scheduler: Any) -> None:
        dask_scheduler.allowed_failures = failures

    client.run_on_scheduler(allow, 0)
    try:
        yield
    finally:
        client.run_on_scheduler(allow, 3)


def test_where_dask_makes_no_call_again_the_worker_is_lost(client: Any, tmp_path: Path) -> None:
    with making_no_call_again(client):
        with BoundedRunner(1, executor=client.get_executor()) as runner:
            error = runner.submit(elsewhere.killed_once, tmp_path / "note").exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert type(error.__cause__) is distributed.scheduler.KilledWorker


def test_a_lost_worker_takes_no_job_of_another_worker_with_it(
    client: Any, begun: Begun, tmp_path: Path
) -> None:
    path = gate(tmp_path)

    with (
        making_no_call_again(client),
        BoundedRunner(
            2, executor=lambda: client.get_executor(pure=False), on_progress=begun
        ) as runner,
    ):
        innocent = runner.submit(hold, path)
        begun.pid()
        error = runner.submit(elsewhere.killed).exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        path.write_text("let go", encoding="utf-8")
        assert innocent.result(PATIENCE) == "let go"


def test_what_the_scheduler_keeps_of_a_call_is_forgotten(client: Any) -> None:
    with BoundedRunner(1, executor=client.get_executor()) as runner:
        runner.submit(elsewhere.add, 1).result(PATIENCE)
        while client.run_on_scheduler(flags):
            pass


def flags(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.extensions["events"]._events)


def test_what_a_worker_asks_and_reports_goes_by_way_of_the_scheduler(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = SimpleNamespace(
        scheduler=client.scheduler, loop=client.loop, log_event=client.log_event
    )
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    board, call = DaskBoard(client.get_executor()), Noted()
    # As any call, it goes to the scheduler behind the subscription, which what is asked overtakes.
    client.submit(int, pure=False).result(PATIENCE)
    line = DaskLine(board.address)
    board.expect(1, call)
    board.expect(2, call)
    assert line.begin(1)
    assert not line.begin(1)
    assert not line.is_asked_to_stop(1)
    board.stop(1)
    while not line.is_asked_to_stop(1):
        pass
    board.forget(1)
    line.report(1, Progress(0.5))
    line.report(2, Progress(1, "all"))
    line.end(2)
    assert call.noted.get(timeout=PATIENCE) == Progress(1, "all")
    board.forget(2)
    board.close()
