"""Handing a call in: by `submit`, and by what `wrap` makes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import os
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, Job, JobStatus, NotRunnable, RunnerClosed, current_job
from tests.gates import TIMEOUT, Gate, Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Iterates:
    """Has generator methods, as classes do; called itself, it is one."""

    def __call__(self) -> Iterator[int]:
        yield 1

    def method(self) -> Iterator[int]:
        yield 1

    async def async_method(self) -> AsyncIterator[int]:
        yield 1


GENERATORS: list[Callable[..., Any]] = [
    generator,
    async_generator,
    Iterates(),
    Iterates().method,
    Iterates().async_method,
    Iterates.method,
    partial(generator),
    partial(partial(Iterates().method)),
]

WHY_GENERATOR = (
    "it is a generator function: calling it would not run a line of it; "
    "pass a function that iterates over it"
)


def untyped(fn: Any) -> Callable[..., Any]:
    """`fn`, where what it takes or is does not matter to the test."""
    return fn  # type: ignore[no-any-return]


# What can't be run.


def test_a_generator_function_is_refused_for_it_would_run_no_line() -> None:
    with BoundedRunner(1) as runner:
        for fn in GENERATORS:
            with pytest.raises(NotRunnable) as caught:
                runner.submit(fn)
            assert caught.value.job is not None
            assert str(caught.value) == f"{caught.value.job.name!r} can't be run: {WHY_GENERATOR}"


def test_the_generator_function_within_a_staticmethod_is_refused() -> None:
    with BoundedRunner(1) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(staticmethod(generator))
    assert str(caught.value) == f"'generator' can't be run: {WHY_GENERATOR}"


def test_what_is_not_callable_is_refused() -> None:
    given: list[Any] = [None, 3, "print", object(), property(print)]
    with BoundedRunner(1) as runner:
        for fn in given:
            with pytest.raises(NotRunnable) as caught:
                runner.submit(fn)
            assert str(caught.value) == f"{type(fn).__name__!r} can't be run: it is not callable"


def test_a_coroutine_that_was_called_by_mistake_is_refused() -> None:
    async def work() -> None: ...

    coroutine: Any = work()
    with BoundedRunner(1) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(coroutine)
    coroutine.close()
    name = coroutine.__qualname__
    assert str(caught.value) == f"{name!r} can't be run: it is not callable"


def test_a_class_and_a_builtin_can_be_run() -> None:
    with BoundedRunner(1) as runner:
        assert runner.submit(dict, a=1).result(TIMEOUT) == {"a": 1}
        assert runner.submit(len, "four").result(TIMEOUT) == 4


def test_a_coroutine_made_by_a_decorated_generator_is_run() -> None:
    @types.coroutine
    def old_style() -> Generator[None, None, str]:
        yield
        return "ran"

    with BoundedRunner(1) as runner:
        assert runner.submit(old_style).result(TIMEOUT) == "ran"


def test_what_is_not_runnable_ends_rejected_and_is_heard() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(generator)
    assert heard.statuses() == ["rejected"]
    assert heard.events[0].previous is None
    assert heard.events[0].failure is not None
    assert heard.events[0].failure.message == str(caught.value)
    assert heard.events[0].failure.phase == "admission"


def test_the_error_carries_the_refused_job() -> None:
    with BoundedRunner(1) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(untyped(generator), 1, two=2)
    job = caught.value.job
    assert job is not None
    assert (job.status, job.args, job.kwargs) == (JobStatus.REJECTED, (1,), {"two": 2})
    assert job.done()
    assert repr(job.exception(0)) == repr(caught.value)


def test_what_is_refused_takes_no_slot() -> None:
    with BoundedRunner(1, max_pending=0) as runner:
        with pytest.raises(NotRunnable):
            runner.submit(generator)
        assert runner.submit(len, "").result(TIMEOUT) == 0


def test_a_closed_runner_refuses_with_the_standard_librarys_text() -> None:
    with ThreadPoolExecutor() as pool:
        pool.shutdown()
        with pytest.raises(RuntimeError) as theirs:
            pool.submit(print)
    heard = Heard()
    runner = BoundedRunner(1, on_status=heard)
    runner.shutdown()
    with pytest.raises(RunnerClosed) as ours:
        runner.submit(print)
    assert str(ours.value) == str(theirs.value) == "cannot schedule new futures after shutdown"
    assert isinstance(ours.value, RuntimeError)
    assert ours.value.job is not None
    assert ours.value.job.status is JobStatus.REJECTED
    assert heard.statuses() == ["rejected"]


def test_a_rejected_job_is_final_and_can_not_be_cancelled() -> None:
    runner = BoundedRunner(1)
    runner.shutdown()
    with pytest.raises(RunnerClosed) as caught:
        runner.submit(print)
    job = caught.value.job
    assert job is not None
    assert not job.cancel()
    assert not job.cancelled()
    assert job.status.is_final
    assert job.ran is None
    with pytest.raises(RunnerClosed):
        job.result(0)


# What a handle has.


def test_a_job_keeps_the_arguments_it_was_given() -> None:
    given = ([1], {"a": 1})
    with BoundedRunner(1) as runner:
        job = runner.submit(untyped(lambda *_, **__: None), *given, key=given)
        job.result(TIMEOUT)
    assert job.args == given
    assert job.args[0] is given[0]
    assert job.kwargs == {"key": given}


def test_a_parameter_may_be_called_fn_or_self() -> None:
    def body(**kwargs: int) -> dict[str, int]:
        return kwargs

    with BoundedRunner(1) as runner:
        assert runner.submit(body, fn=1, self=2).result(TIMEOUT) == {"fn": 1, "self": 2}
        assert runner.wrap(body)(fn=1, self=2).result(TIMEOUT) == {"fn": 1, "self": 2}


def test_a_job_is_named_after_its_callable() -> None:
    class Thing:
        def method(self) -> None: ...
        def __call__(self) -> None: ...

    def local() -> None: ...

    here = "test_a_job_is_named_after_its_callable.<locals>"
    with BoundedRunner(1) as runner:
        assert runner.submit(local).name == f"{here}.local"
        assert runner.submit(partial(partial(local))).name == f"{here}.local"
        assert runner.submit(Thing().method).name == f"{here}.Thing.method"
        assert runner.submit(Thing()).name == f"{here}.Thing"
        assert runner.submit(len, "").name == "len"
        assert runner.submit(dict).name == "dict"


def test_a_callable_with_a_name_that_is_no_string_is_named_after_its_type() -> None:
    class Odd:
        def __call__(self) -> None: ...

    Odd.__qualname__ = "Odd"
    odd: Any = Odd()
    odd.__qualname__ = 3
    with BoundedRunner(1) as runner:
        assert runner.submit(odd).name == "Odd"


def test_repr_tells_name_id_and_status_and_never_arguments() -> None:
    with BoundedRunner(1, name="content") as runner:
        job = runner.submit(len, "a secret")
        job.result(TIMEOUT)
        assert repr(job) == f"<Job 'len' id={job.id} succeeded>"
        assert repr(runner) == "<BoundedRunner 'content' open limit=1 running=0 pending=0>"
    assert repr(runner) == "<BoundedRunner 'content' closed limit=1 running=0 pending=0>"


def test_repr_of_a_runner_counts_who_runs_and_who_waits() -> None:
    gate = Gate()
    with BoundedRunner(2) as runner:
        for _ in range(5):
            runner.submit(gate)
        assert repr(runner) == "<BoundedRunner 'runner' open limit=2 running=2 pending=3>"
        gate.open()


def test_ids_are_strings_and_no_two_are_the_same() -> None:
    with BoundedRunner(1) as one, BoundedRunner(1) as other:
        jobs = [runner.submit(int) for _ in range(500) for runner in (one, other)]
    assert len({job.id for job in jobs}) == 1000
    assert {type(job.id) for job in jobs} == {str}


def test_ids_of_one_runner_sort_as_its_jobs_were_submitted() -> None:
    with BoundedRunner(1) as runner:
        ids = [runner.submit(int).id for _ in range(20)]
    assert ids == sorted(ids)


def test_an_id_asks_the_system_for_randomness_once_a_runner_and_not_once_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    real = os.urandom

    def urandom(size: int) -> bytes:
        asked.append(size)
        return real(size)

    monkeypatch.setattr(os, "urandom", urandom)
    with BoundedRunner(1) as runner:
        for _ in range(50):
            assert runner.submit(int).id
    assert len(asked) == 1


def test_an_event_has_the_id_name_and_arguments_of_its_job() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(untyped(dict), [(1, 2)], key=3)
    for event in heard.events:
        assert (event.job_id, event.name) == (job.id, "dict")
        assert (event.args, event.kwargs) == (([(1, 2)],), {"key": 3})


# wrap


def test_wrap_refuses_a_generator_function_where_it_is_written() -> None:
    one = "Iterates"
    methods = [f"{one}.method", f"{one}.async_method", f"{one}.method"]
    names = ["generator", "async_generator", one, *methods, "generator", f"{one}.method"]
    for fn, name in zip(GENERATORS, names, strict=True):
        with pytest.raises(TypeError) as caught:
            BoundedRunner(1).wrap(fn)
        assert str(caught.value) == f"fn must be a function to run, got {name!r}: {WHY_GENERATOR}"
        assert type(caught.value) is TypeError


def test_wrap_with_options_refuses_a_generator_function_too() -> None:
    with BoundedRunner(1) as runner, pytest.raises(TypeError) as caught:
        runner.wrap(name="x")(generator)
    assert str(caught.value) == f"fn must be a function to run, got 'generator': {WHY_GENERATOR}"


def test_wrap_shows_no_argument_of_what_it_refuses() -> None:
    with pytest.raises(TypeError) as caught:
        BoundedRunner(1).wrap(partial(untyped(generator), "secret"))
    assert str(caught.value) == f"fn must be a function to run, got 'generator': {WHY_GENERATOR}"


def test_wrap_refuses_what_is_not_callable() -> None:
    for fn in (3, "print", object()):
        with pytest.raises(TypeError) as caught:
            BoundedRunner(1).wrap(fn)  # type: ignore[call-overload]
        assert str(caught.value) == f"fn must be a function to run, got {fn!r}: it is not callable"


def test_wrap_tells_where_to_put_classmethod_and_staticmethod() -> None:
    runner = BoundedRunner(1)
    with pytest.raises(TypeError) as caught:

        class One:
            @runner.wrap
            @classmethod
            def work(cls) -> None: ...

    assert str(caught.value) == (
        "fn must be a function, got a classmethod: put @classmethod outside of @runner.wrap"
    )
    with pytest.raises(TypeError) as caught:

        class Two:
            @runner.wrap(name="x")
            @staticmethod
            def work() -> None: ...

    assert str(caught.value) == (
        "fn must be a function, got a staticmethod: put @staticmethod outside of @runner.wrap"
    )


def test_wrap_works_on_methods_of_every_kind() -> None:
    with BoundedRunner(1) as runner:

        class Service:
            def __init__(self, sign: str) -> None:
                self.sign = sign

            @runner.wrap
            def method(self, text: str) -> str:
                return text + self.sign

            @runner.wrap(name="later")
            async def async_method(self, text: str) -> str:
                return text + self.sign

            @classmethod
            @runner.wrap
            def of_class(cls, text: str) -> str:
                return text + cls.__name__

            @staticmethod
            @runner.wrap
            def of_nobody(text: str) -> str:
                return text

        service = Service("!")
        assert service.method("a").result(TIMEOUT) == "a!"
        assert service.async_method("b").result(TIMEOUT) == "b!"
        assert service.of_class("c").result(TIMEOUT) == "cService"
        assert service.of_nobody("d").result(TIMEOUT) == "d"
        assert runner.wrap(service.method)("e").result(TIMEOUT).result(TIMEOUT) == "e!"


def test_wrap_keeps_name_docstring_and_signature() -> None:
    runner = BoundedRunner(1)

    def work(a: int, *, b: str = "x") -> float:
        """Do it."""
        return a + len(b)

    wrapped: Any = runner.wrap(work)
    assert wrapped.__name__ == "work"
    assert wrapped.__qualname__ == work.__qualname__
    assert wrapped.__doc__ == "Do it."
    assert wrapped.__module__ == __name__
    assert inspect.signature(wrapped) == inspect.signature(work)
    assert wrapped.__wrapped__ is work


def test_wrap_works_around_what_has_no_name() -> None:
    with BoundedRunner(1) as runner:
        wrapped = runner.wrap(partial(int, base=2))
        job = wrapped("101")
        assert job.result(TIMEOUT) == 5
        assert job.name == "int"


def test_the_name_given_to_wrap_is_the_jobs() -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner:
        job = runner.wrap(len, name="measure")("abc")
        assert runner.wrap(name="count")(len)("abc").name == "count"
    assert job.name == "measure"
    assert heard.statuses("measure") == ["pending", "running", "succeeded"]


def test_listeners_given_to_wrap_hear_its_jobs_alone_and_after_the_runners() -> None:
    order: list[str] = []
    with BoundedRunner(1, on_status=lambda e: order.append(f"runner {e.status}")) as runner:
        wrapped = runner.wrap(len, on_status=[lambda e: order.append(f"wrap {e.status}")])
        wrapped("").result(TIMEOUT)
        runner.submit(len, "").result(TIMEOUT)
    assert order == [
        *("runner pending", "wrap pending", "runner running", "wrap running"),
        *("runner succeeded", "wrap succeeded"),
        *("runner pending", "runner running", "runner succeeded"),
    ]


def test_progress_listeners_given_to_wrap_hear_what_its_jobs_report() -> None:
    heard = Heard()
    with BoundedRunner(1) as runner:

        @runner.wrap(on_progress=heard)
        def work() -> None:
            current_job().report(0.5, "half")

        work().result(TIMEOUT)
    assert [(e.status, e.progress and e.progress.message) for e in heard.events] == [
        ("running", "half")
    ]


def test_what_wrap_makes_of_an_async_function_is_sync() -> None:
    with BoundedRunner(1) as runner:

        @runner.wrap
        async def work(number: int) -> int:
            return number + 1

        assert not inspect.iscoroutinefunction(work)
        assert not inspect.iscoroutinefunction(type(work).__call__)
        job = work(1)
        assert type(job) is Job
        assert job.result(TIMEOUT) == 2


def test_what_wrap_makes_is_sync_in_the_eyes_of_asyncio_and_keeps_other_attributes() -> None:
    async def inner() -> str:
        return "ran"

    def work() -> Any:
        return inner()

    # As asgiref and mocks do, for `asyncio.iscoroutinefunction` of Pythons before 3.14.
    vars(work).update(_is_coroutine=getattr(asyncio.coroutines, "_is_coroutine", None), retries=3)
    with BoundedRunner(1) as runner:
        wrapped = runner.wrap(work)
        assert set(vars(wrapped)) == {"__wrapped__", "retries"}
        assert wrapped().result(TIMEOUT) == "ran"


if sys.version_info >= (3, 12):

    def test_what_wrap_makes_of_a_function_marked_as_async_is_sync() -> None:
        async def inner() -> str:
            return "ran"

        def work() -> Any:
            return inner()

        with BoundedRunner(1) as runner:
            wrapped = runner.wrap(inspect.markcoroutinefunction(work))
            assert not inspect.iscoroutinefunction(wrapped)
            assert wrapped().result(TIMEOUT) == "ran"


def test_a_wrapped_callable_that_is_submitted_gives_a_job_of_a_job() -> None:
    with BoundedRunner(2) as runner:
        wrapped = runner.wrap(len)
        inner = runner.submit(wrapped, "abc").result(TIMEOUT)
        assert isinstance(inner, Job)
        assert inner.result(TIMEOUT) == 3


def test_a_wrapped_callable_raises_what_submit_raises() -> None:
    runner = BoundedRunner(1)
    wrapped = runner.wrap(len)
    runner.shutdown()
    with pytest.raises(RunnerClosed, match=r"^cannot schedule new futures after shutdown$"):
        wrapped("")


def test_a_wrapped_generator_that_hides_is_found_when_it_is_called() -> None:
    """A callable whose kind changes after `wrap` is still never run without a line."""

    class Changing:
        def __call__(self) -> object:
            return 1

    with BoundedRunner(1) as runner:
        wrapped = runner.wrap(Changing())
        Changing.__call__ = lambda self: generator()  # type: ignore[method-assign]
        assert wrapped().result(TIMEOUT) is not None
        Changing.__call__ = Iterates.__call__  # type: ignore[assignment, method-assign]
        with pytest.raises(NotRunnable):
            wrapped()


# Where the call comes from.


def test_submit_returns_at_once_on_an_event_loop_too() -> None:
    gate = Gate()

    async def main() -> object:
        async with BoundedRunner(1) as runner:
            job = runner.submit(gate, "through")
            gate.open()
            return await job

    assert asyncio.run(main()) == "through"


def test_many_threads_submit_at_once_and_every_job_runs_once() -> None:
    ran: list[int] = []
    threads_at_once = threading.Barrier(8)

    def submit_some(start: int) -> list[Job[None]]:
        threads_at_once.wait(TIMEOUT)
        return [runner.submit(ran.append, start + n) for n in range(100)]

    with BoundedRunner(4) as runner, ThreadPoolExecutor(8) as pool:
        for jobs in pool.map(submit_some, range(0, 800, 100)):
            done, _ = concurrent.futures.wait(jobs, TIMEOUT)
            assert len(done) == 100
    assert sorted(ran) == list(range(800))


# What the constructor takes.


def test_all_but_the_limit_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        BoundedRunner(1, "name")  # type: ignore[call-arg]


def test_a_wrong_timeout_is_refused_before_anything_is_closed() -> None:
    with BoundedRunner(1) as runner:
        with pytest.raises(ValueError, match=r"^timeout must be at least 0 seconds, got -1$"):
            runner.shutdown(timeout=-1)
        with pytest.raises(ValueError, match=r"^timeout must be at least 0 seconds, got -1$"):
            asyncio.run(runner.aclose(timeout=-1))
        assert runner.submit(len, "").result(TIMEOUT) == 0


def test_the_name_can_be_read_and_not_set() -> None:
    runner = BoundedRunner(3, name="content")
    assert (runner.limit, runner.name) == (3, "content")
    with pytest.raises(AttributeError):
        runner.name = "other"  # type: ignore[misc]


def test_a_job_does_not_overtake_one_that_has_its_place_and_is_about_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, ran = Gate(), list[str]()
    with BoundedRunner(1) as runner:
        runner.submit(int).result(TIMEOUT)  # a worker is idle from now on
        core = getattr(runner, "_core")  # noqa: B009
        start = core.start

        def held() -> None:
            monkeypatch.setattr(core, "start", start)
            gate()
            start()

        monkeypatch.setattr(core, "start", held)
        first = threading.Thread(target=runner.wrap(ran.append, on_status=str), args=("first",))
        first.start()
        gate.wait_for()
        runner.submit(ran.append, "second").result(TIMEOUT)
        gate.open()
        first.join(TIMEOUT)
    assert ran == ["first", "second"]
