"""The types of `wrap`: its options, and the decorator that it returns when it has only those."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from typing import Any, ParamSpec, Protocol, TypedDict, TypeVar, overload

from boundedjobs._job import Job
from boundedjobs._listeners import Listener

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Future[Any])


class WrapOptions(TypedDict, total=False):
    """The options of `wrap`."""

    name: str | None
    on_status: Listener | Iterable[Listener] | None
    on_progress: Listener | Iterable[Listener] | None
    on_stuck: Listener | Iterable[Listener] | None
    timeout: float | None
    stuck_after: float | None


class Wrapper(Protocol):
    """What `wrap` with options only returns: a decorator."""

    @overload
    def __call__(self, fn: Callable[P, F], /) -> Callable[P, Job[F]]: ...
    @overload
    def __call__(self, fn: Callable[P, Awaitable[T]], /) -> Callable[P, Job[T]]: ...
    @overload
    def __call__(self, fn: Callable[P, T], /) -> Callable[P, Job[T]]: ...
