"""`as_completed`: inputs are read as it goes, and each job is yielded when it has ended."""

from __future__ import annotations

import ast
import asyncio
import gc
import itertools
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections import Counter
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from operator import length_hint
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundedjobs import (
    AsCompleted,
    BoundedRunner,
    Job,
    JobDeadlock,
    JobStatus,
    RunnerClosed,
    current_job,
)
from boundedjobs._flight import Arrival, Turn
from tests.freeing import FREE_THREADED, free
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard
from tests.interrupting import interrupted_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType


@contextmanager
def when_waiting(before: Callable[[], object]) -> Iterator[None]:
    """Call `before` once, when this thread is about to wait for a job, or for room.

    And not as it waits for a thread that it has started.
    """
    previous = sys.getprofile()

    def wait(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call" and frame.f_code.co_qualname == "Latch.wait":
            sys.setprofile(None)
            before()

    sys.setprofile(wait)
    try:
        yield
    finally:
        sys.setprofile(previous)


@contextmanager
def when_called(function: str, then: Callable[[], object]) -> Iterator[None]:
    """Call `then` once, when this thread calls a function of ours."""
    previous = sys.getprofile()

    def see(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code.co_qualname == function:
            sys.setprofile(None)
            then()

    sys.setprofile(see)
    try:
        yield
    finally:
        sys.setprofile(previous)


def interrupted_at(function: str) -> AbstractContextManager[None]:
    """Ctrl-C as this thread calls a function of ours."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    return when_called(function, interrupt)


class Gates:
    """A gate for each item: bodies end in the order in which these are opened."""

    def __init__(self, items: Iterable[int]) -> None:
        self._gates = {item: Gate() for item in items}

    def __call__(self, item: int) -> int:
        self._gates[item]()
        return item

    def wait_for(self, *items: int) -> None:
        for item in items:
            self._gates[item].wait_for()

    def open(self, *items: int) -> None:
        for item in items or self._gates:
            self._gates[item].open()


class Inputs:
    """An input that says what has been drawn of it."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.drawn: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = next(self._items)
        self.drawn.append(item)
        return item


class Consumer(Thread):
    """Calls `next` on a thread of its own, once or until the end; says when it first waits."""

    def __init__(self, jobs: AsCompleted[Any], *, once: bool = False) -> None:
        super().__init__(daemon=True)
        self._jobs, self._once = jobs, once
        self._waits = Event()
        self.got: list[Job[Any]] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with when_waiting(self._waits.set):
                for job in self._jobs:
                    self.got.append(job)
                    if self._once:
                        break
        except Exception as exc:
            self.error = exc

    def until_it_waits(self) -> None:
        assert self._waits.wait(TIMEOUT), "it never waited"

    def args(self) -> list[Any]:
        """The arguments of the jobs that it got, when it is through."""
        self.join(TIMEOUT)
        assert not self.is_alive(), "it still waits"
        if self.error is not None:
            raise self.error
        return args(self.got)


def args(jobs: Iterable[Job[Any]]) -> list[Any]:
    return [job.args[0] for job in jobs]


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do, and tells nobody."""
    pause, rounds = Event(), int(TIMEOUT / 0.005)
    assert any(is_so() or pause.wait(0.005) for _ in range(rounds))


# --- what is yielded ---


def test_each_job_is_yielded_when_it_has_ended() -> None:
    gates = Gates(range(4))
    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(gates, range(4))
        order = []
        for item in (1, 2, 0, 3):
            gates.open(item)
            job = next(jobs)
            assert job.done()
            order.append(job.result())
        assert list(jobs) == []
    assert order == [1, 2, 0, 3]


def test_a_failed_job_is_yielded_like_any_other() -> None:
    with BoundedRunner(2) as runner:
        jobs = {job.args: job for job in runner.as_completed(divmod, [7, 7, 8], [2, 0, 2])}
    assert {each: job.status.value for each, job in jobs.items()} == {
        (7, 2): "succeeded",
        (7, 0): "failed",
        (8, 2): "succeeded",
    }
    failure = jobs[7, 0].failure
    assert failure is not None
    assert failure.type == "ZeroDivisionError"


def test_a_cancelled_job_is_yielded_like_any_other() -> None:
    gate, heard = Gate(), list[Job[Any]]()
    with BoundedRunner(1, on_status=lambda _: heard.append(current_job())) as runner:
        jobs = runner.as_completed(gate, range(2))
        consumer = Consumer(jobs)
        consumer.until_it_waits()
        next(job for job in heard if job.args == (1,)).cancel()
        gate.open()
        assert sorted(consumer.args()) == [0, 1]
        assert {job.status for job in consumer.got} == {JobStatus.CANCELLED, JobStatus.SUCCEEDED}


def test_what_can_not_be_run_any_more_is_yielded_rejected() -> None:
    class Changing:
        def __call__(self, item: int) -> int:
            return item

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        jobs = runner.as_completed(Changing(), range(3), buffersize=0)
        got = [next(jobs)]
        del Changing.__call__
        got += jobs
    assert [job.status.value for job in got] == ["succeeded", "rejected", "rejected"]
    assert args(got) == [0, 1, 2]
    assert got[1].failure is not None
    assert got[1].failure.type == "boundedjobs.errors.NotRunnable"
    assert heard.statuses() == ["pending", "running", "succeeded", "rejected", "rejected"]


def test_it_ends_with_the_shortest_input_and_draws_no_more_from_the_others() -> None:
    first, second = Inputs(range(10)), Inputs("ab")
    with BoundedRunner(2) as runner:
        got = [job.args for job in runner.as_completed(max, first, second)]
        assert sorted(got) == [(0, "a"), (1, "b")]
    assert first.drawn == [0, 1, 2]  # as of `zip`: one was drawn when the other had no more


def test_without_items_there_is_nothing_to_yield() -> None:
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(int, [])
        assert list(jobs) == []
        assert list(jobs) == []


def test_coroutines_are_yielded_by_async_for() -> None:
    async def body(item: int) -> int:
        await asyncio.sleep(0)
        return item * 10

    async def main() -> list[int]:
        async with BoundedRunner(3) as runner:
            return [job.result() async for job in runner.as_completed(body, range(10))]

    assert sorted(asyncio.run(main())) == list(range(0, 100, 10))


def test_sync_jobs_are_yielded_by_async_for_as_they_end() -> None:
    gates = Gates(range(3))

    async def main() -> list[int]:
        async with BoundedRunner(2) as runner:
            jobs = runner.as_completed(gates, range(3))
            order = []
            for item in (1, 2, 0):
                asyncio.get_running_loop().call_soon(gates.open, item)
                order.append((await anext(jobs)).result())
            assert [job async for job in jobs] == []
            return order

    assert asyncio.run(main()) == [1, 2, 0]


def test_one_object_serves_for_and_async_for() -> None:
    async def main() -> tuple[int, list[int]]:
        async with BoundedRunner(2) as runner:
            jobs = runner.as_completed(int, "012345")
            first = next(jobs).result()
            return first, [job.result() async for job in jobs]

    first, rest = asyncio.run(main())
    assert sorted([first, *rest]) == list(range(6))


def test_jobs_have_the_context_of_whoever_iterates_and_the_name_of_the_function() -> None:
    with BoundedRunner(1) as runner:
        (job,) = runner.as_completed(len, ["abc"])
    assert job.name == "len"


def test_listeners_have_heard_the_end_of_what_is_yielded() -> None:
    heard = Heard()
    with BoundedRunner(2, on_status=heard) as runner:
        for job in runner.as_completed(int, "012345"):
            events = [event for event in heard.events if event.job_id == job.id]
            assert [event.status.value for event in events] == ["pending", "running", "succeeded"]


@pytest.mark.parametrize("max_pending", [None, 0, 1])
def test_an_async_listener_hears_each_step_of_each_job(max_pending: int | None) -> None:
    heard = Heard()

    async def listener(event: Any) -> None:
        await asyncio.sleep(0)
        heard(event)

    async def main() -> int:
        async with BoundedRunner(2, on_status=listener, max_pending=max_pending) as runner:
            return len([job async for job in runner.as_completed(int, "012345")])

    assert asyncio.run(main()) == 6
    assert Counter(heard.statuses()) == {"pending": 6, "running": 6, "succeeded": 6}


# --- how far inputs are read ---


def test_nothing_is_read_before_the_first_job_is_asked_for() -> None:
    inputs = Inputs(range(3))
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(int, inputs)
        assert inputs.drawn == []
        next(jobs)
        assert inputs.drawn


@pytest.mark.parametrize(("buffersize", "bound"), [(None, 4), (0, 2), (1, 3), (5, 7)])
def test_limit_and_buffersize_jobs_are_in_flight_and_no_more(
    buffersize: int | None, bound: int
) -> None:
    inputs, gate = Inputs(itertools.count()), Gate()
    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(gate, inputs, buffersize=buffersize)
        consumer = Consumer(jobs, once=True)
        consumer.until_it_waits()
        assert inputs.drawn == list(range(bound))
        gate.open()
        consumer.join(TIMEOUT)
        jobs.close()


@pytest.mark.parametrize("way", ["for", "async for"])
@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    limit=st.integers(1, 4),
    buffersize=st.none() | st.integers(0, 4),
    max_pending=st.none() | st.integers(0, 3),
    fails=st.sets(st.integers(0, 12)),
)
def test_each_set_of_items_is_yielded_once_and_no_more_are_in_flight_than_may_be(
    way: str,
    lengths: list[int],
    limit: int,
    buffersize: int | None,
    max_pending: int | None,
    fails: set[int],
) -> None:
    inputs = [Inputs(range(length)) for length in lengths]
    bound = limit + (limit if buffersize is None else buffersize)

    def body(*items: int) -> tuple[int, ...]:
        if items[0] in fails:
            raise LookupError
        return items

    async def async_body(*items: int) -> tuple[int, ...]:
        await asyncio.sleep(0)
        return body(*items)

    got: list[Job[Any]] = []

    def see(job: Job[Any]) -> None:
        assert len(inputs[0].drawn) - len(got) <= bound
        got.append(job)

    def sync() -> None:
        with BoundedRunner(limit, max_pending=max_pending) as runner:
            for job in runner.as_completed(body, *inputs, buffersize=buffersize):
                see(job)

    async def main() -> None:
        async with BoundedRunner(limit, max_pending=max_pending) as runner:
            async for job in runner.as_completed(async_body, *inputs, buffersize=buffersize):
                see(job)

    if way == "for":
        sync()
    else:
        asyncio.run(main())
    assert sorted(job.args for job in got) == list(zip(*map(range, lengths), strict=False))
    for job in got:
        is_failed = job.args[0] in fails
        assert job.status is (JobStatus.FAILED if is_failed else JobStatus.SUCCEEDED)


def test_while_an_input_takes_its_time_no_second_item_is_drawn_where_a_job_has_ended() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for item in itertools.count():
            drawn.append(item)
            yield item
            # In the midst of drawing the next: the one before has ended meanwhile.
            assert runner.submit(int).result(TIMEOUT) == 0

    with BoundedRunner(1) as runner, runner.as_completed(int, items(), buffersize=9) as jobs:
        for count, job in zip(range(1, 6), jobs, strict=False):
            assert job.done()
            assert len(drawn) <= count + 1


def test_a_higher_limit_has_more_in_flight_at_once() -> None:
    inputs, gate = Inputs(range(20)), Gate()
    with BoundedRunner(1) as runner:
        consumer = Consumer(runner.as_completed(gate, inputs))
        consumer.until_it_waits()
        assert len(inputs.drawn) == 2
        runner.limit = 4
        gate.wait_for(4)  # all of them run, though none has ended
        until(lambda: len(inputs.drawn) == 8)
        gate.open()
        assert sorted(consumer.args()) == list(range(20))


def test_a_higher_limit_has_more_in_flight_at_once_where_a_task_awaits() -> None:
    async def main() -> int:
        gate = AsyncGate()
        async with BoundedRunner(1) as runner:
            jobs = runner.as_completed(gate, range(10), buffersize=0)
            awaits = asyncio.create_task(anext(jobs))
            await asyncio.to_thread(gate.wait_for, 1)
            runner.limit = 4
            await asyncio.to_thread(gate.wait_for, 3)
            await asyncio.to_thread(setattr, runner, "limit", 6)  # from another thread, too
            await asyncio.to_thread(gate.wait_for, 2)
            gate.open()
            await awaits
            return 1 + len([job async for job in jobs])

    assert asyncio.run(main()) == 10


def test_a_lower_limit_has_fewer_in_flight() -> None:
    inputs, gates = Inputs(range(20)), Gates(range(20))
    with BoundedRunner(3) as runner:
        jobs = runner.as_completed(gates, inputs)
        consumer = Consumer(jobs, once=True)
        consumer.until_it_waits()
        assert len(inputs.drawn) == 6
        runner.limit = 1
        gates.open(0)
        assert consumer.args() == [0]
        for item in range(1, 5):  # two may be in flight
            gates.open(item)
            assert next(jobs).args == (item,)
            assert len(inputs.drawn) == 6
        gates.open()
        assert args(jobs) == list(range(5, 20))


def test_a_paused_runner_is_waited_for() -> None:
    with BoundedRunner(1, max_pending=1) as runner:
        runner.pause()
        consumer = Consumer(runner.as_completed(int, "0123"))
        consumer.until_it_waits()
        assert consumer.got == []
        runner.resume()
        assert sorted(consumer.args()) == list("0123")


# --- flat memory ---


class Item:
    """Something large, and known as long as it is there."""

    def __init__(self, known: weakref.WeakSet[Item]) -> None:
        known.add(self)
        self.load = bytes(100_000)


def test_an_endless_input_works_in_flat_memory() -> None:
    known: weakref.WeakSet[Item] = weakref.WeakSet()
    most = 0
    gc.disable()
    tracemalloc.start()
    try:
        with BoundedRunner(2) as runner:
            items = (Item(known) for _ in itertools.count())
            with runner.as_completed(lambda item: bytes(item.load), items) as jobs:
                for count, job in enumerate(jobs):
                    if not FREE_THREADED or count % 100 == 0:
                        free()
                        most = max(most, len(known))
                    assert len(job.result()) == 100_000
                    if count == 500:
                        tracemalloc.reset_peak()
                    if count == 2_000:
                        break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert most <= 4 + 2 + 1  # in flight; in workers that are about to let go; and the one yielded
    assert peak < (5_000_000 if FREE_THREADED else 2_500_000)


@pytest.mark.parametrize("way", ["for", "async for"])
def test_no_reference_is_kept_to_what_has_been_yielded(way: str) -> None:
    class Result: ...

    def body(_: int) -> Result:
        return Result()

    async def first(jobs: AsCompleted[Result]) -> Job[Result]:
        return await anext(jobs)

    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            jobs = runner.as_completed(body, range(3))
            job = next(jobs) if way == "for" else asyncio.run(first(jobs))
            runner.submit(int).result(TIMEOUT)  # the worker has let go of it, too
            gone = weakref.ref(job.result())
            gone_job = weakref.ref(job)
            del job
            free()
            assert gone() is None
            assert gone_job() is None
            assert len(list(jobs)) == 2
    finally:
        gc.enable()


def test_no_reference_is_kept_to_a_job_of_one_that_was_left() -> None:
    gate = Gate()
    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            with runner.as_completed(gate, [Event() for _ in range(2)]) as jobs:
                consumer = Consumer(jobs)
                gate.wait_for()
                consumer.until_it_waits()
                gone = [weakref.ref(job) for job in getattr(jobs, "_flight").jobs]  # noqa: B009
            assert consumer.args() == []
            assert len(gone) == 2
            gate.open()
            runner.submit(int).result(TIMEOUT)
            assert [job() for job in gone] == [None, None]
    finally:
        gc.enable()


def test_leaving_it_lets_go_of_what_an_input_has_raised() -> None:
    class Problem(Exception): ...

    def items() -> Iterator[int]:
        yield 1
        problem = Problem()
        kept.append(weakref.ref(problem))
        try:
            raise problem
        finally:
            del problem

    def interrupt() -> None:
        raise KeyboardInterrupt

    gate, kept = Gate(), list[weakref.ref[Problem]]()
    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            jobs = runner.as_completed(gate, items())
            with pytest.raises(KeyboardInterrupt), when_waiting(interrupt):
                next(jobs)
            jobs.close()
            assert kept[0]() is None
            gate.open()
    finally:
        gc.enable()


def test_no_reference_is_kept_to_what_a_closed_runner_has_refused() -> None:
    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            jobs = runner.as_completed(int, "1")
            runner.shutdown()
            with pytest.raises(RunnerClosed) as caught:
                next(jobs)
            known = weakref.ref(caught.value.job)
            del caught
            assert known() is None
    finally:
        gc.enable()


def test_inputs_are_let_go_of_when_they_are_read() -> None:
    known: weakref.WeakSet[Any] = weakref.WeakSet()

    class Body(Item):
        def __call__(self, item: Item) -> None: ...

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(Body(known), [Item(known) for _ in range(3)])
        assert len(known) == 4
        for job in jobs:
            del job
        runner.submit(int).result(TIMEOUT)
        assert not known


# --- room ---


@pytest.mark.parametrize("max_pending", [0, 1])
@pytest.mark.parametrize("when_full", ["reject", "wait"])
def test_it_waits_for_room_and_nothing_is_heard_of_refusals(
    max_pending: int, when_full: Any
) -> None:
    heard = Heard()
    options = {"max_pending": max_pending, "when_full": when_full, "on_status": heard}
    with BoundedRunner(2, **options) as runner:
        assert sorted(args(runner.as_completed(int, "0123456789"))) == list("0123456789")
    assert Counter(heard.statuses()) == {"pending": 10, "running": 10, "succeeded": 10}


def test_no_more_wait_for_a_slot_than_max_pending_lets_in() -> None:
    inputs, gate = Inputs(range(9)), Gate()
    with BoundedRunner(2, max_pending=1) as runner:
        consumer = Consumer(runner.as_completed(gate, inputs, buffersize=5))
        consumer.until_it_waits()
        assert inputs.drawn == [0, 1, 2, 3]  # two run, one is pending, and one waits for room
        assert repr(runner).endswith("running=2 pending=1>")
        gate.open()
        assert sorted(consumer.args()) == list(range(9))


def test_it_takes_the_room_that_others_make_while_its_own_jobs_run() -> None:
    other, gate = Gate(), Gate()
    with BoundedRunner(2, max_pending=0) as runner:
        runner.submit(other)
        other.wait_for()
        consumer = Consumer(runner.as_completed(gate, range(2)))
        gate.wait_for()
        consumer.until_it_waits()
        other.open()
        gate.wait_for()  # the second runs beside the first
        gate.open()
        assert sorted(consumer.args()) == [0, 1]


def test_it_yields_what_has_ended_while_there_is_no_room() -> None:
    other, gates = Gate(), Gates(range(2))
    with BoundedRunner(2, max_pending=0) as runner:
        jobs = runner.as_completed(gates, range(2), buffersize=1)
        held = runner.submit(other)
        other.wait_for()
        consumer = Consumer(jobs, once=True)
        gates.wait_for(0)
        consumer.until_it_waits()
        # The slot goes to somebody who waits for it beside; so there is no room, for the second.
        gates.open(0)
        assert consumer.args() == [0]
        other.open()
        gates.open(1)
        assert args(jobs) == [1]
        assert held.result(TIMEOUT) is None


def test_others_get_the_room_that_it_does_not_wait_for_any_more() -> None:
    """What it holds while there is no room keeps no place when nobody waits with it."""
    gates, heard = Gates(range(3)), Heard()
    with BoundedRunner(2, max_pending=0, on_status=heard) as runner:
        jobs = runner.as_completed(gates, range(3))
        consumer = Consumer(jobs, once=True)
        gates.wait_for(0, 1)
        consumer.until_it_waits()
        runner.limit = 1
        gates.open(0)
        assert consumer.args() == [0]
        gates.open(1)
        until(lambda: repr(runner).endswith("running=0 pending=0>"))
        assert runner.submit(int).result(TIMEOUT) == 0
        assert (2,) not in [event.args for event in heard.events]
        gates.open(2)
        assert args(jobs) == [1, 2]


def test_it_waits_for_room_on_a_loop_without_blocking_it() -> None:
    async def main() -> list[int]:
        gate = AsyncGate()
        async with BoundedRunner(1, max_pending=0) as runner:
            other = runner.submit(gate)
            awaits = asyncio.create_task(anext(runner.as_completed(int, "7")))
            await asyncio.to_thread(gate.wait_for)
            await asyncio.sleep(0)
            assert not awaits.done()
            gate.open()
            await other
            return [(await awaits).result()]

    assert asyncio.run(main()) == [7]


def test_room_that_comes_as_it_is_about_to_wait_is_taken() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=0) as runner:
        other = runner.submit(gate)
        gate.wait_for()

        def make_room() -> None:
            gate.open()
            assert other.result(TIMEOUT) is None
            until(lambda: repr(runner).endswith("running=0 pending=0>"))

        with when_called("Turn.sleep", make_room):
            assert sorted(args(runner.as_completed(int, "12"))) == ["1", "2"]


@pytest.mark.parametrize("way", ["for", "async for"])
def test_a_job_that_ends_as_it_is_about_to_wait_is_taken(way: str) -> None:
    gates = Gates(range(2))
    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(gates, range(2))

        def end() -> None:
            gates.open(1)
            until(lambda: bool(getattr(jobs, "_flight").landed))  # noqa: B009

        async def first() -> Job[int]:
            return await anext(jobs)

        with when_called("Turn.sleep", end):
            job = next(jobs) if way == "for" else asyncio.run(first())
        assert job.args == (1,)
        gates.open()
        assert args(jobs) == [0]


def test_a_limit_that_is_raised_as_it_is_about_to_wait_is_seen() -> None:
    gate, got = Gate(), list[Job[Any]]()
    with BoundedRunner(1) as runner:

        def raise_limit() -> None:
            runner.limit = 4

        def iterate() -> None:
            with when_called("Turn.sleep", raise_limit):
                got.extend(runner.as_completed(gate, range(4), buffersize=0))

        thread = Thread(target=iterate)
        thread.start()
        gate.wait_for(4)
        gate.open()
        thread.join(TIMEOUT)
    assert sorted(args(got)) == [0, 1, 2, 3]


# --- leaving early ---


def started_of(heard: Heard) -> set[Any]:
    return {e.args[0] for e in heard.events if e.status is JobStatus.RUNNING}


def ends_of(heard: Heard) -> dict[Any, str]:
    return {e.args[0]: e.status.value for e in heard.events if e.status.is_final}


LEAVE: dict[str, Callable[[AsCompleted[Any]], object]] = {
    "close": lambda jobs: jobs.close(),
    "with": lambda jobs: jobs.__exit__(None, None, None),
    "aclose": lambda jobs: asyncio.run(jobs.aclose()),
    "async with": lambda jobs: asyncio.run(jobs.__aexit__(None, None, None)),
}


@pytest.mark.parametrize("way", LEAVE)
def test_leaving_it_cancels_what_has_not_started_and_lets_run_what_runs(way: str) -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(2, on_status=heard) as runner:
        jobs = runner.as_completed(gate, itertools.count())
        consumer = Consumer(jobs)
        gate.wait_for(2)
        consumer.until_it_waits()
        LEAVE[way](jobs)
        assert consumer.args() == []
        assert list(jobs) == []
        gate.open()
    ends = ends_of(heard)
    assert ends == {0: "succeeded", 1: "succeeded", 2: "cancelled", 3: "cancelled"}


def test_a_break_inside_its_with_leaves_it() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        with runner.as_completed(lambda item: item and gate(item), range(9)) as jobs:
            for job in jobs:
                assert job.args == (0,)
                break
        assert jobs  # still referred to
        gate.open()
    assert ends_of(heard)[0] == "succeeded"
    assert all(item in (0, 1) or end == "cancelled" for item, end in ends_of(heard).items())
    assert started_of(heard) <= {0, 1}


def test_a_break_inside_its_async_with_leaves_it_and_what_runs_is_not_cancelled() -> None:
    heard = Heard()

    async def main() -> None:
        gate = AsyncGate()

        async def body(item: int) -> int:
            return 0 if item == 0 else await gate(item)

        async with BoundedRunner(2, on_status=heard) as runner:
            async with runner.as_completed(body, itertools.count()) as jobs:
                async for job in jobs:
                    assert job.args == (0,)
                    await asyncio.to_thread(gate.wait_for)
                    break
            gate.open()

    asyncio.run(main())
    ends = ends_of(heard)
    assert ends.pop(0) == "succeeded"
    assert all(ends[item] == "succeeded" for item in started_of(heard) - {0})
    assert set(ends.values()) <= {"succeeded", "cancelled"}


def test_dropping_it_leaves_it() -> None:
    gates, heard = Gates(range(9)), Heard()
    gc.disable()
    try:
        with BoundedRunner(1, on_status=heard) as runner:

            def loop() -> None:
                with when_waiting(partial(gates.open, 0)):
                    for job in runner.as_completed(gates, range(9), buffersize=3):
                        assert job.args == (0,)
                        break  # and the loop drops it

            loop()
            gates.open()
    finally:
        gc.enable()
    assert ends_of(heard).pop(0) == "succeeded"
    assert started_of(heard) <= {0, 1}
    assert Counter(ends_of(heard).values())["cancelled"] >= 2


def test_dropping_it_while_a_loop_raises_leaves_it() -> None:
    gates, heard = Gates(range(4)), Heard()

    def loop() -> None:
        with when_waiting(partial(gates.open, 0)):
            for _ in runner.as_completed(gates, range(4)):
                gates.wait_for(1)
                raise LookupError("the loop")

    with BoundedRunner(1, on_status=heard) as runner:
        with pytest.raises(LookupError, match=r"^the loop$"):
            loop()
        gates.open()
    assert started_of(heard) == {0, 1}


def test_dropping_it_lets_go_of_the_inputs_though_its_jobs_still_run() -> None:
    gate, closed = Gate(), Event()

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    def interrupt() -> None:
        gate.wait_for()
        raise KeyboardInterrupt

    with BoundedRunner(1) as runner:
        with suppress(KeyboardInterrupt), when_waiting(interrupt):
            for _ in runner.as_completed(gate, items()):
                raise AssertionError
        assert closed.is_set()
        gate.open()


def test_leaving_it_before_it_began_reads_nothing() -> None:
    inputs = Inputs(range(3))
    with BoundedRunner(1) as runner:
        with runner.as_completed(int, inputs) as jobs:
            pass
        assert list(jobs) == []
    assert inputs.drawn == []


def test_leaving_it_while_it_waits_for_room_withdraws_what_it_holds() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, max_pending=0) as runner:
        runner.submit(gate)
        gate.wait_for()
        with closing(runner.as_completed(heard, range(3))) as jobs:
            consumer = Consumer(jobs)
            consumer.until_it_waits()
        assert consumer.args() == []
        gate.open()
    assert heard.events == []


def test_one_that_is_left_while_an_item_is_drawn_submits_it_no_more() -> None:
    ran: list[int] = []

    def items() -> Iterator[int]:
        yield 0
        jobs.close()
        yield 1

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(ran.append, items())
        assert set(args(jobs)) <= {0}
        assert list(jobs) == []
    assert 1 not in ran


def test_one_that_is_left_as_an_item_is_submitted_cancels_it() -> None:
    heard = Heard()

    def leave(event: Any) -> None:
        if event.status is JobStatus.PENDING and event.name == "int":
            jobs.close()
        heard(event)

    gate = Gate()
    with BoundedRunner(1, on_status=leave) as runner:
        runner.submit(gate)
        gate.wait_for()
        jobs = runner.as_completed(int, "12")
        assert list(jobs) == []
        gate.open()
    assert heard.statuses("int") == ["pending", "cancelled"]


def test_one_that_is_left_as_an_item_has_begun_does_not_ask_it_to_stop() -> None:
    gate = Gate()

    def body(item: str) -> None:
        gate()
        current_job().check_cancelled()

    def leave() -> None:
        gate.wait_for()
        jobs.close()
        gate.open()

    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        jobs = runner.as_completed(body, "1")
        with when_called("Turn._accepted", leave):
            assert list(jobs) == []
    assert ends_of(heard) == {"1": "succeeded"}


def test_one_that_is_left_as_an_item_begins_does_not_ask_it_to_stop() -> None:
    gate, heard = Gate(), Heard()

    def body(item: str) -> None:
        gate()
        current_job().check_cancelled()

    def begin() -> None:
        other.open()
        gate.wait_for()

    other = Gate()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(other)
        jobs = runner.as_completed(body, "1")
        consumer = Consumer(jobs)
        consumer.until_it_waits()
        with when_called("Core.cancel", begin):
            jobs.close()
        gate.open()
        assert consumer.args() == []
    assert [e.status.value for e in heard.events if e.args == ("1",)][-1] == "succeeded"


def test_one_that_is_left_before_an_item_is_submitted_cancels_it() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        jobs = runner.as_completed(int, "12")
        with when_called("Core.submit", jobs.close):
            assert list(jobs) == []
        gate.open()
    assert heard.statuses("int") == ["pending", "cancelled"]


def test_one_that_is_left_as_a_job_is_made_submits_it_no_more() -> None:
    ran: list[int] = []
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(ran.append, range(3))
        with when_called("Arrival.__init__", jobs.close):
            assert list(jobs) == []
    assert ran == []


def test_one_that_is_left_as_room_comes_cancels_what_is_let_in() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, max_pending=1, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        other = runner.submit(len, "abc")
        jobs = runner.as_completed(int, "12")
        consumer = Consumer(jobs)
        consumer.until_it_waits()
        with when_called("Flight.end", other.cancel):  # all that was pending has been cancelled
            jobs.close()
        assert consumer.args() == []
        gate.open()
    assert heard.statuses("int") == ["pending", "cancelled"]


def test_leaving_it_lets_nobody_go_to_sleep_meanwhile() -> None:
    gate, is_there, go = Gate(), Event(), Event()

    def pause() -> None:
        is_there.set()
        assert go.wait(TIMEOUT)

    def iterate() -> None:
        with when_called("Turn.sleep", pause):
            assert list(jobs) == []

    def let_go() -> None:
        go.set()
        thread.join(TIMEOUT)
        assert not thread.is_alive()

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gate, range(3), buffersize=0)
        thread = Thread(target=iterate)
        thread.start()
        gate.wait_for()
        assert is_there.wait(TIMEOUT)
        with when_called("LazyFuture._leave", let_go):  # in the midst of it
            jobs.close()
        gate.open()


def test_leaving_it_in_the_midst_of_a_step_of_the_runner_is_put_off() -> None:
    """As by a `__del__`, or a signal handler, on a thread that holds the lock."""
    gate, heard, closed = Gate(), Heard(), Event()

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()  # user code: none is run there

    with BoundedRunner(1, on_status=heard) as runner:
        jobs = runner.as_completed(gate, items())
        consumer = Consumer(jobs)
        gate.wait_for()
        consumer.until_it_waits()
        with getattr(runner, "_core").lock:  # noqa: B009
            jobs.close()
            assert not closed.is_set()
            assert "cancelled" not in heard.statuses()
        assert consumer.args() == []
        until(lambda: "cancelled" in heard.statuses())
        gate.open()


# --- what ends it ---


def test_an_input_that_raises_ends_it_when_all_that_is_in_flight_has_been_yielded() -> None:
    gates = Gates(range(3))

    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no more")

    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(gates, items(), buffersize=5)
        got = []
        for item in (1, 2, 0):
            gates.open(item)
            got.append(next(jobs).result())
        with pytest.raises(LookupError, match=r"^no more$"):
            next(jobs)
        assert got == [1, 2, 0]
        assert list(jobs) == []


def test_an_input_that_raises_ends_async_for_in_the_same_way() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no more")

    async def main() -> list[int]:
        got: list[int] = []
        async with BoundedRunner(2) as runner:
            jobs = runner.as_completed(int, items(), buffersize=5)
            with pytest.raises(LookupError, match=r"^no more$"):
                async for job in jobs:
                    got.append(job.result())  # noqa: PERF401 - as far as it goes
            assert [job async for job in jobs] == []
        return got

    assert sorted(asyncio.run(main())) == [0, 1, 2]


@pytest.mark.parametrize("way", ["for", "async for"])
def test_what_an_input_raises_is_let_go_of_when_it_has_been_raised(way: str) -> None:
    class Problem(Exception): ...

    def items() -> Iterator[int]:
        yield 1
        raise Problem

    kept: list[weakref.ref[Problem]] = []

    async def take_all(jobs: AsCompleted[int]) -> None:
        try:
            async for job in jobs:
                del job
        except Problem as exc:
            kept.append(weakref.ref(exc))
        assert kept[0]() is None

    gc.disable()
    try:
        with BoundedRunner(1) as runner:
            jobs = runner.as_completed(int, items())
            if way == "async for":
                asyncio.run(take_all(jobs))
                return
            try:
                for job in jobs:
                    del job
            except Problem as exc:
                kept.append(weakref.ref(exc))
            assert kept[0]() is None
    finally:
        gc.enable()


def test_a_ctrl_c_in_an_input_is_raised_at_once() -> None:
    gate = Gate()

    class Items:
        count = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.count += 1
            if self.count == 2:
                raise KeyboardInterrupt
            if self.count == 4:
                raise StopIteration
            return self.count

    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(gate, Items())
        with pytest.raises(KeyboardInterrupt):
            next(jobs)
        gate.open()
        assert sorted(args(jobs)) == [1, 3]


def test_a_runner_that_is_closed_ends_it_when_all_that_is_in_flight_has_been_yielded() -> None:
    gate, heard = Gate(), Heard()
    runner = BoundedRunner(1, on_status=heard)
    jobs = runner.as_completed(gate, itertools.count())
    got: list[Job[Any]] = []

    def close() -> None:
        gate.wait_for()
        runner.shutdown(wait=False)
        gate.open()

    with when_waiting(close), pytest.raises(RunnerClosed) as caught:
        for job in jobs:
            got.append(job)  # noqa: PERF402 - as far as it goes
    assert str(caught.value) == "cannot schedule new futures after shutdown"
    refused = caught.value.job
    assert refused is not None
    assert refused.status is JobStatus.REJECTED
    count = refused.args[0]
    assert sorted(args(got)) == list(range(count))
    assert ends_of(heard) == {**dict.fromkeys(range(count), "succeeded"), count: "rejected"}
    assert list(jobs) == []
    runner.shutdown()


def test_after_what_a_closed_runner_has_refused_the_rest_is_waited_for() -> None:
    def items() -> Iterator[int]:
        yield 0
        gate.wait_for()
        runner.shutdown(wait=False)
        yield 1

    gate, runner = Gate(), BoundedRunner(1)
    jobs = runner.as_completed(gate, items())
    with when_waiting(gate.open):
        assert next(jobs).args == (0,)
    with pytest.raises(RunnerClosed):
        next(jobs)


def test_a_runner_that_is_closed_when_all_has_been_read_ends_nothing() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        consumer = Consumer(runner.as_completed(gate, range(2), buffersize=9))
        consumer.until_it_waits()
        runner.shutdown(wait=False)
        gate.open()
        assert sorted(consumer.args()) == [0, 1]


def test_a_runner_that_is_closed_while_it_waits_for_room_ends_it() -> None:
    gate, heard = Gate(), Heard()
    runner = BoundedRunner(1, max_pending=0, on_status=heard)
    running = runner.submit(gate)
    gate.wait_for()
    consumer = Consumer(runner.as_completed(int, "12"))
    consumer.until_it_waits()
    runner.shutdown(wait=False)
    with pytest.raises(RunnerClosed):
        consumer.args()
    assert heard.statuses("int") == ["rejected"]
    gate.open()
    runner.shutdown()
    assert running.done()


def test_a_runner_that_is_closed_as_it_is_about_to_wait_for_room_ends_it() -> None:
    gate = Gate()
    runner = BoundedRunner(1, max_pending=0)
    runner.submit(gate)
    gate.wait_for()
    with (
        when_called("Turn.sleep", partial(runner.shutdown, wait=False)),
        pytest.raises(RunnerClosed),
    ):
        next(runner.as_completed(int, "12"))
    gate.open()
    runner.shutdown()


def test_a_runner_that_is_closed_while_a_task_waits_for_room_ends_it() -> None:
    async def main() -> None:
        gate = AsyncGate()
        async with BoundedRunner(1, max_pending=0) as runner:
            other = runner.submit(gate)
            awaits = asyncio.create_task(anext(runner.as_completed(int, "12")))
            await asyncio.to_thread(gate.wait_for)
            runner.shutdown(wait=False)
            with pytest.raises(RunnerClosed):
                await asyncio.wait_for(awaits, TIMEOUT)
            gate.open()
            await other

    asyncio.run(main())


def test_a_runner_that_a_job_of_it_leaves_while_a_task_waits_for_room_ends_it() -> None:
    async def main() -> None:
        go, gate = Event(), Gate()
        runner = BoundedRunner(1, max_pending=0)

        def body() -> None:
            assert go.wait(TIMEOUT)
            with suppress(JobDeadlock), runner:  # it would wait for itself; closing has begun
                pass
            gate()

        job = runner.submit(body)
        awaits = asyncio.create_task(anext(runner.as_completed(int, "12")))
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(RunnerClosed):
            await asyncio.wait_for(awaits, TIMEOUT / 2)
        gate.open()
        await job

    asyncio.run(main())


def test_jobs_that_a_deadline_has_interrupted_are_yielded() -> None:
    gate = Gate()
    runner = BoundedRunner(1)
    jobs = runner.as_completed(gate, range(2))
    consumer = Consumer(jobs)
    gate.wait_for()
    consumer.until_it_waits()
    runner.shutdown(timeout=0)
    assert sorted(consumer.args()) == [0, 1]
    assert {job.status for job in consumer.got} == {JobStatus.INTERRUPTED}
    gate.open()


def test_jobs_whose_loop_is_gone_are_yielded() -> None:
    runner = BoundedRunner(1)
    loop = asyncio.new_event_loop()
    gate = AsyncGate()

    async def begin() -> AsCompleted[Any]:
        jobs = runner.as_completed(gate, range(2))
        with suppress(TimeoutError):
            await asyncio.wait_for(anext(jobs), 0.05)
        return jobs

    jobs = loop.run_until_complete(begin())
    loop.close()
    got = list(jobs)
    assert sorted(args(got)) == [0, 1]
    assert {job.status for job in got} == {JobStatus.INTERRUPTED}
    runner.shutdown()


# --- waits that could never end ---


def test_inside_the_only_job_it_is_told_that_it_can_not_end() -> None:
    ran: list[int] = []

    def outer() -> str:
        with pytest.raises(JobDeadlock) as caught:
            list(runner.as_completed(ran.append, range(3)))
        return str(caught.value)

    with BoundedRunner(1) as runner:
        message = runner.wrap(outer, name="outer")().result(TIMEOUT)
    assert message == (
        "waiting for 'list.append' would never end: 'outer' waits for 'list.append', and runner "
        "'runner' (limit 1) has no slot or thread left for what they wait for; raise the limit, "
        "wait with a timeout, or use another runner for the inner jobs"
    )
    assert ran == []  # what it had submitted was cancelled


@pytest.mark.parametrize("max_pending", [None, 0])
def test_inside_the_only_job_a_task_is_told_the_same(max_pending: int | None) -> None:
    async def outer() -> str:
        with pytest.raises(JobDeadlock) as caught:
            async for _ in runner.as_completed(int, "123"):
                pass
        return str(caught.value)

    with BoundedRunner(1, max_pending=max_pending) as runner:
        message = runner.wrap(outer, name="outer")().result(TIMEOUT)
    assert message.startswith("waiting for 'int' would never end: 'outer' waits for 'int', and ")


@pytest.mark.parametrize("max_pending", [None, 0])
def test_inside_one_of_several_jobs_it_yields_all(max_pending: int | None) -> None:
    def outer() -> list[int]:
        return sorted(job.result() for job in runner.as_completed(int, "0123456789"))

    with BoundedRunner(2, max_pending=max_pending) as runner:
        assert runner.submit(outer).result(TIMEOUT) == list(range(10))


def test_a_wait_that_ties_the_knot_with_it_is_refused() -> None:
    """It waits for a job that would wait for it."""
    waits = Event()
    mine: list[Job[Any]] = []

    def inner(_: int) -> str:
        assert waits.wait(TIMEOUT)
        with pytest.raises(JobDeadlock) as caught:
            mine[0].result()
        return str(caught.value)

    def outer() -> list[str]:
        mine.append(current_job())
        with when_waiting(waits.set):
            return [job.result() for job in runner.as_completed(inner, range(1))]

    with BoundedRunner(2) as runner:
        (message,) = runner.submit(outer).result(TIMEOUT)
    assert message.startswith("waiting for ")


def test_as_long_as_one_of_its_jobs_can_end_it_is_let_be() -> None:
    waits, gate = Event(), Gate()

    def inner(item: int) -> int:
        return item or int(gate(item))

    def outer() -> list[int]:
        with when_waiting(waits.set):
            return sorted(job.result() for job in runner.as_completed(inner, range(4)))

    with BoundedRunner(2) as runner:
        job = runner.submit(outer)
        assert waits.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == [0, 1, 2, 3]


def test_a_job_that_waits_for_one_that_can_go_on_with_another_one_is_let_be() -> None:
    mine: list[Job[Any]] = []
    outer_waits, waits, gate = Event(), Event(), Gate()

    def inner(item: int) -> Any:
        if item == 1:
            return gate(item)
        assert outer_waits.wait(TIMEOUT)
        with when_waiting(waits.set):
            return mine[0].result()

    def outer() -> Any:
        mine.append(current_job())
        jobs.append(runner.as_completed(inner, range(2)))
        with when_waiting(outer_waits.set):
            return next(jobs[0]).result()

    jobs: list[AsCompleted[Any]] = []
    with BoundedRunner(3) as runner:
        job = runner.submit(outer)
        assert waits.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == 1
        assert [each.result() for each in jobs[0]] == [1]


def test_a_job_that_has_waited_with_it_and_does_no_more_may_be_waited_for() -> None:
    mine: list[Job[Any]] = []
    waits, gate, taken, go = Event(), Gate(), Event(), Event()

    def inner(item: int) -> Any:
        if item == 0:
            return gate(item)
        assert taken.wait(TIMEOUT)
        with when_waiting(go.set):
            return mine[0].result()

    def outer() -> str:
        mine.append(current_job())
        with when_waiting(waits.set):
            assert next(jobs).args == (0,)
        taken.set()
        assert go.wait(TIMEOUT)
        return "done"

    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(inner, range(2))
        job = runner.submit(outer)
        assert waits.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == "done"
        assert [each.result() for each in jobs] == ["done"]


def test_inside_a_job_it_waits_while_another_thread_reads() -> None:
    reads, go, waits = Event(), Event(), Event()

    def items() -> Iterator[int]:
        reads.set()
        assert go.wait(TIMEOUT)
        yield 1

    def outer() -> list[Any]:
        with when_waiting(waits.set):
            return args(jobs)

    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(int, items())
        reader = Consumer(jobs)
        assert reads.wait(TIMEOUT)
        inside = runner.submit(outer)
        assert waits.wait(TIMEOUT)
        go.set()
        assert [*reader.args(), *inside.result(TIMEOUT)] == [1]


def test_for_on_the_loop_that_its_jobs_need_is_refused_and_async_for_named() -> None:
    async def body(item: int) -> int:
        return item

    async def main() -> list[int]:
        async with BoundedRunner(1) as runner:
            jobs = runner.as_completed(body, range(3))
            with pytest.raises(JobDeadlock) as caught:
                next(jobs)
            assert str(caught.value) == (
                f"'for' over as_completed() would wait for {body.__qualname__!r} on the thread of "
                f"the event loop that {body.__qualname__!r} needs, for ever; use 'async for'"
            )
            return [job.result() async for job in jobs]  # nothing is lost

    assert sorted(asyncio.run(main())) == [0, 1, 2]


def test_for_on_a_loop_that_its_jobs_do_not_need_is_let_be() -> None:
    async def main() -> list[str]:
        async with BoundedRunner(1) as runner:
            return args(runner.as_completed(int, "123"))

    assert sorted(asyncio.run(main())) == ["1", "2", "3"]


# --- interruptions ---


def test_a_ctrl_c_while_it_waits_loses_nothing() -> None:
    gate = Gate()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gate, range(5))
        with pytest.raises(KeyboardInterrupt), when_waiting(interrupt):
            next(jobs)
        gate.open()
        assert sorted(args(jobs)) == list(range(5))


def test_a_ctrl_c_while_it_waits_for_room_loses_nothing_and_keeps_no_place() -> None:
    gate, heard = Gate(), Heard()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with BoundedRunner(1, max_pending=0, on_status=heard) as runner:
        runner.submit(gate)
        gate.wait_for()
        jobs = runner.as_completed(int, "123")
        with pytest.raises(KeyboardInterrupt), when_waiting(interrupt):
            next(jobs)
        gate.open()
        until(lambda: repr(runner).endswith("running=0 pending=0>"))
        assert heard.statuses("int") == []
        assert sorted(args(jobs)) == ["1", "2", "3"]


def test_a_ctrl_c_that_leaves_the_loop_cancels_what_has_not_started() -> None:
    gate, heard = Gate(), Heard()

    def interrupt() -> None:
        gate.wait_for()
        raise KeyboardInterrupt

    with BoundedRunner(1, on_status=heard) as runner:
        with pytest.raises(KeyboardInterrupt), when_waiting(interrupt):
            for _ in runner.as_completed(gate, range(5)):
                raise AssertionError
        gate.open()
    assert ends_of(heard) == {0: "succeeded", 1: "cancelled"}


def test_cancelling_the_task_that_awaits_loses_nothing() -> None:
    async def main() -> list[int]:
        gate = AsyncGate()
        async with BoundedRunner(1, max_pending=0) as runner:
            jobs = runner.as_completed(gate, range(4))
            awaits = asyncio.create_task(anext(jobs))
            await asyncio.to_thread(gate.wait_for)
            awaits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await awaits
            gate.open()
            return [job.result() async for job in jobs]

    assert sorted(asyncio.run(main())) == [0, 1, 2, 3]


@pytest.mark.parametrize("function", ["job_of", "Core.submit", "Turn._accepted"])
def test_a_ctrl_c_as_an_item_is_submitted_loses_it_not(function: str) -> None:
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(int, iter("123"))
        with pytest.raises(KeyboardInterrupt), interrupted_at(function):
            next(jobs)
        assert sorted(args(jobs)) == ["1", "2", "3"]


@pytest.mark.parametrize("way", ["for", "async for"])
@pytest.mark.parametrize("function", ["Turn.sleep", "Turn.end"])
def test_at_the_end_of_a_stack_another_thread_gives_the_turn_back(
    function: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the sweep over stacks shows; here on a thread of which coverage knows."""
    threads: list[Thread] = []

    def start(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        threads.append(Thread(target=target, args=arguments))
        threads[-1].start()

    def end() -> None:
        raise RecursionError

    monkeypatch.setattr("boundedjobs._completed.start_new_thread", start)
    interrupted_once(monkeypatch, Turn, "give_up", RecursionError)  # nor is there room for that
    gate = Gate()
    with BoundedRunner(1, max_pending=0) as runner:
        if function == "Turn.sleep":  # with an item in hand, for which there is no room
            runner.submit(gate)
        jobs = runner.as_completed(int, iter("123"))

        async def first() -> None:
            with when_called(function, end):
                await anext(jobs)

        with pytest.raises(RecursionError), when_called(function, end):
            next(jobs) if way == "for" else asyncio.run(first())
        threads[0].join(TIMEOUT)
        gate.open()
        assert sorted(args(jobs)) == ["1", "2", "3"]


@pytest.mark.parametrize("function", ["Core.refusal", "Flight.end", "Core.refuse"])
def test_a_ctrl_c_as_an_item_is_refused_leaves_the_refusal(function: str) -> None:
    runner = BoundedRunner(1)
    runner.shutdown()
    jobs = runner.as_completed(int, iter("123"))
    with pytest.raises(KeyboardInterrupt), interrupted_at(function):
        next(jobs)
    with pytest.raises(RunnerClosed) as caught:
        next(jobs)
    assert caught.value.job is not None
    assert caught.value.job.args == ("1",)


@pytest.mark.parametrize("way", ["for", "async for"])
def test_a_ctrl_c_after_a_job_was_taken_gives_it_back(way: str) -> None:
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(int, "123")

        async def first() -> None:
            await anext(jobs)

        with pytest.raises(KeyboardInterrupt), interrupted_at("Turn.end"):
            next(jobs) if way == "for" else asyncio.run(first())
        assert sorted(args(jobs)) == ["1", "2", "3"]


def test_a_ctrl_c_as_the_error_of_an_input_is_about_to_be_raised_gives_that_back() -> None:
    def items() -> Iterator[int]:
        yield from ()
        raise LookupError("no more")

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(int, items())
        with pytest.raises(KeyboardInterrupt), interrupted_at("Turn.end"):
            next(jobs)
        with pytest.raises(LookupError, match=r"^no more$"):
            next(jobs)


# --- several who iterate ---


def test_several_threads_share_its_jobs() -> None:
    barrier = threading.Barrier(3)

    def body(item: int) -> int:
        if item < 3:
            barrier.wait(TIMEOUT)
        return item

    with BoundedRunner(3) as runner:
        jobs = runner.as_completed(body, iter(range(300)))
        consumers = [Consumer(jobs) for _ in range(4)]
        got = [item for consumer in consumers for item in consumer.args()]
    assert sorted(got) == list(range(300))


def test_threads_and_tasks_share_its_jobs() -> None:
    async def take_all(jobs: AsCompleted[int]) -> list[Any]:
        return [job.args[0] async for job in jobs]

    with BoundedRunner(2, max_pending=1) as runner:
        jobs = runner.as_completed(int, iter([str(n) for n in range(200)]))
        consumer = Consumer(jobs)

        async def main() -> list[list[Any]]:
            return await asyncio.gather(*(take_all(jobs) for _ in range(3)))

        got = [*itertools.chain(*asyncio.run(main())), *consumer.args()]
    assert sorted(map(int, got)) == list(range(200))


def test_one_takes_what_has_ended_while_another_one_reads() -> None:
    gates, reads, go = Gates(range(2)), Event(), Event()

    def items() -> Iterator[int]:
        yield 0
        reads.set()
        assert go.wait(TIMEOUT)
        yield 1

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gates, items())
        reader = Consumer(jobs)
        assert reads.wait(TIMEOUT)
        other = Consumer(jobs, once=True)
        other.until_it_waits()
        gates.open()
        assert other.args() == [0]
        go.set()
        assert reader.args() == [1]


def test_when_the_one_who_reads_has_got_its_job_another_one_reads_on() -> None:
    gates = Gates(range(6))
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gates, range(6), buffersize=0)
        first = Consumer(jobs, once=True)
        first.until_it_waits()
        second = Consumer(jobs)
        second.until_it_waits()
        gates.open(0)
        until(lambda: len(first.got) + len(second.got) == 1)
        gates.open()
        assert sorted([*first.args(), *second.args()]) == list(range(6))


def test_whoever_comes_to_wait_while_another_one_still_reads_reads_on_after_it() -> None:
    gates, second = Gates(range(4)), list[Consumer]()

    def come() -> None:
        second.append(Consumer(jobs))
        second[0].until_it_waits()

    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gates, range(4), buffersize=0)
        gates.open(0)
        with when_called("Turn.end", come):
            assert next(jobs).args == (0,)
        gates.open()
        assert second[0].args() == [1, 2, 3]


def test_when_one_has_taken_a_job_the_one_who_reads_may_read_on() -> None:
    """It waited because as many were in flight as may be."""
    gates, inputs = Gates(range(3)), Inputs(range(3))
    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(gates, inputs, buffersize=0)
        consumers = [Consumer(jobs), Consumer(jobs)]
        for consumer in consumers:
            consumer.until_it_waits()
        for item in range(3):
            gates.wait_for(item)
            gates.open(item)
        assert sorted(consumers[0].args() + consumers[1].args()) == [0, 1, 2]


def test_when_the_one_who_reads_goes_as_another_one_is_about_to_wait_that_one_reads_on() -> None:
    gates = Gates(range(3))
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gates, range(3), buffersize=0)
        reader = Consumer(jobs, once=True)
        reader.until_it_waits()

        def let_go() -> None:
            gates.open()
            assert reader.args() == [0]

        with when_called("Turn.sleep", let_go):
            assert args(jobs) == [1, 2]


def test_when_the_last_job_is_taken_as_another_one_is_about_to_wait_that_one_is_through() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gate, range(1))
        first = Consumer(jobs, once=True)
        first.until_it_waits()

        def take() -> None:
            gate.open()
            assert first.args() == [0]

        with when_called("Turn.sleep", take):
            assert args(jobs) == []


def test_nothing_of_it_is_left_in_the_runner() -> None:
    with BoundedRunner(2, max_pending=1) as runner:
        core = getattr(runner, "_core")  # noqa: B009
        jobs = runner.as_completed(int, "0123456789")
        assert len(list(jobs)) == 10
        assert (core.rooms, core.if_limit_is_set) == ({}, {})
        assert getattr(jobs, "_flight").bells == {}  # noqa: B009


def test_however_fast_jobs_end_the_loop_gets_on_with_other_tasks() -> None:
    async def main() -> int:
        turns, gate = 0, Gate()

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with BoundedRunner(2) as runner:
            jobs = runner.as_completed(gate, range(10), buffersize=8)
            first = asyncio.create_task(anext(jobs))
            await asyncio.to_thread(gate.wait_for, 2)
            gate.open()
            await first
            flight = getattr(jobs, "_flight")  # noqa: B009
            while len(flight.landed) < 9:
                await asyncio.sleep(0)
            task = asyncio.create_task(other())
            assert len([job async for job in jobs]) == 9
            task.cancel()
            return turns

    assert asyncio.run(main()) >= 8


# --- forks ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_the_parents_jobs_interrupted_and_runs_the_rest_itself() -> None:
    script = """
import os, signal, threading, warnings
from boundedjobs import BoundedRunner, _completed
from boundedjobs._latch import Latch

warnings.simplefilter("ignore", DeprecationWarning)
gate, waits = threading.Event(), threading.Event()
runner = BoundedRunner(1)

class Said(Latch):
    def wait(self):
        if pid == 0:
            waits.set()  # the child must come to that, and not go round and round
        super().wait()

def body(item):
    if not 2 <= item < 5:
        assert (gate if item < 2 else waits).wait(10)
    return item

def items():
    yield from range(2)
    if pid:
        yield from range(2, 5)
    else:
        yield from range(5, 8)

pid = 1
_completed.Latch = Said
jobs = runner.as_completed(body, items())
flight = jobs._flight

def fork(*_):
    global pid
    if heard.is_set():
        return
    heard.set()
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        got = {job.args[0]: job.status.value for job in jobs}
        print(got, flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    gate.set()

def when_it_waits():
    while len(flight.jobs) < 2 or not flight.bells:
        os.sched_yield()
    while not heard.wait(0.1):  # one that comes as a wait begins is not heard until it is over
        os.kill(os.getpid(), signal.SIGUSR1)

heard = threading.Event()
signal.signal(signal.SIGUSR1, fork)
thread = threading.Thread(target=when_it_waits)
thread.start()
print({job.args[0]: job.status.value for job in jobs}, flush=True)
thread.join()
runner.shutdown()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    child, parent = map(ast.literal_eval, done.stdout.splitlines())
    interrupted, succeeded = dict.fromkeys((0, 1), "interrupted"), "succeeded"
    assert child == interrupted | dict.fromkeys(range(5, 8), succeeded)
    assert parent == dict.fromkeys(range(5), succeeded)


# --- bad input, lengths ---


def generator(item: int) -> Iterator[int]:
    yield item


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ((7, [1]), TypeError, "fn must be a function to run, got 7: it is not callable"),
        (
            (generator, [1]),
            TypeError,
            "fn must be a function to run, got 'generator': it is a generator function: calling "
            "it would not run a line of it; pass a function that iterates over it",
        ),
        ((int,), TypeError, "iterables must be at least one: as_completed(fn, items)"),
        ((int, 7), TypeError, "'int' object is not iterable"),
    ],
)
def test_bad_arguments_are_errors_at_the_call(
    call: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        with pytest.raises(error) as caught:
            runner.as_completed(*call)
        assert str(caught.value) == message
    assert heard.events == []


@pytest.mark.parametrize(
    ("buffersize", "error", "message"),
    [
        (-1, ValueError, "buffersize must be at least 0, got -1"),
        (1.5, TypeError, "buffersize must be an int, got 1.5"),
        (True, TypeError, "buffersize must be an int, got True"),
        ("1", TypeError, "buffersize must be an int, got '1'"),
    ],
)
def test_a_bad_buffersize_is_an_error_at_the_call(
    buffersize: Any, error: type[Exception], message: str
) -> None:
    with BoundedRunner(1) as runner:
        with pytest.raises(error) as caught:
            runner.as_completed(int, "1", buffersize=buffersize)
        assert str(caught.value) == message


def test_its_length_is_how_many_jobs_are_still_to_come() -> None:
    with BoundedRunner(2) as runner:
        jobs = runner.as_completed(max, range(9), "abcde")
        lengths = [(len(jobs), jobs.__length_hint__())]
        lengths += [(len(jobs), jobs.__length_hint__()) for _ in jobs]
    assert lengths == [(n, n) for n in (5, 4, 3, 2, 1, 0)]


def test_without_lengths_of_its_inputs_it_has_none_and_a_hint_where_they_have_one() -> None:
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(max, iter([1, 2, 3]), itertools.count())
        with pytest.raises(TypeError):
            len(jobs)
        assert length_hint(jobs, -1) == 3
        next(jobs)
        assert length_hint(jobs, -1) == 2
        endless = runner.as_completed(int, itertools.count())
        assert length_hint(endless, -1) == -1
        assert len(list(jobs)) == 2
        assert length_hint(runner.as_completed(max, itertools.count(), iter([])), -1) == 0


def test_an_input_that_has_shrunk_makes_its_length_no_less_than_what_is_in_flight() -> None:
    items = [1, 2, 3]
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(int, items)
        next(jobs)
        items.clear()
        assert len(jobs) == len(list(jobs))


def test_it_is_true_whatever_its_length() -> None:
    with BoundedRunner(1) as runner:
        assert runner.as_completed(int, [])
        assert runner.as_completed(int, itertools.count())


def test_one_that_is_left_has_no_length() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        jobs = runner.as_completed(gate, range(3))
        consumer = Consumer(jobs)
        consumer.until_it_waits()
        jobs.close()
        assert (len(jobs), length_hint(jobs)) == (0, 0)
        gate.open()


def test_an_end_that_is_said_again_is_yielded_once() -> None:
    """What a Ctrl-C cuts off as a job ends is done again."""
    with BoundedRunner(1) as runner, runner.as_completed(len, ["a", "bc"]) as completed:
        first = next(completed)
        Arrival(getattr(completed, "_flight"), first).set()  # noqa: B009
        assert [job.result(TIMEOUT) for job in (first, *completed)] == [1, 2]
