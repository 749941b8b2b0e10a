"""Calls that must be errors, each where it is written; read by type checkers, run by nobody.

Each line that ends in `type: ignore` must be an error: of that code under mypy, of any under
pyright. Where one is not, both tell of a comment that has nothing to ignore.
"""

# pyright: standard, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
from functools import partial

from boundedjobs import BoundedRunner, Failure, Job, JobEvent, JobStatus, Progress, current_job

runner = BoundedRunner(2)


def plain(one: int, *, two: str = "") -> str:
    return f"{one}{two}"


async def coroutine(one: int, *, two: str = "") -> str:
    return f"{one}{two}"


class Callables:
    def method(self, one: int) -> str:
        return ""

    async def amethod(self, one: int) -> str:
        return ""

    @runner.wrap
    def wrapped(self, one: int) -> str:
        return ""


class Async:
    async def __call__(self, one: int) -> str:
        return ""


@runner.wrap
def wrapped(one: int, *, two: str = "") -> str:
    return ""


@runner.wrap(name="a name")
async def wrapped_async(one: int, *, two: str = "") -> str:
    return ""


def arguments_of_submit() -> None:
    runner.submit()  # type: ignore[call-overload]
    runner.submit(7)  # type: ignore[call-overload]
    runner.submit(None)  # type: ignore[call-overload]
    runner.submit(plain)  # type: ignore[call-overload]
    runner.submit(plain, "1")  # type: ignore[call-overload]
    runner.submit(plain, 1, 2)  # type: ignore[call-overload]
    runner.submit(plain, 1, two=2)  # type: ignore[type-var, arg-type]
    runner.submit(plain, 1, three=3)  # type: ignore[type-var, call-arg]
    runner.submit(fn=plain)  # type: ignore[call-overload]
    runner.submit(coroutine)  # type: ignore[call-overload]
    runner.submit(coroutine, "1")  # type: ignore[call-overload]
    runner.submit(coroutine, 1, three=3)  # type: ignore[type-var, call-arg]
    runner.submit(plain(1))  # type: ignore[call-overload]
    runner.submit(lambda: 1, 2)  # type: ignore[call-overload]


def a_coroutine_is_not_a_callable() -> None:
    runner.submit(coroutine(1))  # type: ignore[call-overload]


def arguments_of_methods() -> None:
    it = Callables()
    runner.submit(it.method)  # type: ignore[call-overload]
    runner.submit(it.method, "1")  # type: ignore[call-overload]
    runner.submit(it.amethod, one="1")  # type: ignore[call-overload]
    runner.submit(Callables.method, 1)  # type: ignore[call-overload]
    runner.submit(Async(), "1")  # type: ignore[call-overload]


def arguments_of_partials() -> None:
    # mypy sees through a partial only where it is called.
    runner.submit(partial(plain, 1), 2)  # pyright: ignore[reportCallIssue]
    runner.submit(partial(coroutine, 1), two=2)  # pyright: ignore[reportCallIssue, reportArgumentType]


def arguments_of_what_is_wrapped() -> None:
    wrapped()  # type: ignore[call-arg]
    wrapped("1")  # type: ignore[arg-type]
    wrapped(1, 2)  # type: ignore[call-arg, arg-type]
    wrapped(1, two=2)  # type: ignore[arg-type]
    wrapped(1, three=3)  # type: ignore[call-arg]
    wrapped_async("1")  # type: ignore[arg-type]
    wrapped_async(1, three=3)  # type: ignore[call-arg]
    runner.submit(wrapped, "1")  # type: ignore[call-overload]
    Callables().wrapped("1")  # type: ignore[arg-type]
    Callables().wrapped(1, 2)  # type: ignore[call-arg]


def options_of_wrap() -> None:
    runner.wrap(7)  # type: ignore[call-overload]
    runner.wrap(plain, nme="a name")  # type: ignore[call-overload]
    runner.wrap(plain, name=7)  # type: ignore[call-overload]
    runner.wrap(plain, "a name")  # type: ignore[call-overload]
    runner.wrap(timeout="7")  # type: ignore[call-overload]
    runner.wrap(name=7)  # type: ignore[call-overload]
    runner.wrap(name="a name")(7)  # type: ignore[call-overload]


def results() -> None:
    number: int = runner.submit(plain, 1).result()  # type: ignore[assignment]
    text: str = runner.submit(coroutine, 1)  # type: ignore[assignment]
    job: Job[int] = wrapped(1)  # type: ignore[assignment]
    flat: Job[str] = runner.submit(wrapped, 1)  # type: ignore[assignment]
    print(number, text, job, flat)


def lazy_maps() -> None:
    runner.as_completed()  # type: ignore[call-overload]
    runner.as_completed(7, [1])  # type: ignore[call-overload]
    runner.as_completed(coroutine(1), [1])  # type: ignore[call-overload]
    runner.as_completed(plain, 7)  # type: ignore[call-overload]
    runner.as_completed(plain, [1], buffersize="7")  # type: ignore[call-overload]
    runner.as_completed(plain, [1], timeout=7)  # type: ignore[call-overload]
    runner.map(plain, 7)  # type: ignore[call-overload]
    runner.map(plain, [1], buffersize="7")  # type: ignore[call-overload]
    numbers: list[Job[int]] = list(runner.as_completed(plain, [1]))  # type: ignore[type-var, arg-type]
    texts: list[str] = list(runner.as_completed(coroutine, [1]))  # type: ignore[arg-type]
    results: list[int] = list(runner.map(coroutine, [1]))  # type: ignore[type-var, arg-type]
    print(numbers, texts, results)


async def awaited() -> None:
    number: int = await wrapped_async(1)  # type: ignore[assignment]
    await plain(1)  # type: ignore[misc]
    await asyncio.create_task(wrapped_async(1))  # type: ignore[arg-type]
    print(number)


def listener(event: int) -> None: ...


def options() -> None:
    BoundedRunner()  # type: ignore[call-arg]
    BoundedRunner("2")  # type: ignore[arg-type]
    BoundedRunner(2, "a name")  # type: ignore[call-arg]
    BoundedRunner(2, name=7)  # type: ignore[arg-type]
    BoundedRunner(2, when_full="drop")  # type: ignore[arg-type]
    BoundedRunner(2, max_pending="7")  # type: ignore[arg-type]
    BoundedRunner(2, on_status=listener)  # type: ignore[arg-type]
    BoundedRunner(2, on_status=7)  # type: ignore[arg-type]
    BoundedRunner(2, on_progress=[listener])  # type: ignore[list-item]
    BoundedRunner(2, on_status=lambda: None)  # type: ignore[arg-type, misc]
    BoundedRunner(2, drain_timeout="8")  # type: ignore[arg-type]
    runner.shutdown(True, True)  # type: ignore[call-arg]
    runner.shutdown(timeout="8")  # type: ignore[arg-type]


def read_only(job: Job[str], event: JobEvent, failure: Failure, progress: Progress) -> None:
    job.id = "7"  # type: ignore[misc]
    job.status = JobStatus.FAILED  # type: ignore[misc]
    job.progress = progress  # type: ignore[misc]
    job.kwargs["two"] = "2"  # type: ignore[index]
    event.status = JobStatus.FAILED  # type: ignore[misc]
    event.kwargs["two"] = "2"  # type: ignore[index]
    failure.message = ""  # type: ignore[misc]
    progress.fraction = 1  # type: ignore[misc]
    runner.name = "n"  # type: ignore[misc]
    runner.limit = "3"  # type: ignore[assignment]


def reports() -> None:
    current_job().report("half")  # type: ignore[arg-type]
    current_job().report()  # type: ignore[call-arg]
    current_job().report(0.5, 7)  # type: ignore[arg-type]
    current_job.report(0.5)  # type: ignore[attr-defined]
