"""`map` where it must not block, and where room is short; as an Executor's it is in test_future."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import weakref
from threading import Barrier, Event, Semaphore, Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundedjobs import (
    BoundedRunner,
    JobCancelled,
    JobDeadlock,
    JobEvent,
    JobStatus,
    NotRunnable,
    RunnerClosed,
    current_job,
)
from tests.blocking import when_blocking
from tests.freeing import free
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def test_with_max_pending_no_more_wait_than_it_says() -> None:
    """The call itself waits for room, as a generator of the items shows."""
    gate, drawn, waits = Gate(), list[int](), Event()
    outcome: list[list[int]] = []

    def items() -> Iterator[int]:
        for n in range(6):
            drawn.append(n)
            yield n

    def use() -> None:
        with when_blocking(waits.set):
            results = runner.map(gate, items())
        outcome.append(list(results))

    with BoundedRunner(2, max_pending=1) as runner:
        for _ in range(2):
            runner.submit(gate)
        gate.wait_for(2)
        thread = Thread(target=use)
        thread.start()
        assert waits.wait(TIMEOUT)
        assert len(drawn) == 2  # one is pending, and one waits for room
        gate.open()
        thread.join(TIMEOUT)
    assert outcome == [list(range(6))]


def test_while_it_waits_for_room_nothing_is_heard_of_refusals() -> None:
    heard = Heard()
    with BoundedRunner(2, max_pending=0, on_status=heard) as runner:
        assert list(runner.map(int, "0123456789")) == list(range(10))
    assert heard.statuses().count("pending") == 10
    assert set(heard.statuses()) == {"pending", "running", "succeeded"}


def test_it_waits_for_room_beside_others_in_the_order_of_their_coming() -> None:
    gate, ran, waits = Gate(), list[str](), [Event(), Event()]

    def use() -> None:
        with when_blocking(waits[0].set):
            results = runner.map(ran.append, ["map 1", "map 2"])
        list(results)

    def submit() -> None:
        with when_blocking(waits[1].set):
            runner.submit(ran.append, "submit")

    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        runner.submit(gate)
        gate.wait_for()
        threads = [Thread(target=use), Thread(target=submit)]
        for thread, waiting in zip(threads, waits, strict=True):
            thread.start()
            assert waiting.wait(TIMEOUT)
        gate.open()
        for thread in threads:
            thread.join(TIMEOUT)
    assert ran == ["map 1", "submit", "map 2"]


def test_closing_the_runner_refuses_who_waits_for_room() -> None:
    gate, waits = Gate(), Event()
    errors: list[BaseException] = []
    runner = BoundedRunner(1, max_pending=0)
    runner.submit(gate)
    gate.wait_for()

    def use() -> None:
        try:
            with when_blocking(waits.set):
                runner.map(gate, range(3))
        except RunnerClosed as exc:
            errors.append(exc)

    thread = Thread(target=use)
    thread.start()
    assert waits.wait(TIMEOUT)
    runner.shutdown(wait=False)
    thread.join(TIMEOUT)
    gate.open()
    runner.shutdown()
    assert [str(error) for error in errors] == ["cannot schedule new futures after shutdown"]


def test_on_a_loop_it_submits_what_there_is_room_for_and_the_rest_as_results_are_fetched() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for n in range(6):
            drawn.append(n)
            yield n

    async def main() -> list[int]:
        gate = Gate()
        async with BoundedRunner(1, max_pending=2) as runner:
            results = runner.map(gate, items())
            assert drawn == [0, 1, 2, 3]  # one runs, two are pending, one is held
            gate.open()
            first = [next(results), next(results)]
            assert len(drawn) > 4
            return [*first, *results]

    assert asyncio.run(main()) == list(range(6))


def test_on_a_loop_that_its_jobs_need_it_is_told_so_by_next() -> None:
    async def body(item: int) -> int:
        return item

    async def main() -> None:
        async with BoundedRunner(1) as runner:
            results: Iterator[object] = runner.map(body, range(3))
            with pytest.raises(JobDeadlock):
                next(results)

    asyncio.run(main())


def test_on_a_loop_of_others_jobs_that_fill_the_runner_it_is_told_so() -> None:
    """It has nothing to wait for but room, which only the loop could make."""

    async def main() -> list[int]:
        gate = AsyncGate()
        async with BoundedRunner(1, max_pending=0) as runner:
            other = runner.submit(gate)
            results = runner.map(int, "12")
            with pytest.raises(JobDeadlock) as caught:
                next(results)
            assert str(caught.value) == (
                "map() would wait for room on the thread of the event loop that room needs, for "
                "ever; use 'await' (await job, await runner.aclose(), async with)"
            )
            gate.open()
            await other
            return list(runner.map(int, "12"))

    assert asyncio.run(main()) == [1, 2]


def test_inside_a_job_it_yields_all_though_room_is_short() -> None:
    def outer() -> list[int]:
        return list(runner.map(int, "0123456789"))

    with BoundedRunner(2, max_pending=1) as runner:
        assert runner.submit(outer).result(TIMEOUT) == list(range(10))


def test_inside_the_only_job_it_is_told_that_it_can_not_end() -> None:
    ran: list[int] = []

    def outer() -> str:
        with pytest.raises(JobDeadlock) as caught:
            list(runner.map(ran.append, range(3)))
        return str(caught.value)

    with BoundedRunner(1) as runner:
        message = runner.wrap(outer, name="outer")().result(TIMEOUT)
    assert message == (
        "waiting for 'list.append' would never end: 'outer' waits for 'list.append', and runner "
        "'runner' (limit 1) has no slot or thread left for what they wait for; raise the limit, "
        "wait with a timeout, or use another runner for the inner jobs"
    )
    assert ran == []  # what it had submitted was cancelled


def test_inside_the_only_job_without_room_it_is_told_so() -> None:
    def outer() -> str:
        with pytest.raises(JobDeadlock) as caught:
            list(runner.map(int, "123"))
        return str(caught.value)

    with BoundedRunner(1, max_pending=0) as runner:
        message = runner.wrap(outer, name="outer")().result(TIMEOUT)
    assert message.startswith("waiting for room would never end: 'outer' waits for room, and ")


def test_inside_a_job_it_waits_for_room_that_another_one_will_make() -> None:
    gate, waits = Gate(), Event()

    def outer() -> list[int]:
        results = runner.map(int, itertools.count(1))
        with when_blocking(waits.set):
            return [next(results) for _ in range(3)]

    with BoundedRunner(2, max_pending=0) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(outer)
        assert waits.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == [1, 2, 3]
        assert getattr(runner, "_core").waits._begun == {}  # noqa: B009


def test_results_that_are_there_are_yielded_while_others_fill_the_runner() -> None:
    have_ended, gate = Semaphore(0), Gate()

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.SUCCEEDED:
            have_ended.release()

    with BoundedRunner(1, max_pending=1, on_status=listener) as runner:
        results = runner.map(int, iter("0123"), buffersize=2)
        assert have_ended.acquire(timeout=TIMEOUT)
        assert have_ended.acquire(timeout=TIMEOUT)
        others = [runner.submit(gate) for _ in range(2)]
        assert [next(results), next(results)] == [0, 1]
        assert not others[0].done()
        gate.open()
        assert list(results) == [2, 3]


def test_on_a_loop_it_takes_the_room_that_has_come_before_it_waits_for_a_result() -> None:
    meet = Barrier(2)

    async def main() -> int:
        gate = Gate()
        async with BoundedRunner(2, max_pending=0) as runner:
            other = runner.submit(gate)
            await asyncio.to_thread(gate.wait_for)
            results = runner.map(lambda _: meet.wait(TIMEOUT), range(2))
            gate.open()
            await other
            return len(list(results))

    assert asyncio.run(main()) == 2


def test_inside_a_job_of_another_runner_it_waits_for_room() -> None:
    with BoundedRunner(1) as outer, BoundedRunner(1, max_pending=0) as inner:
        job = outer.submit(lambda: list(inner.map(int, "123")))
        assert job.result(TIMEOUT) == [1, 2, 3]


def test_its_jobs_are_jobs_like_any_other() -> None:
    def body(item: int) -> tuple[int, str]:
        job = current_job()
        job.report(1.0)
        return item, job.name

    progress = Heard()
    with BoundedRunner(2, on_progress=progress) as runner:
        name = body.__qualname__
        assert list(runner.map(body, range(3))) == [(n, name) for n in range(3)]
    assert sorted(event.args for event in progress.events) == [(0,), (1,), (2,)]


def test_it_refuses_what_can_not_be_run() -> None:
    def generator(item: int) -> Iterator[int]:
        yield item

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner, pytest.raises(NotRunnable):
        runner.map(generator, range(3))
    assert heard.statuses() == ["rejected"]


def test_a_failure_leaves_what_runs_alone_and_cancels_what_waits() -> None:
    running, gate = Event(), Gate()
    statuses = Heard()

    def body(item: int) -> int:
        if item == 0:
            assert running.wait(TIMEOUT)
            raise LookupError("the first")
        running.set()
        return gate(item)  # type: ignore[no-any-return]

    with BoundedRunner(2, on_status=statuses) as runner:
        results = runner.map(body, range(4))
        with pytest.raises(LookupError, match=r"^the first$"):
            next(results)
        gate.open()
    ends = {e.args[0]: e.status for e in statuses.events if e.status.is_final}
    assert ends[0] is JobStatus.FAILED
    assert ends[1] is JobStatus.SUCCEEDED
    assert JobStatus.CANCELLED in (ends[2], ends[3])


def test_a_job_of_it_that_somebody_cancels_raises_in_its_place() -> None:
    gate, heard = Gate(), list[Any]()

    def body(item: int) -> int:
        return gate(item)  # type: ignore[no-any-return]

    with BoundedRunner(1, on_status=lambda _: heard.append(current_job())) as runner:
        results = runner.map(body, range(2))
        assert heard[-1].cancel() or heard[0].args == (0,)
        second = next(job for job in heard if job.args == (1,))
        second.cancel()
        gate.open()
        assert next(results) == 0
        with pytest.raises(JobCancelled):
            next(results)


def test_it_keeps_no_result_that_it_has_yielded() -> None:
    class Result: ...

    def body(_: int) -> Result:
        return Result()

    gc.disable()
    try:
        with BoundedRunner(2) as runner:
            results = runner.map(body, range(3))
            result = next(results)
            gone = weakref.ref(result)
            del result
            free()
            assert gone() is None
            assert len(list(results)) == 2
    finally:
        gc.enable()


def test_it_keeps_nothing_of_what_a_job_has_raised() -> None:
    class Problem(Exception): ...

    def body(_: int) -> None:
        raise Problem

    gone: list[weakref.ref[Problem]] = []
    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            results = runner.map(body, range(1))
            try:
                next(results)
            except Problem as exc:
                gone.append(weakref.ref(exc))
            free()
            assert gone[0]() is None
    finally:
        gc.enable()


# --- buffersize ---


class Counted:
    """Counts what is drawn of it."""

    def __init__(self, items: Iterable[int]) -> None:
        self._items = iter(items)
        self.drawn = 0

    def __iter__(self) -> Iterator[int]:
        for item in self._items:
            self.drawn += 1
            yield item


@pytest.mark.parametrize("buffersize", [1, 2, 3, 5, 9])
def test_with_a_buffersize_so_many_are_submitted_ahead_and_no_more(buffersize: int) -> None:
    items = Counted(itertools.count())
    with BoundedRunner(2) as runner:
        results = runner.map(int, items, buffersize=buffersize)
        assert items.drawn == buffersize
        for n in range(5):
            assert next(results) == n
            assert items.drawn == buffersize + n + 1


def test_with_a_buffersize_no_more_are_in_flight_while_a_result_is_awaited() -> None:
    items, gate, waits = Counted(range(9)), Gate(), Event()
    outcome: list[list[int]] = []

    def use() -> None:
        results = runner.map(gate, items, buffersize=3)
        gate.wait_for(2)  # the threads have started
        with when_blocking(waits.set):
            outcome.append(list(results))

    with BoundedRunner(2) as runner:
        thread = Thread(target=use)
        thread.start()
        assert waits.wait(TIMEOUT)
        assert items.drawn == 3
        gate.open()
        thread.join(TIMEOUT)
    assert outcome == [list(range(9))]


def test_with_a_buffersize_what_is_submitted_ahead_runs_while_a_result_is_used() -> None:
    ran = [Event(), Event()]
    with BoundedRunner(1) as runner:
        results = runner.map(lambda n: ran[n].set(), range(2), buffersize=1)
        next(results)
        assert ran[1].wait(TIMEOUT)


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.integers(0, 9), max_size=3),
    limit=st.integers(1, 3),
    buffersize=st.none() | st.integers(1, 12),
    max_pending=st.none() | st.integers(0, 3),
    is_async=st.booleans(),
)
def test_whatever_the_buffersize_the_results_are_those_of_the_builtin_in_its_order(
    lengths: list[int], limit: int, buffersize: int | None, max_pending: int | None, is_async: bool
) -> None:
    async def body(*items: int) -> tuple[int, ...]:
        return items

    def sync_body(*items: int) -> tuple[int, ...]:
        return items

    inputs = [range(length) for length in lengths]
    fn: Any = body if is_async else sync_body
    with BoundedRunner(limit, max_pending=max_pending) as runner:
        results = list(runner.map(fn, *inputs, buffersize=buffersize))
    assert results == list(zip(*inputs, strict=False))


def test_on_a_loop_and_inside_a_job_a_buffersize_holds_too() -> None:
    items = Counted(itertools.count())

    def use() -> list[int]:
        results = runner.map(int, items, buffersize=2)
        got = [next(results) for _ in range(5)]
        results.close()  # type: ignore[attr-defined]
        return got

    async def main() -> list[int]:
        return use()

    with BoundedRunner(2, max_pending=1) as runner:
        assert asyncio.run(main()) == [0, 1, 2, 3, 4]
        assert items.drawn == 7
        assert runner.submit(use).result(TIMEOUT) == [7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"buffersize": 2.0}, TypeError, "buffersize must be an integer or None"),
        ({"buffersize": "2"}, TypeError, "buffersize must be an integer or None"),
        ({"buffersize": 0}, ValueError, "buffersize must be None or > 0"),
        ({"buffersize": -1}, ValueError, "buffersize must be None or > 0"),
        ({"chunksize": 0}, ValueError, "chunksize must be at least 1, got 0"),
        ({"chunksize": "2"}, TypeError, "chunksize must be an int, got '2'"),
        ({"timeout": "2"}, TypeError, "timeout must be a number of seconds or None, got '2'"),
        ({"timeout": math.nan}, ValueError, "timeout must be a number of seconds, got nan"),
    ],
)
def test_a_bad_option_is_an_error_at_the_call_and_nothing_is_drawn(
    options: Any, error: type[Exception], message: str
) -> None:
    items = Counted(range(3))
    with BoundedRunner(1) as runner:
        with pytest.raises(error) as caught:
            runner.map(int, items, **options)
        assert str(caught.value) == message
    assert items.drawn == 0


def test_leaving_it_does_not_cancel_a_coroutine_that_runs() -> None:
    """As with the standard library, whose running futures can't be cancelled."""
    gate, heard = AsyncGate(), Heard()
    with BoundedRunner(2, on_status=heard) as runner:
        results: Any = runner.map(gate, range(3), timeout=0)
        gate.wait_for(2)
        with pytest.raises(TimeoutError):
            next(results)
        gate.open()
    ends = {e.args[0]: e.status.value for e in heard.events if e.status.is_final}
    assert ends == {0: "succeeded", 1: "succeeded", 2: "cancelled"}
