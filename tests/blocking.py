"""To be told when a thread is about to wait, or to call: so that a test need not guess when."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_WAITABLE = (type(threading.Lock()), SimpleQueue)
_WAITS = ("acquire", "get")

MOMENT = 0.01
"""Seconds that one thread is held for another, which may need a lock that the first one holds."""


@contextmanager
def when_blocking(
    before: Callable[[], object], after: Callable[[], object] | None = None
) -> Iterator[None]:
    """Call `before` once, when this thread is about to wait, and `after` when it has waited.

    However it waits, on an Event, a Condition or a queue, in the end it waits for a lock or a
    SimpleQueue. To enter a `with` block, as every step does, or to set up a lock that is held is
    not waiting.
    """
    previous = sys.getprofile()

    def wait(frame: FrameType, event: str, arg: object) -> None:
        if event == "c_call" and _is_wait(arg) and frame.f_code.co_name != "__init__":
            sys.setprofile(None if after is None else waited)
            before()

    def waited(frame: FrameType, event: str, arg: object) -> None:
        if event in ("c_return", "c_exception") and _is_wait(arg) and after is not None:
            sys.setprofile(None)
            after()

    sys.setprofile(wait)
    try:
        yield
    finally:
        sys.setprofile(previous)


def _is_wait(function: object) -> bool:
    owner = getattr(function, "__self__", None)
    return isinstance(owner, _WAITABLE) and getattr(function, "__name__", "") in _WAITS


@contextmanager
def let_in(number: int, fn: Callable[[], object]) -> Iterator[list[Future[None]]]:
    """Run `fn` on another thread when this one makes its `number`-th call of a Python function.

    This one goes on when `fn` has ended, or after a moment: it may hold a lock that `fn` waits
    for. What comes of `fn` is in the list, which stays empty if so many calls are not made.
    """
    previous, left = sys.getprofile(), count(number, -1)
    outcome: list[Future[None]] = []

    def called(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and next(left) == 1:
            sys.setprofile(None)
            outcome.append(Future())
            thread = threading.Thread(target=_run, args=(fn, outcome[0]), daemon=True)
            thread.start()
            thread.join(MOMENT)

    sys.setprofile(called)
    try:
        yield outcome
    finally:
        sys.setprofile(previous)


def _run(fn: Callable[[], object], outcome: Future[None]) -> None:
    try:
        fn()
    except BaseException as exc:
        outcome.set_exception(exc)
    else:
        outcome.set_result(None)
