"""The line between a runner and the workers of its executor: who may talk, and what is heard."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from boundedjobs import Progress
from boundedjobs._line import Caller, Line, Switchboard, line_to
from tests.gates import TIMEOUT


class Noted:
    """One call, of which all is noted."""

    def __init__(self) -> None:
        self.caller: Caller | None = None
        self.asked = False
        self.noted: SimpleQueue[Any] = SimpleQueue()

    def begin(self, caller: Caller) -> bool:
        self.caller = caller
        return not self.asked

    def is_asked_to_stop(self) -> bool:
        return self.asked

    def heard(self, progress: Progress) -> None:
        self.noted.put(progress)

    def lost(self) -> None:
        self.noted.put("lost")


@pytest.fixture
def board() -> Iterator[Switchboard]:
    board = Switchboard("r")
    yield board
    board.close()
    board.thread.join(TIMEOUT)


@pytest.fixture
def call(board: Switchboard) -> Noted:
    call = Noted()
    board.expect(1, call)
    return call


def dialled(board: Switchboard) -> socket.socket:
    """A connection of somebody's."""
    return socket.create_connection(board.address[:2], timeout=TIMEOUT)


def test_a_worker_asks_and_reports(board: Switchboard, call: Noted) -> None:
    line = Line(*board.address)
    assert line.begin(1)
    assert call.caller is not None
    assert call.caller.pid == os.getpid()
    assert not line.is_asked_to_stop(1)
    line.report(1, Progress(0.5, "half \ud800 way\n"))
    line.end(1)
    assert call.noted.get(timeout=TIMEOUT) == Progress(0.5, "half \ud800 way\n")
    call.asked = True
    assert line.is_asked_to_stop(1)
    assert not line.begin(1)
    line.close()
    assert call.noted.get(timeout=TIMEOUT) == "lost"


def test_a_call_that_is_over_is_asked_to_stop(board: Switchboard, call: Noted) -> None:
    line = Line(*board.address)
    board.forget(1)
    assert not line.begin(1)
    assert line.is_asked_to_stop(1)
    line.report(1, Progress(0.5))
    line.end(1)
    assert call.noted.empty()
    line.close()


def test_when_the_runner_has_let_go_its_jobs_are_asked_to_stop(board: Switchboard) -> None:
    call = Noted()
    board.expect(1, call)
    line = Line(*board.address)
    assert line.begin(1)
    assert not line.is_dead()
    board.close()
    board.thread.join(TIMEOUT)
    assert line.is_asked_to_stop(1)
    line.report(1, Progress(0.5))
    line.report(1, Progress(0.5))  # by now it is known to be closed
    assert line.is_dead()
    assert line.is_asked_to_stop(1)
    assert call.noted.empty()
    line.close()


def test_a_process_has_one_line_to_a_runner(board: Switchboard) -> None:
    assert line_to(board.address) is line_to(board.address)


def test_lines_that_are_dead_are_closed_when_another_is_made() -> None:
    boards = [Switchboard(str(number)) for number in range(3)]
    lines = [line_to(board.address) for board in boards[:2]]
    boards[0].close()
    boards[0].thread.join(TIMEOUT)
    line_to(boards[2].address)
    assert [line.is_dead() for line in lines] == [True, False]
    assert line_to(boards[1].address) is lines[1]
    with pytest.raises(OSError, match="refused"):
        line_to(boards[0].address)
    for board in boards[1:]:
        board.close()
        board.thread.join(TIMEOUT)


def test_threads_that_want_a_line_at_once_share_one(board: Switchboard) -> None:
    gathered, lines = threading.Barrier(4), SimpleQueue[Line]()

    def want() -> None:
        gathered.wait(TIMEOUT)
        lines.put(line_to(board.address))

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    found = {lines.get(timeout=TIMEOUT) for _ in threads}
    assert len(found) == 1


@pytest.mark.parametrize(
    "greeting",
    [
        b"not the secret 7\n",
        b"7\n",
        b"\xff 7\n",
        b"x" * 1000,
        b"SECRET seven\n",
        b"SECRET 7\nno json\n",
        b'SECRET 7\n["report", 1, 7]\n',
        b'SECRET 7\n{"begin": 1}\n',
        b"SECRET 7\n[]\n",
        b'SECRET 7\n["begin", []]\n',
    ],
)
def test_who_does_not_talk_as_a_worker_does_is_hung_up_on(
    greeting: bytes, board: Switchboard, call: Noted
) -> None:
    with dialled(board) as stranger:
        stranger.sendall(greeting.replace(b"SECRET", board.address[2].encode()))
        assert stranger.recv(1) == b""
    line = Line(*board.address)
    assert line.begin(1)
    line.close()
    assert call.noted.get(timeout=TIMEOUT) == "lost"


def test_what_comes_in_pieces_is_put_together(board: Switchboard, call: Noted) -> None:
    with dialled(board) as worker:
        worker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        words = f"{board.address[2]} 7\n" + json.dumps(["begin", 1]) + "\n"
        for letter in words.encode():
            worker.sendall(bytes([letter]))
        assert worker.recv(2) == b"1\n"
    assert call.caller is not None
    assert call.caller.pid == 7


def test_a_connection_that_is_reset_is_lost(board: Switchboard, call: Noted) -> None:
    worker = dialled(board)
    worker.sendall(f"{board.address[2]} 7\n".encode() + b'["begin", 1]\n')
    assert worker.recv(2) == b"1\n"
    worker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    worker.close()
    assert call.noted.get(timeout=TIMEOUT) == "lost"


def test_who_died_first_of_those_that_died_together(board: Switchboard) -> None:
    calls = [Noted(), Noted()]
    lines = []
    for number, call in enumerate(calls):
        board.expect(number, call)
        lines.append(Line(*board.address))
        assert lines[number].begin(number)
    for line, call in zip(reversed(lines), reversed(calls), strict=True):
        line.close()
        assert call.noted.get(timeout=TIMEOUT) == "lost"
    first, second = (call.caller for call in calls)
    assert first is not None
    assert second is not None
    assert first.killer() is second
    assert second.killer() is second


def test_who_died_long_before_has_killed_nobody(
    board: Switchboard, call: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in (100.0, 102.0):
        monkeypatch.setattr("boundedjobs._line.monotonic", lambda now=now: now)
        line = Line(*board.address)
        assert line.begin(1)
        line.close()
        assert call.noted.get(timeout=TIMEOUT) == "lost"
    assert call.caller is not None
    assert call.caller.killer() is call.caller


def test_readiness_that_was_nothing_is_not_taken_for_an_end(
    board: Switchboard, call: Noted
) -> None:
    line = Line(*board.address)
    assert line.begin(1)
    assert call.caller is not None
    board._read(call.caller)  # as if its socket had been reported ready
    assert line.begin(1)
    line.close()
    assert call.noted.get(timeout=TIMEOUT) == "lost"


def test_a_process_that_can_open_no_more_files_answers_when_it_can(
    board: Switchboard, call: Noted
) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as worker:
        worker.settimeout(TIMEOUT)
        fds = [os.dup(0) for _ in range(4)]  # what is free below them is used up
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(fds[0], max(fds)), limits[1]))
        try:
            worker.connect(board.address[:2])
            worker.sendall(f"{board.address[2]} 7\n".encode() + b'["begin", 1]\n')
            worker.settimeout(0.2)
            with pytest.raises(TimeoutError):
                worker.recv(2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for fd in fds:
                os.close(fd)
        worker.settimeout(TIMEOUT)
        assert worker.recv(2) == b"1\n"
    assert call.noted.get(timeout=TIMEOUT) == "lost"
