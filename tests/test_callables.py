"""What kind of thing is submitted: where it runs, what it is called, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import operator
import sys
import threading
import types
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from boundedjobs import BoundedRunner, Job, JobStatus, NotRunnable
from tests.gates import TIMEOUT, Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator

Where = tuple[str, Any]
"""Where a body found itself, and what it was called with."""


def where(value: Any = None) -> Where:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "thread", value
    return "loop", value


async def awhere(value: Any = None) -> Where:
    await asyncio.sleep(0)
    return where(value)


def awaitable_where(value: Any = None) -> Awaitable[Where]:
    return awhere(value)


@types.coroutine
def old_coroutine(value: Any = None) -> Generator[Any, Any, Where]:
    yield from asyncio.sleep(0).__await__()
    return where(value)


def generator(value: Any = None) -> Iterator[Any]:
    yield value


async def async_generator(value: Any = None) -> AsyncIterator[Any]:
    yield value


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return inner


class Methods:
    def method(self, value: Any = None) -> Where:
        return where(value)

    async def amethod(self, value: Any = None) -> Where:
        return await awhere(value)

    @classmethod
    def class_method(cls, value: Any = None) -> Where:
        assert cls is Methods
        return where(value)

    @classmethod
    async def class_amethod(cls, value: Any = None) -> Where:
        assert cls is Methods
        return await awhere(value)

    @staticmethod
    def static_method(value: Any = None) -> Where:
        return where(value)

    @staticmethod
    async def static_amethod(value: Any = None) -> Where:
        return await awhere(value)

    part = functools.partialmethod(method, "given")
    apart = functools.partialmethod(amethod, "given")

    def gen(self) -> Iterator[int]:
        yield 1

    async def agen(self) -> AsyncIterator[int]:
        yield 1


class CallableObject:
    def __call__(self, value: Any = None) -> Where:
        return where(value)


class AsyncCallable:
    async def __call__(self, value: Any = None) -> Where:
        return await awhere(value)


class GeneratorCallable:
    def __call__(self) -> Iterator[int]:
        yield 1


class AsyncGeneratorCallable:
    async def __call__(self) -> AsyncIterator[int]:
        yield 1


class CallableByObject:
    __call__ = AsyncCallable()


class Made:
    """A class is a callable, too."""

    def __init__(self, value: Any = None) -> None:
        self.where = where(value)

    def __eq__(self, other: object) -> bool:
        return self.where == other

    __hash__ = None  # type: ignore[assignment]  # not needed


class MadeByCoroutine(type):
    async def __call__(cls, value: Any = None) -> Where:
        return await awhere(value)


class MadeAsync(metaclass=MadeByCoroutine):
    pass


class CustomAwaitable:
    """Neither a coroutine nor a future, but it can be awaited."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Where]:
        yield from asyncio.sleep(0).__await__()
        return where(self.value)


SYNC: dict[str, Callable[..., Any]] = {
    "function": where,
    "lambda": lambda value=None: where(value),
    "partial": functools.partial(where),
    "partial of a partial": functools.partial(functools.partial(where)),
    "decorated": decorated(where),
    "bound method": Methods().method,
    "class method": Methods.class_method,
    "class method of an instance": Methods().class_method,
    "static method": Methods.static_method,
    "static method object": staticmethod(where),
    "partial of a bound method": functools.partial(Methods().method),
    "callable object": CallableObject(),
    "partial of a callable object": functools.partial(CallableObject()),
    "bound __call__": CallableObject().__call__,
    "class": Made,
    "cached": functools.lru_cache(where),
    "single dispatch": functools.singledispatch(where),
    "MagicMock": MagicMock(side_effect=where),
    "Mock": Mock(side_effect=where),
}

ASYNC: dict[str, Callable[..., Any]] = {
    "coroutine function": awhere,
    "partial": functools.partial(awhere),
    "partial of a partial": functools.partial(functools.partial(awhere)),
    "bound method": Methods().amethod,
    "class method": Methods.class_amethod,
    "static method": Methods.static_amethod,
    "partial of a bound method": functools.partial(Methods().amethod),
    "callable object": AsyncCallable(),
    "partial of a callable object": functools.partial(AsyncCallable()),
    "bound __call__": AsyncCallable().__call__,
    "types.coroutine": old_coroutine,
    "partial of a types.coroutine": functools.partial(old_coroutine),
    "bound types.coroutine": types.MethodType(old_coroutine, "given"),
    "class made by a coroutine": MadeAsync,
    "AsyncMock": AsyncMock(side_effect=awhere),
}

LOOKS_SYNC: dict[str, Callable[..., Any]] = {
    "lambda": lambda value=None: awhere(value),
    "function": awaitable_where,
    "decorated": decorated(awhere),
    "partial of a lambda": functools.partial(lambda value=None: awhere(value)),
    "returns a types.coroutine": lambda value=None: old_coroutine(value),
    "callable by an object's __call__": CallableByObject(),
    "custom awaitable": CustomAwaitable,
    "static method object": staticmethod(awhere),
    "MagicMock that returns a coroutine": MagicMock(side_effect=lambda value=None: awhere(value)),
}

GENERATORS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "async generator": async_generator,
    "partial": functools.partial(generator),
    "partial of a partial": functools.partial(functools.partial(async_generator)),
    "bound method": Methods().gen,
    "bound async method": Methods().agen,
    "partial of a bound method": functools.partial(Methods().gen),
    "unbound method": Methods.gen,
    "callable object": GeneratorCallable(),
    "async callable object": AsyncGeneratorCallable(),
    "partial of a callable object": functools.partial(GeneratorCallable()),
    "static method object": staticmethod(generator),
    "class method object, bound": classmethod(generator).__get__(None, int),
    "generator lambda": lambda: (yield),
}

NOT_CALLABLE: dict[str, Any] = {
    "None": None,
    "a number": 7,
    "a string": "fn",
    "a coroutine's result": awhere.__name__,
    "a module": operator,
    "a class method object": Methods.__dict__["class_method"],
}


@pytest.mark.parametrize("name", SYNC)
def test_what_is_sync_runs_on_a_thread(name: str) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(SYNC[name], "given")
        assert job.result(TIMEOUT) == ("thread", "given")


@pytest.mark.parametrize("name", ASYNC)
def test_what_is_async_runs_on_a_loop(name: str) -> None:
    with BoundedRunner(1) as runner:
        args = () if name == "bound types.coroutine" else ("given",)
        assert runner.submit(ASYNC[name], *args).result(TIMEOUT) == ("loop", "given")


@pytest.mark.parametrize("name", LOOKS_SYNC)
def test_what_looks_sync_and_returns_an_awaitable_ends_with_it(name: str) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(LOOKS_SYNC[name], "given")
        assert job.result(TIMEOUT) == ("loop", "given")
        assert job.status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("name", ASYNC)
def test_what_is_async_needs_no_thread(name: str) -> None:
    # It is called on its loop: what stands before its first await may need it.
    async def main() -> list[str]:
        async with BoundedRunner(1, name="own") as runner:
            args = () if name == "bound types.coroutine" else ("given",)
            await runner.submit(ASYNC[name], *args)
            return [t.name for t in threading.enumerate() if t.name.startswith("own")]

    assert asyncio.run(main()) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="markcoroutinefunction is new in 3.12")
@pytest.mark.parametrize("kind", ["function", "method", "callable object", "partial"])
def test_what_is_marked_as_a_coroutine_function_runs_on_a_loop(kind: str) -> None:
    class Marked:
        def method(self, value: Any) -> Awaitable[Where]:
            seen.append(where()[0])
            return awhere(value)

        __call__ = method

    seen: list[str] = []
    marked: Any = Marked()
    fn: Any = {
        "function": lambda value: marked.method(value),
        "method": marked.method,
        "callable object": marked,
        "partial": functools.partial(lambda value: marked.method(value)),
    }[kind]
    mark: Any = vars(inspect)["markcoroutinefunction"]
    mark(fn.func if kind == "partial" else fn)
    with BoundedRunner(1) as runner:
        assert runner.submit(fn, "given").result(TIMEOUT) == ("loop", "given")
    assert seen == ["loop"]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_function_is_refused_for_it_would_run_no_line(name: str) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(GENERATORS[name])
    job = caught.value.job
    assert job is not None
    assert str(caught.value) == (
        f"{job.name!r} can't be run: it is a generator function: calling it would not run a line "
        "of it; pass a function that iterates over it"
    )
    assert heard.statuses() == ["rejected"]
    assert job.status is JobStatus.REJECTED
    assert job.failure is not None
    assert job.failure.phase == "admission"


@pytest.mark.parametrize("name", NOT_CALLABLE)
def test_what_is_not_callable_is_refused(name: str) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner, pytest.raises(NotRunnable) as caught:
        runner.submit(NOT_CALLABLE[name])
    job = caught.value.job
    assert job is not None
    assert str(caught.value) == f"{job.name!r} can't be run: it is not callable"
    assert heard.statuses() == ["rejected"]


def test_a_coroutine_object_is_refused() -> None:
    coroutine = awhere()
    with BoundedRunner(1) as runner, pytest.raises(NotRunnable, match=r"it is not callable$"):
        runner.submit(coroutine)  # type: ignore[call-overload]  # the point
    coroutine.close()


@pytest.mark.parametrize("name", GENERATORS)
def test_wrap_refuses_a_generator_function_where_it_is_written(name: str) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner, pytest.raises(TypeError) as caught:
        runner.wrap(GENERATORS[name])
    assert "generator function" in str(caught.value) or "put @" in str(caught.value)
    assert not isinstance(caught.value, NotRunnable)
    assert heard.events == []


def test_a_generator_that_a_function_returns_is_a_plain_result() -> None:
    made = generator("given")
    with BoundedRunner(1) as runner:
        assert runner.submit(lambda: made).result(TIMEOUT) is made


def test_a_future_that_is_returned_is_a_plain_result() -> None:
    future: Future[int] = Future()
    with BoundedRunner(1) as runner:
        assert runner.submit(lambda: future).result(TIMEOUT) is future


def test_a_job_that_is_returned_is_a_plain_result() -> None:
    with BoundedRunner(1) as inner, BoundedRunner(1) as outer:
        job: Job[Job[Where]] = outer.submit(inner.wrap(awhere), "given")
        assert isinstance(job.result(TIMEOUT), Job)
        assert job.result(TIMEOUT).result(TIMEOUT) == ("loop", "given")


@pytest.mark.parametrize(
    "value", [None, 7, MagicMock(), CustomAwaitable, CustomAwaitable().__await__, Future()]
)
def test_what_can_not_be_awaited_is_a_plain_result(value: object) -> None:
    with BoundedRunner(1) as runner:
        assert runner.submit(lambda: value).result(TIMEOUT) is value


def test_a_builtin_with_its_arguments_runs() -> None:
    with BoundedRunner(1) as runner:
        assert runner.submit(max, 3, 9, key=operator.neg).result(TIMEOUT) == 3
        assert runner.submit([3, 1].index, 1).result(TIMEOUT) == 1
        assert runner.submit(operator.attrgetter("real"), 7).result(TIMEOUT) == 7


class Named:
    def __call__(self) -> None: ...


class Unnamed:
    def __getattr__(self, name: str) -> Any:
        if name == "__qualname__":
            return 7
        raise AttributeError(name)

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (where, "where"),
        (Methods.method, "Methods.method"),
        (Methods().amethod, "Methods.amethod"),
        (Methods.class_method, "Methods.class_method"),
        (Made, "Made"),
        (len, "len"),
        ([].append, "list.append"),
        (functools.partial(where), "where"),
        (functools.partial(functools.partial(Methods().amethod)), "Methods.amethod"),
        (functools.partial(Named()), "Named"),
        (Named(), "Named"),
        (Unnamed(), "Unnamed"),
        (decorated(awhere), "awhere"),
        (MagicMock(), "MagicMock"),
        (operator.itemgetter(1), "itemgetter"),
        (None, "NoneType"),
        (7, "int"),
    ],
)
def test_a_callable_is_named_as_a_person_would(fn: Any, name: str) -> None:
    heard = Heard()
    with BoundedRunner(1, on_status=heard) as runner, contextlib.suppress(NotRunnable):
        runner.submit(fn).exception(TIMEOUT)
    assert {event.name for event in heard.events} == {name}


def test_arguments_of_any_name_reach_the_callable() -> None:
    def body(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    names = {"self": 1, "fn": 2, "args": 3, "kwargs": 4, "name": 5, "on_status": 6, "timeout": 7}
    with BoundedRunner(1) as runner:
        assert runner.submit(body, 0, **names).result(TIMEOUT) == ((0,), names)
        assert runner.wrap(body)(0, **names).result(TIMEOUT) == ((0,), names)


def test_a_class_method_object_is_refused_by_wrap_with_the_order_to_write() -> None:
    with BoundedRunner(1) as runner:
        kinds: list[Any] = [classmethod, staticmethod]
        for kind in kinds:
            with pytest.raises(TypeError) as caught:
                runner.wrap(kind(where))
            assert str(caught.value) == (
                f"fn must be a function, got a {kind.__name__}: put @{kind.__name__} outside of "
                "@runner.wrap"
            )


class Unhelpful:
    """As a proxy that is not bound to anything."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of a request")

    def __call__(self) -> None: ...


def test_a_callable_that_tells_nothing_of_itself_runs_under_the_name_of_its_type() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(Unhelpful())
        assert job.result(TIMEOUT) is None
    assert job.name == "Unhelpful"
