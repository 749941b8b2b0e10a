"""The line between a runner and the workers of its executor, on one machine.

A worker asks before it begins a body, and so the runner knows for certain which bodies have
begun when a worker is killed, and where they were. On the same line go what bodies report, and
whether they are asked to stop. It is a TCP connection on the loopback interface for each worker
process, opened with a secret; what goes over it is text, and never unpickled.
"""

from __future__ import annotations

import atexit
import json
import os
from contextlib import suppress
from functools import partial
from hmac import compare_digest
from secrets import token_hex
from selectors import EVENT_READ, DefaultSelector
from socket import (
    IPPROTO_TCP,
    MSG_PEEK,
    SHUT_RDWR,
    TCP_NODELAY,
    create_connection,
    create_server,
    socket,
    socketpair,
)
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from boundedjobs._daemon import Daemon
from boundedjobs._event import Progress
from boundedjobs._latch import Latch

if TYPE_CHECKING:
    Address = tuple[str, int, str]  # host, port, secret

_CONNECTING = 10.0
"""Seconds until a worker gives up to reach its runner."""

_TOGETHER = 1.0
"""Seconds within which workers die that die together."""

_LONGEST_GREETING = 256


class Call(Protocol):
    """What the runner's end knows of one call that was handed to an executor."""

    caller: Caller | None

    def begin(self, caller: Caller) -> bool:
        """Whether its body may begin there, now."""
        ...

    def is_asked_to_stop(self) -> bool:
        """Whether its job has been asked to stop, or has had its end."""
        ...

    def heard(self, progress: Progress) -> None:
        """Its body has reported."""

    def lost(self) -> None:
        """The worker has gone that its body has begun in."""


class Caller:
    """The runner's end of one connection: one worker process."""

    __slots__ = ("_dead", "buffer", "is_known", "lost", "lost_at", "pid", "socket")

    def __init__(self, connection: socket, dead: list[Caller]) -> None:
        self._dead = dead
        self.socket = connection
        self.buffer = b""
        self.is_known = False
        self.pid = 0
        self.lost = Latch()
        self.lost_at = 0.0

    def die(self) -> None:
        """It has gone. On the thread of the line."""
        self.lost_at = monotonic()
        if self.is_known:
            self._dead[:] = [each for each in self._dead if self._died_with(each)] + [self]

    def killer(self) -> Caller:
        """Which died first of those that died together with this one."""
        return next((each for each in list(self._dead) if self._died_with(each)), self)

    def _died_with(self, other: Caller) -> bool:
        return self.lost_at - other.lost_at < _TOGETHER


class Switchboard:
    """The runner's end: one thread that answers. It calls no user code, and never waits."""

    kind = "tcp"

    def __init__(self, name: str) -> None:
        self._listener = create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        host, port = self._listener.getsockname()
        self.address: Address = (host, port, token_hex(32))
        self._bell, self._rope = socketpair()
        self._selector = DefaultSelector()
        self._selector.register(self._listener, EVENT_READ, self._accept)
        self._selector.register(self._bell, EVENT_READ, None)
        self._callers: dict[Caller, None] = {}
        self._dead: list[Caller] = []  # the last ones, in the order of their dying
        self._lock = Lock()
        self._calls: dict[int, Call] = {}  # guarded by the lock
        self._closed = False
        self.thread = Daemon(target=self._run, name=f"{name}-line")
        self.thread.start()

    def expect(self, number: int, call: Call) -> None:
        """A call has that number from now on."""
        with self._lock:
            self._calls[number] = call

    def forget(self, number: int) -> None:
        """A call is over."""
        with self._lock:
            self._calls.pop(number, None)

    def stop(self, number: int) -> None:
        """A job has been asked to stop. Its worker will ask."""

    def close(self) -> None:
        """Answer nobody any more."""
        self._closed = True
        with suppress(OSError):
            self._rope.send(b".")

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if key.data is not None:
                    key.data()
        for caller in [*self._callers]:
            self._lose(caller)
        for each in (self._selector, self._listener, self._bell, self._rope):
            each.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone again; or this process can open no more files
            return
        connection.setblocking(False)
        connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        caller = Caller(connection, self._dead)
        self._callers[caller] = None
        self._selector.register(connection, EVENT_READ, partial(self._read, caller))

    def _read(self, caller: Caller) -> None:
        try:
            data = caller.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, caller.buffer = (caller.buffer + data).split(b"\n")
        try:
            for line in lines:
                self._hear(caller, line)
        except (OSError, ValueError, TypeError, KeyError):  # gone, or no worker of ours
            data = b""
        if not data or (not caller.is_known and len(caller.buffer) > _LONGEST_GREETING):
            self._lose(caller)

    def _hear(self, caller: Caller, line: bytes) -> None:
        if not caller.is_known:
            secret, pid = line.split()
            if not compare_digest(secret, self.address[2].encode()):
                raise ValueError("a stranger")
            caller.pid, caller.is_known = int(pid), True
            return
        word, number, *rest = json.loads(line)
        with self._lock:
            call = self._calls.get(number)
        if word == "report":
            if call is not None:
                call.heard(Progress(*rest))
            return
        if call is None:
            goes_on = False
        elif word == "begin":
            goes_on = call.begin(caller)
        else:
            goes_on = not call.is_asked_to_stop()
        caller.socket.send(b"1\n" if goes_on else b"0\n")

    def _lose(self, caller: Caller) -> None:
        del self._callers[caller]
        caller.die()
        self._selector.unregister(caller.socket)
        with suppress(OSError):  # it is closed at the other end
            caller.socket.shutdown(SHUT_RDWR)  # a forked child may have a copy of it
        caller.socket.close()
        caller.lost.set()
        with self._lock:
            calls = list(self._calls.values())
        for call in calls:
            if call.caller is caller and not self._closed:
                call.lost()


class Line:
    """A worker's end. Once the runner has let go, every job of its is asked to stop."""

    def __init__(self, host: str, port: int, secret: str) -> None:
        self._lock = Lock()
        self._socket = create_connection((host, port), timeout=_CONNECTING)
        self._socket.settimeout(None)
        self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self._socket.sendall(f"{secret} {os.getpid()}\n".encode())

    def begin(self, number: int) -> bool:
        """Whether the body of that call is to run."""
        return self._ask("begin", number)

    def end(self, number: int) -> None:
        """Wait until all that was reported has been heard."""
        self._ask("end", number)

    def is_asked_to_stop(self, number: int) -> bool:
        """Whether that job has been asked to stop."""
        return not self._ask("go on", number)

    def report(self, number: int, progress: Progress) -> None:
        """Pass on what a body reports."""
        with self._lock, suppress(OSError):
            self._send("report", number, progress.fraction, progress.message)

    def is_dead(self) -> bool:
        """Whether the runner has let go of it."""
        with self._lock:
            try:
                self._socket.setblocking(False)
                return not self._socket.recv(1, MSG_PEEK)
            except BlockingIOError:
                return False
            except OSError:
                return True
            finally:
                with suppress(OSError):
                    self._socket.setblocking(True)

    def close(self) -> None:
        """Give it up."""
        self._answers.close()
        self._socket.close()

    def _ask(self, word: str, number: int) -> bool:
        with self._lock:
            try:
                self._send(word, number)
                return self._answers.readline() == b"1\n"
            except OSError:
                return False

    def _send(self, *words: Any) -> None:
        self._socket.sendall(json.dumps(words).encode() + b"\n")


# The state of a worker process: its lines, which many calls use one after the other. By the
# process, for one that is forked must not talk on those of its parent.
_lines: dict[tuple[int, Address], Line] = {}
_connecting = Lock()


def _hang_up() -> None:
    while _lines:
        _lines.popitem()[1].close()


def line_to(address: Address) -> Line:
    """The line of this process to that runner.

    Raises:
        OSError: it can't be reached.
    """
    key = (os.getpid(), address)
    line = _lines.get(key)
    if line is None:
        with _connecting:
            line = _lines.get(key)
            if line is None:
                if not _lines:  # an interpreter that ends would warn of a socket that is not closed
                    atexit.register(_hang_up)
                for other in [each for each in _lines if _lines[each].is_dead()]:
                    _lines.pop(other).close()
                line = _lines[key] = Line(*address)
    return line
