"""Bodies that run in the workers of executors, and what tests need to hold them and hear of them."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from boundedjobs import BoundedRunner, current_job

if TYPE_CHECKING:
    from boundedjobs import JobEvent

PATIENCE = 30.0
"""Seconds after which a test has failed that waits for processes."""


class Begun:
    """A listener for progress: which process a body is in that has just begun."""

    def __init__(self) -> None:
        self._pids: SimpleQueue[int] = SimpleQueue()

    def __call__(self, event: JobEvent) -> None:
        assert event.progress is not None
        self._pids.put(int(event.progress.message))

    def pid(self) -> int:
        """Wait until another body has begun."""
        return self._pids.get(timeout=PATIENCE)


def gate(folder: Path, name: str = "gate") -> Path:
    """What `hold` waits at, until something is written there: for one body each."""
    path = folder / name
    os.mkfifo(path)
    return path


def hold(path: Path) -> str:
    """Say where it is; then wait at the gate."""
    current_job().report(0, str(os.getpid()))
    return path.read_text(encoding="utf-8")


def hold_on(path: Path) -> str:
    """As `hold`, and take no notice of who asks this process to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return hold(path)


def pid() -> int:
    return os.getpid()


def add(first: int, second: int = 0, *, third: int = 0) -> int:
    return first + second + third


def reporting(count: int) -> int:
    for number in range(count):
        current_job().report(number / count, f"{number} of {count}")
    return count


def bad_report() -> None:
    current_job().report(2)


def until_stopped() -> None:
    job = current_job()
    job.report(0, str(os.getpid()))
    while True:
        job.check_cancelled()


def check() -> None:
    current_job().check_cancelled()


def killed(note: Path | None = None) -> None:
    """Say that it runs; then end as the kernel ends who takes too much memory."""
    if note is not None:
        with note.open("a", encoding="utf-8") as file:
            file.write("ran\n")
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(note: Path) -> str:
    """Killed, unless it has run before."""
    if note.exists():
        return "ran again"
    killed(note)
    raise AssertionError


def named(**options: Any) -> dict[str, Any]:
    return options


def noted_pid(note: Path) -> int:
    noted(note, str(os.getpid()))
    return os.getpid()


def noted(note: Path, value: str) -> str:
    with note.open("a", encoding="utf-8") as file:
        file.write(f"{value}\n")
    return value


class TwoArguments(Exception):
    """As many errors of libraries are: it can't be made of its `args`."""

    def __init__(self, message: str, *, response: str) -> None:
        super().__init__(message)
        self.response = response


class WithLock(Exception):
    """Can't be pickled at all."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Frozen(Exception):
    """Allows nothing to be set."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("frozen")


class NoError:
    """What an exception is unpickled as that lies."""


class Liar(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return NoError, ()


class OnlyThere:
    """Can be pickled, and can't be unpickled anywhere but where it was made."""

    def __reduce__(self) -> tuple[Any, ...]:
        return only_in, (os.getpid(),)


def only_in(process: int) -> OnlyThere:
    if process != os.getpid():
        raise RuntimeError("made in another process")
    return OnlyThere()


def raising(kind: str) -> None:
    raise ERRORS[kind]()


ERRORS: dict[str, Callable[[], BaseException]] = {
    "two arguments": lambda: TwoArguments("slow down", response="429"),
    "lock": lambda: WithLock("held"),
    "frozen": lambda: Frozen("cold"),
    "liar": lambda: Liar("not me"),
    "plain": lambda: ValueError("plain"),
    "exit": lambda: SystemExit(3),
    "ctrl-c": lambda: KeyboardInterrupt("now"),
    "generator": lambda: GeneratorExit("gone"),
    "cancelled": lambda: asyncio.CancelledError("by itself"),
}


def with_causes() -> None:
    try:
        raise KeyError("the cause")
    except KeyError as exc:
        error = ValueError("the effect")
        error.add_note("a note")
        raise error from exc


def lock() -> Any:
    return threading.Lock()


def made_there() -> OnlyThere:
    return OnlyThere()


seen: ContextVar[int] = ContextVar("seen", default=0)


def count_seen() -> int:
    seen.set(seen.get() + 1)
    return seen.get()


here: list[str] = []


def count_here() -> int:
    return len(here)


async def double(number: int) -> int:
    return 2 * number


def awaitable() -> Any:
    return double(2)


def job_seen() -> tuple[str, str, tuple[Any, ...], dict[str, Any], str, str]:
    job = current_job()
    return job.id, job.name, job.args, dict(job.kwargs), job.status.value, repr(job)


def result_of_itself() -> None:
    current_job().result()


def fail_to_start() -> None:
    """An initializer with which no worker of a pool comes up."""
    raise RuntimeError("no worker")


def job_of_a_runner() -> tuple[str, str, str]:
    return _end_of(pid)


def async_job_of_a_runner() -> tuple[str, str, str]:
    return _end_of(double, 1)


def _end_of(fn: Callable[..., Any], *args: Any) -> tuple[str, str, str]:
    """What becomes of a job of a runner that is used here."""
    with BoundedRunner(1) as own:
        job = own.submit(fn, *args)
        job.exception(PATIENCE)
    assert job.failure is not None
    return job.status.value, job.failure.phase, job.failure.message


runner = BoundedRunner(1)


@runner.wrap
def wrapped(number: int) -> int:
    return 3 * number


class Holder:
    factor = 5

    @runner.wrap
    def method(self, number: int) -> int:
        return self.factor * number

    @staticmethod
    @runner.wrap
    def static(number: int) -> int:
        return 7 * number


hidden = wrapped.__wrapped__  # type: ignore[attr-defined]
hidden_method = Holder.method.__wrapped__  # type: ignore[attr-defined]
hidden_static = Holder.static.__wrapped__  # type: ignore[attr-defined]


def endless() -> None:
    pass


under_endless = endless


@functools.wraps(under_endless)  # type: ignore[no-redef]  # it hides the other one
def endless() -> None:
    pass


endless.__wrapped__ = endless  # type: ignore[attr-defined]  # and hides it well
