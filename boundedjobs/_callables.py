"""What kind of thing a callable is: where it runs, and what it is called."""

from __future__ import annotations

from concurrent.futures import Future
from enum import Enum
from functools import partial
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
    iscoroutinefunction,
)
from types import CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, Final

from boundedjobs._failure import call


class Kind(Enum):
    """How a callable must be run."""

    SYNC = "sync"
    """Called on a thread. What it returns may still be an awaitable."""
    ASYNC = "async"
    """Called on an event loop, where what it returns is awaited."""
    GENERATOR = "generator"
    """Not run: calling it would make a generator, and execute none of its lines."""
    NOT_CALLABLE = "not callable"


# An attribute of an enum is looked up anew each time, which costs as much as a call.
_SYNC: Final = Kind.SYNC
_ASYNC: Final = Kind.ASYNC
_UNUSUAL: Final = CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE


def kind_of(fn: Any) -> Kind:
    """Say how `fn` must be run, as far as that shows before it is called."""
    if not callable(fn):
        return Kind.NOT_CALLABLE
    # An object that raises when it is asked is called, and what it raises then is captured.
    return call(_kind_of, (fn,), {})[0] or Kind.SYNC


def _kind_of(fn: Any) -> Kind:
    fn = _unwrapped(fn)
    if not isinstance(fn, FunctionType):
        method = _unwrapped(type(fn).__call__)
        fn = method if isinstance(method, FunctionType) and not iscoroutinefunction(fn) else fn
    flags = fn.__code__.co_flags if isinstance(fn, FunctionType) else 0
    if flags & CO_ITERABLE_COROUTINE or iscoroutinefunction(fn):
        return Kind.ASYNC
    return Kind.GENERATOR if flags & (CO_GENERATOR | CO_ASYNC_GENERATOR) else Kind.SYNC


def must_be_awaited(value: object) -> bool:
    """Whether what a call returned is an awaitable that stands for its result.

    A `concurrent.futures.Future`, a `Job` included, is a plain result. Never raises, and
    asks the type alone: the value may be a proxy that answers nothing.
    """
    cls = type(value)
    if cls is GeneratorType:
        return bool(value.gi_code.co_flags & CO_ITERABLE_COROUTINE)  # type: ignore[attr-defined]
    try:
        return hasattr(cls, "__await__") and not issubclass(cls, Future)
    except Exception:  # noqa: BLE001 - a metaclass may raise anything
        return False


def close_coroutine(awaitable: object) -> None:
    """Close a coroutine that nobody will await; anything else is not ours to close."""
    if type(awaitable) in (CoroutineType, GeneratorType):
        call(awaitable.close, (), {})  # type: ignore[attr-defined]


def described(fn: Any) -> tuple[Kind, str]:
    """How `fn` must be run, and its name."""
    if type(fn) is FunctionType and not fn.__dict__:  # nearly everything that is submitted
        unusual = fn.__code__.co_flags & _UNUSUAL
        if not unusual:
            return _SYNC, fn.__qualname__
        if unusual == CO_COROUTINE:
            return _ASYNC, fn.__qualname__
    return kind_of(fn), name_of(fn)


def name_of(fn: Any) -> str:
    """The qualified name of `fn`, or of what it wraps, or of its type."""
    try:
        name = getattr(fn, "__qualname__", None)
        if name is None:
            fn = _unwrapped(fn)
            name = getattr(fn, "__qualname__", None)
    except Exception:  # noqa: BLE001 - an object that raises when it is asked
        name = None
    return name if isinstance(name, str) else type(fn).__qualname__


def shown(fn: object) -> str:
    """What an error says of `fn`: of a callable its name, for its repr may show arguments."""
    return repr(name_of(fn) if callable(fn) else fn)


def _unwrapped(fn: Any) -> Any:
    """The function within partials and bound methods."""
    while True:
        if isinstance(fn, partial):
            fn = fn.func
        elif isinstance(fn, MethodType | staticmethod):
            fn = fn.__func__
        else:
            return fn
