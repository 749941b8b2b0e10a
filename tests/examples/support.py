"""What the tests of the examples share: a server in a process of its own, and a gate for its jobs."""

import os
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import httpx

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
GATED_SERVER = Path(__file__).with_name("gated_server.py")
TIMEOUT = 20.0
"""Seconds that anything awaited here may take at most; then it is a failure."""

FINAL = {"completed", "failed", "cancelled", "interrupted", "rejected"}


def until(look: Callable[[], T], wanted: Callable[[T], bool], timeout: float = TIMEOUT) -> T:
    """Look at another process until what is wanted is there, and return it."""
    end = monotonic() + timeout
    pause = threading.Event()
    while True:
        seen = look()
        if wanted(seen):
            return seen
        if monotonic() > end:
            raise AssertionError(f"after {timeout} s there still is {seen!r}")
        pause.wait(0.02)


def environment(**more: str) -> dict[str, str]:
    """This process's environment (coverage measures through it), with the checkout importable."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


class Server:
    """The app, served by uvicorn in a process of its own, on a free port."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = ("-m", "examples.content_app"),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database = folder / "content_app.db"
        self.log_path = folder / "server.log"
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, "--port", "0"],
                cwd=folder,
                env=environment(**(variables or {})),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self._reader.start()
        try:
            self.announcement = self.next_line()
            if not self.announcement:
                raise AssertionError(f"the server ended at once:\n{self.log()}")
        except BaseException:
            self.close()
            raise
        self.address = self.announcement.split()[2].rstrip("/")
        # No client-side proxies: traffic stays on the loopback.
        self.client = httpx.Client(base_url=self.address, timeout=TIMEOUT, trust_env=False)

    def _read(self, stdout: IO[str]) -> None:
        with stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put("")

    def next_line(self) -> str:
        """The next line that the server prints; empty when it has ended."""
        return self._lines.get(timeout=TIMEOUT)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def create(self, document: str | bytes = "Some words.", **options: Any) -> str:
        answer = self.client.post("/jobs/create", content=document, **options)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status that any has."""
        counts = self.client.get("/jobs").json()["counts"]
        return {status: count for status, count in counts.items() if count}

    def until_status(self, job_id: str, *wanted: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        return until(lambda: self.job(job_id), lambda job: job["status"] in wanted, timeout)

    def stored_statuses(self) -> list[str]:
        """The statuses in the database itself, oldest row first; for when the server is gone."""
        with closing(sqlite3.connect(self.database, timeout=TIMEOUT)) as database:
            rows = database.execute("SELECT status FROM jobs ORDER BY created_at").fetchall()
        return [str(status) for (status,) in rows]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        if hasattr(self, "client"):
            self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(TIMEOUT)


class Held:
    """A job's body that stands at the gate. What is said here, the body does."""

    def __init__(self, row_id: str, connection: socket.socket) -> None:
        self.row_id = row_id
        self._connection = connection
        self._said_go = False

    def report(self, fraction: float, message: str) -> None:
        self._say(f"report {fraction} {message}")

    def fail(self, message: str) -> None:
        self._say(f"fail {message}")

    def go(self) -> None:
        """Let the body do its real work."""
        if not self._said_go:
            self._said_go = True
            with suppress(OSError):  # of a process that was killed
                self._say("go")

    def _say(self, line: str) -> None:
        self._connection.sendall(f"{line}\n".encode())


class Gate:
    """Where the bodies of jobs in a gated server stand until they are let through.

    A body comes by a connection and stays connected to its end, so `inside` is how many run.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listening.getsockname()[1])
        self._arrived: queue.SimpleQueue[Held] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by the lock: the highest number of bodies at one time, and who is here.
        self.peak = 0
        self._inside: set[socket.socket] = set()
        self._opened = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A connection of our own ends the accepting thread: closing the socket would not.
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT):
            pass
        with self._lock:
            for connection in self._inside:
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT)
        self._listening.close()

    def next(self, timeout: float = TIMEOUT) -> Held:
        """The next body that came; fails if none does in time."""
        try:
            return self._arrived.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no job came to the gate within {timeout} s") from None

    def nobody_else(self) -> bool:
        """Whether all who came have been taken by `next`."""
        return self._arrived.empty()

    def open(self) -> None:
        """Let everybody through from now on who has not been taken by `next`."""
        with self._lock:
            self._opened = True
        while not self._arrived.empty():
            self._arrived.get().go()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            connection.settimeout(60)
            stream = connection.makefile(encoding="utf-8")
            row_id = stream.readline().strip()
            if not row_id:
                stream.close()
                connection.close()
                return
            with self._lock:
                self._inside.add(connection)
                self.peak = max(self.peak, len(self._inside))
                opened = self._opened
            held = Held(row_id, connection)
            if opened:
                held.go()
            else:
                self._arrived.put(held)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._stay, args=(connection, stream))
            self._threads.append(thread)
            thread.start()

    def _stay(self, connection: socket.socket, stream: IO[str]) -> None:
        with suppress(OSError):
            stream.readline()  # the body's good-bye, or its process's end
        with self._lock:
            self._inside.discard(connection)
        stream.close()
        connection.close()
