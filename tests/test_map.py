"""`map` where it must not block, and where room is short; as an Executor's it is in test_future."""

from __future__ import annotations

import asyncio
import gc
import weakref
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import (
    BoundedRunner,
    JobCancelled,
    JobDeadlock,
    JobStatus,
    NotRunnable,
    RunnerClosed,
    current_job,
)
from tests.blocking import when_blocking
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        results = runner.map(int, "123")
        with when_blocking(waits.set):
            return list(results)

    with BoundedRunner(2, max_pending=0) as runner:
        runner.submit(gate)
        gate.wait_for()
        job = runner.submit(outer)
        assert waits.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == [1, 2, 3]


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
            assert gone() is None
            assert len(list(results)) == 2
    finally:
        gc.enable()
