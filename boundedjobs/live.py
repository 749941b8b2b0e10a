"""A view of a runner for scripts: bars on a terminal, plain lines elsewhere.

It needs rich: `pip install "boundedjobs[rich]"`.
"""

from __future__ import annotations

from math import inf
from threading import Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import finalize

from boundedjobs._failure import call
from boundedjobs._latch import Latch
from boundedjobs._log import log_view_lost
from boundedjobs._runner import BoundedRunner

try:
    from rich.console import Console

    from boundedjobs._display import default_console, display
    from boundedjobs._picture import Bars, Lines, Seen
except ImportError as exc:
    raise ImportError('boundedjobs.live needs rich: pip install "boundedjobs[rich]"') from exc

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["live"]

R = TypeVar("R", bound=BoundedRunner)

_SHARE = 0.1  # of its time, that looking and drawing may take at the most


class live(Generic[R]):  # noqa: N801  # used as `contextlib.closing` and the like are
    """Show what a runner does while a `with` block of it lasts.

    Used in place of the runner, in `with` and in `async with`; it enters and leaves the runner,
    so that the view lasts until closing is over::

        with live(BoundedRunner(4)) as runner:
            jobs = [runner.submit(fetch, page) for page in pages]

    On a terminal there is a bar for each job that runs, with what it has reported; a line that
    counts; and the failures beneath, which stay when the block is left. What is printed
    meanwhile, and logged by handlers of the root logger and of `boundedjobs`, comes above. A
    child process that writes to the terminal, or another `rich.console.Console`, does not. Where
    the console is no terminal there is one line when a job starts and one when it ends.

    The view changes nothing for the jobs, and shows those that end while it lasts. It is drawn by
    a thread of its own: a Ctrl-C never lands in the drawing, and however the block is left the
    terminal is as it was, the streams of `sys` and of the handlers too. If it can't be drawn any
    more it ends, with a WARNING, and the jobs go on.

    Args:
        runner: One that is in use already is left open, and the view ends with this block.
        console: Where it is shown; by default the standard error stream, so that the standard
            output can be redirected. Two views at once, or a view and a `rich.progress`, must
            share one.
        refresh_per_second: How often it is drawn; less often where there are so many jobs that
            looking at them would take more than a tenth of the time.
    """

    def __init__(
        self, runner: R, *, console: Console | None = None, refresh_per_second: float = 10
    ) -> None:
        if not isinstance(runner, BoundedRunner):
            raise TypeError(f"runner must be a BoundedRunner, got {runner!r}")
        if console is not None and not isinstance(console, Console):
            raise TypeError(f"console must be a rich.console.Console or None, got {console!r}")
        rate = refresh_per_second
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(f"refresh_per_second must be a number, got {rate!r}")
        if not 0 < rate < inf:  # nor is NaN
            raise ValueError(f"refresh_per_second must be more than 0 and finite, got {rate!r}")
        self._runner = runner
        self._console = console
        self._interval = 1 / rate

    def __enter__(self) -> R:
        self._begin()
        try:
            return self._runner.__enter__()
        except BaseException:
            self._end()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            self._runner.__exit__(exc_type, exc, tb)
        finally:
            self._end()

    async def __aenter__(self) -> R:
        self._begin()
        try:
            return await self._runner.__aenter__()
        except BaseException:
            self._end()
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            await self._runner.__aexit__(exc_type, exc, tb)
        finally:
            self._end()

    def _begin(self) -> None:
        self._view = _View(self._runner, self._console or default_console(), self._interval)
        self._dropped = finalize(self, self._view.drop)  # a Ctrl-C may come before `__exit__`
        try:
            self._view.begin()
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        self._view.end()
        self._dropped.detach()


class _View:
    """What draws, on a thread of its own."""

    def __init__(self, runner: BoundedRunner, console: Console, interval: float) -> None:
        self._runner = runner
        self._console = console
        self._interval = interval
        # The last reference may be lost anywhere, in a wait for these too.
        self._begun, self._over, self._done = Latch(), Latch(), Latch()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name=f"{runner.name}-live", daemon=True)

    def begin(self) -> None:
        """Return when it has been drawn for the first time."""
        self._thread.start()
        self._begun.wait()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Return when it has been drawn for the last time, and the terminal is as it was."""
        self._over.set()
        try:
            self._wait()
        except BaseException:
            self._wait()  # after a Ctrl-C as well: the last drawing takes but a moment
            raise

    def drop(self) -> None:
        """The same from wherever the last reference is lost, and so without waiting for long."""
        self._over.set()
        if current_thread() is not self._thread:
            self._wait(1.0)  # this thread may hold a lock of the console's

    def _wait(self, timeout: float | None = None) -> None:
        if self._thread.ident is not None:  # it could be started
            self._done.wait(timeout)  # `join` forgets the thread after a Ctrl-C, before 3.13

    def _run(self) -> None:
        _, error = call(self._draw, (), {})
        if self._begun.wait(0) and error is not None:
            log_view_lost(self._runner.name, error)
        else:
            self._error = error
        self._begun.set()
        self._done.set()

    def _draw(self) -> None:
        seen = Seen(self._runner)
        if not self._console.is_interactive:
            self._repeat(seen, Lines(self._console, seen).draw)
            return
        with display(self._console) as show:
            self._repeat(seen, Bars(self._console, seen, show).draw)

    def _repeat(self, seen: Seen, draw: Callable[[bool], None]) -> None:
        is_last = False
        while not is_last:
            is_last = self._over.wait(0)  # then all that is still to be seen has happened
            started = monotonic()
            seen.look()
            draw(is_last)
            self._begun.set()
            self._over.wait(max(self._interval, (monotonic() - started) / _SHARE))
