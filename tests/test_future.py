"""A job is a `concurrent.futures.Future`, a runner an `Executor`: to the letter.

What must be the same is tested once for both: beside `ThreadPoolExecutor`, on this Python.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import itertools
import re
import sys
import threading
import traceback
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import TYPE_CHECKING, Any, NoReturn, get_origin

import pytest

from boundedjobs import BoundedRunner, Job, JobCancelled, JobStatus
from tests.blocking import MOMENT, let_in
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[int], Executor]

both = pytest.mark.parametrize("make", [ThreadPoolExecutor, BoundedRunner])
"""For what must be the same."""


def fail(text: str = "no") -> NoReturn:
    raise ValueError(text)


def raising(exc: BaseException) -> Callable[..., NoReturn]:
    def body(*_: object) -> NoReturn:
        raise exc

    return body


class Full:
    """An executor of one slot that a gate holds, and a pending future behind."""

    def __init__(self, make: Make, fn: Callable[..., Any] = int, *args: Any) -> None:
        self.gate = Gate()
        self.executor = make(1)
        self.running = self.executor.submit(self.gate, "held")
        self.gate.wait_for()
        self.pending = self.executor.submit(fn, *args)

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.open()
        self.executor.shutdown()


def in_thread(fn: Callable[[], Any]) -> Callable[[], Any]:
    """Start `fn` on a thread; return what waits for its result."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(fn())
        except BaseException as exc:
            future.set_exception(exc)

    thread = threading.Thread(target=run)
    thread.start()

    def join() -> Any:
        thread.join(TIMEOUT)
        return future.result(0)

    return join


# --- stages ---


def stage(future: Future[Any]) -> tuple[bool, bool, bool]:
    return future.running(), future.done(), future.cancelled()


@both
def test_the_stages_of_a_future(make: Make) -> None:
    with Full(make) as full:
        assert stage(full.pending) == (False, False, False)
        assert stage(full.running) == (True, False, False)
        full.gate.open()
        full.running.result(TIMEOUT)
        assert stage(full.running) == (False, True, False)


@both
def test_the_stage_of_a_future_that_raised(make: Make) -> None:
    with make(1) as executor:
        future = executor.submit(fail)
        future.exception(TIMEOUT)
        assert stage(future) == (False, True, False)


@both
def test_the_stage_of_a_future_that_was_cancelled(make: Make) -> None:
    with Full(make) as full:
        assert full.pending.cancel() is True
        assert stage(full.pending) == (False, True, True)
        full.gate.open()
        full.running.result(TIMEOUT)
        assert stage(full.pending) == (False, True, True)


# --- cancelling ---


@both
def test_cancelling_twice_is_true_twice(make: Make) -> None:
    with Full(make) as full:
        assert [full.pending.cancel(), full.pending.cancel()] == [True, True]


@both
def test_what_runs_can_not_be_cancelled(make: Make) -> None:
    with Full(make) as full:
        assert full.running.cancel() is False
        assert stage(full.running) == (True, False, False)
        full.gate.open()
        assert full.running.result(TIMEOUT) == "held"


@both
@pytest.mark.parametrize("body", [int, fail])
def test_what_has_ended_can_not_be_cancelled(make: Make, body: Callable[[], Any]) -> None:
    with make(1) as executor:
        future = executor.submit(body)
        future.exception(TIMEOUT)
        assert future.cancel() is False
        assert future.cancelled() is False


@both
def test_what_was_cancelled_never_runs(make: Make) -> None:
    ran: list[int] = []
    with Full(make, ran.append, 1) as full:
        full.pending.cancel()
    assert ran == []


@both
@pytest.mark.parametrize("ask", ["result", "exception"])
def test_asking_a_cancelled_future_raises_cancelled_error(make: Make, ask: str) -> None:
    with Full(make) as full:
        full.pending.cancel()
        with pytest.raises(CancelledError):
            getattr(full.pending, ask)(TIMEOUT)
        with pytest.raises(CancelledError):
            getattr(full.pending, ask)()


def test_a_cancelled_job_raises_job_cancelled_and_not_asyncio_s_error() -> None:
    with Full(BoundedRunner) as full:
        full.pending.cancel()
        with pytest.raises(JobCancelled, match=r"^job 'int' was cancelled$") as caught:
            full.pending.result(TIMEOUT)
    assert not isinstance(caught.value, asyncio.CancelledError)


@both
def test_cancelling_wakes_who_waits(make: Make) -> None:
    with Full(make) as full:
        waiting = [in_thread(lambda: full.pending.exception(TIMEOUT)) for _ in range(3)]
        full.pending.cancel()
        for join in waiting:
            with pytest.raises(CancelledError):
                join()


# --- result and exception ---


@both
def test_a_result_is_what_was_returned(make: Make) -> None:
    with make(1) as executor:
        future = executor.submit(divmod, 7, 2)
        assert (future.result(TIMEOUT), future.result(), future.exception()) == (
            (3, 1),
            (3, 1),
            None,
        )


@both
def test_an_exception_is_what_was_raised(make: Make) -> None:
    exc = ValueError("no")
    with make(1) as executor:
        future = executor.submit(raising(exc))
        assert future.exception(TIMEOUT) is exc
        with pytest.raises(ValueError, match=r"^no$") as caught:
            future.result(TIMEOUT)
    assert caught.value is exc


@both
def test_a_wait_that_is_too_short_is_a_timeout_error_without_a_text(make: Make) -> None:
    with Full(make) as full:
        asks: list[Any] = [f for x in (full.running, full.pending) for f in (x.result, x.exception)]
        for ask in asks:
            for seconds in (0, 0.01, -1, -0.5):
                with pytest.raises(concurrent.futures.TimeoutError) as caught:
                    ask(timeout=seconds)
                assert type(caught.value) is TimeoutError
                assert str(caught.value) == ""


@both
def test_what_has_ended_asks_for_no_time(make: Make) -> None:
    with make(1) as executor:
        future = executor.submit(int)
        future.result(TIMEOUT)
        odd: list[Any] = [0, -1, "a string", 1e300]
        assert [(future.result(s), future.exception(s)) for s in odd] == [(0, None)] * 4


@pytest.mark.parametrize("seconds", [1e300, float("inf"), sys.maxsize])
def test_a_wait_longer_than_the_machine_can_is_one_without_an_end(seconds: float) -> None:
    # An OverflowError in the standard library, which documents none.
    with Full(BoundedRunner) as full:
        join = in_thread(lambda: full.running.result(seconds))
        full.gate.open()
        assert join() == "held"


@both
def test_a_wait_is_over_as_soon_as_the_result_is_there(make: Make) -> None:
    with Full(make) as full:
        joins = [in_thread(lambda: full.running.result(TIMEOUT)) for _ in range(8)]
        full.gate.open()
        assert [join() for join in joins] == ["held"] * 8


@both
def test_the_same_exception_is_raised_in_every_thread(make: Make) -> None:
    gate, exc = Gate(), ValueError("no")

    def body() -> NoReturn:
        gate()
        raise exc

    with make(1) as executor:
        future = executor.submit(body)
        joins = [in_thread(lambda: future.exception(TIMEOUT)) for _ in range(8)]
        gate.open()
        assert all(join() is exc for join in joins)


def test_raising_again_and_again_does_not_grow_the_traceback() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(fail)
        lengths: list[int] = []
        for _ in range(5):
            with pytest.raises(ValueError) as caught:
                job.result(TIMEOUT)
            lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert lengths == [lengths[0]] * 5


def test_raising_what_exception_returns_does_not_grow_the_traceback() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(fail)
        lengths: list[int] = []
        for _ in range(5):
            exc = job.exception(TIMEOUT)
            assert exc is not None
            lengths.append(len(traceback.extract_tb(exc.__traceback__)))
            with pytest.raises(ValueError):
                raise exc
    assert lengths == [1] * 5


def test_awaiting_again_and_again_does_not_grow_the_traceback() -> None:
    async def main() -> list[int]:
        lengths = []
        async with BoundedRunner(1) as runner:
            job = runner.submit(fail)
            for _ in range(5):
                with pytest.raises(ValueError) as caught:
                    await job
                lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
        return lengths

    lengths = asyncio.run(main())
    assert lengths[1:] == [lengths[1]] * 4


def test_the_traceback_that_result_raises_ends_in_the_body() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(fail)
        with pytest.raises(ValueError) as caught:
            job.result(TIMEOUT)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names == [sys._getframe().f_code.co_name, "result", "fail"]


async def afail() -> NoReturn:
    raise ValueError("no")


def is_freed(jobs: list[Job[Any]]) -> bool:
    """Whether the job, of which this list has the only reference, goes without the collector."""
    seen = weakref.ref(jobs[0])
    gc.disable()
    try:
        jobs.clear()
        return seen() is None
    finally:
        gc.enable()


BODIES: dict[str, Callable[[], Any]] = {
    "thread": fail,
    "loop": afail,
    "awaitable": lambda: afail(),
    "succeeds": int,
}


@pytest.mark.parametrize("body", BODIES)
def test_a_job_that_has_ended_is_freed_without_the_collector(body: str) -> None:
    with BoundedRunner(1) as runner:
        jobs: list[Job[Any]] = [runner.submit(BODIES[body])]
        jobs[0].exception(TIMEOUT)
        runner.submit(int).result(TIMEOUT)  # whoever ran it has let go of it
    assert is_freed(jobs)


def test_a_job_whose_result_has_raised_is_freed_without_the_collector() -> None:
    with BoundedRunner(1) as runner:
        jobs: list[Job[Any]] = [runner.submit(fail)]
        for _ in range(2):
            with contextlib.suppress(ValueError):
                jobs[0].result(TIMEOUT)
        runner.submit(int).result(TIMEOUT)
    assert is_freed(jobs)


def test_a_failed_job_that_was_awaited_is_freed_without_the_collector() -> None:
    async def main() -> bool:
        async with BoundedRunner(1) as runner:
            jobs: list[Job[Any]] = [runner.submit(afail)]
            with contextlib.suppress(ValueError):
                await jobs[0]
            await runner.submit(int)
        return is_freed(jobs)

    assert asyncio.run(main())


def test_a_falsy_exception_is_raised() -> None:
    # The standard library asks it for its truth, and returns None.
    class Falsy(Exception):
        def __bool__(self) -> bool:
            return False

    with BoundedRunner(1) as runner, pytest.raises(Falsy):
        runner.submit(raising(Falsy())).result(TIMEOUT)


# --- callbacks ---


@both
def test_callbacks_are_called_in_their_order_with_the_future(make: Make) -> None:
    called: list[tuple[str, Future[Any]]] = []
    with Full(make) as full:
        future = full.running
        for name in "abc":
            future.add_done_callback(lambda f, name=name: called.append((name, f)))  # type: ignore[misc]  # a default
        assert called == []
    assert called == [("a", future), ("b", future), ("c", future)]


@both
def test_a_callback_added_to_what_is_done_is_called_at_once_here(make: Make) -> None:
    called: list[tuple[Future[Any], int]] = []
    with make(1) as executor:
        future = executor.submit(int)
        future.result(TIMEOUT)
        assert future.add_done_callback(lambda f: called.append((f, threading.get_ident()))) is None  # type: ignore[func-returns-value]  # the point
        assert called == [(future, threading.get_ident())]


@both
def test_a_callback_finds_the_future_done(make: Make) -> None:
    seen: list[Any] = []
    with Full(make) as full:
        full.running.add_done_callback(lambda f: seen.append((stage(f), f.result(0))))
    assert seen == [((False, True, False), "held")]


@both
def test_a_callback_of_a_failed_future_is_called(make: Make) -> None:
    seen: list[BaseException | None] = []
    gate = Gate()
    with make(1) as executor:
        future = executor.submit(lambda: gate() or fail())
        future.add_done_callback(lambda f: seen.append(f.exception(0)))
        gate.open()
    assert seen == [future.exception()]


@both
def test_a_callback_of_a_cancelled_future_is_called_by_who_cancels(make: Make) -> None:
    seen: list[tuple[bool, int]] = []
    with Full(make) as full:
        full.pending.add_done_callback(
            lambda f: seen.append((f.cancelled(), threading.get_ident()))
        )
        full.pending.cancel()
        assert seen == [(True, threading.get_ident())]
        full.pending.cancel()
    assert len(seen) == 1


@both
def test_a_callback_is_called_as_often_as_it_was_added(make: Make) -> None:
    called: list[Future[Any]] = []
    with Full(make) as full:
        full.running.add_done_callback(called.append)
        full.running.add_done_callback(called.append)
    assert len(called) == 2


@both
def test_a_callback_added_in_a_callback_is_called(make: Make) -> None:
    called: list[Any] = []
    with Full(make) as full:
        full.running.add_done_callback(lambda f: f.add_done_callback(called.append))
    assert called == [full.running]


@both
def test_a_callback_that_raises_is_logged_and_the_next_one_called(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[Any] = []
    with Full(make) as full:
        full.running.add_done_callback(raising(ValueError("from the callback")))
        full.running.add_done_callback(called.append)
        full.gate.open()
        assert full.running.result(TIMEOUT) == "held"
    assert called == [full.running]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(f"exception calling callback for {full.running!r}")
    assert "ValueError: from the callback" in caplog.text


BASE = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration]


@pytest.mark.parametrize("cls", BASE)
def test_a_callback_that_raises_whatever_it_is_harms_nobody(
    cls: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[Any] = []
    with Full(BoundedRunner) as full:
        full.running.add_done_callback(raising(cls("from the callback")))
        full.running.add_done_callback(called.append)
        full.gate.open()
        assert full.pending.result(TIMEOUT) == 0
    assert called == [full.running]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("cls", BASE)
def test_a_late_callback_that_raises_whatever_it_is_is_logged(
    cls: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(int)
        job.result(TIMEOUT)
        job.add_done_callback(raising(cls("from the callback")))
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_callback_that_raises_in_cancel_does_not_reach_who_cancels(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Full(BoundedRunner) as full:
        full.pending.add_done_callback(raising(SystemExit()))
        assert full.pending.cancel() is True
    assert len(caplog.records) == 1


@pytest.mark.parametrize("gate", [Gate, AsyncGate])
def test_a_callback_is_called_once_however_the_end_races_with_its_adding(
    gate: type[Gate | AsyncGate],
) -> None:
    with BoundedRunner(1) as runner:
        for _ in range(100):
            held, called = gate(), list[Any]()
            job: Job[Any] = runner.submit(held)
            join = in_thread(held.open)
            job.add_done_callback(called.append)
            join()
            job.result(TIMEOUT)
            runner.submit(int).result(TIMEOUT)
            assert called == [job]


@both
def test_who_waits_is_woken_before_a_callback_ends(make: Make) -> None:
    held = Gate()
    with Full(make) as full:
        full.running.add_done_callback(lambda _: held())
        full.gate.open()
        assert full.running.result(TIMEOUT) == "held"
        held.open()


# --- wait and as_completed ---

WHEN = [FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED]


@both
def test_wait_of_what_is_done_returns_at_once(make: Make) -> None:
    with make(2) as executor:
        futures: list[Future[Any]] = [executor.submit(int), executor.submit(fail)]
        for future in futures:
            future.exception(TIMEOUT)
        for when in WHEN:
            assert wait(futures, timeout=0, return_when=when) == (set(futures), set())


@both
def test_wait_has_a_timeout(make: Make) -> None:
    with Full(make) as full:
        futures = {full.running, full.pending}
        for when in WHEN:
            assert wait(futures, timeout=0.01, return_when=when) == (set(), futures)


@both
def test_wait_for_the_first_that_completes(make: Make) -> None:
    with Full(make) as full, make(1) as other:
        quick = other.submit(int)
        result = wait([full.running, quick], timeout=TIMEOUT, return_when=FIRST_COMPLETED)
        assert (result.done, result.not_done) == ({quick}, {full.running})


@both
def test_wait_for_the_first_that_fails_goes_on_past_one_that_succeeds(make: Make) -> None:
    gates = Gate(), Gate()
    with Full(make) as full, make(2) as other:
        good = other.submit(gates[0])
        bad = other.submit(lambda: gates[1]() or fail())
        join = in_thread(
            lambda: wait([good, bad, full.running], timeout=TIMEOUT, return_when=FIRST_EXCEPTION)
        )
        gates[0].open()
        good.result(TIMEOUT)
        gates[1].open()
        assert join().done == {good, bad}


@both
def test_wait_for_all_is_woken_by_the_last(make: Make) -> None:
    with Full(make) as full:
        join = in_thread(lambda: wait([full.running, full.pending], timeout=TIMEOUT))
        full.gate.open()
        assert join() == (({full.running, full.pending}), set())


@both
@pytest.mark.parametrize("when", WHEN)
def test_wait_is_woken_by_a_cancelling(make: Make, when: str) -> None:
    # The standard library wakes it only when a worker has come across the cancelled future.
    with Full(make) as full:
        join = in_thread(lambda: wait([full.pending], timeout=TIMEOUT, return_when=when))
        full.pending.cancel()
        if make is ThreadPoolExecutor:
            full.gate.open()
        assert join().done == {full.pending}


@both
def test_wait_takes_a_future_twice_and_those_of_other_executors(make: Make) -> None:
    with make(1) as executor, ThreadPoolExecutor(1) as other:
        futures = [executor.submit(int), other.submit(int)]
        assert wait([*futures, *futures], timeout=TIMEOUT).done == set(futures)


@both
def test_as_completed_yields_in_the_order_of_the_ends(make: Make) -> None:
    with Full(make) as full, make(1) as other:
        first = other.submit(int)
        first.result(TIMEOUT)
        completed = as_completed([full.running, full.pending, first], timeout=TIMEOUT)
        assert next(completed) is first
        full.gate.open()
        assert list(completed) == [full.running, full.pending]


@both
def test_as_completed_yields_a_future_given_twice_once(make: Make) -> None:
    with make(1) as executor:
        future = executor.submit(int)
        assert list(as_completed([future, future], timeout=TIMEOUT)) == [future]


@both
def test_as_completed_yields_what_is_cancelled(make: Make) -> None:
    with Full(make) as full:
        completed = as_completed([full.running, full.pending], timeout=TIMEOUT)
        full.pending.cancel()
        full.gate.open()
        assert set(completed) == {full.running, full.pending}


@both
def test_as_completed_tells_how_many_are_unfinished_when_its_time_is_over(make: Make) -> None:
    with Full(make) as full:
        with pytest.raises(TimeoutError) as caught:
            list(as_completed([full.running, full.pending], timeout=0.01))
        assert str(caught.value) == "2 (of 2) futures unfinished"


def test_as_completed_yields_a_job_once_wherever_its_end_is() -> None:
    done: list[Future[Any]] = [Future() for _ in range(50)]  # one of these is yielded first
    for future in done:
        future.set_result(None)
    for number in itertools.count(1):
        with Full(BoundedRunner) as full:
            completed = as_completed([*done, full.running, full.pending], TIMEOUT)
            yielded: list[Future[Any]] = []
            full.pending.add_done_callback(str)
            with let_in(number, lambda: yielded.append(next(completed))) as outcome:  # noqa: B023
                full.pending.cancel()
            if not outcome:
                break
            outcome[0].result(TIMEOUT)
            full.gate.open()
            yielded += completed
            assert (len(yielded), yielded[-1]) == (52, full.running)
    assert number > 5


def test_while_those_who_wait_for_a_job_are_told_its_end_others_start() -> None:
    first, second, meet = Gate(), Gate(), threading.Semaphore(0)
    with BoundedRunner(2) as runner:
        job = runner.submit(first)
        runner.submit(second)
        for _ in range(2):  # one of them might be left to who tells
            runner.submit(meet.release)
        with job._condition:  # an attribute of any Future: its waiters are told under it
            first.open()
            second.open()
            for _ in range(2):
                assert meet.acquire(timeout=TIMEOUT)


@both
def test_many_waiters_hear_of_many_futures(make: Make) -> None:
    gate = Gate()
    with make(4) as executor:
        futures = [executor.submit(gate, n) for n in range(40)]
        joins = [in_thread(lambda: wait(futures, timeout=TIMEOUT)) for _ in range(4)]
        joins += [in_thread(lambda: set(as_completed(futures, timeout=TIMEOUT))) for _ in range(4)]
        gate.open()
        ends = [join() for join in joins]
    assert ends == [(set(futures), set())] * 4 + [set(futures)] * 4


def test_wait_returns_when_the_listeners_have_heard() -> None:
    heard = Heard()
    with BoundedRunner(2, on_status=heard) as runner:
        jobs = [runner.submit(int) for _ in range(20)]
        wait(jobs, timeout=TIMEOUT)
        assert heard.statuses().count("succeeded") == 20


def test_wait_sees_an_interrupted_job() -> None:
    gate = Gate()
    runner = BoundedRunner(1)
    jobs = [runner.submit(gate), runner.submit(int)]
    gate.wait_for()
    join = in_thread(lambda: wait(jobs, timeout=TIMEOUT))
    runner.shutdown(timeout=0)
    assert join().done == set(jobs)
    assert [job.status for job in jobs] == [JobStatus.INTERRUPTED] * 2
    gate.open()


# --- asyncio ---


@both
def test_wrap_future_gives_the_result(make: Make) -> None:
    async def main(executor: Executor) -> Any:
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.wrap_future(executor.submit(int, "7"))

    with make(1) as executor:
        assert asyncio.run(main(executor)) == 7


@both
def test_wrap_future_raises_what_was_raised(make: Make) -> None:
    async def main(executor: Executor) -> Any:
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.wrap_future(executor.submit(fail))

    with make(1) as executor, pytest.raises(ValueError, match=r"^no$"):
        asyncio.run(main(executor))


def test_wrapping_again_and_again_does_not_grow_the_traceback() -> None:
    async def main(job: Job[Any]) -> list[int]:
        lengths = []
        for _ in range(3):
            with pytest.raises(ValueError, match=r"^no$") as caught:
                async with asyncio.timeout(TIMEOUT):
                    await asyncio.wrap_future(job)
            lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
        return lengths

    with BoundedRunner(1) as runner:
        lengths = asyncio.run(main(runner.submit(fail)))
    assert lengths == lengths[:1] * 3


def test_what_asyncio_takes_over_at_once_says_how_the_job_ended() -> None:
    """`asyncio.wrap_future` asks so from Python 3.15 on."""
    error = ValueError("no")
    with BoundedRunner(1) as runner:
        gate = Gate()
        held, failed = runner.submit(gate, "held"), runner.submit(raising(error))
        cancelled = runner.submit(int)
        assert cancelled.cancel()
        take = [getattr(job, "_get_snapshot") for job in (held, failed, cancelled)]  # noqa: B009
        assert [each() for each in take[:2]] == [(False, False, None, None)] * 2
        gate.open()
        wait([held, failed, cancelled], TIMEOUT)
        assert [each() for each in take] == [
            (True, False, "held", None),
            (True, False, None, error),
            (True, True, None, None),
        ]


@both
def test_cancelling_a_wrapped_future_cancels_what_is_pending(make: Make) -> None:
    async def main(future: Future[Any]) -> None:
        wrapped = asyncio.wrap_future(future)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        await asyncio.sleep(0)

    with Full(make) as full:
        asyncio.run(main(full.pending))
        assert full.pending.cancelled()


@both
def test_cancelling_the_future_cancels_the_wrapped_one(make: Make) -> None:
    async def main(future: Future[Any]) -> None:
        wrapped = asyncio.wrap_future(future)
        await asyncio.to_thread(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(TIMEOUT):
                await wrapped

    with Full(make) as full:
        asyncio.run(main(full.pending))


@both
def test_run_in_executor_runs_it_in_there(make: Make) -> None:
    async def main(executor: Executor) -> Any:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.gather(
                loop.run_in_executor(executor, int, "7"),
                loop.run_in_executor(executor, threading.get_ident),
            )

    with make(1) as executor:
        seven, ident = asyncio.run(main(executor))
    assert seven == 7
    assert ident != threading.get_ident()


@both
def test_run_in_executor_raises_what_was_raised(make: Make) -> None:
    async def main(executor: Executor) -> Any:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.get_running_loop().run_in_executor(executor, fail)

    with make(1) as executor, pytest.raises(ValueError, match=r"^no$"):
        asyncio.run(main(executor))


@both
def test_run_in_executor_after_shutdown_is_the_runtime_error_of_the_standard_library(
    make: Make,
) -> None:
    async def main(executor: Executor) -> Any:
        await asyncio.get_running_loop().run_in_executor(executor, int)

    executor = make(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        asyncio.run(main(executor))


# --- the executor ---


@both
def test_submit_after_shutdown_is_the_runtime_error_of_the_standard_library(make: Make) -> None:
    executor = make(1)
    executor.shutdown()
    with pytest.raises(RuntimeError) as caught:
        executor.submit(int)
    assert str(caught.value) == "cannot schedule new futures after shutdown"


@both
def test_submit_needs_a_callable_by_position(make: Make) -> None:
    with make(1) as executor:
        untyped: Any = executor
        with pytest.raises(
            TypeError, match=r"submit\(\) missing 1 required positional argument: 'fn'"
        ):
            untyped.submit()
        with pytest.raises(TypeError, match=r"missing 1 required positional argument"):
            untyped.submit(fn=int)


@both
def test_shutdown_may_be_called_again_and_again(make: Make) -> None:
    executor = make(1)
    for wait_for in (False, True, False, True):
        executor.shutdown(wait=wait_for)


@both
def test_shutdown_waits_for_what_is_pending(make: Make) -> None:
    with Full(make) as full:
        join = in_thread(full.executor.shutdown)
        full.gate.open()
        join()
        assert full.pending.result(0) == 0


@both
def test_shutdown_cancels_what_is_pending_if_it_is_told_to(make: Make) -> None:
    with Full(make) as full:
        full.executor.shutdown(wait=False, cancel_futures=True)
        assert full.pending.cancelled()
        assert not full.running.cancelled()
        full.gate.open()
        assert full.running.result(TIMEOUT) == "held"


@both
def test_shutdown_takes_cancel_futures_by_name_only(make: Make) -> None:
    with make(1) as executor:
        untyped: Any = executor
        with pytest.raises(TypeError):
            untyped.shutdown(True, True)


@both
def test_with_gives_the_executor_and_waits(make: Make) -> None:
    gate = Gate()
    executor = make(1)
    with executor as entered:
        future = entered.submit(gate)
        in_thread(gate.open)()
    assert entered is executor
    assert future.done()


# --- map ---


@both
def test_map_yields_the_results_in_the_order_of_the_items(make: Make) -> None:
    with make(3) as executor:
        assert list(executor.map(divmod, [7, 8, 9], [2, 3, 4])) == [(3, 1), (2, 2), (2, 1)]


@both
def test_map_ends_with_the_shortest(make: Make) -> None:
    with make(3) as executor:
        assert list(executor.map(pow, [2, 3, 4], [5])) == [32]
        assert list(executor.map(int, [])) == []


@both
def test_map_submits_all_at_once_though_nobody_asks(make: Make) -> None:
    gate = Gate()
    with make(3) as executor:
        executor.map(gate, range(3))
        gate.wait_for(3)
        gate.open()


@both
def test_map_submits_while_it_goes_through_the_items(make: Make) -> None:
    started = threading.Event()

    def items() -> Iterator[str]:
        yield "1"
        assert started.wait(TIMEOUT), "the first was not submitted before the second was asked for"
        yield "2"

    def body(item: str) -> int:
        started.set()
        return int(item)

    with make(1) as executor:
        assert list(executor.map(body, items())) == [1, 2]


@both
def test_map_lets_what_the_items_raise_through_and_what_was_submitted_run(make: Make) -> None:
    ran: list[int] = []

    def items() -> Iterator[int]:
        yield 1
        fail("from the items")

    with make(1) as executor, pytest.raises(ValueError, match=r"^from the items$"):
        executor.map(ran.append, items())
    assert ran == [1]


@both
def test_map_raises_the_first_failure_in_its_place_and_cancels_the_rest(make: Make) -> None:
    gate = Gate()

    def body(item: int) -> int:
        if item == 1:
            fail()
        if item == 2:
            gate()
        return item

    with make(1) as executor:
        results = executor.map(body, range(10))
        assert next(results) == 0
        with pytest.raises(ValueError, match=r"^no$"):
            next(results)
        gate.open()
        with pytest.raises(StopIteration):
            next(results)


@both
def test_map_has_a_timeout_for_all_of_it(make: Make) -> None:
    gate = Gate()
    with make(1) as executor:
        results = executor.map(gate, range(3), timeout=0.05)
        with pytest.raises(TimeoutError) as caught:
            next(results)
        assert str(caught.value) == ""
        gate.open()


@both
def test_map_whose_time_is_over_cancels_what_it_waited_for(make: Make) -> None:
    ran: list[int] = []
    with Full(make) as full:
        results = full.executor.map(ran.append, range(3), timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)
    assert ran == []


@both
def test_map_with_a_timeout_yields_what_is_in_time(make: Make) -> None:
    with make(1) as executor:
        assert list(executor.map(int, "123", timeout=TIMEOUT)) == [1, 2, 3]


@both
@pytest.mark.parametrize("seconds", [0, -1])
def test_map_whose_time_is_over_before_it_begins_is_a_timeout_error(
    make: Make, seconds: float
) -> None:
    # As one gets it from `timeout=deadline - now`.
    gate = Gate()
    with make(1) as executor:
        results = executor.map(gate, range(3), timeout=seconds)
        with pytest.raises(TimeoutError):
            next(results)
        gate.open()


def count_runs(make: Make, leave: Callable[[Iterator[Any]], object]) -> int:
    """How many of three items run if `leave` is done after the first result."""
    gate, ran = Gate(), list[int]()

    def body(item: int) -> int:
        ran.append(item)
        if item == 1:
            gate()
        return item

    with make(1) as executor:
        results = executor.map(body, range(4))
        assert next(results) == 0
        gate.wait_for()
        leave(results)
        gate.open()
    return len(ran)


@both
def test_closing_what_map_returned_cancels_what_has_not_started(make: Make) -> None:
    assert count_runs(make, lambda results: results.close()) == 2  # type: ignore[attr-defined]  # a generator


@both
def test_dropping_what_map_returned_runs_what_was_submitted_only_if_it_is_kept(make: Make) -> None:
    assert count_runs(make, lambda _: None) == 4


@both
def test_map_takes_a_chunksize_that_has_no_effect(make: Make) -> None:
    with make(2) as executor:
        assert list(executor.map(int, "123", chunksize=2)) == [1, 2, 3]


@both
def test_map_after_shutdown_is_the_runtime_error_of_the_standard_library(make: Make) -> None:
    executor = make(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        executor.map(int, "1")


def test_map_waits_for_room_where_max_pending_is_set() -> None:
    heard = Heard()
    with BoundedRunner(1, max_pending=0, on_status=heard) as runner:
        assert list(runner.map(int, "1234")) == [1, 2, 3, 4]
    assert "rejected" not in heard.statuses()


def test_map_of_coroutine_functions_yields_what_they_return() -> None:
    async def body(item: int) -> int:
        await asyncio.sleep(0)
        return item + 1

    with BoundedRunner(2) as runner:
        results: list[Any] = list(runner.map(body, range(4)))
    assert results == [1, 2, 3, 4]


@both
def test_map_draws_no_more_than_zip_does(make: Make) -> None:
    first = iter(range(9))
    with make(2) as executor:
        assert list(executor.map(pow, first, [2, 2])) == [0, 1]
    assert next(first) == 3


def test_map_on_a_loop_s_thread_does_not_wait_for_room() -> None:
    async def main() -> list[int]:
        async with BoundedRunner(1, max_pending=1) as runner:
            return list(runner.map(int, "12345", timeout=TIMEOUT))

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]


# --- what is ours ---


def test_a_runner_is_an_executor_and_a_job_a_future() -> None:
    with BoundedRunner(1) as runner:
        assert isinstance(runner, Executor)
        assert isinstance(runner.submit(int), Future)
    assert get_origin(Job[int]) is Job


@pytest.mark.parametrize("body", ["pending", "running", "done"])
def test_nobody_else_sets_the_outcome_of_a_job(body: str) -> None:
    with Full(BoundedRunner) as full:
        job: Any = full.running if body == "running" else full.pending
        if body == "done":
            full.gate.open()
            job.result(TIMEOUT)
        text = f"the outcome of {job!r} is set by its runner alone"
        for attempt, value in ((job.set_result, 1), (job.set_exception, ValueError())):
            with pytest.raises(InvalidStateError, match=f"^{re.escape(text)}$"):
                attempt(value)
        text = f"{job!r} is started by its runner, and by nobody else"
        with pytest.raises(InvalidStateError, match=f"^{re.escape(text)}$"):
            job.set_running_or_notify_cancel()
        full.gate.open()
        job.result(TIMEOUT)
        assert job.status is JobStatus.SUCCEEDED


def test_a_job_is_equal_to_itself_alone_and_can_be_a_key() -> None:
    with BoundedRunner(1) as runner:
        one, other = runner.submit(int), runner.submit(int)
        assert len({one: 1, other: 2}) == 2


@pytest.mark.parametrize("stage", ["pending", "running", "succeeded", "failed", "cancelled"])
def test_a_job_shows_its_status(stage: str) -> None:
    with Full(BoundedRunner, fail if stage == "failed" else int) as full:
        job: Any = full.running if stage == "running" else full.pending
        if stage == "cancelled":
            job.cancel()
        if stage in ("succeeded", "failed"):
            full.gate.open()
            job.exception(TIMEOUT)
        assert repr(job) == f"<Job {job.name!r} id={job.id} {stage}>"


def test_done_is_true_when_result_has_returned() -> None:
    with BoundedRunner(2) as runner:
        for _ in range(300):
            job = runner.submit(int)
            job.result(TIMEOUT)
            assert (job.done(), job.status) == (True, JobStatus.SUCCEEDED)


def test_done_is_false_while_a_listener_hears_the_final_status() -> None:
    gate = Gate()
    with BoundedRunner(1, on_status=lambda e: e.status.is_final and gate()) as runner:
        job = runner.submit(int)
        gate.wait_for()
        assert (job.status, job.done(), job.running()) == (JobStatus.SUCCEEDED, False, True)
        with pytest.raises(TimeoutError):
            job.result(0.01)
        gate.open()
        assert job.result(TIMEOUT) == 0


def test_cancelled_is_true_while_a_listener_still_hears_of_it() -> None:
    gate, held = Gate(), Gate()

    def listen(event: Any) -> None:
        if event.status is JobStatus.CANCELLED:
            held()

    with BoundedRunner(1, on_status=listen) as runner:
        runner.submit(gate)
        job = runner.submit(int)
        join = in_thread(job.cancel)
        held.wait_for()
        assert stage(job) == (False, True, True)
        with pytest.raises(TimeoutError):
            job.result(0.01)
        called: list[Any] = []
        job.add_done_callback(called.append)
        assert called == []
        held.open()
        assert join() is True
        gate.open()
    assert called == [job]


# --- awaiting ---


def test_awaiting_a_job_gives_its_result() -> None:
    async def main() -> tuple[int, int]:
        async with BoundedRunner(1) as runner:
            job = runner.submit(int, "7")
            return await job, await job

    assert asyncio.run(main()) == (7, 7)


def test_an_await_ends_whenever_the_job_ends_while_it_begins() -> None:
    async def main(number: int) -> bool:
        gate, in_time = Gate(), True

        def rescue() -> None:  # it waits already
            nonlocal in_time
            in_time = False
            gate.open()

        job = runner.submit(gate, 7)

        def end() -> None:
            gate.open()
            job.result(TIMEOUT)

        asyncio.get_running_loop().call_later(3 * MOMENT, rescue)
        with let_in(number, end):
            assert await job == 7
        return in_time

    with BoundedRunner(1) as runner:
        assert next(number for number in itertools.count(1) if not asyncio.run(main(number))) > 5


def test_awaiting_raises_what_was_raised() -> None:
    exc = ValueError("no")

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            with pytest.raises(ValueError) as caught:
                await runner.submit(raising(exc))
            assert caught.value is exc

    asyncio.run(main())


def test_awaiting_a_cancelled_job_is_not_a_cancellation_of_the_awaiter() -> None:
    async def main() -> None:
        gate = Gate()
        async with BoundedRunner(1) as runner:
            runner.submit(gate)
            job = runner.submit(int)
            task = asyncio.create_task(awaiting(job))
            await asyncio.sleep(0)
            job.cancel()
            with pytest.raises(JobCancelled, match=r"^job 'int' was cancelled$"):
                await task
            assert not task.cancelled()
            gate.open()

    asyncio.run(main())


async def awaiting(job: Job[Any]) -> Any:
    async with asyncio.timeout(TIMEOUT):
        return await job


def test_cancelling_the_awaiter_does_not_cancel_the_job() -> None:
    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate, "done")
            task = asyncio.create_task(awaiting(job))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not job.done()
            gate.open()
            assert await awaiting(job) == "done"

    asyncio.run(main())


def test_an_awaiter_that_has_left_leaves_nothing_behind() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main(job: Job[Any]) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        task = asyncio.create_task(awaiting(job))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    gate = Gate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate)
        for _ in range(3):
            asyncio.run(main(job))
        gc.collect()
        assert [loop() for loop in loops] == [None] * 3
        gate.open()


def test_many_tasks_of_many_loops_await_one_job() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate, "done")

        async def main() -> list[Any]:
            return await asyncio.gather(*(awaiting(job) for _ in range(5)))

        joins = [in_thread(lambda: asyncio.run(main())) for _ in range(3)]
        gate.open()
        assert [join() for join in joins] == [["done"] * 5] * 3


def test_a_loop_that_closed_while_it_awaited_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        job = runner.submit(gate, "done")
        loop = asyncio.new_event_loop()
        task = loop.create_task(awaiting(job))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        gate.open()
        assert job.result(TIMEOUT) == "done"
    coroutine: Any = task.get_coro()
    coroutine.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is ours to drop
    assert caplog.records == []


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (StopIteration("x"), r"^generator raised StopIteration$|^coroutine raised StopIteration$"),
        (asyncio.CancelledError("x"), r"^job '.*' failed: it raised CancelledError itself$"),
    ],
    ids=["StopIteration", "CancelledError"],
)
def test_awaiting_never_takes_a_job_s_error_for_the_awaiter_s(
    exc: BaseException, expected: str
) -> None:
    async def main() -> None:
        async with BoundedRunner(1) as runner:
            job = runner.submit(raising(exc))
            task = asyncio.create_task(awaiting(job))
            with pytest.raises((RuntimeError, JobCancelled), match=expected):
                await task
            assert job.exception() is exc

    asyncio.run(main())


def test_asyncio_s_own_helpers_take_jobs() -> None:
    async def main() -> None:
        async with BoundedRunner(2) as runner:
            jobs = [runner.submit(int, str(n)) for n in range(4)]
            assert await asyncio.gather(*jobs) == [0, 1, 2, 3]
            assert await asyncio.wait_for(jobs[0], TIMEOUT) == 0

    asyncio.run(main())


def test_a_job_is_done_when_those_are_told_who_wait_as_concurrent_futures_has_it() -> None:
    done: list[bool] = []

    class Waiter:
        def add_result(self, job: Any) -> None:
            done.append(job.done())

    gate = Gate()
    with BoundedRunner(1) as runner:
        job: Any = runner.submit(gate)
        with job._condition:
            job._waiters.append(Waiter())
        gate.open()
        job.result(TIMEOUT)
    assert done == [True]


def test_of_those_who_wait_so_each_is_told_once_though_a_ctrl_c_comes_between() -> None:
    told: list[str] = []

    class Waiter:
        def __init__(self, name: str, *, interrupted: bool = False) -> None:
            self.name = name
            self.interrupted = interrupted

        def add_cancelled(self, _: Any) -> None:
            if self.interrupted:
                self.interrupted = False
                raise KeyboardInterrupt
            told.append(self.name)

    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        job: Any = runner.submit(gate)
        with job._condition:
            waiters = [Waiter("first"), Waiter("second", interrupted=True), Waiter("third")]
            job._waiters.extend(waiters)
        with pytest.raises(KeyboardInterrupt):
            job.cancel()
        gate.open()
    assert told == ["first", "second", "third"]
