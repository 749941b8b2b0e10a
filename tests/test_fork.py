"""Forks: the child has an empty, usable runner, and the parent's jobs stay the parent's.

Each test runs a script, since a process with threads that forks is warned about by Python 3.12.
"""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PRELUDE = """
import asyncio, concurrent.futures, gc, logging, multiprocessing, os, signal, sys, threading
import traceback, warnings, weakref
from boundedjobs import BoundedRunner, JobInterrupted, JobStatus, RunnerClosed, current_job

warnings.simplefilter("ignore", DeprecationWarning)  # fork() where there are threads
logging.basicConfig(level=logging.WARNING, format="log: %(message)s")

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def fork(in_child):
    '''Run `in_child` in a forked process; check that it ends, and ends well.'''
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(10)  # ends what hangs
        try:
            in_child()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"the child ended with {status}"

PARENT = os.getpid()
go = threading.Event()
started = threading.Semaphore(0)

def held(number=0):
    started.release()
    assert go.wait(10)
    return number

async def held_async(number=0):
    started.release()
    async with asyncio.timeout(10):
        while not go.is_set():
            await asyncio.sleep(0.01)
    return number

def until_started(count):
    for _ in range(count):
        assert started.acquire(timeout=10)

async def double(number):
    await asyncio.sleep(0)
    return 2 * number

def is_usable(runner):
    '''As many bodies as the limit meet, and a few more run.'''
    barrier = threading.Barrier(runner.limit)
    jobs = [runner.submit(barrier.wait, 10) for _ in range(runner.limit)]
    jobs += [runner.submit(double, 1)]
    for job in jobs:
        job.result(10)
"""


def run(script: str) -> list[str]:
    """Run a script to its end; the lines that it and its children printed."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + dedent(script)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def test_a_child_has_an_empty_usable_runner_whatever_the_parents_does() -> None:
    run("""
        runner = BoundedRunner(2, max_pending=3)
        jobs = [runner.submit(held, number) for number in range(5)]
        until_started(2)
        fork(lambda: is_usable(runner))
        go.set()
        assert [job.result(10) for job in jobs] == [0, 1, 2, 3, 4]
        """)


def test_in_the_child_a_job_that_had_ended_keeps_its_end_though_its_body_still_runs() -> None:
    run("""
        runner = BoundedRunner(1)
        job = runner.submit(held)
        until_started(1)
        runner.shutdown(timeout=0)

        def in_child():
            assert job.failure.phase == "drain"

        fork(in_child)
        go.set()
        """)


def test_in_the_child_the_parents_jobs_are_interrupted() -> None:
    run("""
        runner = BoundedRunner(2)
        jobs = [runner.submit(held), runner.submit(held_async), runner.submit(held)]
        until_started(2)

        def in_child():
            for job in jobs:
                assert job.status is JobStatus.INTERRUPTED
                assert job.done()
                assert not job.cancel()
                assert job.failure.phase == "fork"
                assert job.failure.message == "the process was forked: the job is its parent's"
                try:
                    job.result()
                except JobInterrupted as exc:
                    assert str(exc) == job.failure.message
                else:
                    raise AssertionError("it has a result")
            called = []
            jobs[0].add_done_callback(called.append)
            assert called == [jobs[0]]
            assert concurrent.futures.wait(jobs).done == set(jobs)

            async def wait():
                for job in jobs:
                    await job

            try:
                asyncio.run(wait())
            except JobInterrupted:
                pass
            else:
                raise AssertionError("it has a result")

        fork(in_child)
        go.set()
        for job in jobs:
            job.result(10)
        """)


def test_in_the_child_the_parents_jobs_wait_and_run_no_longer() -> None:
    run("""
        runner = BoundedRunner(1)
        ran, waited = runner.submit(held), runner.submit(held)
        until_started(1)

        def in_child():
            assert 0 < ran.ran == ran.ran
            assert 0 < waited.waited == waited.waited

        fork(in_child)
        go.set()
        """)


def test_in_the_child_the_parents_jobs_hold_no_callable() -> None:
    run("""
        class Body:
            def __call__(self):
                return "run in the parent"

        runner = BoundedRunner(1)
        runner.submit(held)
        until_started(1)
        job = runner.submit(Body())
        (body,) = [each for each in gc.get_objects() if isinstance(each, Body)]
        alive = weakref.ref(body)
        del body

        def in_child():
            assert job.done()
            assert alive() is None

        assert alive() is not None
        fork(in_child)
        go.set()
        assert job.result(10) == "run in the parent"
        """)


def test_in_the_child_the_parents_jobs_are_interrupted_without_a_word() -> None:
    lines = run("""
        def heard(event):
            if event.status.is_final:
                say("parent" if os.getpid() == PARENT else "child", event.status)

        runner = BoundedRunner(1, on_status=heard)
        jobs = [runner.submit(held), runner.submit(held)]
        jobs[0].add_done_callback(lambda job: say("callback", os.getpid() == PARENT))
        until_started(1)
        fork(lambda: None)
        go.set()
        runner.shutdown()
        """)
    assert lines == ["parent succeeded", "callback True", "parent succeeded"]


def test_the_child_has_seen_nothing_yet_and_the_parent_has_what_it_had() -> None:
    run("""
        runner = BoundedRunner(1, history=7)
        ended = runner.submit(len, "abc")
        ended.result(10)
        job = runner.submit(held)
        until_started(1)

        def in_child():
            seen = runner.snapshot()
            assert (seen.succeeded, seen.interrupted, seen.ran, seen.jobs) == (0, 0, 0.0, ())
            assert runner.get(ended.id) is None
            own = runner.submit(len, "abc")
            assert own.result(10) == 3
            assert runner.get(own.id) == own.record()
            assert runner.snapshot().succeeded == 1

        fork(in_child)
        go.set()
        job.result(10)
        assert runner.get(ended.id) == ended.record()
        assert runner.snapshot().succeeded == 2
        """)


def test_a_child_that_ends_as_scripts_do_drains_its_own_jobs_alone() -> None:
    lines = run("""
        runner = BoundedRunner(1)
        job = runner.submit(held)
        until_started(1)
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            for number in range(3):
                runner.submit(say, "child", number)
            sys.exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        go.set()
        job.result(10)
        """)
    assert lines == ["child 0", "child 1", "child 2"]


def test_leaving_with_in_the_child_does_not_wait_for_the_parents_jobs() -> None:
    lines = run("""
        child = False
        with BoundedRunner(1) as runner:
            job = runner.submit(held)
            until_started(1)
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                child = True
                runner.submit(say, "child")
            else:
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                go.set()
        say("left", child, job.status)
        """)
    assert lines == ["child", "left True interrupted", "left False succeeded"]


def test_a_child_of_a_loop_that_entered_the_runner_is_not_at_home_there() -> None:
    run("""
        async def main():
            async with BoundedRunner(1) as runner:
                job = runner.submit(held_async)
                await asyncio.sleep(0)
                fork(lambda: is_usable(runner))
                go.set()
                await job

        asyncio.run(main())
        """)


def test_a_closed_runner_is_closed_in_the_child_and_can_be_entered_there() -> None:
    run("""
        runner = BoundedRunner(1)
        runner.submit(held)
        until_started(1)
        runner.shutdown(wait=False)

        def in_child():
            try:
                runner.submit(held)
            except RunnerClosed:
                pass
            else:
                raise AssertionError("it is open")
            with runner:
                is_usable(runner)

        fork(in_child)
        go.set()
        """)


def test_ids_differ_between_a_parent_and_its_children() -> None:
    lines = run("""
        runner = BoundedRunner(1)
        for _ in range(2):
            fork(lambda: [say(runner.submit(int).id) for _ in range(5)])
        for _ in range(5):
            say(runner.submit(int).id)
        """)
    assert len(lines) == len(set(lines)) == 15


def test_a_runner_made_before_the_workers_of_a_server_are_forked_serves_each_of_them() -> None:
    lines = run("""
        runner = BoundedRunner(2, on_status=lambda event: say(event.status))
        runner.submit(int).result(10)  # at import, say: it has a thread that no child has
        say("preloaded")

        async def serve():
            async with runner:
                assert await runner.submit(abs, -1) == 1
                assert await runner.submit(double, 1) == 2

        for _ in range(2):
            fork(lambda: asyncio.run(serve()))
        say("served")
        runner.submit(int).result(10)
        """)
    steps = ["pending", "running", "succeeded"]
    assert lines == [*steps, "preloaded", *steps * 4, "served", *steps]


def test_workers_that_a_server_forks_while_it_has_a_job_running_serve_and_drain_on_sigterm() -> (
    None
):
    lines = run("""
        import socket

        who = "server"
        runner = BoundedRunner(
            9, drain_timeout=10, on_status=lambda event: say(who, event.name, event.status)
        )
        job = runner.submit(held)  # as one that an app submits when it is loaded before the fork
        until_started(1)
        listening = socket.create_server(("127.0.0.1", 0))

        async def handle(reader, writer):
            answer = await runner.submit(double, int(await reader.readline()))
            runner.submit(held)  # goes on when its request has been answered
            writer.write(b"%d" % answer)
            writer.close()

        async def serve():
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            async with runner:
                async with await asyncio.start_server(handle, sock=listening):
                    os.write(up, b".")
                    await stop.wait()
                go.set()

        def work():
            global who
            who = "worker"
            signal.alarm(20)
            status = 1
            try:
                asyncio.run(serve())
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

        are_up, up = os.pipe()
        workers = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                work()
            workers.append(pid)
        for _ in workers:
            assert os.read(are_up, 1) == b"."
        for number in range(4):
            with socket.create_connection(listening.getsockname(), 10) as request:
                request.sendall(b"%d\\n" % number)
                assert request.recv(9) == b"%d" % (2 * number)
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        for pid in workers:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not job.done()  # nobody has ended it from next door
        go.set()
        job.result(10)
        """)
    steps = ["pending", "running", "succeeded"]
    of_server = [line for line in lines if line.startswith("server")]
    assert of_server == [f"server held {step}" for step in steps]
    of_workers = sorted(line for line in lines if not line.startswith("server"))
    expected = [f"worker {name} {step}" for name in ("double", "held") for step in steps]
    assert of_workers == sorted(4 * expected)


def test_processes_of_multiprocessing_that_are_forked_run_what_they_accept() -> None:
    lines = run("""
        runner = BoundedRunner(1)
        job = runner.submit(held)
        until_started(1)

        def work():
            signal.alarm(10)
            for number in range(3):
                runner.submit(say, number)

        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(10)
        assert process.exitcode == 0, process.exitcode
        go.set()
        job.result(10)
        """)
    assert lines == ["0", "1", "2"]


def test_a_job_may_fork_and_its_child_may_use_the_runner() -> None:
    run("""
        runner = BoundedRunner(2)

        def body():
            fork(lambda: is_usable(runner))
            return "forked"

        assert runner.submit(body).result(20) == "forked"
        """)


def test_a_listener_may_fork_and_its_child_may_use_the_runner() -> None:
    run("""
        once = [True]

        def listener(event):
            if event.status is JobStatus.RUNNING and once:
                once.clear()
                fork(lambda: is_usable(runner))

        runner = BoundedRunner(2, on_status=listener)
        runner.submit(int).result(20)
        """)


def test_a_runner_that_is_dropped_in_the_child_goes_without_waiting_for_the_parents_threads() -> (
    None
):
    run("""
        runners = [BoundedRunner(1)]
        job = runners[0].submit(held)
        until_started(1)
        runners[0].submit(double, 1)

        def in_child():
            global job
            runners.clear()
            job = None
            gc.collect()

        fork(in_child)
        go.set()
        job.result(10)
        """)


def test_a_fork_while_another_thread_is_importing_what_async_jobs_need_leaves_a_usable_runner() -> (
    None
):
    run("""
        importing, forked = threading.Event(), threading.Event()

        class Slow:
            '''An import that takes its time.'''

            def find_spec(self, name, path=None, target=None):
                if name == "boundedjobs._lanes._loops" and not importing.is_set():
                    importing.set()
                    forked.wait(0.5)  # a fork that waits for the import waits that long

        sys.meta_path.insert(0, Slow())
        runner = BoundedRunner(2)
        submitting = threading.Thread(target=runner.submit, args=(double, 1))
        submitting.start()
        assert importing.wait(10)
        try:
            fork(lambda: is_usable(runner))
        finally:
            forked.set()
            submitting.join(10)
        """)


@pytest.mark.slow
def test_a_thread_of_the_child_may_be_the_first_to_need_an_event_loop() -> None:
    run("""
        runner, results = BoundedRunner(1), []
        def in_child():
            thread = threading.Thread(
                target=lambda: results.append(runner.submit(double, 1).result(5)), daemon=True
            )
            thread.start()
            thread.join(10)
            assert results == [2]
        fork(in_child)
        runner.shutdown()
        """)


def test_forks_while_other_threads_hammer_the_runner_leave_every_child_a_usable_one() -> None:
    run("""
        runner = BoundedRunner(2, on_status=lambda event: None)
        stop = threading.Event()
        counts = []

        def hammer():
            count = 0
            while not stop.is_set():
                jobs = [runner.submit(abs, -1), runner.submit(double, 1)]
                jobs[1].add_done_callback(lambda job: None)
                jobs.append(runner.submit(abs, -1))
                jobs[2].cancel()
                concurrent.futures.wait(jobs, 10)
                assert jobs[0].result(10) == 1
                count += 1
            counts.append(count)

        hammers = [threading.Thread(target=hammer) for _ in range(3)]
        for thread in hammers:
            thread.start()
        for _ in range(25):
            fork(lambda: is_usable(runner))
        stop.set()
        for thread in hammers:
            thread.join(10)
        assert len(counts) == 3
        runner.shutdown()
        """)


def test_the_child_of_a_paused_runner_is_not_paused_and_the_limit_is_as_it_was_set() -> None:
    lines = run(
        """
        runner = BoundedRunner(1)
        runner.limit = 3
        runner.pause()
        job = runner.submit(len, "abc")
        fork(lambda: (say("limit", runner.limit), is_usable(runner), say("child done")))
        say(job.status)
        runner.resume()
        say(job.result(10))
        """
    )
    assert [line for line in lines if not line.startswith("log: ")] == [
        "limit 3",
        "child done",
        "pending",
        "3",
    ]


def test_the_timer_starts_anew_in_the_child() -> None:
    lines = run("""
        runner = BoundedRunner(1, timeout=60)
        runner.submit(held)
        until_started(1)

        def in_child():
            job = runner.wrap(go.wait, timeout=0.05)(10)
            say(type(job.exception(10)).__name__)
            go.set()
            runner.shutdown()

        fork(in_child)
        go.set()
        runner.shutdown()
        """)
    assert lines[0] == "JobTimeout"


def test_starts_are_spaced_in_the_child_too() -> None:
    lines = run("""
        runner = BoundedRunner(2, stagger=0.2)
        runner.submit(held)
        until_started(1)
        runner.submit(held)

        def in_child():
            first, second = runner.submit(int), runner.submit(int)
            second.result(10)
            apart = (second.submitted_at - first.submitted_at).total_seconds()
            say(apart + second.waited - first.waited > 0.19)  # by two clocks
            runner.shutdown()

        fork(in_child)
        go.set()
        runner.shutdown()
        """)
    assert lines == ["True"]
