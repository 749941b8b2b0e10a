"""Status callbacks: who they are, and calling them so that they can change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from typing import Any

from boundedjobs._callables import Kind, close_coroutine, kind_of, shown
from boundedjobs._event import JobEvent
from boundedjobs._here import running_loop
from boundedjobs._latch import Latch
from boundedjobs._patience import Patience

Listener = Callable[[JobEvent], object]
"""A status callback, sync or async: it is handed one event."""

Hearers = tuple[()] | tuple[tuple[Listener, ...], tuple[Listener, ...]]
"""Who hears one kind of event: the sync listeners, then the async ones. Empty if nobody does."""

_NOT_SEVERAL = (str, bytes, Mapping)  # iterables, of what is no listener


class Listeners:
    """What goes with each job of a runner, or of one wrapped callable.

    Who listens, and how long its body may take.
    """

    __slots__ = ("first", "nobody", "on_progress", "on_status", "on_stuck", "patience", "rest")

    # Who hears of a status, if all of them look sync: nobody, if one does not.
    first: Listener | None
    rest: tuple[Listener, ...]

    def __init__(
        self,
        on_status: Listener | Iterable[Listener] | None = None,
        on_progress: Listener | Iterable[Listener] | None = None,
        on_stuck: Listener | Iterable[Listener] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.patience = patience
        self.on_status = _checked("on_status", on_status)
        self.on_progress = _checked("on_progress", on_progress)
        self.on_stuck = _checked("on_stuck", on_stuck)
        self._sum_up()

    def _sum_up(self) -> None:
        self.nobody = not (self.on_status or self.on_progress or self.on_stuck)
        sync, asynchronous = self.on_status or ((), ())
        self.first, *rest = (None,) if asynchronous or not sync else sync
        self.rest = tuple(rest)

    def has_async(self) -> bool:
        """Whether one of them needs an event loop."""
        return any(
            hearers and hearers[1] for hearers in (self.on_status, self.on_progress, self.on_stuck)
        )

    def __add__(self, more: Listeners) -> Listeners:
        both = Listeners()
        both.on_status = _joined(self.on_status, more.on_status)
        both.on_progress = _joined(self.on_progress, more.on_progress)
        both.on_stuck = _joined(self.on_stuck, more.on_stuck)
        both._sum_up()
        both.patience = (
            self.patience if more.patience is None else more.patience.over(self.patience)
        )
        return both


class Calls:
    """The calls that must be awaited for one event. What has been made is not made again."""

    __slots__ = ("_async", "_on_error", "errand", "event", "heard", "heard_by", "returned")

    def __init__(
        self, event: JobEvent, listeners: Iterable[Listener], on_error: Callable[..., None]
    ) -> None:
        self.event = event
        self.errand: Listening | None = None  # what awaits them
        self.heard: Latch | None = None  # set when all has been awaited
        self.heard_by: int | None = None  # the thread that waits for that
        self.returned: list[tuple[Listener, Awaitable[Any]]] = []  # by what looked sync: a lambda
        self._async = list(listeners)
        self._on_error = on_error

    def is_left(self) -> bool:
        """Whether there is something to await."""
        return bool(self.returned or self._async)

    async def call_async(self) -> None:
        """Await what is left, one after the other."""
        loop = running_loop()
        while self.is_left():
            listener, awaitable = self._next()
            try:
                await (listener(self.event) if awaitable is None else awaitable)  # type: ignore[misc]
            except BaseException as exc:
                if not self.is_left() or (loop is not None and not loop.is_running()):
                    raise  # it is lost, as all that was left
                self._on_error(listener, self.event, exc)
            self._forget()

    def lose(self) -> None:
        """Nothing more can be awaited: the loop is gone. Each call counts as raised."""
        while self.is_left():
            listener, awaitable = self._next()
            close_coroutine(awaitable)
            self._on_error(listener, self.event, None)
            self._forget()

    def _next(self) -> tuple[Listener, Awaitable[Any] | None]:
        return self.returned[0] if self.returned else (self._async[0], None)

    def _forget(self) -> None:
        """The next one has had its call: not before, or a Ctrl-C could lose it."""
        del (self.returned or self._async)[:1]  # none if all were lost meanwhile


class Listening:
    """What runs on an event loop to await the calls of one event."""

    __slots__ = ("_context", "_on_lost", "_on_start")

    def __init__(
        self,
        on_start: Callable[[], Coroutine[Any, Any, None]],
        context: Context,
        on_lost: Callable[[BaseException | None], None],
    ) -> None:
        self._on_start = on_start
        self._context = context
        self._on_lost = on_lost

    def _start(self) -> Coroutine[Any, Any, None]:
        return self._on_start()

    def _lost(self, exc: BaseException | None) -> None:
        self._on_lost(exc)


def _checked(parameter: str, given: Listener | Iterable[Listener] | None) -> Hearers:
    listeners: list[Any] = [given]
    if given is None:
        listeners = []
    elif isinstance(given, Iterable) and not (callable(given) or isinstance(given, _NOT_SEVERAL)):
        listeners = list(given)
    hearers: dict[Kind, list[Listener]] = {Kind.SYNC: [], Kind.ASYNC: []}
    for listener in listeners:
        kind = kind_of(listener)
        if kind not in hearers:
            raise TypeError(
                f"{parameter} must be a callable that takes one JobEvent, or several of them, "
                f"got {shown(listener)}"
            )
        hearers[kind].append(listener)
    if not listeners:
        return ()
    return (tuple(hearers[Kind.SYNC]), tuple(hearers[Kind.ASYNC]))


def _joined(first: Hearers, second: Hearers) -> Hearers:
    if not (first and second):
        return first or second
    return (first[0] + second[0], first[1] + second[1])
