"""Interpreter exit and Ctrl-C, in real processes: accepted jobs run, and nothing holds the process."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from textwrap import dedent

import pytest

from boundedjobs._here import starts_no_late_threads
from tests.gates import TIMEOUT

pytestmark = pytest.mark.slow

PRELUDE = """
import asyncio, atexit, math, os, signal, sys, threading
from boundedjobs import BoundedRunner, RunnerClosed

# A shell that starts a process in the background has it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())  # at once: many threads speak

def heard(event):
    say(event.name, event.status)

def hang():
    say("hangs")
    threading.Event().wait()

async def hang_async():
    say("hangs")
    await asyncio.Event().wait()

exiting = threading.Event()

def note_exit():
    '''Set `exiting` when the interpreter has begun to exit, before any runner hears of it.'''
    threading._register_atexit(exiting.set)

def until_exit(number=0):
    say("holds", number)
    assert exiting.wait(10)
    say("ran", number)

async def until_exit_async(number=0):
    async with asyncio.timeout(10):
        while not exiting.is_set():  # no thread to wait for it in: at exit there may be none
            await asyncio.sleep(0.01)
    say("ran", number)

def returns_awaitable(number=0):
    return until_exit_async(number)

cancelled = threading.Event()

def main_sits():
    '''Wait until the main thread sits still in a wait, where a Ctrl-C is nobody else's.'''
    main = threading.main_thread().ident
    seen, times = None, 0
    while times < 3:
        frame = sys._current_frames()[main]
        now = (frame, frame.f_lasti)
        still = now == seen and frame.f_code.co_name in ("wait", "select")
        seen, times = now, times + 1 if still else 0
        threading.Event().wait(0.02)

def say_ready():
    '''Say "ready" when the main thread sits: a signal just before a wait may go unnoticed.'''
    threading.Thread(target=lambda: (main_sits(), say("ready")), daemon=True).start()

def submit_waiting(runner, after=None):
    '''Submit the job "waiting"; say "ready", and "waits" when it was cancelled.'''
    def watch():
        assert after is None or after.wait(10)
        main_sits()
        say("ready")
        assert cancelled.wait(10)
        main_sits()
        say("waits")
    runner.wrap(int, name="waiting")().add_done_callback(lambda job: cancelled.set())
    threading.Thread(target=watch, daemon=True).start()
"""

INTERPRETER = "cannot schedule new futures after interpreter shutdown"


class Child:
    """A Python process, and the lines that it prints."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", PRELUDE + dedent(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.errors = ""
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._err)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def _err(self) -> None:
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()

    def expect(self, *lines: str) -> None:
        """Read on until each of `lines` has come."""
        missing = set(lines) - set(self.lines)
        while missing:
            try:
                got = self._queue.get(timeout=TIMEOUT)
            except queue.Empty:
                raise AssertionError(f"{missing} did not come after {self.lines}") from None
            assert got is not None, f"{missing} did not come after {self.lines}\n{self.errors}"
            self.lines.append(got)
            missing.discard(got)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end of the process; its exit status."""
        began = time.monotonic()
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)  # faulthandler shows where every thread is
            for reader in self._readers:
                reader.join(TIMEOUT)
            raise AssertionError(
                f"it does not exit; it printed {self.lines}\n{self.errors}"
            ) from None
        self.seconds = time.monotonic() - began
        for reader in self._readers:
            reader.join(TIMEOUT)
        while (line := self._queue.get(timeout=TIMEOUT)) is not None:
            self.lines.append(line)
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)
        for reader in self._readers:
            reader.join(TIMEOUT)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Children:
    """Starts processes, none of which outlives its test."""

    def __init__(self) -> None:
        self.all: list[Child] = []

    def __call__(self, script: str) -> Child:
        self.all.append(Child(script))
        return self.all[-1]

    def run(self, script: str, status: int = 0) -> list[str]:
        """Run a process to its end; the lines that it printed."""
        child = self(script)
        assert child.end() == status, child.errors
        return child.lines


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    for child in children.all:
        child.close()


# Jobs that were accepted before interpreter exit still run


def test_pending_jobs_run_when_the_interpreter_exits(children: Children) -> None:
    lines = children.run("""
        runner = BoundedRunner(2, on_status=lambda e: e.status.is_final and heard(e))
        for number in range(5):
            runner.submit(until_exit, number)
        note_exit()
        """)
    assert sorted(line for line in lines if line.startswith("ran")) == [
        f"ran {number}" for number in range(5)
    ]
    assert lines.count("until_exit succeeded") == 5


KINDS = ["until_exit", "until_exit_async", "returns_awaitable"]


@pytest.mark.parametrize("following", KINDS)
@pytest.mark.parametrize("running", KINDS)
def test_a_job_that_waits_at_exit_behind_a_running_one_runs_whatever_their_lanes(
    children: Children, running: str, following: str
) -> None:
    lines = children.run(f"""
        runner = BoundedRunner(1, on_status=lambda e: e.status.is_final and say(e.status))
        runner.submit({running}, 1)
        runner.submit({following}, 2)
        note_exit()
        """)
    assert [line for line in lines if not line.startswith("holds")] == [
        "ran 1", "succeeded", "ran 2", "succeeded",
    ]  # fmt: skip


def test_a_limit_that_is_set_at_exit_loses_no_job(children: Children) -> None:
    lines = children.run(
        """
        runner = BoundedRunner(1, on_status=heard)

        def grow():
            assert exiting.wait(10)
            runner.limit = 3

        note_exit()
        runner.submit(grow)
        for number in range(4):
            runner.submit(len, "abc")
        """
    )
    assert lines.count("len succeeded") == 4
    assert "len interrupted" not in lines


@pytest.mark.skipif(
    starts_no_late_threads(sys.version_info), reason="no thread can be started there"
)
def test_as_many_jobs_run_at_once_as_a_limit_allows_that_is_set_at_exit(children: Children) -> None:
    lines = children.run(
        """
        runner = BoundedRunner(1)
        barrier = threading.Barrier(3)

        def grow():
            assert exiting.wait(10)
            runner.limit = 3

        def meet():
            barrier.wait(10)
            say("met")

        note_exit()
        runner.submit(grow)
        for _ in range(3):
            runner.submit(meet)
        """
    )
    assert lines.count("met") == 3


def test_jobs_of_a_runner_that_is_paused_run_at_exit(children: Children) -> None:
    lines = children.run(
        """
        runner = BoundedRunner(1, on_status=heard)
        runner.submit(len, "abc").result(10)
        runner.pause()
        runner.submit(str, "abc")
        del runner
        """
    )
    assert lines[-2:] == ["str running", "str succeeded"]


def test_async_listeners_hear_of_what_runs_at_exit(children: Children) -> None:
    lines = children.run("""
        async def listener(event):
            await asyncio.sleep(0)
            say(event.status)

        runner = BoundedRunner(1, on_status=listener)
        runner.submit(until_exit)
        note_exit()
        """)
    assert lines == ["pending", "running", "holds 0", "ran 0", "succeeded"]


def test_async_listeners_that_are_first_needed_at_exit_hear(children: Children) -> None:
    lines = children.run("""
        async def listener(event):
            await asyncio.sleep(0)
            say(event.status)

        runner = BoundedRunner(1)
        runner.submit(until_exit)
        runner.wrap(until_exit, on_progress=listener)
        def reports():
            from boundedjobs import current_job
            current_job().report(1)
        runner.wrap(reports, on_progress=listener)()
        note_exit()
        """)
    assert lines == ["holds 0", "ran 0", "running"]


def test_jobs_of_a_runner_that_nobody_refers_to_any_more_run_at_exit(children: Children) -> None:
    lines = children.run("""
        import gc
        def start():
            runner = BoundedRunner(1)
            runner.submit(until_exit, 1)
            runner.submit(until_exit, 2)
        start()
        gc.collect()
        note_exit()
        """)
    assert lines == ["holds 1", "ran 1", "holds 2", "ran 2"]


def test_jobs_of_a_runner_that_was_shut_down_without_waiting_run_at_exit(
    children: Children,
) -> None:
    lines = children.run("""
        runner = BoundedRunner(1)
        runner.submit(until_exit, 1)
        runner.submit(until_exit, 2)
        runner.shutdown(wait=False)
        note_exit()
        """)
    assert lines == ["holds 1", "ran 1", "holds 2", "ran 2"]


@pytest.mark.parametrize(
    ("ending", "status"), [("sys.exit(3)", 3), ("raise KeyError('script')", 1)]
)
def test_jobs_run_at_exit_however_the_script_ends(
    children: Children, ending: str, status: int
) -> None:
    lines = children.run(
        f"""
        runner = BoundedRunner(1)
        runner.submit(until_exit, 1)
        runner.submit(until_exit, 2)
        note_exit()
        {ending}
        """,
        status,
    )
    assert lines == ["holds 1", "ran 1", "holds 2", "ran 2"]


def test_os_exit_waits_for_nothing(children: Children) -> None:
    lines = children.run(
        """
        runner = BoundedRunner(1)
        runner.submit(until_exit, 1)
        runner.submit(until_exit, 2)
        os._exit(4)
        """,
        4,
    )
    assert "ran 1" not in lines


def test_an_idle_runner_does_not_hold_up_exit(children: Children) -> None:
    child = children("""
        async def nothing(): pass
        runner = BoundedRunner(3, drain_timeout=60)
        for _ in range(3):
            runner.submit(print).result(10)
            runner.submit(nothing).result(10)
        say("end")
        """)
    child.expect("end")
    assert child.end() == 0
    assert child.seconds < 5
    assert not child.errors


def test_a_job_that_uses_the_default_executor_at_exit_can(children: Children) -> None:
    lines = children.run("""
        async def body():
            await until_exit_async()
            say(await asyncio.to_thread(lambda: "still there"))
        runner = BoundedRunner(1)
        runner.submit(body)
        note_exit()
        """)
    if sys.version_info[:3] not in ((3, 12, 0), (3, 12, 1)):  # no thread can be started there
        assert lines == ["ran 0", "still there"]


# The deadline at exit


def test_drain_timeout_is_the_deadline_of_interpreter_exit(children: Children) -> None:
    child = children("""
        runner = BoundedRunner(1, on_status=heard, drain_timeout=0.2)
        runner.wrap(hang, name="running")()
        runner.wrap(hang, name="waiting")()
        say("end")
        """)
    child.expect("end")
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines[-2:] == ["waiting interrupted", "running interrupted"]
    assert "passed its drain deadline, jobs interrupted: 'waiting' (" in child.errors


@pytest.mark.parametrize("body", ["hang", "hang_async", "lambda: hang_async()"])
def test_a_body_of_any_lane_that_hangs_is_interrupted_at_exit(
    children: Children, body: str
) -> None:
    child = children(f"""
        runner = BoundedRunner(1, on_status=lambda e: say(e.status), drain_timeout=0.2)
        runner.submit({body})
        """)
    child.expect("hangs")
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines[-1] == "interrupted"


def test_a_listener_that_hangs_when_a_time_is_up_does_not_hold_the_process(
    children: Children,
) -> None:
    child = children("""
        told = threading.Event()
        def listener(event):
            if event.status == "failed":
                told.set()
                threading.Event().wait()
        runner = BoundedRunner(1, on_status=listener, timeout=0.05, drain_timeout=0.2)
        runner.submit(hang)
        assert told.wait(10)
        """)
    child.expect("hangs")
    assert child.end() == 0
    assert child.seconds < 4


def test_a_coroutine_that_blocks_its_loop_does_not_hold_the_process(children: Children) -> None:
    child = children("""
        async def body():
            hang()
        runner = BoundedRunner(1, on_status=lambda e: say(e.status), drain_timeout=0.2)
        runner.submit(body)
        """)
    child.expect("hangs")
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines[-1] == "interrupted"


def test_a_coroutine_that_refuses_to_be_cancelled_does_not_hold_the_process(
    children: Children,
) -> None:
    child = children("""
        async def body():
            say("hangs")
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
        runner = BoundedRunner(1, on_status=lambda e: say(e.status), drain_timeout=0.2)
        runner.submit(body)
        """)
    child.expect("hangs")
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines[-1] == "interrupted"


@pytest.mark.parametrize("body", ["hang", "hang_async", "lambda: hang_async()"])
def test_the_time_of_a_body_that_starts_and_hangs_at_exit_is_up_when_it_is(
    children: Children, body: str
) -> None:
    child = children(f"""
        runner = BoundedRunner(1)
        runner.submit(until_exit)
        runner.wrap({body}, timeout=0.2, on_status=lambda e: say(e.status))()
        note_exit()
        """)
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines[-3:] == ["running", "hangs", "failed"]


def test_jobs_that_wait_for_their_time_to_start_run_at_exit(children: Children) -> None:
    child = children("""
        begun = threading.Event()
        runner = BoundedRunner(1, stagger=0.5)
        runner.submit(lambda: (begun.set(), until_exit(0)))
        assert begun.wait(10)
        runner.submit(until_exit, 1)
        note_exit()
        """)
    assert child.end() == 0
    assert [line for line in child.lines if line.startswith("ran")] == ["ran 0", "ran 1"]
    assert child.errors == ""  # the timer, which nothing needed before, is there


def test_an_infinite_drain_timeout_is_no_deadline_at_exit(children: Children) -> None:
    lines = children.run("""
        runner = BoundedRunner(1, drain_timeout=math.inf)
        runner.submit(until_exit, 1)
        runner.submit(until_exit, 2)
        note_exit()
        """)
    assert lines[-1] == "ran 2"


def test_the_deadlines_of_several_runners_pass_at_the_same_time(children: Children) -> None:
    child = children("""
        runners = [
            BoundedRunner(1, on_status=lambda e: say(e.status), drain_timeout=1) for _ in range(5)
        ]
        for runner in runners:
            runner.submit(hang)
        say("end")
        """)
    child.expect("end")
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines.count("interrupted") == 5


@pytest.mark.parametrize("closing", ["shutdown(timeout=0.1)", "shutdown(wait=False, timeout=0.1)"])
def test_a_process_that_has_passed_its_deadline_can_exit(children: Children, closing: str) -> None:
    child = children(f"""
        runner = BoundedRunner(2, on_status=lambda e: say(e.status))
        runner.submit(hang)
        runner.submit(hang_async)
        runner.{closing}
        """)
    assert child.end() == 0
    assert child.lines.count("interrupted") == 2


def test_a_listener_that_hangs_on_interrupted_does_not_hold_the_process(
    children: Children,
) -> None:
    child = children("""
        runner = BoundedRunner(1, on_status=lambda e: e.status == "interrupted" and hang())
        runner.submit(threading.Event().wait)
        runner.shutdown(timeout=0.1)
        say("end")
        """)
    child.expect("end")
    assert child.end() == 0
    assert "closed before listeners had heard all of" in child.errors


@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_a_listener_that_hangs_holds_the_process_no_longer_than_the_deadline(
    children: Children, status: str
) -> None:
    child = children(f"""
        runner = BoundedRunner(3, on_status=lambda e: e.status == "{status}" and hang())
        jobs = [runner.submit(int) for _ in range(3)]
        runner.shutdown(timeout=0.1)
        say("end")
        """)  # and no deadline at exit
    child.expect("end")
    assert child.end() == 0
    assert "closed before listeners had heard all of" in child.errors


def test_an_async_listener_that_hangs_holds_the_process_no_longer_than_the_deadline(
    children: Children,
) -> None:
    child = children("""
        async def listener(event):
            if event.status.is_final:
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
        runner = BoundedRunner(1, on_status=listener)
        runner.submit(int)
        runner.shutdown(timeout=0.1)
        say("end")
        """)
    child.expect("end")
    assert child.end() == 0
    assert "closed before listeners had heard all of" in child.errors


def test_a_callback_that_hangs_holds_the_process_no_longer_than_the_deadline(
    children: Children,
) -> None:
    child = children("""
        runner = BoundedRunner(1, drain_timeout=0.1)
        go = threading.Event()
        runner.submit(go.wait, 10).add_done_callback(lambda job: hang())
        go.set()
        """)
    child.expect("hangs")
    assert child.end() == 0
    assert child.seconds < 4


# Loops that are gone


@pytest.mark.parametrize("ending", ["", "loop.close()"])
def test_jobs_of_a_loop_that_nobody_runs_any_more_are_interrupted_at_exit(
    children: Children, ending: str
) -> None:
    lines = children.run(f"""
        loop = asyncio.new_event_loop()
        started = asyncio.Event()
        async def body():
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                say("cleaned up")
        runner = BoundedRunner(1, on_status=heard)
        async def main():
            global jobs
            jobs = [runner.submit(body), runner.submit(body)]
            await started.wait()
        loop.run_until_complete(main())
        {ending}
        """)
    assert lines.count("body interrupted") == 2
    assert lines.count("cleaned up") == 1


def test_a_job_that_waits_for_a_slot_and_for_a_loop_that_is_gone_is_interrupted_at_exit(
    children: Children,
) -> None:
    lines = children.run("""
        loop = asyncio.new_event_loop()
        runner = BoundedRunner(1, on_status=lambda e: e.status.is_final and heard(e))
        async def main():
            runner.submit(until_exit)
            runner.wrap(until_exit_async, name="waiting")()
        loop.run_until_complete(main())
        note_exit()
        """)
    assert lines == ["holds 0", "ran 0", "until_exit succeeded", "waiting interrupted"]


def test_an_async_job_and_an_async_listener_of_a_loop_that_nobody_runs_hold_up_no_exit(
    children: Children,
) -> None:
    lines = children.run("""
        async def listen(event):
            heard(event)
        runner = BoundedRunner(1, on_status=listen)
        loop = asyncio.new_event_loop()
        async def main():
            await runner.__aenter__()
            job = runner.submit(hang_async)
            while job.ran is None:
                await asyncio.sleep(0)
            job.add_done_callback(lambda job: say(job.status))
        loop.run_until_complete(main())
        """)
    assert lines[0] == "hang_async pending"
    assert lines[-1] == "interrupted"


# After exit has begun


def test_a_submit_from_an_atexit_handler_is_refused_in_the_standard_librarys_words(
    children: Children,
) -> None:
    lines = children.run("""
        runner = BoundedRunner(1, on_status=heard)
        def late():
            try:
                runner.submit(int)
            except RunnerClosed as exc:
                say(exc)
        atexit.register(late)
        """)
    assert lines == ["int rejected", INTERPRETER]


@pytest.mark.parametrize("before", ["", "BoundedRunner(1)"])
def test_a_runner_that_is_made_or_entered_in_an_atexit_handler_refuses_jobs(
    children: Children, before: str
) -> None:
    lines = children.run(f"""
        {before}
        def late():
            runner = BoundedRunner(1, on_status=heard)
            try:
                runner.submit(int)
            except RunnerClosed as exc:
                say(exc)
            with runner:
                try:
                    runner.submit(int)
                except RunnerClosed as exc:
                    say(exc)
        atexit.register(late)
        """)
    assert lines == ["int rejected", INTERPRETER] * 2


def test_boundedjobs_can_be_imported_and_used_for_the_first_time_in_an_atexit_handler(
    children: Children,
) -> None:
    lines = children.run("""
        import atexit
        modules = [name for name in sys.modules if name.partition(".")[0] == "boundedjobs"]
        for name in [*modules, "concurrent.futures.thread"]:
            sys.modules.pop(name, None)
        def late():
            from boundedjobs import BoundedRunner
            try:
                BoundedRunner(1).submit(int)
            except RuntimeError as exc:
                say(exc)
        atexit.register(late)
        """)
    assert lines == [INTERPRETER]


def test_a_thread_that_submits_after_the_script_has_ended_is_refused(children: Children) -> None:
    lines = children.run("""
        runner = BoundedRunner(1)
        def late():
            threading.main_thread().join()
            try:
                runner.submit(int)
            except RunnerClosed as exc:
                say(exc)
        threading.Thread(target=late).start()
        """)
    assert lines == [INTERPRETER]


def test_a_job_that_submits_another_at_exit_is_refused(children: Children) -> None:
    lines = children.run("""
        runner = BoundedRunner(2)
        closed = threading.Event()
        def outer():
            assert exiting.wait(10)
            while True:  # until the runner has heard of the exit as well
                try:
                    runner.submit(int)
                except RunnerClosed as exc:
                    say(exc)
                    return
        runner.submit(outer)
        note_exit()
        """)
    assert lines == [INTERPRETER]


# Ctrl-C


def test_ctrl_c_in_with_cancels_pending_jobs_and_waits_for_running_ones(
    children: Children,
) -> None:
    child = children("""
        cancelled = threading.Event()
        def body():
            say("runs")
            assert cancelled.wait(10)
            say("ran")
        with BoundedRunner(1, on_status=heard) as runner:
            runner.submit(body)
            runner.wrap(body, name="waiting")().add_done_callback(lambda job: cancelled.set())
            say_ready()
            threading.Event().wait()
        """)
    child.expect("runs", "ready")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert child.lines[-3:] == ["waiting cancelled", "ran", "body succeeded"]
    assert child.errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("body", ["hang", "hang_async", "lambda: hang_async()"])
def test_a_second_ctrl_c_leaves_with_at_once_and_running_jobs_are_interrupted(
    children: Children, body: str
) -> None:
    child = children(f"""
        with BoundedRunner(1, on_status=heard) as runner:
            runner.wrap({body}, name="running")()
            submit_waiting(runner)
            threading.Event().wait()
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    child.expect("waiting cancelled", "waits")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert child.seconds < 4
    assert "running interrupted" in child.lines


def test_ctrl_c_while_leaving_with_is_the_first(children: Children) -> None:
    child = children("""
        with BoundedRunner(1, on_status=heard) as runner:
            runner.submit(hang)
            submit_waiting(runner)
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    child.expect("waiting cancelled", "waits")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert "hang interrupted" in child.lines


@pytest.mark.parametrize("closing", ["shutdown()", "__exit__(None, None, None)"])
def test_one_ctrl_c_while_closing_goes_on_to_the_caller_when_running_jobs_have_ended(
    children: Children, closing: str
) -> None:
    child = children(f"""
        def until_cancelled():
            say("hangs")
            assert cancelled.wait(10)
        runner = BoundedRunner(1, on_status=heard)
        runner.submit(until_cancelled)
        submit_waiting(runner)
        try:
            runner.{closing}
        except KeyboardInterrupt:
            say("caught")
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    assert child.end() == 0
    assert child.lines[-3:] == ["waiting cancelled", "until_cancelled succeeded", "caught"]


def test_a_second_ctrl_c_leaves_at_once_though_a_listener_hangs(children: Children) -> None:
    child = children("""
        def listener(event):
            if event.status == "succeeded":
                hang()
        with BoundedRunner(1, on_status=listener) as runner:
            runner.wrap(int)()
            submit_waiting(runner)
            threading.Event().wait()
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    child.expect("waits")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert child.seconds < 4


def test_ctrl_c_while_shutdown_waits_cancels_pending_jobs_first(children: Children) -> None:
    child = children("""
        runner = BoundedRunner(1, on_status=heard)
        runner.submit(hang)
        submit_waiting(runner)
        runner.shutdown()
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    child.expect("waiting cancelled", "waits")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert "hang interrupted" in child.lines


def test_ctrl_c_in_a_script_without_with_ends_the_script_and_the_jobs_run(
    children: Children,
) -> None:
    child = children("""
        runner = BoundedRunner(1, on_status=heard)
        job = runner.submit(until_exit, 1)
        runner.submit(until_exit, 2)
        note_exit()
        say_ready()
        job.result()
        """)
    child.expect("holds 1", "ready")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert child.lines.count("until_exit succeeded") == 2


def test_ctrl_c_at_exit_cancels_pending_jobs_and_a_second_one_leaves_at_once(
    children: Children,
) -> None:
    child = children("""
        runner = BoundedRunner(1, on_status=heard)
        runner.submit(hang)
        submit_waiting(runner, after=exiting)
        note_exit()
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    child.expect("waiting cancelled", "waits")
    child.signal(signal.SIGINT)
    child.end()
    assert child.seconds < 4
    assert "hang interrupted" in child.lines


def test_ctrl_c_at_exit_is_heard_by_every_runner(children: Children) -> None:
    child = children("""
        runners = [BoundedRunner(1, name=str(number), on_status=heard) for number in range(3)]
        for runner in runners:
            runner.wrap(hang, name="running " + runner.name)()
            runner.wrap(int, name="waiting " + runner.name)()
        note_exit()
        threading.Thread(target=lambda: exiting.wait(10) and say("exiting")).start()
        """)
    child.expect("exiting")
    for _ in range(8):  # one for what is pending, one for what runs: of each runner, at the worst
        child.signal(signal.SIGINT)
        try:
            child.process.wait(0.5)
            break
        except subprocess.TimeoutExpired:
            continue
    child.end()
    for number in range(3):
        assert f"waiting {number} cancelled" in child.lines
        assert f"running {number} interrupted" in child.lines


ASYNC_SCRIPT = """
async def main():
    async with BoundedRunner(1, on_status=heard) as runner:
        job = runner.wrap({body}, name="running")()
        submit_waiting(runner)
        await asyncio.Event().wait()
def until_cancelled():
    say("hangs")
    assert cancelled.wait(10)
    say("ran")
asyncio.run(main())
"""


def test_ctrl_c_in_async_with_cancels_pending_jobs_and_waits_for_running_ones(
    children: Children,
) -> None:
    child = children(ASYNC_SCRIPT.format(body="until_cancelled"))
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert child.lines[-3:] == ["waiting cancelled", "ran", "running succeeded"]


@pytest.mark.parametrize("body", ["hang", "hang_async", "lambda: hang_async()"])
def test_a_second_ctrl_c_leaves_async_with_at_once_and_running_jobs_are_interrupted(
    children: Children, body: str
) -> None:
    child = children(ASYNC_SCRIPT.format(body=body))
    child.expect("hangs", "ready")
    child.signal(signal.SIGINT)
    child.expect("waiting cancelled", "waits")
    child.signal(signal.SIGINT)
    assert child.end() == -signal.SIGINT
    assert child.seconds < 4
    assert "running interrupted" in child.lines


# SIGTERM


def test_a_sigterm_handler_that_raises_system_exit_ends_with_in_good_order(
    children: Children,
) -> None:
    child = children("""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        cancelled = threading.Event()
        def body():
            say("runs")
            assert cancelled.wait(10)
            say("ran")
        with BoundedRunner(1, on_status=heard) as runner:
            job = runner.submit(body)
            runner.wrap(body, name="waiting")().add_done_callback(lambda job: cancelled.set())
            say_ready()
            job.result()
        """)
    child.expect("runs", "ready")
    child.signal(signal.SIGTERM)
    assert child.end() == 5
    assert child.lines[-3:] == ["waiting cancelled", "ran", "body succeeded"]


def test_a_sigterm_handler_may_shut_the_runner_down(children: Children) -> None:
    child = children("""
        runner = BoundedRunner(1, on_status=heard)
        def stop(*_):
            runner.shutdown(timeout=0.1)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        job = runner.submit(hang)
        runner.wrap(int, name="waiting")()
        say_ready()
        job.result()
        """)
    child.expect("hangs", "ready")
    child.signal(signal.SIGTERM)
    assert child.end() == 0
    assert child.seconds < 4
    assert child.lines[-2:] == ["waiting interrupted", "hang interrupted"]
