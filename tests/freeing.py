"""When what nobody refers to any more is gone: at once, or when garbage is collected."""

from __future__ import annotations

import gc
import sysconfig
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from tests.blocking import MOMENT
from tests.gates import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
"""Whether this Python is built to run without the GIL.

There, what one thread has made and another one drops waits for the first to come by, and that one
may sleep. A collection does not wait; but it takes cycles as well, so none shows in a test there.
"""


def free() -> None:
    """Have all gone that nobody refers to."""
    if FREE_THREADED:
        gc.collect()


def until(over: Callable[[float], object], timeout: float = TIMEOUT) -> bool:
    """Whether `over`, that waits for so many seconds, comes true once nobody refers to something."""
    end = time.monotonic() + timeout
    while FREE_THREADED and not over(MOMENT) and time.monotonic() < end:
        gc.collect()
    return bool(over(max(0.0, end - time.monotonic())))


def ends(thread: threading.Thread) -> bool:
    """Whether a thread ends once nobody refers to something."""

    def has_ended(seconds: float) -> bool:
        thread.join(seconds)
        return not thread.is_alive()

    return until(has_ended)


def made_elsewhere(make: Callable[[], T]) -> T:
    """What `make` makes on a thread that has ended: whoever drops it last frees it, at once."""
    made: list[T] = []
    thread = threading.Thread(target=lambda: made.append(make()))
    thread.start()
    thread.join()
    return made.pop()
