"""A deploy stops the server by SIGTERM, with jobs under way."""

from time import monotonic

import pytest

from tests.examples.conftest import Serve
from tests.examples.support import FINAL, Gate, Server, until


def one_running_and_three_waiting(server: Server) -> None:
    for number in range(4):
        server.create(f"Document {number}.")
    until(server.counts, lambda counts: counts == {"generating": 1, "pending": 3})


@pytest.mark.slow
def test_with_time_to_drain_every_accepted_job_completes(serve_gated: Serve, gate: Gate) -> None:
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_DRAIN_TIMEOUT="30")
    one_running_and_three_waiting(server)
    running = gate.next()

    server.terminate()
    until(server.log, lambda log: "Waiting for application shutdown" in log)
    gate.open()
    running.go()
    server.process.wait(20)

    assert server.stored_statuses() == ["completed"] * 4


@pytest.mark.slow
def test_without_time_to_drain_every_row_is_final_within_the_deadline_and_a_second(
    serve_gated: Serve, gate: Gate
) -> None:
    deadline = 1.0
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_DRAIN_TIMEOUT=str(deadline))
    one_running_and_three_waiting(server)
    gate.next()  # and it is never let through

    server.terminate()
    asked = monotonic()
    until(server.stored_statuses, lambda statuses: set(statuses) <= FINAL, deadline + 1)
    assert monotonic() - asked > deadline / 2, "the jobs had no time at all"

    assert server.stored_statuses() == ["interrupted"] * 4
    server.process.wait(5)  # the body that stands at the gate does not hold it


@pytest.mark.slow
def test_what_a_killed_process_left_open_is_marked_when_the_next_one_starts(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1")
    one_running_and_three_waiting(server)
    gate.next()
    server.process.kill()
    server.process.wait(5)
    assert server.stored_statuses() == ["generating", "pending", "pending", "pending"]

    after = serve_gated(CONTENT_LIMIT="1")

    assert after.counts() == {"interrupted": 4}
    job = after.client.get("/jobs").json()["jobs"][0]
    assert job["reason"] == "the server was stopped before this job had ended"
    # And each can be tried again.
    assert after.client.post(f"/jobs/{job['id']}/retry").status_code == 202
    gate.next().go()
    after.until_status(job["id"], "completed")
