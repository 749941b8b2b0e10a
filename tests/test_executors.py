"""`executor=`: sync bodies in other processes, of which all that is known stays here."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from textwrap import dedent
from typing import Any

import pytest

from boundedjobs import (
    BoundedJobsError,
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobInterrupted,
    JobTimeout,
    NotRunnable,
    RemoteError,
    WorkerLost,
    current_job,
)
from boundedjobs._line import Line
from tests import elsewhere
from tests.elsewhere import PATIENCE, Begun, gate, hold, hold_on
from tests.freeing import free, until
from tests.gates import Heard

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the bodies wait at named pipes")

Make = Callable[[], Executor]

# A process with threads that forks is warned about from Python 3.12 on.
METHODS = [
    pytest.param(
        "fork",
        marks=pytest.mark.filterwarnings(
            "ignore:This process .* is multi-threaded:DeprecationWarning"
        ),
    ),
    "forkserver",
    "spawn",
]


def processes(width: int = 2, method: str = "forkserver", **options: Any) -> Make:
    """A factory."""
    return partial(ProcessPoolExecutor, width, mp_context=get_context(method), **options)


class Counting:
    """A factory that counts what it makes, and what is handed to that."""

    def __init__(self, make: Make) -> None:
        self.made: list[Executor] = []
        self.handed = 0
        self._make = make

    def __call__(self) -> Executor:
        executor = self._make()
        submit = executor.submit

        def counted(*args: Any, **kwargs: Any) -> Future[Any]:
            self.handed += 1
            return submit(*args, **kwargs)

        executor.submit = counted  # type: ignore[method-assign]
        self.made.append(executor)
        return executor


@pytest.fixture
def begun() -> Begun:
    return Begun()


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Two workers that all the tests share that do them no harm."""
    with processes()() as executor:
        executor.submit(elsewhere.pid).result(PATIENCE)  # its threads are there before any test
        yield executor


@pytest.fixture
def runner(pool: Executor, begun: Begun) -> Iterator[BoundedRunner]:
    with BoundedRunner(2, name="r", executor=pool, on_progress=begun) as runner:
        yield runner


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def handed(job: Job[Any]) -> None:
    """Wait until a job has been handed to its executor."""
    while not job.stack().startswith("Handed to "):
        pass


# Where bodies run, and what stays here.


@pytest.mark.parametrize("method", METHODS)
def test_a_sync_body_runs_in_another_process(method: str) -> None:
    with BoundedRunner(2, executor=processes(method=method)) as runner:
        assert runner.submit(elsewhere.pid).result(PATIENCE) != os.getpid()
        assert runner.submit(elsewhere.add, 1, 2, third=3).result(PATIENCE) == 6
        assert list(runner.map(elsewhere.add, range(5))) == [0, 1, 2, 3, 4]


def test_an_async_body_runs_on_the_loop_as_ever(pool: Executor) -> None:
    async def body() -> int:
        await asyncio.sleep(0)
        return os.getpid()

    async def main() -> int:
        async with BoundedRunner(1, executor=pool) as runner:
            return await runner.submit(body)

    assert asyncio.run(main()) == os.getpid()


def test_listeners_hear_each_step_here_in_the_context_of_the_submitter(pool: Executor) -> None:
    where: contextvars.ContextVar[str] = contextvars.ContextVar("where")
    heard: list[tuple[str, str, int]] = []

    def hear(event: JobEvent) -> None:
        assert current_job().id == event.job_id
        heard.append((event.status.value, where.get(), os.getpid()))

    where.set("submitted")
    with BoundedRunner(1, executor=pool, on_status=hear) as runner:
        runner.submit(elsewhere.add, 1).result(PATIENCE)
    steps = ("pending", "running", "succeeded")
    assert heard == [(step, "submitted", os.getpid()) for step in steps]


def test_what_a_body_reports_is_heard_in_order_before_its_end(pool: Executor) -> None:
    heard = Heard()
    with BoundedRunner(1, executor=pool, on_status=heard, on_progress=heard) as runner:
        for _ in range(5):
            runner.submit(elsewhere.reporting, 40).result(PATIENCE)
    found = [
        (event.status.value, event.progress and event.progress.message) for event in heard.events
    ]
    reports = [("running", f"{number} of 40") for number in range(40)]
    first, last = [("pending", None), ("running", None)], [("succeeded", "39 of 40")]
    assert found == 5 * [*first, *reports, *last]


def test_a_bad_report_raises_in_the_worker(runner: BoundedRunner) -> None:
    error = runner.submit(elsewhere.bad_report).exception(PATIENCE)
    assert isinstance(error, ValueError)
    assert str(error) == "fraction must be from 0 to 1, got 2"


def test_the_limit_holds_where_the_executor_is_wider(begun: Begun, tmp_path: Path) -> None:
    gates = [gate(tmp_path, str(number)) for number in range(3)]
    with BoundedRunner(2, executor=processes(4), on_progress=begun) as runner:
        jobs = [runner.submit(hold, each) for each in gates]
        assert begun.pid() != begun.pid()
        assert [job.status.value for job in jobs] == ["running", "running", "pending"]
        gates[0].write_text("first", encoding="utf-8")
        assert jobs[0].result(PATIENCE) == "first"
        begun.pid()
        for each in gates[1:]:
            each.write_text("go", encoding="utf-8")


def test_jobs_that_wait_hold_no_thread(runner: BoundedRunner, begun: Begun, tmp_path: Path) -> None:
    gates = [gate(tmp_path, str(number)) for number in range(2)]
    held = [runner.submit(hold, each) for each in gates]
    begun.pid(), begun.pid()
    before = threading.active_count()
    jobs = [runner.submit(elsewhere.add, number) for number in range(100)]
    assert threading.active_count() == before
    for each in gates:
        each.write_text("go", encoding="utf-8")
    assert [job.result(PATIENCE) for job in jobs] == list(range(100))
    assert [job.result(PATIENCE) for job in held] == ["go", "go"]


def test_current_job_in_a_worker_is_the_job_as_far_as_it_is_to_be_had_there(
    runner: BoundedRunner,
) -> None:
    job = runner.submit(elsewhere.job_seen)
    shown = f"<WorkerJob 'job_seen' id={job.id}>"
    assert job.result(PATIENCE) == (job.id, "job_seen", (), {}, "running", shown)
    error = runner.submit(elsewhere.result_of_itself).exception(PATIENCE)
    assert isinstance(error, AttributeError)
    assert str(error) == (
        "'result' of a job is not to be had in a worker of an executor: there are id, name, args, "
        "kwargs, status, report() and check_cancelled()"
    )


def test_each_body_has_a_context_of_its_own_there() -> None:
    with BoundedRunner(1, executor=processes(1)) as runner:
        assert [runner.submit(elsewhere.count_seen).result(PATIENCE) for _ in range(2)] == [1, 1]


def test_a_thread_pool_will_do_as_well(begun: Begun) -> None:
    with ThreadPoolExecutor(1) as threads, BoundedRunner(1, executor=threads) as runner:
        assert runner.submit(elsewhere.pid).result(PATIENCE) == os.getpid()
        assert runner.submit(elsewhere.reporting, 3).result(PATIENCE) == 3


def test_a_job_that_has_ended_keeps_nothing_of_its_way(runner: BoundedRunner) -> None:
    gc.disable()
    try:
        job = runner.submit(elsewhere.add, 1)
        job.result(PATIENCE)
        failed = runner.submit(elsewhere.raising, "plain")
        failed.exception(PATIENCE)
        kept = weakref.ref(job), weakref.ref(failed)
        runner.submit(elsewhere.add, 1).result(PATIENCE)  # the worker lets go of the last one
        del job, failed
        free()
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


# What bodies raise and return.


def test_an_exception_comes_here_with_the_traceback_of_there(runner: BoundedRunner) -> None:
    job = runner.submit(elsewhere.with_causes)
    error = job.exception(PATIENCE)
    assert isinstance(error, ValueError)
    assert job.failure is not None
    assert (job.failure.type, job.failure.message) == ("ValueError", "the effect")
    assert job.failure.phase == "call"
    assert job.failure.location.startswith(f"{elsewhere.__file__}:")
    assert job.failure.location.endswith(" in with_causes")
    text = job.failure.traceback
    assert text.startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'the cause'" in text
    assert text.endswith("ValueError: the effect\na note\n")
    assert "boundedjobs" not in text.replace(str(Path(elsewhere.__file__).parent), "")
    assert str(error.__cause__) == f'\n"""\n{text}"""'
    with pytest.raises(ValueError, match=r"^the effect\na note$|^the effect$"):
        job.result()


def test_an_exception_that_cannot_be_unpickled_breaks_a_bare_pool_and_not_this(
    runner: BoundedRunner,
) -> None:
    with processes(1)() as bare:
        first = bare.submit(elsewhere.raising, "two arguments")
        assert isinstance(first.exception(PATIENCE), BrokenProcessPool)
        with pytest.raises(BrokenProcessPool):
            bare.submit(elsewhere.pid)
    job = runner.submit(elsewhere.raising, "two arguments")
    error = job.exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert error.type == "tests.elsewhere.TwoArguments"
    assert str(error) == "tests.elsewhere.TwoArguments: slow down"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert job.failure is not None
    assert (job.failure.type, job.failure.message) == (error.type, "slow down")
    assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("lock", "tests.elsewhere.WithLock: held"), ("liar", "tests.elsewhere.Liar: not me")],
)
def test_what_does_not_survive_the_way_has_a_stand_in(
    kind: str, shown: str, runner: BoundedRunner
) -> None:
    error = runner.submit(elsewhere.raising, kind).exception(PATIENCE)
    assert type(error) is RemoteError
    assert str(error) == shown


def test_an_exception_that_allows_nothing_to_be_set_comes_here(runner: BoundedRunner) -> None:
    error = runner.submit(elsewhere.raising, "frozen").exception(PATIENCE)
    assert isinstance(error, elsewhere.Frozen)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("exit", SystemExit),
        ("ctrl-c", KeyboardInterrupt),
        ("generator", GeneratorExit),
        ("cancelled", asyncio.CancelledError),
    ],
)
def test_whatever_a_body_raises_ends_its_job_and_not_the_worker(
    kind: str, expected: type[BaseException]
) -> None:
    factory = Counting(processes(1))
    with BoundedRunner(1, executor=factory) as runner:
        before = runner.submit(elsewhere.pid).result(PATIENCE)
        job = runner.submit(elsewhere.raising, kind)
        assert type(job.exception(PATIENCE)) is expected
        assert job.status.value == "failed"
        assert runner.submit(elsewhere.pid).result(PATIENCE) == before
    assert len(factory.made) == 1


def test_a_result_that_cannot_be_pickled_is_a_failure_that_says_so(runner: BoundedRunner) -> None:
    job = runner.submit(elsewhere.lock)
    error = job.exception(PATIENCE)
    assert isinstance(error, TypeError)
    assert str(error) == (
        "'lock' has run, but its result, a _thread.lock, can't be pickled (TypeError: cannot "
        "pickle '_thread.lock' object): return plain values"
    )
    assert job.failure is not None
    assert job.failure.phase == "executor"


def test_a_result_that_cannot_be_unpickled_here_is_a_failure_that_says_so(
    runner: BoundedRunner,
) -> None:
    job = runner.submit(elsewhere.made_there)
    error = job.exception(PATIENCE)
    assert isinstance(error, BoundedJobsError)
    assert str(error) == (
        "the body has returned, but its result can't be unpickled here: RuntimeError: made in "
        "another process"
    )
    assert job.failure is not None
    assert job.failure.phase == "executor"


def test_an_awaitable_that_is_returned_there_is_a_failure_that_says_so() -> None:
    with ThreadPoolExecutor(1) as threads, BoundedRunner(1, executor=threads) as runner:
        error = runner.submit(elsewhere.awaitable).exception(PATIENCE)
    gc.collect()  # a coroutine that was never awaited would be warned about
    assert isinstance(error, TypeError)
    assert str(error) == (
        "'awaitable' returned a coroutine in a worker of an executor, where nothing awaits it: "
        "make it an 'async def', which runs on the event loop, or run the loop inside it"
    )


def test_arguments_that_cannot_be_unpickled_there_are_a_failure_that_says_so(
    runner: BoundedRunner,
) -> None:
    job = runner.submit(elsewhere.add, elsewhere.OnlyThere())  # type: ignore[call-overload]  # the point
    error = job.exception(PATIENCE)
    assert isinstance(error, RuntimeError)
    assert str(error) == "made in another process"
    assert job.failure is not None
    assert job.failure.phase == "executor"


# What is sent.


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (partial(elsewhere.hidden, 2), 6),
        (partial(elsewhere.hidden_static, 2), 14),
        (partial(elsewhere.hidden_method, elsewhere.Holder(), 2), 10),
    ],
    ids=["function", "static method", "method"],
)
def test_what_a_wrapper_hides_is_sent_by_its_name(
    call: Callable[[], int], expected: int, runner: BoundedRunner
) -> None:
    with pytest.raises(pickle.PicklingError, match="not the same object as"):
        pickle.dumps(call)
    assert runner.submit(call).result(PATIENCE) == expected


def test_a_wrapped_callable_runs_in_a_worker(pool: Executor, monkeypatch: Any) -> None:
    with BoundedRunner(1, executor=pool) as runner:
        monkeypatch.setattr(elsewhere, "wrapped", runner.wrap(elsewhere.hidden))
        job: Any = elsewhere.wrapped(3)
        assert job.result(PATIENCE) == 9


def refused(runner: BoundedRunner, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Submit what can't be sent; return the error's text."""
    with pytest.raises(NotRunnable) as caught:
        runner.submit(fn, *args, **kwargs)
    job = caught.value.job
    assert job is not None
    assert job.status.value == "rejected"
    assert job.failure is not None
    assert job.failure.phase == "admission"
    return str(caught.value)


AN_ARGUMENT = (
    "'add' can't be sent to a worker of its executor: its argument {}, a _thread.lock, can't be "
    "pickled (TypeError: cannot pickle '_thread.lock' object); pass what it can be made of, an id "
    "or a path, and make it inside the job"
)


def test_an_argument_that_cannot_be_pickled_is_named_before_anything_is_sent() -> None:
    heard, factory, lock = Heard(), Counting(processes()), threading.Lock()
    with BoundedRunner(1, executor=factory, on_status=heard) as runner:
        assert refused(runner, elsewhere.add, lock) == AN_ARGUMENT.format("'first'")
        assert refused(runner, elsewhere.add, 1, lock) == AN_ARGUMENT.format("'second'")
        assert refused(runner, elsewhere.add, 1, third=lock) == AN_ARGUMENT.format("'third'")
        assert refused(runner, elsewhere.add, 1, 2, lock) == AN_ARGUMENT.format("number 3")
        text = AN_ARGUMENT.replace("'add'", "'max'").format("number 1")  # it has no signature
        assert refused(runner, max, lock) == text
    assert heard.statuses() == ["rejected"] * 5
    assert factory.handed == 0


def test_a_callable_that_cannot_be_pickled_is_refused(runner: BoundedRunner) -> None:
    text = refused(runner, lambda: None)
    assert text.startswith(
        "'test_a_callable_that_cannot_be_pickled_is_refused.<locals>.<lambda>' can't be sent to a "
        "worker of its executor: the callable can't be pickled ("
    )
    assert text.endswith(
        "); a worker finds it by its module and name: move it to the top level of a module"
    )


def test_wrappers_without_end_are_not_followed_for_ever(runner: BoundedRunner) -> None:
    assert refused(runner, elsewhere.under_endless).startswith(
        "'endless' can't be sent to a worker of its executor: the callable can't be pickled ("
    )


def test_what_cannot_be_pickled_as_a_whole_is_refused(runner: BoundedRunner) -> None:
    class Shy:
        """Can be pickled every other time."""

        times = 0

        def __reduce__(self) -> tuple[Any, ...]:
            Shy.times += 1
            if Shy.times == 1:
                raise ValueError("not now")
            return int, ()

    assert refused(runner, elsewhere.add, Shy()) == (
        "'add' can't be sent to a worker of its executor: the call can't be pickled (ValueError: "
        "not now)"
    )


def test_a_closed_runner_refuses_before_it_pickles(pool: Executor) -> None:
    runner = BoundedRunner(1, executor=pool)
    runner.shutdown()
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        runner.submit(lambda: None)


# Killed workers.


def test_a_killed_worker_fails_its_job_and_the_runner_goes_on() -> None:
    factory = Counting(processes(1))
    with BoundedRunner(1, executor=factory) as runner:
        first = runner.submit(elsewhere.pid).result(PATIENCE)
        job = runner.submit(elsewhere.killed)
        error = job.exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert str(error) == (
            f"the worker process {first} that ran it died: it was killed, ran out of memory, or "
            "crashed"
        )
        assert not error.by_another
        assert isinstance(error.__cause__, BrokenProcessPool)
        assert job.status.value == "failed"
        assert job.failure is not None
        assert job.failure.phase == "executor"
        assert runner.submit(elsewhere.pid).result(PATIENCE) != first
    assert len(factory.made) == 2


def test_the_innocent_are_told_apart_from_the_one_whose_worker_was_killed(
    begun: Begun, tmp_path: Path
) -> None:
    with BoundedRunner(2, executor=processes(2), on_progress=begun) as runner:
        innocent = runner.submit(hold, gate(tmp_path, "innocent"))
        its_pid = begun.pid()
        victim = runner.submit(hold, gate(tmp_path, "victim"))
        victims_pid = begun.pid()
        os.kill(victims_pid, signal.SIGKILL)
        errors = [victim.exception(PATIENCE), innocent.exception(PATIENCE)]
        assert [type(error) for error in errors] == [WorkerLost, WorkerLost]
        assert [error.by_another for error in errors] == [False, True]  # type: ignore[union-attr]
        assert str(errors[1]) == (
            f"its worker process {its_pid} was stopped, for another of the same executor, "
            f"{victims_pid}, had died"
        )
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


def test_a_worker_that_takes_no_notice_holds_up_nobody_when_another_one_has_died(
    begun: Begun, tmp_path: Path
) -> None:
    with BoundedRunner(2, executor=processes(2), on_progress=begun) as runner:
        innocent = runner.submit(hold_on, gate(tmp_path, "innocent"))
        its_pid = begun.pid()
        victim = runner.submit(hold, gate(tmp_path, "victim"))
        os.kill(begun.pid(), signal.SIGKILL)
        errors = [victim.exception(PATIENCE), innocent.exception(PATIENCE)]
        assert [type(error) for error in errors] == [WorkerLost, WorkerLost]
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1
    with suppress(ProcessLookupError):
        while True:  # until it has been waited for by its pool
            os.kill(its_pid, 0)


def test_without_more_threads_the_workers_of_a_broken_executor_are_killed_at_once(
    begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoMore(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with BoundedRunner(2, executor=processes(2), on_progress=begun) as runner:
        innocent = runner.submit(hold_on, gate(tmp_path, "innocent"))
        begun.pid()
        victim = runner.submit(hold, gate(tmp_path, "victim"))
        monkeypatch.setattr("boundedjobs._lanes._executors.Daemon", NoMore)
        os.kill(begun.pid(), signal.SIGKILL)
        errors = [victim.exception(PATIENCE), innocent.exception(PATIENCE)]
        assert [type(error) for error in errors] == [WorkerLost, WorkerLost]
        monkeypatch.undo()


class FullAfterOne(ProcessPoolExecutor):
    """Takes one call, and then no more: there is no process to be had for it, say."""

    def __init__(self) -> None:
        super().__init__(1, mp_context=get_context("forkserver"))
        self._calls = itertools.count()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if next(self._calls):
            raise OSError("no more processes")
        return super().submit(fn, *args, **kwargs)


def test_what_runs_in_an_executor_that_takes_no_more_calls_goes_on(
    begun: Begun, tmp_path: Path
) -> None:
    held = gate(tmp_path)
    with BoundedRunner(2, name="r", executor=FullAfterOne, on_progress=begun) as runner:
        first = runner.submit(hold, held)
        begun.pid()
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1  # in another one
        for thread in threading.enumerate():
            if thread.name == "r-executor":  # which would have its workers end
                thread.join(PATIENCE)
        held.write_text("go", encoding="utf-8")
        assert first.result(PATIENCE) == "go"


class ByHand(ThreadPoolExecutor):
    """Whose workers are a test's: it has a line, and an outcome to set, for each call."""

    def __init__(self) -> None:
        super().__init__(2)
        self.calls: SimpleQueue[tuple[Line, Future[Any]]] = SimpleQueue()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        number, *_, (_, address) = args[1]
        line = Line(*address)
        assert line.begin(number)
        self.calls.put((line, future))
        return future


def test_who_died_first_is_waited_for() -> None:
    with ByHand() as given, BoundedRunner(2, executor=given) as runner:
        innocent = runner.submit(elsewhere.pid)
        first, broken = given.calls.get(timeout=PATIENCE)
        victim = runner.submit(elsewhere.pid)
        second, broken_too = given.calls.get(timeout=PATIENCE)
        broken.set_exception(BrokenExecutor("heard of before their ends are"))
        broken_too.set_exception(BrokenExecutor("the same"))
        second.close()
        errors = [victim.exception(PATIENCE)]
        first.close()
        errors.append(innocent.exception(PATIENCE))
        assert [error.by_another for error in errors] == [False, True]  # type: ignore[union-attr]


def test_a_call_whose_body_has_not_begun_is_made_again(begun: Begun, tmp_path: Path) -> None:
    note, factory = tmp_path / "note", Counting(processes(1))
    with BoundedRunner(2, executor=factory, on_progress=begun) as runner:
        victim = runner.submit(hold, gate(tmp_path))
        pid = begun.pid()
        waits = runner.submit(elsewhere.noted, note, "ran")
        handed(waits)
        os.kill(pid, signal.SIGKILL)
        assert isinstance(victim.exception(PATIENCE), WorkerLost)
        assert waits.result(PATIENCE) == "ran"
    assert note.read_text(encoding="utf-8") == "ran\n"
    assert len(factory.made) == 2


def test_a_call_that_nobody_wants_any_more_is_not_made_again(begun: Begun, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with BoundedRunner(2, executor=processes(1), on_progress=begun) as runner:
        victim = runner.submit(hold, gate(tmp_path))
        pid = begun.pid()
        waits = runner.submit(elsewhere.noted, note, "ran")
        handed(waits)
        assert not waits.cancel()
        os.kill(pid, signal.SIGKILL)
        assert isinstance(victim.exception(PATIENCE), WorkerLost)
        with pytest.raises(JobCancelled):
            waits.result(PATIENCE)
    assert not note.exists()


def test_executors_that_never_come_up_end_the_job_interrupted() -> None:
    factory = Counting(processes(1, initializer=elsewhere.fail_to_start))
    with BoundedRunner(1, executor=factory) as runner:
        job = runner.submit(elsewhere.pid)
        error = job.exception(PATIENCE)
        assert isinstance(error, JobInterrupted)
        assert str(error).startswith(
            "the job could not be started: not by 3 executors, one after the other: "
        )
        assert job.status.value == "interrupted"
        assert job.failure is not None
        assert job.failure.phase == "start"
    assert len(factory.made) == 3


def test_a_given_executor_that_breaks_stays_so_and_the_jobs_say_it(
    begun: Begun, tmp_path: Path
) -> None:
    with processes(1)() as given, BoundedRunner(2, executor=given, on_progress=begun) as runner:
        victim = runner.submit(hold, gate(tmp_path))
        pid = begun.pid()
        waits = runner.submit(elsewhere.pid)
        handed(waits)
        os.kill(pid, signal.SIGKILL)
        assert isinstance(victim.exception(PATIENCE), WorkerLost)
        error = waits.exception(PATIENCE)
        assert isinstance(error, JobInterrupted)
        assert str(error).endswith(
            " An executor that is broken stays so: with a callable as executor=, that makes one, "
            "the runner makes another"
        )
        later = runner.submit(elsewhere.pid)
        assert isinstance(later.exception(PATIENCE), JobInterrupted)
        assert [waits.status.value, later.status.value] == ["interrupted", "interrupted"]


# Cancelling, deadlines, where it is.


def test_a_body_in_a_worker_hears_that_it_is_asked_to_stop(
    runner: BoundedRunner, begun: Begun
) -> None:
    job = runner.submit(elsewhere.until_stopped)
    begun.pid()
    assert not job.cancel()
    with pytest.raises(JobCancelled):
        job.result(PATIENCE)
    assert job.status.value == "cancelled"


def test_a_body_does_not_begin_whose_job_was_asked_to_stop(begun: Begun, tmp_path: Path) -> None:
    held, note = gate(tmp_path), tmp_path / "note"
    with BoundedRunner(2, executor=processes(1), on_progress=begun) as runner:
        first = runner.submit(hold, held)
        begun.pid()
        second = runner.submit(elsewhere.noted, note, "ran")
        handed(second)
        assert not second.cancel()
        held.write_text("go", encoding="utf-8")
        assert first.result(PATIENCE) == "go"
        with pytest.raises(JobCancelled):
            second.result(PATIENCE)
    assert not note.exists()


def test_a_job_fails_at_its_deadline_and_keeps_its_slot_until_the_body_has_returned(
    pool: Executor, begun: Begun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = gate(tmp_path)
    with BoundedRunner(1, executor=pool, on_progress=begun, timeout=0.2) as runner:
        job = runner.submit(hold, held)
        begun.pid()
        assert isinstance(job.exception(PATIENCE), JobTimeout)
        assert "overdue=1" in repr(runner)
        following = runner.submit(elsewhere.add, 1)
        assert following.status.value == "pending"
        held.write_text("late", encoding="utf-8")
        assert following.result(PATIENCE) == 1
    assert any("what its body returns now" in each for each in messages(caplog, logging.WARNING))


def test_a_body_that_asks_is_stopped_when_its_time_is_up(pool: Executor, begun: Begun) -> None:
    with BoundedRunner(1, executor=pool, on_progress=begun) as runner:
        job = runner.wrap(elsewhere.until_stopped, timeout=1)()
        begun.pid()
        assert isinstance(job.exception(PATIENCE), JobTimeout)
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


def test_stack_says_that_the_executor_is_being_made(caplog: pytest.LogCaptureFixture) -> None:
    is_made, go_on = threading.Event(), threading.Event()

    def make() -> Executor:
        if threading.current_thread() is threading.main_thread():
            raise OSError("not now")
        is_made.set()
        assert go_on.wait(PATIENCE)
        return processes(1)()

    with BoundedRunner(1, executor=make) as runner:
        job = runner.submit(elsewhere.add, 1)
        assert is_made.wait(PATIENCE)
        assert job.stack() == "About to be handed to its executor\n"
        go_on.set()
        assert job.result(PATIENCE) == 1


def test_an_async_job_of_such_a_runner_is_cancelled_as_ever(pool: Executor) -> None:
    async def main() -> str:
        async with BoundedRunner(1, executor=pool) as runner:
            started = asyncio.Event()

            async def body() -> None:
                started.set()
                await asyncio.Event().wait()

            job = runner.submit(body)
            await started.wait()
            assert "Coroutine, suspended" in job.stack()
            assert job.cancel()
            await asyncio.wait([asyncio.wrap_future(job)])
            return job.status.value

    assert asyncio.run(main()) == "cancelled"


def test_stack_says_in_which_worker_the_body_is(begun: Begun, tmp_path: Path) -> None:
    held = gate(tmp_path)
    with BoundedRunner(2, executor=processes(1), on_progress=begun) as runner:
        job = runner.submit(hold, held)
        pid = begun.pid()
        waits = runner.submit(elsewhere.pid)
        assert job.stack() == (
            f"In worker process {pid} of ProcessPoolExecutor: what it does can't be seen\n"
        )
        handed(waits)
        assert waits.stack() == (
            "Handed to ProcessPoolExecutor: what becomes of it there can't be seen\n"
        )
        held.write_text("go", encoding="utf-8")
    assert job.stack() == ""


def test_stack_says_that_a_body_is_in_a_worker_of_this_process(
    begun: Begun, tmp_path: Path
) -> None:
    held = gate(tmp_path)
    with (
        ThreadPoolExecutor(1) as threads,
        BoundedRunner(1, executor=threads, on_progress=begun) as runner,
    ):
        job = runner.submit(hold, held)
        begun.pid()
        assert job.stack() == (
            "In a worker of ThreadPoolExecutor, in this process: what it does can't be seen\n"
        )
        held.write_text("go", encoding="utf-8")


# Which executors, and what becomes of them.


def test_one_that_was_given_goes_on_when_the_runner_has_closed() -> None:
    with processes(1)() as given:
        with BoundedRunner(1, executor=given) as runner:
            first = runner.submit(elsewhere.pid).result(PATIENCE)
        assert given.submit(elsewhere.pid).result(PATIENCE) == first
        with runner:  # opened anew
            assert runner.submit(elsewhere.pid).result(PATIENCE) == first
            assert runner.submit(elsewhere.reporting, 1).result(PATIENCE) == 1


def test_one_that_was_made_is_shut_down_when_the_runner_closes_and_made_anew() -> None:
    factory = Counting(processes(1))
    with BoundedRunner(1, executor=factory) as runner:
        assert factory.made == []
        first = runner.submit(elsewhere.pid).result(PATIENCE)
    with suppress(ProcessLookupError):
        os.kill(first, 0)
        pytest.fail("the worker is still there")
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        factory.made[0].submit(elsewhere.pid)
    with runner:
        assert runner.submit(elsewhere.pid).result(PATIENCE) != first
    assert len(factory.made) == 2


def test_an_executor_is_made_and_used_in_an_empty_context() -> None:
    """As if by another thread: threads that it starts may copy the context, and keep the job."""
    sizes: list[int] = []

    class Watched(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            sizes.append(len(contextvars.copy_context()))
            return super().submit(*args, **kwargs)

    def make() -> Executor:
        sizes.append(len(contextvars.copy_context()))
        return Watched(1)

    with BoundedRunner(1, executor=make) as runner:
        runner.submit(elsewhere.pid).result(PATIENCE)
    assert sizes == [0, 0]


def test_a_runner_that_is_dropped_lets_its_executor_go() -> None:
    factory = Counting(processes(1))
    runner = BoundedRunner(1, executor=factory)
    runner.submit(elsewhere.pid).result(PATIENCE)
    del runner
    gc.collect()

    def is_shut_down(_: float) -> bool:
        try:
            factory.made[0].submit(elsewhere.pid)
        except RuntimeError as exc:
            return str(exc) == "cannot schedule new futures after shutdown"
        return False

    assert until(is_shut_down)


def test_bodies_that_outlive_the_drain_deadline_are_killed_with_an_executor_of_ours(
    begun: Begun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = BoundedRunner(1, executor=processes(1), on_progress=begun)
    job = runner.submit(hold, gate(tmp_path))
    pid = begun.pid()
    runner.shutdown(timeout=0)
    assert job.status.value == "interrupted"
    assert isinstance(job.exception(PATIENCE), JobInterrupted)
    with suppress(ProcessLookupError):
        while True:  # until it has been waited for by its pool
            os.kill(pid, 0)
    assert not any("had already ended" in each for each in messages(caplog, logging.WARNING))


class Killable(ThreadPoolExecutor):
    """Has a way to be cut short, as pools of processes have from Python 3.14 on."""

    def __init__(self) -> None:
        super().__init__(1)
        self.futures: list[Future[Any]] = []
        self.killed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]

    def kill_workers(self) -> None:
        self.killed = True
        for future in self.futures:
            future.set_exception(BrokenExecutor("killed"))


def test_an_executor_that_can_kill_its_workers_is_asked_to() -> None:
    factory = Counting(Killable)
    runner = BoundedRunner(1, executor=factory)
    job = runner.submit(elsewhere.pid)
    while factory.handed == 0:
        pass
    runner.shutdown(timeout=0)
    assert job.status.value == "interrupted"
    assert [executor.killed for executor in factory.made] == [True]  # type: ignore[attr-defined]


class Fake(Executor):
    """Does as a test tells it, in this process; of a kind that nothing is known of."""

    def __init__(self, submit: Callable[..., Future[Any]] | None = None) -> None:
        self.shut_down = 0
        self._submit = submit

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self._submit is not None:
            return self._submit(future, fn, *args)
        threading.Thread(target=lambda: future.set_result(fn(*args))).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.shut_down += 1


def test_an_executor_of_any_kind_will_do() -> None:
    with BoundedRunner(1, executor=Fake()) as runner:
        assert runner.submit(elsewhere.add, 1, 2).result(PATIENCE) == 3


@pytest.mark.parametrize(
    ("fn", "form"),
    [(partial(elsewhere.reporting, 1), "report"), (elsewhere.check, "check_cancelled")],
)
def test_where_the_runner_cannot_be_reached_the_calls_that_need_it_say_so(
    fn: Callable[[], Any], form: str
) -> None:
    with BoundedRunner(1, executor=Fake()) as runner:
        error = runner.submit(fn).exception(PATIENCE)
    assert isinstance(error, BoundedJobsError)
    assert str(error) == (
        f"{form}() can't reach the runner from this worker: it can from those of "
        "ProcessPoolExecutor, InterpreterPoolExecutor, loky and Dask; elsewhere, use a listener of "
        "the runner's, or a database"
    )


def failing_with(exc: BaseException) -> Fake:
    def submit(future: Future[Any], *_: object) -> Future[Any]:
        future.set_exception(exc)
        return future

    return Fake(submit)


def test_what_an_executor_itself_raises_fails_the_job() -> None:
    with BoundedRunner(1, executor=failing_with(OSError("no route"))) as runner:
        job = runner.submit(elsewhere.pid)
        assert isinstance(job.exception(PATIENCE), OSError)
        assert job.failure is not None
        assert (job.failure.phase, job.failure.message) == ("executor", "no route")


def test_where_it_is_not_known_which_worker_died_the_failure_says_that() -> None:
    with BoundedRunner(1, executor=failing_with(BrokenExecutor("gone"))) as runner:
        job = runner.submit(elsewhere.pid)
        error = job.exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert str(error) == (
            "a worker process died, maybe the one that ran it: killed, out of memory, or crashed"
        )


def cancelling(future: Future[Any], *_: object) -> Future[Any]:
    future.cancel()
    future.set_running_or_notify_cancel()
    return future


def test_a_call_that_an_executor_drops_is_lost_if_nothing_is_known_of_its_body() -> None:
    with BoundedRunner(1, executor=Fake(cancelling)) as runner:
        job = runner.submit(elsewhere.pid)
        error = job.exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert str(error) == "its executor has dropped the call: maybe its body had begun, or ended"
        assert job.status.value == "failed"


class Dropping(ThreadPoolExecutor):
    """Takes calls, and drops them."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return cancelling(Future())


def test_a_call_that_is_known_not_to_have_begun_is_interrupted_when_it_is_dropped() -> None:
    with Dropping(1) as given, BoundedRunner(1, executor=given) as runner:
        job = runner.submit(elsewhere.pid)
        error = job.exception(PATIENCE)
        assert isinstance(error, JobInterrupted)
        assert str(error) == ("the job could not be started: its executor has dropped the call")
        assert job.failure is not None
        assert job.failure.phase == "start"


def test_a_call_that_is_dropped_when_nobody_wants_it_is_cancelled() -> None:
    asked = threading.Event()
    futures: list[Future[Any]] = []

    def keep(future: Future[Any], *_: object) -> Future[Any]:
        futures.append(future)
        asked.set()
        return future

    with BoundedRunner(1, executor=Fake(keep)) as runner:
        job = runner.submit(elsewhere.pid)
        assert asked.wait(PATIENCE)
        assert not job.cancel()
        cancelling(futures[0])
        with pytest.raises(JobCancelled):
            job.result(PATIENCE)


def test_a_call_that_an_executor_makes_again_is_not_let_begin_a_second_time() -> None:
    class Twice(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            super().submit(fn, *args, **kwargs).result(PATIENCE)
            return super().submit(fn, *args, **kwargs)

    with Twice(1) as given, BoundedRunner(1, executor=given) as runner:
        error = runner.submit(elsewhere.pid).exception(PATIENCE)
    assert isinstance(error, WorkerLost)
    assert str(error) == (
        "the worker that ran it died, and the executor made the call again: its body was not let "
        "begin a second time"
    )


# Bad input.


async def no_factory() -> Executor:
    raise AssertionError


@pytest.mark.parametrize(
    ("bad", "shown"), [(4, "4"), ("processes", "'processes'"), (no_factory, "'no_factory'")]
)
def test_what_is_no_executor_and_makes_none_is_a_type_error(bad: Any, shown: str) -> None:
    with pytest.raises(TypeError) as caught:
        BoundedRunner(1, executor=bad)
    assert str(caught.value) == (
        "executor must be a concurrent.futures.Executor, or a callable without arguments that "
        f"makes one, got {shown}"
    )


def interrupted(runner: BoundedRunner) -> str:
    """Submit what can't be started; return the error's text."""
    job = runner.submit(elsewhere.pid)
    error = job.exception(PATIENCE)
    assert isinstance(error, JobInterrupted)
    assert job.failure is not None
    assert (job.status.value, job.failure.phase) == ("interrupted", "start")
    return str(error)


def test_a_factory_that_makes_no_executor_ends_the_job_interrupted() -> None:
    with BoundedRunner(1, executor=lambda: 7) as runner:  # type: ignore[arg-type, return-value]
        assert interrupted(runner) == (
            "the job could not be started: TypeError: executor must make a "
            "concurrent.futures.Executor, but "
            "'test_a_factory_that_makes_no_executor_ends_the_job_interrupted.<locals>.<lambda>' "
            "returned 7"
        )


def test_a_factory_that_raises_ends_the_job_interrupted_and_is_asked_again() -> None:
    makes = iter([processes(1)])

    def make() -> Executor:
        if (calls := next(counted)) < 2:
            raise OSError(f"not now: {calls}")
        return next(makes)()

    counted = itertools.count()
    with BoundedRunner(1, executor=make) as runner:
        assert interrupted(runner) == "the job could not be started: OSError: not now: 1"
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1


def test_a_factory_may_submit_to_its_own_runner() -> None:
    jobs: list[Job[int]] = []
    runner: BoundedRunner

    def make() -> Executor:
        if not jobs:
            jobs.append(runner.submit(elsewhere.add, 1))
        return processes(1)()

    with BoundedRunner(1, executor=make) as runner:
        jobs.append(runner.submit(elsewhere.add, 2))
        assert [job.result(PATIENCE) for job in jobs] == [1, 2]


def test_many_who_submit_at_once_share_one_executor() -> None:
    gathered, made = threading.Barrier(4), threading.Event()

    def make() -> Executor:
        made.wait(0.2)
        return processes(2)()

    factory = Counting(make)
    with BoundedRunner(4, name="r", executor=factory) as runner:

        def submit(number: int) -> int:
            gathered.wait(PATIENCE)
            return runner.submit(elsewhere.add, number).result(PATIENCE)

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(submit, range(4))) == list(range(4))
    assert len(factory.made) == 1


def test_an_executor_that_is_shut_down_ends_jobs_interrupted() -> None:
    given = processes(1)()
    given.shutdown()
    with BoundedRunner(1, executor=given) as runner:
        assert interrupted(runner) == (
            "the job could not be started: cannot schedule new futures after shutdown"
        )


def test_an_executor_of_ours_that_others_have_shut_down_is_replaced() -> None:
    factory = Counting(processes(1))
    with BoundedRunner(1, executor=factory) as runner:
        runner.submit(elsewhere.pid).result(PATIENCE)
        factory.made[0].shutdown()
        assert runner.submit(elsewhere.add, 1).result(PATIENCE) == 1
    assert len(factory.made) == 2


def test_an_executor_narrower_than_the_limit_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with BoundedRunner(3, name="r", executor=processes(2)) as runner:
        for number in range(3):
            runner.submit(elsewhere.add, number).result(PATIENCE)
        runner.limit = 4
    assert messages(caplog, logging.WARNING) == [
        "runner 'r' has a limit of 3, but its executor has 2 workers: no more than 2 bodies run at "
        "once, and other jobs that count as running wait in the executor; make both the same"
    ]


def test_a_limit_that_is_raised_above_the_width_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with BoundedRunner(2, name="r", executor=processes(2)) as runner:
        runner.limit = 2
        runner.submit(elsewhere.add, 1).result(PATIENCE)
        assert messages(caplog, logging.WARNING) == []
        runner.limit = 3
    assert messages(caplog, logging.WARNING) == [
        "runner 'r' has a limit of 3, but its executor has 2 workers: no more than 2 bodies run at "
        "once, and other jobs that count as running wait in the executor; make both the same"
    ]


def test_an_executor_that_cannot_be_shut_down_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Fake):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            raise OSError("won't")

    with BoundedRunner(1, name="r", executor=Stubborn) as runner:
        runner.submit(elsewhere.pid).result(PATIENCE)
    # Two threads may find at the same moment that it is to be shut down; on 3.14 without the GIL they did.
    assert {*messages(caplog, logging.WARNING)} == {
        "runner 'r' could not shut down its Stubborn: won't"
    }


# Scripts: `__main__`, exit, forks.

PRELUDE = """
import multiprocessing, os, signal, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
from boundedjobs import BoundedRunner, current_job

warnings.simplefilter("ignore", DeprecationWarning)  # fork() where there are threads

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def make():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1]))

def heard(event):
    say(event.name, event.status)

def hang():
    say("hangs")
    threading.Event().wait()
"""


def script(folder: Path, code: str, method: str = "spawn") -> list[str]:
    """Run a script that comes to its end by itself; return the lines that it says."""
    path = folder / "script.py"
    path.write_text(PRELUDE + dedent(code), encoding="utf-8")
    found = subprocess.run(
        [sys.executable, path, method],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_what_a_script_defines_is_found_in_its_workers(method: str, tmp_path: Path) -> None:
    code = """
    runner = BoundedRunner(1, executor=make)

    class OwnError(Exception):
        pass

    @runner.wrap
    def work(number):
        if number < 0:
            raise OwnError(number)
        return number, os.getpid()

    if __name__ == "__main__":
        with runner:
            number, pid = work(7).result()
            say(number, pid != os.getpid())
            job = work(-7)
            say(type(job.exception()) is OwnError, job.exception(), job.failure.location)
    """
    first, second = script(tmp_path, code, method)
    assert first == "7 True"
    assert second.startswith(f"True -7 {tmp_path / 'script.py'}:")
    assert second.endswith(" in work")


@pytest.mark.slow
def test_what_workers_do_not_find_is_a_failure_that_says_so(tmp_path: Path) -> None:
    code = """
    if __name__ == "__main__":
        def only_here():
            pass

        with BoundedRunner(1, executor=make) as runner:
            job = runner.submit(only_here)
            say(job.exception())
            say(job.failure.phase, runner.submit(say, "goes on").exception())
    """
    first, *rest = script(tmp_path, code)
    assert re.match(
        "Can't get attribute 'only_here' on <module '__mp_main__' from "
        "|module '__mp_main__' has no attribute 'only_here'$",  # as of Python 3.14
        first,
    )
    assert rest == ["goes on", "executor None"]


@pytest.mark.slow
def test_jobs_accepted_before_exit_still_run_in_the_workers(tmp_path: Path) -> None:
    code = """
    if __name__ == "__main__":
        runner = BoundedRunner(1, executor=make, on_status=heard)
        runner.submit(len, "").result()  # a worker that starts now finds no __main__ any more
        for number in range(3):
            runner.submit(say, "ran", number)
    """
    said = script(tmp_path, code)
    assert [line for line in said if line.startswith("ran")] == ["ran 0", "ran 1", "ran 2"]
    assert said.count("say succeeded") == 3


@pytest.mark.slow
def test_jobs_still_run_where_the_pools_are_imported_after_the_first_runner(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    code = """
    import os, sys
    from boundedjobs import BoundedRunner

    if __name__ == "__main__":
        BoundedRunner(1)
        from concurrent.futures import ProcessPoolExecutor
        runner = BoundedRunner(1, executor=lambda: ProcessPoolExecutor(1))
        runner.submit(len, "").result()
        for number in range(3):
            runner.submit(os.write, 1, b"ran ")
    """
    path.write_text(dedent(code), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(path)]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout
    assert said == "ran ran ran "


@pytest.mark.slow
def test_a_process_exits_past_its_drain_deadline_though_a_worker_hangs(tmp_path: Path) -> None:
    code = """
    if __name__ == "__main__":
        runner = BoundedRunner(1, executor=make, drain_timeout=0.5)
        runner.submit(len, "").result()
        runner.wrap(hang, on_status=heard)()
    """
    assert script(tmp_path, code) == ["hang pending", "hang running", "hangs", "hang interrupted"]


@pytest.mark.slow
def test_a_process_exits_though_a_body_that_has_timed_out_hangs_in_a_worker(tmp_path: Path) -> None:
    code = """
    if __name__ == "__main__":
        with BoundedRunner(1, executor=make, on_status=heard, timeout=3) as runner:
            runner.submit(hang).exception()
    """
    assert script(tmp_path, code) == ["hang pending", "hang running", "hangs", "hang failed"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_makes_an_executor_of_its_own(tmp_path: Path) -> None:
    code = """
    if __name__ == "__main__":
        with BoundedRunner(1, executor=make) as runner:
            say(runner.submit(divmod, 7, 2).result())
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                say("child", runner.submit(divmod, 9, 2).result())
                runner.shutdown()
                os._exit(0)
            say(os.waitpid(pid, 0)[1])
            say(runner.submit(divmod, 11, 2).result())
    """
    assert script(tmp_path, code) == ["(3, 1)", "child (4, 1)", "0", "(5, 1)"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_in_a_forked_child_an_executor_that_was_given_is_the_parents(tmp_path: Path) -> None:
    code = """
    if __name__ == "__main__":
        with make() as given, BoundedRunner(1, executor=given) as runner:
            say(runner.submit(divmod, 7, 2).result())
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                job = runner.submit(divmod, 9, 2)
                say(repr(job.exception()), job.status)
                os._exit(0)
            say(os.waitpid(pid, 0)[1])
            say(runner.submit(divmod, 11, 2).result())
    """
    assert script(tmp_path, code) == [
        "(3, 1)",
        'JobInterrupted("the job could not be started: RuntimeError: the process was forked, and '
        "the executor is its parent's: pass executor= a callable that makes one\") interrupted",
        "0",
        "(5, 1)",
    ]


@pytest.mark.slow
def test_a_submit_by_a_signal_handler_in_the_midst_of_another_does_not_deadlock(
    tmp_path: Path,
) -> None:
    code = """
    if __name__ == "__main__":
        jobs = []

        def factory():
            signal.raise_signal(signal.SIGUSR1)  # while the first submit makes the executor
            return make()

        signal.signal(signal.SIGUSR1, lambda *_: jobs.append(runner.submit(divmod, 7, 2)))
        signal.alarm(20)
        with BoundedRunner(1, executor=factory) as runner:
            jobs.append(runner.submit(divmod, 9, 2))
            say([job.result() for job in jobs])
    """
    assert script(tmp_path, code) == ["[(3, 1), (4, 1)]"]
