"""The terminal of a view, and what else is written to it meanwhile. It needs rich."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import IO, TYPE_CHECKING, TextIO, cast

from rich.console import Console
from rich.file_proxy import FileProxy
from rich.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType


class _Stream(FileProxy):
    """A standard stream of which each line comes above the display.

    `Live` looks how many lines it has to overwrite, and overwrites them, in two steps; between
    these, no other thread may change how many there are. So all are taken under one lock.
    """

    def __init__(self, console: Console, file: IO[str], lock: RLock) -> None:
        super().__init__(console, file)
        self.lock = lock

    def write(self, text: str) -> int:
        with self.lock:
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self.lock:
            super().flush()

    def close(self) -> None:
        """Do nothing, not even flush once more when it is collected: the stream is not its own."""


@contextmanager
def display(console: Console) -> Iterator[Callable[[RenderableType, bool], None]]:
    """A live display, above which comes what is printed and logged meanwhile."""
    display = Live(
        console=console,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )
    shared = [each.lock for each in (sys.stdout, sys.stderr) if isinstance(each, _Stream)]
    lock = shared[0] if shared else RLock()  # of a view that this one is within

    def show(picture: RenderableType, is_last: bool) -> None:
        with lock:
            display.update(picture, refresh=not is_last)

    def stop() -> None:
        with lock:
            display.stop()

    with ExitStack() as streams, ExitStack() as shown:  # each is left though others raise
        shown.callback(stop)
        with lock:
            display.start()
        # A script that is killed, or stopped by Ctrl-Z, leaves no terminal without a cursor.
        console.show_cursor(True)
        for name in ("stdout", "stderr"):
            file = getattr(sys, name)
            if (
                _is_terminal(console.file)
                and _is_terminal(file)
                and not isinstance(file, FileProxy)
            ):
                stream = _Stream(console, file, lock)
                streams.callback(setattr, sys, name, file)
                shown.callback(stream.flush)  # what has been printed without an end of its line
                setattr(sys, name, stream)
                for handler in _handlers():
                    if handler.stream is file:
                        streams.callback(handler.setStream, file)
                        handler.setStream(cast("TextIO", stream))
        yield show


def _handlers() -> Iterator[logging.StreamHandler[TextIO]]:
    for logger in (logging.getLogger(), logging.getLogger("boundedjobs")):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler):
                yield handler


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()


class _StandardError(Console):
    """The standard error stream, which a pipe may be that nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise  # the error; not `SystemExit`, after silencing the standard output


def default_console() -> Console:
    stream = sys.stderr
    is_taken = isinstance(stream, FileProxy)
    if is_taken:
        raise RuntimeError(
            "another live display is on the terminal: pass its console, as in "
            "live(runner, console=console)"
        )
    # Where colors are forced, by FORCE_COLOR say, a log is still no terminal.
    is_interactive = None if _is_terminal(stream) else False
    return _StandardError(file=stream, stderr=True, force_interactive=is_interactive)
