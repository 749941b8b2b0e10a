"""What the process does to every runner: it exits, and it forks."""

from __future__ import annotations

import os
import threading
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from boundedjobs._closing import close, deadline_in, drain_patiently
from boundedjobs._failure import attempt
from boundedjobs._here import NO_LATE_THREADS, importing

if TYPE_CHECKING:
    from boundedjobs._core import Core

# The one piece of state of this package that is the process's: which runners there are, and
# whether the hooks are in place. Guarded by `importing`.
_cores: WeakSet[Core] = WeakSet()
_hooked = False
_exiting = False


def watch(core: Core) -> None:
    """See to it that `core` is drained when the interpreter exits, and empty in a fork."""
    global _hooked, _exiting
    with importing:
        if not _hooked:
            _hooked = True
            getattr(os, "register_at_fork", lambda **_: None)(
                before=importing.acquire,
                after_in_parent=importing.release,
                after_in_child=_after_fork,
            )
            try:
                # The last to register is called first: while the pools that jobs may use
                # (asyncio.to_thread) still work.
                import_module("concurrent.futures.thread")
                # As that module does: from 3.12 on no thread can be started when the public
                # hook, atexit, is called, and jobs may need some.
                threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
            except RuntimeError:  # too late
                _exiting = True
        if _exiting:  # nobody would wait for its jobs any more
            core.exiting = core.admission.closed = True
        _cores.add(core)


def drain_before_pools() -> None:
    """At exit, drain the runners before the pools are shut down that have begun to work by now.

    What is registered last is called first, and a pool may register when it begins to work.
    """
    attempt(threading._register_atexit, _at_exit)  # type: ignore[attr-defined]  # refused at exit


def _at_exit() -> None:
    global _exiting
    with importing:
        if _exiting:
            return
        _exiting = True
        cores = list(_cores)
    began = monotonic()
    for core in cores:
        core.exiting = True
        if NO_LATE_THREADS:
            core.threads.freeze()
        close(core, cancel_pending=False)
    first: BaseException | None = None
    for core in cores:
        core.reap(stopped=True)  # nobody is left to run those loops again
        try:
            deadline = deadline_in(core.drain_timeout, began)
            drain_patiently(core, deadline, raised=first is not None)
        except BaseException as exc:  # noqa: BLE001 - Ctrl-C: raised when all are seen to
            first = exc
    if first is not None:
        raise first


def _after_fork() -> None:
    importing.release()
    for core in list(_cores):
        core.start_anew_after_fork()
