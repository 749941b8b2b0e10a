"""Where this code runs: the event loop, the task and the stack of the calling thread."""

from __future__ import annotations

import sys
from threading import RLock
from typing import TYPE_CHECKING, Any


def starts_no_late_threads(version: tuple[int | str, ...]) -> bool:
    """Whether that Python starts no thread once the interpreter exits (python/cpython#113964).

    There, what accepted jobs will need is started beforehand.
    """
    return version[:3] in ((3, 12, 0), (3, 12, 1))


NO_LATE_THREADS = starts_no_late_threads(sys.version_info)

# Held while this package imports asyncio, on demand, and while a process forks: CPython does
# not free the import lock of a module in the child, if a thread of the parent held it.
importing = RLock()

_modules = sys.modules

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task
    from collections.abc import Callable


_find: Callable[[], AbstractEventLoop | None] | None = None  # once asyncio has been imported


def running_loop() -> AbstractEventLoop | None:
    """The event loop that runs on this thread, if one does; does not import asyncio."""
    find = _find  # read once: others may find it meanwhile
    if find is not None:
        return find()
    return None if "asyncio" not in _modules else _look_for_loop()


def _look_for_loop() -> AbstractEventLoop | None:
    global _find  # asked for each job, and found once
    find = getattr(_modules["asyncio"], "_get_running_loop", None)
    if find is None:
        return None  # it is being imported
    _find = find
    loop: AbstractEventLoop | None = find()
    return loop


def make_sure_of_room(frames: int = 60) -> None:
    """Raise RecursionError before a step is begun that this thread has no room for on its stack.

    Raised in its midst, it would cut off what was decided from what follows, as a Ctrl-C does;
    and leave no room to mend that, which a Ctrl-C does. A step within a step asks for less.
    """
    if frames:
        make_sure_of_room(frames - 1)


def running_task() -> Task[Any] | None:
    """The asyncio task that this is called from, if it is."""
    return None if running_loop() is None else sys.modules["asyncio"].current_task()
