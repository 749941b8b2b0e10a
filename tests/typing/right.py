"""What the types say, line by line; read by type checkers, run by nobody.

Each `assert_type` is a promise: a wrong one is an error under mypy and pyright alike.
"""

# pyright: strict

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from concurrent.futures import Executor, Future, as_completed, wait
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, assert_type

from boundedjobs import (
    AsCompleted,
    BoundedRunner,
    Failure,
    Job,
    JobEvent,
    JobStatus,
    NotRunnable,
    Progress,
    RunnerClosed,
    RunnerFull,
    current_job,
)

runner = BoundedRunner(2)


def plain(one: int, *, two: str = "") -> str:
    return f"{one}{two}"


async def coroutine(one: int, *, two: str = "") -> str:
    return f"{one}{two}"


def awaitable(one: int) -> Awaitable[str]:
    return coroutine(one)


def returns_coroutine(one: int) -> Coroutine[Any, Any, str]:
    return coroutine(one)


def returns_future() -> Future[int]:
    return Future()


def returns_asyncio_future() -> asyncio.Future[int]:
    return asyncio.get_event_loop().create_future()


async def returns_future_async() -> Future[int]:
    return Future()


def nothing() -> None: ...


async def nothing_async() -> None: ...


def never() -> NoReturn:
    raise ValueError


def untyped_result() -> Any: ...


def maybe(one: int) -> str | None:
    return None if one else ""


def variadic(*args: int, **kwargs: str) -> float:
    return 0.0


class Callables:
    def method(self, one: int) -> str:
        return ""

    async def amethod(self, one: int) -> str:
        return ""

    @classmethod
    def class_method(cls, one: int) -> str:
        return ""

    @staticmethod
    async def static_amethod(one: int) -> str:
        return ""


class Plain:
    def __call__(self, one: int) -> str:
        return ""


class Async:
    async def __call__(self, one: int) -> str:
        return ""


class CustomAwaitable:
    def __await__(self) -> Generator[Any, Any, int]:
        yield
        return 1


def submit() -> None:
    assert_type(runner.submit(plain, 1), Job[str])
    assert_type(runner.submit(plain, 1, two="2"), Job[str])
    assert_type(runner.submit(plain, one=1, two="2"), Job[str])
    assert_type(runner.submit(variadic, 1, 2, three="3"), Job[float])
    assert_type(runner.submit(nothing), Job[None])
    assert_type(runner.submit(maybe, 1), Job[str | None])
    assert_type(runner.submit(lambda: 1), Job[int])
    assert_type(runner.submit(int, "7"), Job[int])
    assert_type(runner.submit(Plain), Job[Plain])


async def submit_async() -> None:
    assert_type(runner.submit(coroutine, 1), Job[str])
    assert_type(runner.submit(coroutine, 1, two="2"), Job[str])
    assert_type(runner.submit(awaitable, 1), Job[str])
    job: Job[str] = runner.submit(returns_coroutine, 1)  # mypy calls it Job[Any]
    assert_type(runner.submit(nothing_async), Job[None])
    assert_type(runner.submit(lambda: coroutine(1)), Job[str])
    assert_type(runner.submit(CustomAwaitable), Job[int])
    assert_type(runner.submit(returns_asyncio_future), Job[int])
    assert_type(await job, str)


def submit_what_returns_futures() -> None:
    assert_type(runner.submit(returns_future), Job[Future[int]])
    assert_type(runner.submit(returns_future_async), Job[Future[int]])


def submit_methods() -> None:
    it = Callables()
    assert_type(runner.submit(it.method, 1), Job[str])
    assert_type(runner.submit(it.amethod, 1), Job[str])
    assert_type(runner.submit(it.class_method, 1), Job[str])
    assert_type(runner.submit(it.static_amethod, 1), Job[str])
    assert_type(runner.submit(Callables.method, it, 1), Job[str])
    assert_type(runner.submit(Callables.amethod, it, one=1), Job[str])


def submit_callable_objects() -> None:
    assert_type(runner.submit(Plain(), 1), Job[str])
    assert_type(runner.submit(Async(), 1), Job[str])


def submit_partials() -> None:
    assert_type(runner.submit(partial(plain, 1)), Job[str])
    assert_type(runner.submit(partial(plain, 1), two="2"), Job[str])
    assert_type(runner.submit(partial(coroutine, 1)), Job[str])
    assert_type(runner.submit(partial(coroutine, two="2"), 1), Job[str])
    assert_type(runner.submit(partial(partial(coroutine, 1), two="2")), Job[str])


def submit_generically(fn: Callable[[int], str], afn: Callable[[int], Awaitable[str]]) -> None:
    assert_type(runner.submit(fn, 1), Job[str])
    assert_type(runner.submit(afn, 1), Job[str])


# --- wrap ---


@runner.wrap
def bare(one: int, *, two: str = "") -> str:
    return ""


@runner.wrap
async def bare_async(one: int, *, two: str = "") -> str:
    return ""


@runner.wrap()
def empty_options(one: int) -> str:
    return ""


@runner.wrap(
    name="a name", on_status=print, on_progress=[print], on_stuck=print, timeout=5, stuck_after=2.5
)
def with_options(one: int, *, two: str = "") -> str:
    return ""


@runner.wrap(name="a name")
async def with_options_async(one: int, *, two: str = "") -> str:
    return ""


@runner.wrap
def wrapped_awaitable(one: int) -> Awaitable[str]:
    return coroutine(one)


class Wrapped:
    @runner.wrap
    def method(self, one: int) -> str:
        return ""

    @runner.wrap
    async def amethod(self, one: int) -> str:
        return ""

    @runner.wrap(name="a name")
    def named(self, one: int) -> str:
        return ""

    @classmethod
    @runner.wrap
    def class_method(cls, one: int) -> str:
        return ""

    @staticmethod
    @runner.wrap
    async def static_amethod(one: int) -> str:
        return ""


def wrap() -> None:
    assert_type(bare(1), Job[str])
    assert_type(bare(1, two="2"), Job[str])
    assert_type(bare(one=1), Job[str])
    assert_type(bare_async(1, two="2"), Job[str])
    assert_type(empty_options(1), Job[str])
    assert_type(with_options(1, two="2"), Job[str])
    assert_type(with_options_async(1, two="2"), Job[str])
    assert_type(wrapped_awaitable(1), Job[str])
    assert_type(runner.wrap(plain, name="a name")(1), Job[str])
    assert_type(runner.wrap(coroutine, on_status=print)(1), Job[str])
    assert_type(runner.wrap(partial(plain, 1))(two="2"), Job[str])
    assert_type(runner.wrap(Async())(1), Job[str])
    assert_type(runner.wrap(Callables().amethod)(1), Job[str])


def wrap_methods() -> None:
    it = Wrapped()
    assert_type(it.method(1), Job[str])
    assert_type(it.amethod(one=1), Job[str])
    assert_type(it.named(1), Job[str])
    assert_type(it.class_method(1), Job[str])
    assert_type(Wrapped.class_method(1), Job[str])
    assert_type(Wrapped.static_amethod(1), Job[str])
    assert_type(Wrapped.method(it, 1), Job[str])


def a_wrapped_callable_that_is_submitted_is_a_job_of_a_job() -> None:
    assert_type(runner.submit(bare, 1), Job[Job[str]])
    assert_type(runner.submit(bare_async, 1), Job[Job[str]])
    assert_type(runner.submit(with_options, 1, two="2"), Job[Job[str]])
    assert_type(runner.submit(Wrapped().amethod, 1), Job[Job[str]])
    assert_type(runner.wrap(bare)(1), Job[Job[str]])
    assert_type(runner.wrap(name="a name")(bare_async)(1), Job[Job[str]])
    assert_type(runner.submit(bare, 1).result().result(), str)


# --- the handle ---


async def handle(job: Job[str]) -> None:
    assert_type(job.result(), str)
    assert_type(job.result(timeout=1.5), str)
    assert_type(job.exception(1), BaseException | None)
    assert_type(await job, str)
    assert_type(job.cancel(), bool)
    assert_type(job.done(), bool)
    assert_type(job.id, str)
    assert_type(job.name, str)
    assert_type(job.status, JobStatus)
    assert_type(job.status.is_final, bool)
    assert_type(job.args, tuple[Any, ...])
    assert_type(job.kwargs, Mapping[str, Any])
    assert_type(job.progress, Progress | None)
    assert_type(job.failure, Failure | None)
    assert_type(job.submitted_at, datetime)
    assert_type(job.waited, float)
    assert_type(job.ran, float | None)
    assert_type(job.report(0.5), None)
    assert_type(job.report(1, "done"), None)
    assert_type(job.check_cancelled(), None)
    assert_type(current_job(), Job[Any])


async def as_a_future(job: Job[str], others: list[Job[int]]) -> None:
    future: Future[str] = job
    future.add_done_callback(lambda f: None)
    assert_type(wait(others).done, set[Future[int]])
    assert_type(list(as_completed(others)), list[Future[int]])
    assert_type(await asyncio.wrap_future(job), str)
    assert_type(await asyncio.gather(*others), list[int])
    assert_type(await asyncio.wait_for(job, 1), str)


async def as_an_executor() -> None:
    executor: Executor = runner
    executor.submit(plain, 1)
    assert_type(runner.map(plain, [1, 2]), Iterator[str])
    assert_type(runner.map(divmod, [1, 2], [3, 4], timeout=1), Iterator[Any])
    assert_type(runner.map(plain, [1, 2], buffersize=2), Iterator[str])
    assert_type(runner.map(coroutine, [1, 2], chunksize=2), Iterator[str])
    assert_type(runner.map(bare, [1, 2]), Iterator[Job[str]])
    loop = asyncio.get_running_loop()
    assert_type(await loop.run_in_executor(runner, maybe, 1), str | None)


async def lazy_maps() -> None:
    assert_type(runner.as_completed(plain, [1, 2]), AsCompleted[str])
    assert_type(runner.as_completed(maybe, iter([1, 2]), buffersize=7), AsCompleted[str | None])
    assert_type(runner.as_completed(coroutine, (1, 2), buffersize=None), AsCompleted[str])
    assert_type(runner.as_completed(awaitable, {1, 2}), AsCompleted[str])
    assert_type(runner.as_completed(bare, [1, 2]), AsCompleted[Job[str]])
    assert_type(runner.as_completed(returns_future_async), AsCompleted[Future[int]])
    for job in runner.as_completed(coroutine, [1, 2]):
        assert_type(job, Job[str])
    async for job in runner.as_completed(plain, [1, 2]):
        assert_type(job, Job[str])
    with runner.as_completed(plain, [1], [2]) as jobs:
        assert_type(jobs, AsCompleted[str])
        assert_type(next(jobs), Job[str])
        assert_type(jobs.close(), None)
    async with runner.as_completed(plain, [1]) as jobs:
        assert_type(await anext(jobs), Job[str])
        assert_type(await jobs.aclose(), None)
    iterator: Iterator[Job[str]] = jobs
    aiterator: AsyncIterator[Job[str]] = jobs
    assert_type([job.result() for job in iterator], list[str])
    assert_type([job.result() async for job in aiterator], list[str])


# --- the runner ---


def listener(event: JobEvent) -> None: ...


async def alistener(event: JobEvent) -> None: ...


def options() -> None:
    BoundedRunner(1)
    BoundedRunner(1, name="n", max_pending=0, when_full="wait", drain_timeout=1)
    BoundedRunner(1, name=None, max_pending=None, when_full="reject", drain_timeout=None)
    BoundedRunner(1, on_status=listener, on_progress=alistener)
    BoundedRunner(1, on_status=[listener, alistener], on_progress=(listener,))
    BoundedRunner(1, on_status=lambda event: print(event.status))
    assert_type(runner.limit, int)
    runner.limit = 3
    assert_type(runner.pause(), None)
    assert_type(runner.resume(), None)
    assert_type(runner.name, str)


async def closing() -> None:
    with BoundedRunner(1) as entered:
        assert_type(entered, BoundedRunner)
    async with BoundedRunner(1) as aentered:
        assert_type(aentered, BoundedRunner)
    assert_type(runner.shutdown(False, cancel_futures=True, timeout=1), None)
    assert_type(await runner.aclose(cancel_futures=True, timeout=1.5), None)
    lifespan: AbstractAsyncContextManager[None] = runner.lifespan(object())
    async with lifespan:
        pass


def event(event: JobEvent) -> None:
    assert_type(event.job_id, str)
    assert_type(event.name, str)
    assert_type(event.args, tuple[Any, ...])
    assert_type(event.kwargs, Mapping[str, Any])
    assert_type(event.previous, JobStatus | None)
    assert_type(event.status, JobStatus)
    assert_type(event.at, datetime)
    assert_type(event.waited, float)
    assert_type(event.ran, float | None)
    assert_type(event.progress, Progress | None)
    assert_type(event.failure, Failure | None)


def failure(failure: Failure) -> None:
    assert_type(failure.type, str)
    assert_type(failure.message, str)
    assert_type(failure.location, str)
    assert_type(failure.traceback, str)


def errors(full: RunnerFull, closed: RunnerClosed, bad: NotRunnable) -> None:
    assert_type(full.limit, int)
    assert_type(full.running, int)
    assert_type(full.pending, int)
    assert_type(full.job, Job[Any] | None)
    assert_type(closed.job, Job[Any] | None)
    assert_type(bad.job, Job[Any] | None)
