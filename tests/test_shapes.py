"""Callables and exceptions of every shape, drawn by Hypothesis: each job ends once, and as it should.

What single shapes do is tested in `test_callables` and `test_failure`; here they are put together.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import pickle
import threading
import types
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundedjobs import BoundedRunner, JobStatus, NotRunnable
from tests.gates import TIMEOUT, Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOME = settings(max_examples=60, deadline=None)
MANY = settings(max_examples=2_000, deadline=None)


@contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """What the package logs at WARNING and above. No fixture: that would last for all examples."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    records: list[logging.LogRecord] = []
    handler, logger = Keep(logging.WARNING), logging.getLogger("boundedjobs")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


# Callables.


class Shape(NamedTuple):
    """A callable, how it must be run, and what it is made of."""

    fn: Callable[..., Any]
    kind: str
    """`sync`, `async`, `returns` (an awaitable), `generator`, or `makes` (a generator: a result)."""
    made_of: str


RESULT = object()


def outcome(error: BaseException | None) -> object:
    """What the innermost function does: it says where it runs, or raises."""
    if error is not None:
        raise error
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return RESULT, "thread"
    return RESULT, "loop"


def bases(error: BaseException | None) -> list[Shape]:
    def sync(*_: object) -> object:
        return outcome(error)

    async def coroutine(*_: object) -> object:
        await asyncio.sleep(0)
        return outcome(error)

    @types.coroutine
    def old(*_: object) -> Generator[Any, Any, object]:
        yield
        return outcome(error)

    def generator(*_: object) -> Iterator[int]:
        yield 1

    async def async_generator(*_: object) -> AsyncIterator[int]:
        yield 1

    return [
        Shape(sync, "sync", "function"),
        Shape(lambda *_: outcome(error), "sync", "lambda"),
        Shape(coroutine, "async", "coroutine function"),
        Shape(old, "async", "types.coroutine"),
        Shape(lambda *_: coroutine(), "returns", "lambda that returns a coroutine"),
        Shape(generator, "generator", "generator"),
        Shape(async_generator, "generator", "async generator"),
    ]


def passing_on(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function around it."""

    @functools.wraps(fn, updated=())
    def inner(*args: object) -> Any:
        return fn(*args)

    return inner


def sync_object(fn: Callable[..., Any]) -> Callable[..., Any]:
    class Sync:
        def __call__(self, *args: object) -> Any:
            return fn(*args)

    return Sync()


def async_object(fn: Callable[..., Any]) -> Callable[..., Any]:
    class Async:
        async def __call__(self, *args: object) -> Any:
            value = fn(*args)
            return await value if inspect.isawaitable(value) else value

    return Async()


def made_class(fn: Callable[..., Any]) -> Callable[..., Any]:
    return type("Made", (), {"__new__": lambda _, *args: fn(*args)})


def class_method(fn: Callable[..., Any]) -> Callable[..., Any]:
    owner: Any = type("Owner", (), {"method": classmethod(fn)})
    return owner.method  # type: ignore[no-any-return]


SEEN_THROUGH: list[Callable[[Any], Callable[..., Any]]] = [
    functools.partial,
    lambda fn: functools.partial(functools.partial(fn, 1), 2),
    lambda fn: types.MethodType(fn, object()),
    staticmethod,
    class_method,
]
"""They leave a callable what it is."""

NOT_SEEN_THROUGH = [passing_on, sync_object, made_class, functools.lru_cache]
"""What is called is sync, whatever it returns."""

FROM_OUTSIDE = {"sync": "sync", "async": "returns", "returns": "returns", "generator": "makes"}
AWAITED = {"sync": "async", "async": "async", "returns": "async", "generator": "async makes"}


@st.composite
def shapes(draw: st.DrawFn, error: BaseException | None) -> Shape:
    fn, kind, made_of = draw(st.sampled_from(bases(error)))
    for _ in range(draw(st.integers(0, 4))):
        wrap: Any = draw(st.sampled_from([*SEEN_THROUGH, *NOT_SEEN_THROUGH, async_object]))
        fn, made_of = wrap(fn), f"{getattr(wrap, '__name__', wrap)}({made_of})"
        if wrap in NOT_SEEN_THROUGH:
            kind = FROM_OUTSIDE.get(kind, "returns makes" if "async" in kind else kind)
        elif wrap is async_object:
            kind = AWAITED.get(kind, "async makes")
    return Shape(fn, kind, made_of)


def check_callable(shape: Shape, error: BaseException | None) -> None:
    heard = Heard()
    with logged() as records, BoundedRunner(1, on_status=heard) as runner:
        if shape.kind == "generator":
            with pytest.raises(NotRunnable):
                runner.submit(shape.fn)
        else:
            job = runner.submit(shape.fn)
            raised = job.exception(TIMEOUT)
            if "makes" in shape.kind:  # not a line of it has run
                assert inspect.isgenerator(job.result()) or inspect.isasyncgen(job.result())
            else:
                where = "thread" if shape.kind == "sync" else "loop"
                assert raised is error
                assert error is not None or job.result() == (RESULT, where)
        assert runner.submit(int).result(TIMEOUT) == 0
    fails = error is not None and "makes" not in shape.kind and shape.kind != "generator"
    end = "failed" if fails else "succeeded"
    story = ["rejected"] if shape.kind == "generator" else ["pending", "running", end]
    assert heard.statuses() == [*story, "pending", "running", "succeeded"]
    assert len(records) == fails


@SOME
@given(st.data(), st.booleans())
def test_a_callable_of_any_shape_ends_once_and_where_it_should(
    data: st.DataObject, raises: bool
) -> None:
    error = ValueError("oh") if raises else None
    check_callable(data.draw(shapes(error)), error)


@pytest.mark.proof
@MANY
@given(st.data(), st.booleans())
def test_a_callable_of_any_shape_ends_once_and_where_it_should_in_full(
    data: st.DataObject, raises: bool
) -> None:
    error = ValueError("oh") if raises else None
    check_callable(data.draw(shapes(error)), error)


# Exceptions.


class BrokenStrError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class BrokenReprError(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class OddStrError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # the point


class UnpicklableError(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class FalsyError(Exception):
    def __bool__(self) -> bool:
        return False


class EqualError(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")

    __hash__ = None  # type: ignore[assignment]  # nor to be hashed


MAKERS: list[Callable[[str], BaseException]] = [
    ValueError,
    KeyError,
    lambda message: OSError(2, message, "a file"),
    lambda message: UnicodeDecodeError("utf-8", b"\xff", 0, 1, message),
    lambda message: SyntaxError(message, ("a.py", 1, 1, "a b", 1, 2)),
    MemoryError,
    RecursionError,
    StopIteration,
    StopAsyncIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    BrokenStrError,
    BrokenReprError,
    OddStrError,
    UnpicklableError,
    FalsyError,
    EqualError,
    lambda message: ValueError(message + " " + 200_000 * "x"),
    lambda message: ValueError(message + " \ud800 \x00"),
]


class Told(NamedTuple):
    """An exception, and what its traceback has to say."""

    exc: BaseException
    words: list[str]


@st.composite
def exceptions(draw: st.DrawFn, depth: int = 3) -> Told:
    message = f"<{draw(st.integers(0, 10**12))}>"
    if depth and draw(st.booleans()):
        members = draw(st.lists(exceptions(depth - 1), min_size=1, max_size=3))
        exc: BaseException = BaseExceptionGroup(message, [member.exc for member in members])
        words = [message, *(word for member in members for word in member.words)]
    else:
        exc = draw(st.sampled_from(MAKERS))(message)
        is_silent = isinstance(exc, BrokenStrError | OddStrError)
        words = [type(exc).__name__] if is_silent else [message]
    for note in range(draw(st.integers(0, 2))):
        exc.add_note(f"note {note} of {message}")
        words.append(f"note {note} of {message}")
    if isinstance(exc, FalsyError):
        return Told(exc, words)  # of these CPython's traceback shows no cause (all of 3.11 to 3.13)
    cause = draw(exceptions(depth - 1)) if depth and draw(st.booleans()) else None
    context = draw(exceptions(depth - 1)) if depth and draw(st.booleans()) else None
    if context is not None:
        exc.__context__ = context.exc
        words += [] if cause is not None else context.words
    if cause is not None:
        exc.__cause__ = cause.exc
        words += cause.words
    elif context is not None:
        exc.__suppress_context__ = draw(st.booleans())  # a MemoryError may have that of another
        if exc.__suppress_context__:
            del words[-len(context.words) :]
    return Told(exc, words)


def bite_its_tail(exc: BaseException) -> None:
    """Make a chain of causes a cycle."""
    last = exc
    while last.__cause__ is not None:
        last = last.__cause__
    if last.__context__ is None:
        last.__cause__ = exc


def check_exception(told: Told, is_async: bool) -> None:
    exc, words = told

    def body() -> None:
        raise exc

    async def async_body() -> None:
        await asyncio.sleep(0)
        raise exc

    heard = Heard()
    with logged() as records, BoundedRunner(1, on_status=heard) as runner:
        job = runner.submit(async_body if is_async else body)
        raised = job.exception(TIMEOUT)
        # A StopIteration can't leave a coroutine: Python makes a RuntimeError of it there.
        turned = is_async and isinstance(exc, StopIteration)
        assert (raised is exc) if not turned else isinstance(raised, RuntimeError)
        assert job.status is JobStatus.FAILED
        assert runner.submit(int).result(TIMEOUT) == 0
    failure = job.failure
    assert failure is not None
    assert [word for word in words if word not in failure.traceback] == []
    assert failure.phase == "call"
    body_name = ("async_" if is_async else "") + "body"
    assert turned or failure.location.endswith(f" in check_exception.<locals>.{body_name}")
    assert json.loads(json.dumps(asdict(failure))) == asdict(failure)
    assert pickle.loads(pickle.dumps(failure)) == failure
    failure.traceback.encode()
    assert heard.statuses() == [
        *("pending", "running", "failed"),
        *("pending", "running", "succeeded"),
    ]
    (record,) = records
    assert failure.traceback in record.getMessage()


@SOME
@given(exceptions(), st.booleans(), st.booleans())
def test_an_exception_of_any_shape_is_captured_in_full(
    told: Told, is_cyclic: bool, is_async: bool
) -> None:
    if is_cyclic:
        bite_its_tail(told.exc)
    check_exception(told, is_async)


@pytest.mark.proof
@MANY
@given(exceptions(), st.booleans(), st.booleans())
def test_an_exception_of_any_shape_is_captured_in_full_and_in_number(
    told: Told, is_cyclic: bool, is_async: bool
) -> None:
    if is_cyclic:
        bite_its_tail(told.exc)
    check_exception(told, is_async)
