"""A full runner: who is let in, who is refused, who waits for room."""

from __future__ import annotations

import asyncio
import itertools
import queue
import signal
import threading
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import (
    BoundedRunner,
    Job,
    JobCancelled,
    JobEvent,
    JobStatus,
    RunnerClosed,
    RunnerFull,
    current_job,
)
from tests.blocking import let_in, when_blocking
from tests.gates import TIMEOUT, AsyncGate, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = "submit again later, or raise max_pending"
IN_JOB = (
    "waiting for room inside a job of the same runner could last for ever: "
    "use another runner for inner jobs, or raise max_pending"
)
ON_LOOP = (
    "waiting for room would freeze this event loop: "
    "await asyncio.to_thread(runner.submit, ...), or raise max_pending"
)


def fill(runner: BoundedRunner, gate: Gate, *, pending: int = 0) -> list[Job[Any]]:
    """Have every slot taken, and so many jobs wait."""
    jobs = [runner.submit(gate) for _ in range(runner.limit)]
    gate.wait_for(runner.limit)
    return jobs + [runner.submit(gate) for _ in range(pending)]


def refused(runner: BoundedRunner, fn: Callable[..., object] = print) -> RunnerFull:
    with pytest.raises(RunnerFull) as caught:
        runner.submit(fn)
    return caught.value


class Submitter(Thread):
    """Submits on a thread of its own, to a runner that has no room for it now."""

    def __init__(self, runner: BoundedRunner, fn: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = (runner, fn, args)
        self._waits = Event()
        self._job: Job[Any] | None = None
        self._error: BaseException | None = None
        self.start()
        assert self._waits.wait(TIMEOUT), "submit() never waited"

    def run(self) -> None:
        runner, fn, args = self._call
        try:
            with when_blocking(self._waits.set):
                self._job = runner.submit(fn, *args)
        except BaseException as exc:
            self._error = exc

    def returned(self) -> Job[Any]:
        """What `submit` has returned, or raised."""
        self.join(TIMEOUT)
        assert not self.is_alive(), "submit() still waits"
        if self._error is not None:
            raise self._error
        assert self._job is not None
        return self._job


# How many there is room for.


def test_without_a_bound_any_number_of_jobs_waits() -> None:
    gate = Gate()
    with BoundedRunner(1) as runner:
        jobs = fill(runner, gate, pending=5000)
        gate.open()
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}


@pytest.mark.parametrize("max_pending", [0, 1, 3])
def test_exactly_max_pending_jobs_wait_beside_those_that_run(max_pending: int) -> None:
    gate = Gate()
    with BoundedRunner(2, max_pending=max_pending) as runner:
        fill(runner, gate, pending=max_pending)
        error = refused(runner)
        assert (error.limit, error.running, error.pending) == (2, 2, max_pending)
        gate.open()


def test_async_jobs_take_the_same_room() -> None:
    gate, sync_gate = AsyncGate(), Gate()
    with BoundedRunner(2, max_pending=1) as runner:
        runner.submit(gate)
        runner.submit(sync_gate)
        runner.submit(gate)
        assert refused(runner).pending == 1
        gate.open()
        sync_gate.open()


def test_whoever_finds_a_free_slot_does_not_count_as_waiting() -> None:
    heard_pending, go_on = Event(), Event()

    def slow(event: JobEvent) -> None:
        if event.name == "slow" and event.status is JobStatus.PENDING:
            heard_pending.set()
            assert go_on.wait(TIMEOUT)

    gate = Gate()
    with BoundedRunner(2, max_pending=0, on_status=slow) as runner:
        submitting = Thread(target=runner.wrap(gate, name="slow"))
        submitting.start()
        assert heard_pending.wait(TIMEOUT)
        other = runner.submit(gate)  # there are two slots, and one job that is arriving
        error = refused(runner)
        assert (error.running, error.pending) == (2, 0)
        go_on.set()
        submitting.join(TIMEOUT)
        gate.wait_for(2)
        gate.open()
    assert other.status is JobStatus.SUCCEEDED


def test_what_runs_on_while_paused_is_counted_as_running() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1) as runner:
        fill(runner, gate)
        runner.pause()
        runner.submit(gate)
        error = refused(runner)
        gate.open()
    assert (error.running, error.pending) == (1, 1)


def test_a_job_whose_pending_is_being_heard_waits_where_every_slot_is_taken() -> None:
    errors: list[RunnerFull] = []

    def listener(event: JobEvent) -> None:
        if event.name == "arrives" and event.status is JobStatus.PENDING:
            errors.append(refused(runner))

    gate = Gate()
    with BoundedRunner(1, max_pending=1, on_status=listener) as runner:
        fill(runner, gate)
        runner.wrap(int, name="arrives")()
        gate.open()
    assert [(e.running, e.pending) for e in errors] == [(1, 1)]


def test_a_job_whose_pending_is_being_heard_takes_room_already() -> None:
    errors: list[RunnerFull] = []

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.PENDING:
            errors.append(refused(runner))

    with BoundedRunner(1, max_pending=0, on_status=listener) as runner:
        assert runner.submit(len, "").result(TIMEOUT) == 0
    assert [(e.running, e.pending) for e in errors] == [(1, 0)]
    assert str(errors[0]) == (
        f"runner 'runner' is full: 1 of limit 1 run and 0 of max_pending 0 wait; {LATER}"
    )


def test_a_cancelled_job_makes_room_at_once() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1) as runner:
        waits = fill(runner, gate, pending=1)[-1]
        refused(runner)
        assert waits.cancel()
        runner.submit(gate)
        refused(runner)
        gate.open()


def test_a_job_that_starts_makes_room() -> None:
    first, gate = Gate(), Gate()
    with BoundedRunner(1, max_pending=1) as runner:
        runner.submit(first)
        runner.submit(gate)
        refused(runner)
        first.open()
        gate.wait_for(1)
        runner.submit(gate)
        refused(runner)
        gate.open()


def test_a_refused_job_takes_no_room() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1) as runner:
        fill(runner, gate)
        runner.submit(gate)
        for _ in range(3):
            assert refused(runner).pending == 1
        gate.open()


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
def test_with_max_pending_0_the_next_job_fits_when_result_has_returned(outcome: str) -> None:
    def body() -> None:
        if outcome == "failed":
            raise LookupError
        if outcome == "cancelled":
            raise JobCancelled

    async def async_body() -> None:
        body()

    with BoundedRunner(1, max_pending=0) as runner:
        for n in range(300):
            job = runner.submit(async_body if n % 2 else body)
            assert job.exception(TIMEOUT) is None or outcome != "succeeded"


def test_with_max_pending_0_the_next_job_fits_when_an_await_has_returned() -> None:
    async def body() -> None: ...

    async def main() -> None:
        async with BoundedRunner(1, max_pending=0) as runner:
            for n in range(300):
                await (runner.submit(body) if n % 2 else runner.submit(int))

    asyncio.run(main())


def test_with_max_pending_0_the_next_job_fits_in_a_done_callback() -> None:
    fitted: list[Job[int]] = []
    gate, called = Gate(), Event()

    def call_back(_: object) -> None:
        fitted.append(runner.submit(len, "abc"))
        called.set()

    with BoundedRunner(1, max_pending=0) as runner:
        runner.submit(gate).add_done_callback(call_back)
        gate.open()
        assert called.wait(TIMEOUT)
        assert fitted[0].result(TIMEOUT) == 3


def test_a_listener_of_the_final_status_finds_the_slot_still_taken() -> None:
    errors: list[RunnerFull] = []

    def listener(event: JobEvent) -> None:
        if event.status is JobStatus.SUCCEEDED:
            errors.append(refused(runner))

    with BoundedRunner(1, max_pending=0, on_status=listener) as runner:
        runner.submit(int).result(TIMEOUT)
    assert [(e.running, e.pending) for e in errors] == [(1, 0)]


# The refusal.


def test_the_error_tells_what_is_full_and_what_to_do() -> None:
    gate = Gate()
    with BoundedRunner(2, name="content", max_pending=3) as runner:
        fill(runner, gate, pending=3)
        error = refused(runner)
        gate.open()
    assert str(error) == (
        f"runner 'content' is full: 2 of limit 2 run and 3 of max_pending 3 wait; {LATER}"
    )
    assert (error.limit, error.running, error.pending) == (2, 2, 3)
    assert isinstance(error, queue.Full)


def test_the_error_carries_the_rejected_job() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=0) as runner:
        fill(runner, gate)
        with pytest.raises(RunnerFull) as caught:
            runner.submit(int, "7", base=8)
        gate.open()
    job = caught.value.job
    assert job is not None
    assert (job.status, job.args, job.kwargs) == (JobStatus.REJECTED, ("7",), {"base": 8})
    assert job.done()
    kept = job.exception(0)
    assert isinstance(kept, RunnerFull)
    assert repr(kept) == repr(caught.value)
    assert (kept.limit, kept.running, kept.pending, kept.job) == (1, 1, 0, None)
    assert job.failure is not None
    assert (job.failure.type, job.failure.message, job.failure.phase) == (
        *("boundedjobs.errors.RunnerFull", str(caught.value)),
        "admission",
    )


def test_listeners_have_heard_rejected_when_the_error_is_raised() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, max_pending=0, on_status=heard) as runner:
        fill(runner, gate)
        with pytest.raises(RunnerFull) as caught:
            runner.submit(len, "")
        assert heard.statuses("len") == ["rejected"]
        gate.open()
    event = next(e for e in heard.events if e.name == "len")
    assert event.previous is None
    assert caught.value.job is not None
    assert event.job_id == caught.value.job.id
    assert event.failure is caught.value.job.failure


def test_async_listeners_have_heard_rejected_when_the_error_is_raised() -> None:
    gate, heard = Gate(), Heard()

    async def listener(event: JobEvent) -> None:
        await asyncio.sleep(0)
        heard(event)

    with BoundedRunner(1, max_pending=0, on_status=listener) as runner:
        fill(runner, gate)
        with pytest.raises(RunnerFull):
            runner.submit(len, "")
        assert heard.statuses("len") == ["rejected"]
        gate.open()


def test_a_wrapped_callable_is_refused_likewise() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, max_pending=0) as runner:
        fill(runner, gate)
        wrapped = runner.wrap(len, name="count", on_status=heard)
        with pytest.raises(RunnerFull) as caught:
            wrapped("")
        gate.open()
    assert caught.value.job is not None
    assert caught.value.job.name == "count"
    assert heard.statuses() == ["rejected"]


# when_full="wait"


def test_submit_waits_until_there_is_room() -> None:
    gate, heard = Gate(), Heard()
    with BoundedRunner(1, max_pending=0, when_full="wait", on_status=heard) as runner:
        fill(runner, gate)
        submitter = Submitter(runner, len, "abc")
        assert heard.statuses("len") == []  # not accepted yet
        gate.open()
        assert submitter.returned().result(TIMEOUT) == 3
    assert heard.statuses("len") == ["pending", "running", "succeeded"]


def test_with_room_submit_does_not_wait() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1, when_full="wait") as runner:
        fill(runner, gate, pending=1)
        gate.open()


def test_those_who_wait_for_room_get_it_in_the_order_of_their_coming() -> None:
    gate = Gate()
    order: list[int] = []
    with BoundedRunner(1, max_pending=1, when_full="wait") as runner:
        fill(runner, gate, pending=1)
        submitters = [Submitter(runner, order.append, n) for n in range(5)]
        gate.open()
        for submitter in submitters:
            submitter.returned().result(TIMEOUT)
    assert order == list(range(5))


def test_a_callback_keeps_no_job_from_others_while_somebody_waits_for_room() -> None:
    calls, first, second = Event(), Gate(), Gate()
    with BoundedRunner(2, max_pending=1, when_full="wait") as runner:
        ends = runner.submit(first)
        runner.submit(second)
        first.wait_for()
        second.wait_for()
        pending = runner.submit(len, "abc")
        submitter = Submitter(runner, len, "abcd")

        def wait_for_pending(_job: object) -> None:
            calls.set()
            results.append(pending.result(TIMEOUT))

        results: list[int] = []
        ends.add_done_callback(wait_for_pending)
        first.open()
        assert calls.wait(TIMEOUT)
        second.open()
        assert submitter.returned().result(TIMEOUT) == 4
    assert results == [3]


def test_nobody_gets_room_before_those_who_wait_for_it() -> None:
    """Also where room has come, and the one who waited has not woken up yet."""
    gate, order = Gate(), Heard()
    with BoundedRunner(1, max_pending=0, when_full="wait", on_status=order) as runner:
        first = fill(runner, gate)[0]
        submitter = Submitter(runner, len, "abc")
        overtaking: list[Job[int]] = []
        first.add_done_callback(lambda _: overtaking.append(_try(runner)))
        gate.open()
        submitter.returned().result(TIMEOUT)
    assert overtaking[0].status is JobStatus.REJECTED


def _try(runner: BoundedRunner) -> Job[Any]:
    """Submit where waiting is refused: in a callback of a job."""
    error = refused(runner)
    assert error.job is not None
    return error.job


def test_a_cancelled_job_lets_in_who_waits() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1, when_full="wait") as runner:
        waits = fill(runner, gate, pending=1)[-1]
        submitter = Submitter(runner, len, "abc")
        assert waits.cancel()
        job = submitter.returned()
        assert job.status is JobStatus.PENDING
        gate.open()
        assert job.result(TIMEOUT) == 3


def test_every_job_of_many_waiting_threads_runs() -> None:
    ran: list[int] = []
    with BoundedRunner(3, max_pending=1, when_full="wait") as runner:

        def submit_some(start: int) -> None:
            for n in range(100):
                runner.submit(ran.append, start + n)

        threads = [Thread(target=submit_some, args=(n,)) for n in range(0, 800, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
    assert sorted(ran) == list(range(800))


def test_closing_wakes_those_who_wait_and_refuses_them() -> None:
    gate, heard = Gate(), Heard()
    runner = BoundedRunner(1, max_pending=0, when_full="wait", on_status=heard)
    fill(runner, gate)
    submitters = [Submitter(runner, len, "abc") for _ in range(3)]
    runner.shutdown(wait=False)
    for submitter in submitters:
        with pytest.raises(RunnerClosed) as caught:
            submitter.returned()
        assert str(caught.value) == "cannot schedule new futures after shutdown"
        assert caught.value.job is not None
        assert caught.value.job.status is JobStatus.REJECTED
    assert heard.statuses("len") == ["rejected"] * 3
    gate.open()
    runner.shutdown()


def test_a_job_that_got_room_as_the_runner_let_go_has_one_end() -> None:
    """Room was given, and the deadline passed before the one who waited woke up."""
    gate, heard = Gate(), Heard()
    runner = BoundedRunner(1, max_pending=0, when_full="wait", on_status=heard)
    held = fill(runner, gate)[0]
    waits, woken, go_on = Event(), Event(), Event()

    def hold() -> None:
        woken.set()
        assert go_on.wait(TIMEOUT)

    ended: list[object] = []

    def submit() -> None:
        try:
            with when_blocking(waits.set, hold):
                ended.append(runner.submit(len, "").status)
        except BaseException as exc:
            ended.append(exc)

    thread = Thread(target=submit)
    thread.start()
    assert waits.wait(TIMEOUT)
    gate.open()
    held.result(TIMEOUT)
    assert woken.wait(TIMEOUT)
    runner.shutdown(timeout=0)
    go_on.set()
    thread.join(TIMEOUT)
    assert heard.statuses("len") in (["pending", "interrupted"], ["rejected"])
    assert len(ended) == 1


def test_submit_that_got_room_leaves_the_telling_to_the_job_that_runs_already() -> None:
    held, listener = Gate(), AsyncGate()
    waits, woken, go_on = Event(), Event(), Event()

    def hold() -> None:
        woken.set()
        assert go_on.wait(TIMEOUT)

    def submit() -> None:
        with when_blocking(waits.set, hold):
            jobs.append(runner.submit(lambda: current_job().report(0.5)))

    jobs: list[Job[None]] = []
    with BoundedRunner(1, max_pending=0, when_full="wait", on_progress=listener) as runner:
        runner.submit(held)
        held.wait_for()
        thread = Thread(target=submit)
        thread.start()
        assert waits.wait(TIMEOUT)
        held.open()
        assert woken.wait(TIMEOUT)
        listener.wait_for()  # the body has reported
        go_on.set()
        thread.join(TIMEOUT / 2)
        has_returned = not thread.is_alive()
        listener.open()
        thread.join(TIMEOUT)
        jobs[0].result(TIMEOUT)
    assert has_returned


def test_a_ctrl_c_while_submit_waits_loses_no_room() -> None:
    """Trap 1: the one who gave up was the next to get room."""
    gate, heard = Gate(), Heard()
    interrupt = partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    with BoundedRunner(1, max_pending=0, when_full="wait", on_status=heard) as runner:
        fill(runner, gate)
        with pytest.raises(KeyboardInterrupt), when_blocking(interrupt):
            runner.submit(len, "given up")
        submitter = Submitter(runner, len, "abc")
        gate.open()
        assert submitter.returned().result(TIMEOUT) == 3
        assert runner.submit(len, "abcd").result(TIMEOUT) == 4
    assert [e.args for e in heard.events if e.name == "len"] == [("abc",)] * 3 + [("abcd",)] * 3


def test_a_ctrl_c_while_submit_waits_lets_the_next_one_in() -> None:
    gate = Gate()
    main = threading.get_ident()
    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        fill(runner, gate)
        behind: list[Submitter] = []

        def interrupt() -> None:
            behind.append(Submitter(runner, len, "abc"))
            signal.pthread_kill(main, signal.SIGINT)

        with pytest.raises(KeyboardInterrupt), when_blocking(interrupt):
            runner.submit(len, "given up")
        gate.open()
        assert behind[0].returned().result(TIMEOUT) == 3


def test_on_the_thread_of_an_event_loop_a_full_runner_refuses_there_and_then() -> None:
    gate = Gate()

    async def main() -> RunnerFull:
        async with BoundedRunner(1, max_pending=1, when_full="wait") as runner:
            runner.submit(gate)
            runner.submit(gate)
            error = refused(runner)
            gate.open()
            return error

    error = asyncio.run(main())
    assert str(error) == (
        f"runner 'runner' is full: 1 of limit 1 run and 1 of max_pending 1 wait; {ON_LOOP}"
    )
    assert error.job is not None
    assert error.job.status is JobStatus.REJECTED


def test_what_the_error_on_a_loop_tells_to_do_works() -> None:
    gate = Gate()

    async def main() -> int:
        async with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
            runner.submit(gate)
            refused(runner)
            submitting = asyncio.create_task(asyncio.to_thread(runner.submit, len, "abc"))
            await asyncio.sleep(0)
            gate.open()
            return await (await submitting)

    assert asyncio.run(main()) == 3


FULL_IN_JOB = f"runner 'runner' is full: 1 of limit 1 run and 0 of max_pending 0 wait; {IN_JOB}"


def test_inside_the_body_of_a_job_a_full_runner_refuses_there_and_then() -> None:
    async def coroutine() -> RunnerFull:
        return refused(runner)

    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        assert str(runner.submit(refused, runner).result(TIMEOUT)) == FULL_IN_JOB
        assert str(runner.submit(coroutine).result(TIMEOUT)) == FULL_IN_JOB


def test_inside_a_listener_a_full_runner_refuses_there_and_then() -> None:
    errors: list[RunnerFull] = []

    def listener(event: JobEvent) -> None:
        if event.name == "int" and event.status is not JobStatus.PENDING:
            errors.append(refused(runner))

    with BoundedRunner(1, max_pending=0, when_full="wait", on_status=listener) as runner:
        runner.submit(int).result(TIMEOUT)
    assert [str(error) for error in errors] == [FULL_IN_JOB] * 2


def test_inside_a_done_callback_a_full_runner_refuses_there_and_then() -> None:
    first, gate = Gate(), Gate()
    errors: list[RunnerFull] = []
    called = Event()

    def call_back(_: object) -> None:
        runner.submit(gate)  # takes the slot
        errors.append(refused(runner))
        called.set()

    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        runner.submit(first).add_done_callback(call_back)
        first.open()
        assert called.wait(TIMEOUT)
        gate.open()
    assert [str(error) for error in errors] == [FULL_IN_JOB]


def test_a_helper_thread_of_a_job_may_wait_for_room() -> None:
    gate = Gate()

    def body() -> Submitter:
        return Submitter(runner, len, "abc")

    with BoundedRunner(1, max_pending=0, when_full="wait") as runner:
        submitter = runner.submit(body).result(TIMEOUT)
        assert submitter.returned().result(TIMEOUT) == 3
        gate.open()


def test_a_job_of_another_runner_may_wait_for_room() -> None:
    gate = Gate()
    waits = Event()

    def body() -> int:
        with when_blocking(waits.set):
            job = inner.submit(len, "abc")
        return job.result(TIMEOUT)

    with (
        BoundedRunner(1) as outer,
        BoundedRunner(1, max_pending=0, when_full="wait") as inner,
    ):
        fill(inner, gate)
        job = outer.submit(body)
        assert waits.wait(TIMEOUT)
        gate.open()
        assert job.result(TIMEOUT) == 3


def test_all_who_wait_for_room_are_let_go_whoever_is_first_to_go() -> None:
    def submit() -> None:
        with when_blocking(waits.release), pytest.raises(RunnerClosed):
            runner.submit(int)
        gone.release()

    def see_one_go() -> None:
        gone.acquire(timeout=TIMEOUT)

    for number in itertools.count(1):
        gate = Gate()
        runner = BoundedRunner(1, max_pending=0, when_full="wait")
        runner.submit(gate)
        gate.wait_for()
        waits, gone = threading.Semaphore(0), threading.Semaphore(0)
        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
            assert waits.acquire(timeout=TIMEOUT)
        # The closing is held up for a moment, in which whoever has been let go may go.
        with let_in(number, see_one_go) as outcome:
            runner.shutdown(wait=False)
        gone.release()  # for the one that has seen one go
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        gate.open()
        runner.shutdown()
        if not outcome:
            break
