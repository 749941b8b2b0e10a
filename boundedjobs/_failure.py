"""An exception as text; calling user code and capturing whatever it raises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from traceback import TracebackException
from types import TracebackType
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Phase = Literal["call", "timeout", "drain", "start", "admission", "loop", "fork", "executor"]

_PACKAGE = __name__.partition(".")[0]


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
    """`file:line in function` of the innermost frame; empty if there is none."""
    traceback: str
    """The complete traceback, with causes, contexts, notes and exception groups."""


def call(
    fn: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[T | None, BaseException | None]:
    """Call `fn`; return what it returned, or what it raised, whatever that is."""
    try:
        return fn(*args, **kwargs), None
    except BaseException as exc:  # noqa: BLE001 - a body may raise anything; it is the job's outcome
        return None, exc


def attempt(fn: Callable[..., object], *args: object) -> Exception | None:
    """Call what may fail but is nobody's body; return the error, and let a Ctrl-C through."""
    try:
        fn(*args)
    except Exception as exc:  # noqa: BLE001 - the system's refusal, whatever it is, ends the job
        return exc
    return None


def capture(exc: BaseException, phase: Phase) -> Failure:
    """`exc` as a `Failure`; the runner's own outer frames are cut from its traceback.

    Never raises: an exception that can't be shown is described as far as it goes.
    """
    try:
        tb = _trimmed(exc.__traceback__)
        location = _location(tb or exc.__traceback__)
        name = type_name(type(exc))
        shown = TracebackException(
            type(exc),
            exc,
            tb,
            # The defaults leave out all but 15 members of a group.
            max_group_width=sys.maxsize,
            max_group_depth=sys.maxsize,
        )
        message, text = str(shown), "".join(shown.format())
        exc.__traceback__ = tb
    except BaseException as problem:  # noqa: BLE001 - user code: __str__, __notes__, a linecache loader
        name, location = type(exc).__qualname__, ""
        message = f"<could not be shown: {type(problem).__name__}>"
        text = f"{name}: {message}\n"
    return Failure(name, message, phase, location, text)


def type_name(cls: type) -> str:
    """The name of `cls` as a traceback shows it."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def _trimmed(tb: TracebackType | None) -> TracebackType | None:
    """`tb` from the first frame that is not this package's.

    The outer ones tell the reader nothing, and would keep alive what they refer to: the
    job, its arguments, the exception itself.
    """
    while tb is not None and _is_ours(tb):
        tb = tb.tb_next
    return tb


def _is_ours(tb: TracebackType) -> bool:
    return str(tb.tb_frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE


def _location(tb: TracebackType | None) -> str:
    if tb is None:
        return ""
    while tb.tb_next is not None:
        tb = tb.tb_next
    code = tb.tb_frame.f_code
    return f"{code.co_filename}:{tb.tb_lineno} in {code.co_qualname}"
