"""`python -m examples.cluster`: a real scheduler, real workers, and how all of it ends."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from boundedjobs import BoundedRunner
from examples.content_app.app.database import create_tables, get_db_session
from examples.content_app.app.services.jobs.job_manager import JobManager
from tests.examples.support import ROOT, TIMEOUT, Gate, environment, until

pytest.importorskip("distributed")
import psutil  # a requirement of Dask's

from examples import cluster

GATED_CLUSTER = Path(__file__).with_name("gated_cluster.py")
PATIENCE = 60.0
"""Seconds that a cluster may take to be there, or to be gone."""

pytestmark = [pytest.mark.proof, pytest.mark.timeout(240)]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, gate: Gate) -> Iterator[Start]:
    """Starts the example with some documents, its bodies held at `gate` or not."""
    with ExitStack() as stack:

        def start(
            *documents: str, options: tuple[str, ...] = (), gated: bool = True
        ) -> subprocess.Popen[str]:
            file = tmp_path / "proposals.json"
            file.write_text(json.dumps([{"source": each} for each in documents]))
            process = subprocess.Popen(
                [
                    sys.executable,
                    *([str(GATED_CLUSTER)] if gated else ["-m", "examples.cluster"]),
                    *(str(file), *options),
                ],
                cwd=tmp_path,
                env=environment(GATE_PORT=str(gate.port), CONTENT_DRAIN_TIMEOUT="600"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
            stack.callback(process.communicate, timeout=TIMEOUT)
            return process

        try:
            yield start
        finally:  # also of what an example that is gone has left behind
            for each in started(gate):
                each.kill()


def started(gate: Gate) -> list[psutil.Process]:
    """Every process of the examples of this test, with all that they have started."""
    found = []
    for each in psutil.process_iter():
        with suppress(psutil.Error):  # it has just ended, or is another user's
            if each.environ().get("GATE_PORT") == str(gate.port):
                found.append(each)
    return found


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """The exit code, the lines that were printed, and the errors."""
    output, errors = process.communicate(timeout=2 * PATIENCE)
    return process.returncode, output.splitlines(), errors


def rows(folder: Path, columns: str) -> list[tuple[Any, ...]]:
    """Of all rows, the oldest first; none if there is no table yet."""
    with closing(sqlite3.connect(folder / "content_app.db", timeout=TIMEOUT)) as database:
        return database.execute(f"SELECT {columns} FROM jobs ORDER BY created_at").fetchall()


def statuses(folder: Path) -> Counter[str]:
    return Counter(status for (status,) in rows(folder, "status"))


def test_a_worker_is_killed_and_every_job_is_accounted_for(
    start: Start, gate: Gate, tmp_path: Path
) -> None:
    process = start(*"abcde", options=("--kill",))
    first, second = gate.next(PATIENCE), gate.next()
    # The workers have room for four.
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "pending": 3})
    workers = {each.pid for each in started(gate) if "worker" in each.cmdline()}
    assert len(workers) == 2
    first.report(0.25, "at the gate")
    until(
        lambda: rows(tmp_path, "percent, stage"), lambda seen: seen.count((25, "at the gate")) == 1
    )
    assert gate.nobody_else()
    assert gate.peak == 2
    first.go()
    assert process.stdout is not None
    killed = next(line for line in process.stdout if line.startswith("Killed worker"))
    pid = int(killed.split()[4].rstrip(":"))
    assert pid in workers
    gate.open()
    second.go()
    code, lines, _ = ended(process)

    end_of = dict(rows(tmp_path, "id, status"))
    expected = {}
    for held in (first, second):
        row_id, where = held.row_id.split()
        assert int(where) in workers
        expected[row_id] = "completed" if held is first or int(where) != pid else "failed"
    assert {row_id: end_of[row_id] for row_id in expected} == expected
    counts = Counter(end_of.values())
    assert set(counts) == {"completed", "failed"}
    assert counts["failed"] <= 2
    lost = "'boundedjobs.errors.WorkerLost: a worker process died%'"
    found = rows(tmp_path, f"status, pack IS NULL, reason LIKE {lost}")
    assert set(found) == {("completed", 0, None), ("failed", 1, 1)}
    # Which of them is counted first depends on which of them was lost.
    assert set(lines[-1].removeprefix("5 jobs: ").split(", ")) == {
        f"{counts['completed']} completed",
        f"{counts['failed']} failed",
    }
    assert sum("WorkerLost" in line for line in lines) == counts["failed"]
    assert code == 1


def test_at_a_ctrl_c_what_runs_may_end_and_no_process_is_left(
    start: Start, gate: Gate, tmp_path: Path
) -> None:
    process = start(*"abcd")
    held = gate.next(PATIENCE), gate.next()
    assert len(started(gate)) == 4
    os.killpg(process.pid, signal.SIGINT)  # to all of the group, as a terminal does
    until(lambda: statuses(tmp_path), lambda seen: seen["cancelled"] == 2)
    for each in held:
        each.go()
    code, lines, _ = ended(process)
    assert (code, lines[-1]) == (128 + signal.SIGINT, "4 jobs: 2 completed, 2 cancelled")
    assert started(gate) == []


def test_stopped_while_the_cluster_comes_up_it_leaves_no_process(start: Start, gate: Gate) -> None:
    process = start("a")
    until(lambda: started(gate), lambda seen: len(seen) > 2, PATIENCE)
    process.terminate()
    code, lines, _ = ended(process)
    assert (code, lines) == (128 + signal.SIGTERM, [])
    assert started(gate) == []


def test_a_cluster_that_is_there_is_used_and_left_there(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    too_large = f"# Bad\n\n[a]: https://example.org/{'z' * 1500}\n\n" + "[a] " * 2000
    with cluster.cluster() as (address, workers):
        process = start("# Good", too_large, options=("--scheduler", address), gated=False)
        code, lines, _ = ended(process)
        assert code == 1
        assert lines[0] == f"Scheduler: {address}; database: {tmp_path / 'content_app.db'}"
        assert lines[-2].startswith("Bad: failed: ")
        assert "DocumentTooComplex: the addresses of the document's links" in lines[-2]
        assert lines[-1] == "2 jobs: 1 completed, 1 failed"
        assert [each.poll() for each in workers.values()] == [None, None]
        host, port = address.removeprefix("tcp://").split(":")
        socket.create_connection((host, int(port)), timeout=TIMEOUT).close()


def test_a_row_is_completed_when_its_pack_is_stored(app_database: Path) -> None:
    create_tables()
    with get_db_session() as db:
        row_id = JobManager(db).create_job("a", title="a", kind="text").id
    with BoundedRunner(1, on_status=cluster.record) as runner:
        job = runner.submit(cluster.make, row_id, "a", "text")
        job.result(TIMEOUT)
        found = "status, pack IS NULL"
        assert rows(app_database.parent, found) == [("generating", 1)]
        cluster.store(job)
    assert rows(app_database.parent, found) == [("completed", 0)]
