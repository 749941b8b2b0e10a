"""An exception as text; calling user code and capturing whatever it raises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from traceback import TracebackException, format_tb
from types import TracebackType
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Phase = Literal["call", "timeout", "drain", "start", "admission", "loop", "fork", "executor"]

_FOLDER = __file__.removesuffix("_failure.py")
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What an exception becomes: plain text, fit for JSON, a log or a database row.

    It is made once, when the exception is caught, and keeps no reference to the
    exception, its frames or their variables.
    """

    type: str
    """The exception's type: `ValueError`, `package.module.Name`."""
    message: str
    """`str(exception)`."""
    phase: Phase
    """Where it went wrong: `call` is the body itself."""
    location: str
    """`file:line in function` of the innermost frame; of a timeout, where the body was then.

    Empty if there is none.
    """
    traceback: str
    """The complete traceback, with causes, contexts, notes and exception groups."""


class Elsewhere(Exception):
    """Raised in place of what a body raised where it ran; not here. What `capture` made of it there
    is the failure of its job.
    """

    def __init__(self, error: BaseException, failure: Failure) -> None:
        super().__init__(error)
        self.error = error
        self.failure = failure


def call(
    fn: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[T | None, BaseException | None]:
    """Call `fn`; return what it returned, or what it raised, whatever that is."""
    try:
        return fn(*args, **kwargs), None
    except BaseException as exc:  # noqa: BLE001 - a body may raise anything; it is the job's outcome
        return None, exc


def attempt(fn: Callable[..., object], *args: object) -> Exception | None:
    """Call what may fail but is nobody's body; return the error, and let a Ctrl-C through.

    That may have become an error: a `Condition` of `threading`, of which `Thread.start` waits for
    one, fails with "release unlocked lock" when it comes at the wrong moment.
    """
    handled = sys.exception()  # is the context of what fails here, too
    try:
        fn(*args)
    except Exception as exc:  # noqa: BLE001 - the system's refusal, whatever it is, ends the job
        cause = exc.__context__
        if cause is not None and cause is not handled and not isinstance(cause, Exception):
            raise cause from None
        return exc
    return None


def capture(exc: BaseException, phase: Phase) -> Failure:
    """`exc` as a `Failure`; the runner's own outer frames are cut from its tracebacks.

    Never raises: an exception that can't be shown is described as far as it goes.
    """
    tb = _trimmed(trace_of(exc))
    set_trace(exc, tb)
    location, name = _location(tb), type_name(type(exc))
    try:
        shown = TracebackException(
            type(exc),
            exc,
            tb,
            # The defaults leave out all but 15 members of a group.
            max_group_width=sys.maxsize,
            max_group_depth=sys.maxsize,
        )
        _hide_own_frames(shown)
        message, text = str(shown), "".join(shown.format())
    except BaseException as problem:  # noqa: BLE001 - user code: __notes__, a linecache loader
        message = f"<could not be shown: {type_name(type(problem))}>"
        frames = call(format_tb, (tb,), {})[0] or []
        head = "Traceback (most recent call last):\n" if frames else ""
        text = f"{head}{''.join(frames)}{name}: {message}\n"
    return Failure(name, _plain(message), phase, _plain(location), _plain(text))


def trace_of(exc: BaseException) -> TracebackType | None:
    """The traceback of `exc`, got as Python itself gets it: attributes may be overridden."""
    return _TRACEBACK.__get__(exc)  # type: ignore[no-any-return]


def set_trace(exc: BaseException, tb: TracebackType | None) -> None:
    """Set the traceback of `exc`, be it frozen or not."""
    _TRACEBACK.__set__(exc, tb)


def type_name(cls: type) -> str:
    """The name of `cls` as a traceback shows it."""
    names, _ = call(lambda: (cls.__module__, cls.__qualname__), (), {})
    if names is None:  # its metaclass hides them
        return str(type.__getattribute__(cls, "__name__"))
    return names[1] if names[0] == "builtins" else f"{names[0]}.{names[1]}"


def shown_short(exc: BaseException) -> str:
    """Its type and its message, in a line."""
    return f"{type_name(type(exc))}: {call(str, (exc,), {})[0]}"


def _plain(text: str) -> str:
    """An exact `str` that UTF-8 can take: a file name may hold lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _trimmed(tb: TracebackType | None) -> TracebackType | None:
    """`tb` from the first frame that is not this package's.

    The outer ones tell the reader nothing, and would keep alive what they refer to: the
    job, its arguments, the exception itself.
    """
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_FOLDER):
        tb = tb.tb_next
    return tb


def _hide_own_frames(shown: TracebackException) -> None:
    """The same for the texts of its causes, its contexts and the members of its group."""
    todo: list[TracebackException | None] = [shown]
    while todo:
        each = todo.pop()
        if each is not None:
            while each.stack and each.stack[0].filename.startswith(_FOLDER):
                del each.stack[0]
            todo += [each.__cause__, each.__context__, *(each.exceptions or ())]


def _location(tb: TracebackType | None) -> str:
    if tb is None:
        return ""
    while tb.tb_next is not None:
        tb = tb.tb_next
    code = tb.tb_frame.f_code
    return f"{code.co_filename}:{tb.tb_lineno} in {code.co_qualname}"
