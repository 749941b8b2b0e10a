"""To be told when a thread is about to wait: so that a test need not guess when it does."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_WAITABLE = (type(threading.Lock()), SimpleQueue)
_WAITS = ("acquire", "get")


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
