"""`GET /health`: what it says of the runner, and what it does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from examples.content_app.app.api.content.jobs_routes import runner
from examples.content_app.app.main import create_app
from tests.examples.conftest import Serve
from tests.examples.support import FINAL, Gate, Server, until


@pytest.fixture
def client(app_database: Path) -> Iterator[TestClient]:
    with TestClient(create_app()) as client:
        yield client


def health(server: Server) -> tuple[int, str, list[str]]:
    answer = server.client.get("/health")
    return answer.status_code, answer.json()["status"], answer.json()["reasons"]


OK: tuple[int, str, list[str]] = (200, "ok", [])


def test_an_idle_runner_is_ok_and_its_figures_are_given(client: TestClient) -> None:
    before = client.get("/health").json()["runner"]
    job_id = client.post("/jobs/create", content="# Of bees").json()["id"]
    until(lambda: client.get(f"/jobs/{job_id}").json(), lambda job: job["status"] in FINAL)
    until(lambda: client.get("/health").json()["runner"]["running"], lambda running: running == 0)

    answer = client.get("/health")

    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["reasons"]) == ("ok", [])
    figures = body["runner"]
    assert figures["succeeded"] == before["succeeded"] + 1
    assert figures["ran"] > before["ran"]
    assert figures.keys() == {
        *("name", "state", "limit", "max_pending", "running", "pending", "overdue"),
        *("succeeded", "failed", "cancelled", "interrupted", "rejected"),
        *("listener_errors", "waited", "ran"),
    }
    assert (figures["name"], figures["state"], figures["limit"]) == ("content", "open", 2)


def test_a_paused_runner_is_degraded(client: TestClient) -> None:
    runner.pause()
    answer = client.get("/health")
    runner.resume()
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["reasons"] == ["the runner is paused: what is posted waits"]
    assert client.get("/health").json()["status"] == "ok"


def test_a_closed_runner_is_down(app_database: Path) -> None:
    app = create_app()
    with TestClient(app):
        pass
    answer = TestClient(app).get("/health")  # without its lifespan: the runner stays closed
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["reasons"] == ["the runner is closed"]


@pytest.mark.slow
def test_a_job_that_takes_long_and_a_full_queue_are_degraded(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_MAX_PENDING="1", CONTENT_STUCK_AFTER="0.2")
    assert health(server) == OK
    server.create("# First")
    first = gate.next()
    long = "running for 0.2 s or longer: 1"
    until(lambda: health(server), lambda seen: seen == (200, "degraded", [long]))
    server.create("# Second")
    full = "the queue is full: what is posted is rejected"
    until(lambda: health(server), lambda seen: seen == (200, "degraded", [long, full]))
    first.go()
    gate.next().go()
    until(lambda: health(server), lambda seen: seen == OK)


@pytest.mark.slow
def test_it_is_down_while_bodies_that_are_overdue_hold_every_slot(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="2", CONTENT_TIMEOUT="0.3")
    ids = [server.create("# First"), server.create("# Second")]
    held = {body.row_id: body for body in (gate.next(), gate.next())}
    for job_id in ids:
        job = server.until_status(job_id, "failed")
        assert job["reason"].endswith("ran longer than its timeout of 0.3 s")
    all_held = "every slot is held by a body that goes on after its job has ended"
    overdue = "overdue: 2 of 2 slots"
    until(lambda: health(server), lambda seen: seen == (503, "down", [all_held, overdue]))

    held[ids[0]].go()
    until(lambda: health(server), lambda seen: seen == (200, "degraded", ["overdue: 1 of 2 slots"]))
    held[ids[1]].go()
    until(lambda: health(server), lambda seen: seen == OK)
    # What they made came too late.
    assert [server.job(job_id)["status"] for job_id in ids] == ["failed", "failed"]


@pytest.mark.slow
def test_it_says_nothing_of_what_jobs_were_given_or_have_said(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_STUCK_AFTER="0.1")

    def said() -> str:
        return str(server.client.get("/health").text)

    failed = server.create("# A secret")
    gate.next().fail("a secret")
    server.until_status(failed, "failed")
    running = server.create("# A secret")
    held = gate.next()
    held.report(0.5, "a secret")
    until(lambda: server.job(running), lambda job: job["percent"] == 50)
    waiting = server.create("# A secret")
    until(said, lambda text: '"pending":1' in text and '"degraded"' in text)

    text = said()
    for private in ("secret", failed, running, waiting, "Traceback", "gated_server"):
        assert private not in text
    held.go()
    gate.next().go()
