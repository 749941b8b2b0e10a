"""Jobs that wait hold no thread: of the server's, which all its sync routes share, or of anyone's."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from statistics import median
from time import monotonic

import pytest

from tests.examples.conftest import Serve
from tests.examples.support import TIMEOUT, Gate, Server, until

TWO_WORKERS_AND_A_TIMER = ["content-0", "content-1", "content-timer"]


def post_many(server: Server, count: int) -> None:
    """Post so many documents, over sixteen connections at a time."""

    def post(numbers: range) -> set[int]:
        statuses = set()
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)) as connection:
            for number in numbers:
                connection.request(
                    "POST",
                    "/jobs/create",
                    f"Document {number}.",
                    {"Content-Type": "text/plain"},
                )
                answer = connection.getresponse()
                answer.read()
                statuses.add(answer.status)
        return statuses

    with ThreadPoolExecutor(16) as pool:
        seen = set().union(*pool.map(post, (range(n, count, 16) for n in range(16))))
    assert seen == {201}


def seconds_to_answer(server: Server) -> float:
    times = []
    for _ in range(20):
        start = monotonic()
        assert server.client.get("/health").status_code == 200
        times.append(monotonic() - start)
    return median(times)


def threads_for_jobs(server: Server) -> list[str]:
    """The names of the threads that are neither the main one nor those of the sync routes."""
    names = server.client.get("/test/threads").json()
    return sorted(name for name in names if name != "MainThread" and not name.startswith("AnyIO"))


@pytest.mark.slow
def test_an_unrelated_sync_route_answers_as_when_idle_while_200_jobs_wait(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_STUCK_AFTER="inf")
    idle = seconds_to_answer(server)

    post_many(server, 202)
    running = [gate.next(), gate.next()]
    until(server.counts, lambda counts: counts == {"generating": 2, "pending": 200})
    busy = seconds_to_answer(server)
    # All of them have waited throughout.
    assert server.counts() == {"generating": 2, "pending": 200}

    # The old pattern takes 20 s here. The factor is for a machine that does other things as well.
    assert busy < max(10 * idle, 0.5)
    assert threads_for_jobs(server) == TWO_WORKERS_AND_A_TIMER

    gate.open()
    for held in running:
        held.go()
    until(server.counts, lambda counts: counts == {"completed": 202})
    assert gate.peak == 2


@pytest.mark.slow
def test_of_five_hundred_jobs_at_once_two_run_and_there_is_no_thread_more(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_DRAIN_TIMEOUT="0", CONTENT_STUCK_AFTER="inf")

    post_many(server, 500)
    running = [gate.next(), gate.next()]
    until(server.counts, lambda counts: counts == {"generating": 2, "pending": 498})

    assert gate.nobody_else()
    assert gate.peak == 2
    assert threads_for_jobs(server) == TWO_WORKERS_AND_A_TIMER

    # One leaves, one comes: no more, and no fewer.
    running.pop().go()
    running.append(gate.next())
    until(server.counts, lambda counts: counts["generating"] == 2 and counts["completed"] == 1)
    assert gate.nobody_else()
    assert gate.peak == 2
