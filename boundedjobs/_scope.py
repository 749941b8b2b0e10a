"""Opening and closing a runner: `with`, `async with`, `lifespan`, `shutdown`, `aclose`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

from boundedjobs import _checks
from boundedjobs._closing import (
    cancel_waiting,
    check_may_wait,
    close,
    deadline_in,
    drain,
    drain_patiently,
    in_thread,
    let_go,
    reopen,
    say_closing,
)
from boundedjobs._core import Core
from boundedjobs._failure import attempt
from boundedjobs._here import running_loop
from boundedjobs._pace import resume
from boundedjobs.errors import JobDeadlock

LIFESPAN_DRAIN = 8.0
"""Seconds that `lifespan` drains by default: `docker stop` kills after 10."""


class Scope(Executor):
    """The part of a runner that is about its being open or closed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._entries = 0  # guarded by the core's lock

    def shutdown(
        self,
        wait: bool = True,
        *,
        cancel_futures: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Take no more jobs, and (with `wait`) wait until those that were accepted have ended.

        `cancel_futures` cancels what has not started. At the deadline, `timeout` seconds
        from now (None: `drain_timeout`), what still waits and then what still runs is
        INTERRUPTED, and nobody waits for it any longer. May be called more than once.

        Raises:
            JobDeadlock: the wait could never end, inside a job of this runner or on the
                thread of an event loop that one of its jobs needs. Closing has begun.
        """
        timeout = _checks.seconds("timeout", timeout)
        core = self._core
        close(core, cancel_pending=cancel_futures)
        deadline = deadline_in(core.drain_timeout if timeout is None else timeout)
        if wait:
            self._wait(deadline, "shutdown()", raised=False)
        elif deadline is not None:
            in_thread(core, partial(drain, core, deadline))

    async def aclose(self, *, cancel_futures: bool = False, timeout: float | None = None) -> None:
        """Do what `shutdown` does, and wait without blocking the event loop.

        Cancelling this stops the waiting alone: the closing goes on.
        """
        timeout = _checks.seconds("timeout", timeout)
        core = self._core
        close(core, cancel_pending=cancel_futures)
        check_may_wait(core, "aclose()")
        await self._drained(core.drain_timeout if timeout is None else timeout)

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if self._leave():
            raised = exc_type is not None
            try:
                self._wait(deadline_in(self._core.drain_timeout), "leaving 'with'", raised=raised)
            finally:
                self._forget_home()

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        await self._aleave(raised=exc_type is not None, default=None)

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """The lifespan of an ASGI app: `FastAPI(lifespan=runner.lifespan)`.

        As `async with runner`, but unless `drain_timeout` says otherwise closing has a
        deadline of 8 seconds. `app` is not used.
        """
        self._enter()
        raised = True
        try:
            yield
            raised = False
        finally:
            await self._aleave(raised=raised, default=LIFESPAN_DRAIN)

    def _enter(self) -> None:
        core = self._core
        with core.lock:  # in one step: nobody who has entered finds it closed by who has left
            self._entries += 1
            if core.home is None:
                core.entered = running_loop()
            if core.admission.closed:
                reopen(core)

    def _leave(self, *, cancel_pending: bool = False) -> bool:
        """Count an exit; the last one closes. Return whether it is the last."""
        return self._core.mending(None, self._count_exit, cancel_pending=cancel_pending)

    def _count_exit(self, *, cancel_pending: bool) -> bool:
        core = self._core
        with core.lock:
            self._entries = max(0, self._entries - 1)  # ExitStack.push() leaves without entering
            if self._entries:
                return False
            says = core.stop_accepting()
        if says:
            say_closing(core)
        if cancel_pending:
            cancel_waiting(core)
        core.carry_out()
        return True

    def _forget_home(self) -> None:
        with self._core.lock:
            if self._entries == 0:
                self._core.entered = None

    def _wait(self, deadline: float | None, form: str, *, raised: bool) -> None:
        core = self._core
        check_may_wait(core, form)
        loop, token = running_loop(), object()
        try:
            with core.lock:
                would_block = loop is not None and core.needs(loop)
                if loop is not None and not would_block:
                    core.waits.closing[token] = loop
            if would_block:
                if raised:
                    cancel_waiting(core)
                resume(core)  # nobody will `drain` it
                raise JobDeadlock(
                    f"{form} would block this event loop, which jobs of runner {core.name!r} need "
                    "to end; closing has begun: use 'async with' or 'await runner.aclose()'"
                )
            drain_patiently(core, deadline, raised=raised)
        finally:
            with core.lock:
                core.waits.closing.pop(token, None)

    async def _aleave(self, *, raised: bool, default: float | None) -> None:
        if not self._leave(cancel_pending=raised):
            return
        core = self._core
        check_may_wait(core, "leaving 'async with'")
        timeout = default if core.drain_timeout is None else core.drain_timeout
        from asyncio import CancelledError

        try:
            try:
                await self._drained(timeout)
            except CancelledError:
                if raised:
                    raise
                cancel_waiting(core)
                await self._drained(timeout)
                raise
        except CancelledError:
            # The second time: leave at once.
            with core.lock:
                is_quiet = core.is_quiet()
            if not is_quiet:
                await self._in_thread(partial(let_go, core))
            raise
        finally:
            self._forget_home()

    async def _drained(self, timeout: float | None) -> None:
        await self._in_thread(partial(drain, self._core, deadline_in(timeout)))

    async def _in_thread(self, close: Callable[[], None]) -> None:
        from asyncio import get_running_loop

        loop = get_running_loop()
        done = loop.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        def run() -> None:
            try:
                close()
            finally:
                attempt(loop.call_soon_threadsafe, finish)  # the loop may be closed

        in_thread(self._core, run)
        await done
