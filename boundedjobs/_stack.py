"""Where a body is: the live stack of its thread, or what its coroutine awaits, as text."""

from __future__ import annotations

import sys
from threading import enumerate as threads
from traceback import FrameSummary, StackSummary
from types import CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Task

    # File, line number, function; the outermost first.
    Lines = list[tuple[str, int, str]]

_FOLDER = __file__.removesuffix("_stack.py")


def thread_lines(ident: int) -> Lines:
    """Where a thread is, from the first line that the runner called. Reads no file."""
    lines = _lines(sys._current_frames().get(ident), None)
    while lines and not lines[0][0].startswith(_FOLDER):
        del lines[0]  # of `threading`
    return _without_ours(lines)


def task_lines(task: Task[Any]) -> tuple[int | None, Lines]:
    """Where a task is; and on which thread, if it is not suspended."""
    coroutine: Any = task.get_coro()
    outermost: FrameType | None = getattr(coroutine, "cr_frame", None)
    for ident, frame in sys._current_frames().items():
        each: FrameType | None = frame
        while each is not None and each is not outermost:
            each = each.f_back
        if each is not None:
            return ident, _without_ours(_lines(frame, outermost))
    return None, _without_ours(_awaited(task))


def shown(ident: int | None, lines: Lines) -> str:
    """The text, in the manner of a traceback; with the lines of the source."""
    head = "Coroutine, suspended"
    if ident is not None:
        name = next((t.name for t in threads() if t.ident == ident), str(ident))
        head = f"Thread {name!r}"
    summary = StackSummary.from_list([FrameSummary(*line) for line in lines])
    body = "".join(summary.format()) or "  in no line of Python of the job's\n"
    return f"{head} (most recent call last):\n{body}"


def location(lines: Lines) -> str:
    """The innermost line, as `Failure.location` has it; empty if there is none."""
    if not lines:
        return ""
    file, number, function = lines[-1]
    return f"{file}:{number} in {function}"


def _lines(frame: FrameType | None, outermost: FrameType | None) -> Lines:
    lines = []
    while frame is not None:
        lines.append(_line(frame))
        if frame is outermost:
            break
        frame = frame.f_back
    return lines[::-1]


def _line(frame: FrameType) -> tuple[str, int, str]:
    code = frame.f_code
    return code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname


def _awaited(task: Any) -> Lines:
    """The chain of awaits, through the tasks that are awaited as well."""
    lines: Lines = []
    seen: list[Any] = []
    while task is not None and task not in seen:
        seen.append(task)
        each = task.get_coro() if hasattr(task, "get_coro") else None
        while each is not None:
            frame, each = _step(each)
            if frame is not None:
                lines.append(_line(frame))
        task = getattr(task, "_fut_waiter", None)
    return lines


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    """The frame of one that is suspended, and what it awaits."""
    cls = type(awaitable)
    if cls is CoroutineType:
        return awaitable.cr_frame, awaitable.cr_await
    if cls is GeneratorType:
        return awaitable.gi_frame, awaitable.gi_yieldfrom
    return None, None


def _without_ours(lines: Lines) -> Lines:
    while lines and lines[0][0].startswith(_FOLDER):
        del lines[0]
    return lines
