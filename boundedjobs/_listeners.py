"""Status callbacks: who they are, and calling them so that they can change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from boundedjobs._callables import Kind, close_coroutine, kind_of, must_be_awaited
from boundedjobs._event import JobEvent
from boundedjobs._failure import call
from boundedjobs._here import running_loop
from boundedjobs._log import log_listener_error

Listener = Callable[[JobEvent], object]
"""A status callback, sync or async: it is handed one event."""


Ordered = tuple[tuple[Listener, bool], ...]
"""Listeners in the order of their calls, each with whether it is async: sync ones first."""


class Listeners:
    """The listeners of a runner, or of one wrapped callable."""

    __slots__ = ("on_progress", "on_status")

    def __init__(
        self,
        on_status: Listener | Iterable[Listener] | None = None,
        on_progress: Listener | Iterable[Listener] | None = None,
    ) -> None:
        self.on_status = _checked("on_status", on_status)
        self.on_progress = _checked("on_progress", on_progress)

    def __bool__(self) -> bool:
        return bool(self.on_status or self.on_progress)

    def __add__(self, more: Listeners) -> Listeners:
        both = Listeners()
        both.on_status = _in_order(self.on_status + more.on_status)
        both.on_progress = _in_order(self.on_progress + more.on_progress)
        return both


class Calls:
    """What is left to await of one event: the async listeners, in their order."""

    def __init__(self, event: JobEvent, on_error: Callable[[], None]) -> None:
        self.event = event
        self._on_error = on_error
        self.left: list[tuple[Listener, Awaitable[Any] | None]] = []

    def call_sync(self) -> None:
        """Call the sync listeners; what must be awaited is left."""
        for listener, is_async in self.event._left:
            if is_async:
                self.left.append((listener, None))
                continue
            value, exc = call(listener, (self.event,), {})
            if exc is not None:
                self._failed(listener, exc)
            elif must_be_awaited(value):  # it looked sync: a lambda, say
                self.left.append((listener, value))  # type: ignore[arg-type]  # just tested

    async def call_async(self) -> None:
        """Await what is left, one after the other."""
        loop = running_loop()
        while self.left:
            listener, awaitable = self.left.pop(0)
            try:
                await (listener(self.event) if awaitable is None else awaitable)  # type: ignore[misc]
            except BaseException as exc:
                self._failed(listener, exc)
                if loop is not None and not loop.is_running():
                    raise  # closed with its loop: nothing can be awaited any more

    def lose(self) -> None:
        """Nothing more can be awaited: the loop is gone. Each call counts as raised."""
        while self.left:
            listener, awaitable = self.left.pop(0)
            close_coroutine(awaitable)
            self._failed(listener, None)

    def _failed(self, listener: Listener, exc: BaseException | None) -> None:
        self._on_error()
        log_listener_error(listener, self.event, exc)


def _checked(parameter: str, given: Listener | Iterable[Listener] | None) -> Ordered:
    listeners: list[Any] = [given]
    if given is None:
        listeners = []
    elif not callable(given) and hasattr(given, "__iter__"):
        listeners = list(given)
    for listener in listeners:
        if kind_of(listener) in (Kind.NOT_CALLABLE, Kind.GENERATOR):
            raise TypeError(
                f"{parameter} must be a callable that takes one JobEvent, or several of them, "
                f"got {listener!r}"
            )
    return _in_order(tuple((each, kind_of(each) is Kind.ASYNC) for each in listeners))


def _in_order(listeners: Ordered) -> Ordered:
    return tuple(sorted(listeners, key=lambda pair: pair[1]))
