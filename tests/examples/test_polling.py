"""`python -m examples.polling`: a job is started by one request and followed by others."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from boundedjobs import BoundedRunner, current_job
from examples import polling
from tests.examples.support import TIMEOUT, environment, until
from tests.gates import Gate


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "examples.polling", "--port", "0"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def address(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"running on (http://[\d.]+:\d+)", line):
            return found[1]
    raise AssertionError("the server ended without saying where it is")


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(polling.app) as client:
        yield client


def finished(client: TestClient, path: str) -> dict[str, Any]:
    return until(lambda: client.get(path).json(), lambda job: bool(job["finished"]))


@pytest.mark.slow
def test_a_job_is_accepted_and_can_be_polled_to_its_end(
    server: subprocess.Popen[str], address: str
) -> None:
    with httpx.Client(base_url=address, timeout=TIMEOUT, trust_env=False) as client:
        accepted = client.post("/jobs", params={"below": 200_000})
        assert accepted.status_code == 202
        assert accepted.headers["retry-after"] == "1"
        assert accepted.json()["finished"] is False
        path = accepted.headers["location"]
        assert path == f"/jobs/{accepted.json()['id']}"

        seen: list[dict[str, Any]] = []

        def look() -> dict[str, Any]:
            answer = client.get(path)
            assert answer.status_code == 200
            assert ("retry-after" in answer.headers) is not answer.json()["finished"]
            seen.append(answer.json())
            return seen[-1]

        last = until(look, lambda job: bool(job["finished"]))
        assert (last["status"], last["fraction"], last["failure"]) == ("succeeded", 1, None)
        assert last["message"] == "17,984 primes below 200,000"
        assert last["ran"] > 0
        # On its way it said how far it was.
        running = [job for job in seen if job["status"] == "running"]
        assert any(re.fullmatch(r"[\d,]+ primes so far", job["message"]) for job in running)
        fractions = [job["fraction"] for job in seen]
        assert fractions == sorted(fractions)
        # And it can be asked again.
        assert client.get(path).json() == last

    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=TIMEOUT)
    assert server.returncode in {0, -signal.SIGTERM}


def test_a_failure_is_said_in_a_line_without_its_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(below: int) -> None:
        current_job().report(0.25, "a quarter")
        raise OverflowError(f"{below} is too many")

    monkeypatch.setattr(polling, "count_primes", fails)
    job = finished(client, client.post("/jobs?below=7").headers["location"])
    assert (job["status"], job["failure"]) == ("failed", "OverflowError: 7 is too many")
    assert (job["fraction"], job["message"]) == (0.25, "a quarter")
    assert "Traceback" not in str(job)


def test_an_unknown_id_is_not_found(client: TestClient) -> None:
    answer = client.get("/jobs/nobody")
    detail = "no job has this id, or its record is not kept any more"
    assert (answer.status_code, answer.json()) == (404, {"detail": detail})


@pytest.mark.parametrize("below", ["2", "10000001", "many"])
def test_a_bad_number_is_refused(client: TestClient, below: str) -> None:
    assert client.post("/jobs", params={"below": below}).status_code == 422


def test_a_job_is_seen_while_it_waits_and_a_full_queue_answers_503(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    monkeypatch.setattr(polling, "count_primes", gate)
    client = TestClient(polling.app)
    with BoundedRunner(1, max_pending=1, history=1) as small:
        monkeypatch.setattr(polling, "runner", small)
        first = client.post("/jobs?below=7").headers["location"]
        gate.wait_for()
        second = client.post("/jobs?below=7").headers["location"]
        assert client.get(first).json()["status"] == "running"
        waiting = client.get(second).json()
        assert (waiting["status"], waiting["finished"]) == ("pending", False)
        assert (waiting["fraction"], waiting["message"], waiting["ran"]) == (0, "", None)

        refused = client.post("/jobs?below=7")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        gate.open()
    # Of two that have ended, one record is kept.
    assert client.get(first).status_code == 404
    assert client.get(second).json()["status"] == "succeeded"
