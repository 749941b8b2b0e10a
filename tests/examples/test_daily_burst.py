"""`python -m examples.daily_burst`: what it prints, its exit code, and the rows that it leaves."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from examples.content_app.app.database import create_tables, get_db_session
from examples.content_app.app.models import BURST
from examples.content_app.app.services.jobs.job_listeners import interrupt_open_rows
from examples.content_app.app.services.jobs.job_manager import JobManager
from tests.examples.conftest import Serve
from tests.examples.support import TIMEOUT, Gate, environment, until

pytestmark = pytest.mark.slow

GATED_BURST = Path(__file__).with_name("gated_burst.py")
TOO_LARGE = f"[a]: https://example.org/{'z' * 1500}\n\n" + "[a] " * 2000
"""A document that fails its job: the addresses of its links would blow the article up."""


@pytest.fixture
def burst(tmp_path: Path, gate: Gate) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a burst of some documents, its jobs held at `gate` or not."""
    with ExitStack() as stack:

        def start(
            *documents: str, gated: bool = True, stagger: float = 0.001, drain: float = 600
        ) -> subprocess.Popen[str]:
            proposals = tmp_path / "proposals.json"
            proposals.write_text(json.dumps([{"source": each} for each in documents]))
            process = subprocess.Popen(
                [
                    sys.executable,
                    *([str(GATED_BURST)] if gated else ["-m", "examples.daily_burst"]),
                    str(proposals),
                    f"--stagger={stagger}",
                ],
                cwd=tmp_path,
                env=environment(GATE_PORT=str(gate.port), CONTENT_DRAIN_TIMEOUT=str(drain)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield start


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """The exit code, the lines that were printed, and the errors."""
    output, errors = process.communicate(timeout=TIMEOUT)
    return process.returncode, output.splitlines(), errors


def rows(folder: Path, columns: str = "status") -> list[tuple[Any, ...]]:
    """Of all rows, the oldest first."""
    with closing(sqlite3.connect(folder / "content_app.db", timeout=TIMEOUT)) as database:
        return database.execute(f"SELECT {columns} FROM jobs ORDER BY created_at").fetchall()


def statuses(folder: Path) -> Counter[str]:
    return Counter(status for (status,) in rows(folder))


def script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.daily_burst", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


# ---- what it does --------------------------------------------------------------------------------


def test_the_sample_works_as_it_is(tmp_path: Path) -> None:
    done = script(tmp_path, "--stagger=0.001")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == f"5 proposals; database: {tmp_path / 'content_app.db'}"
    assert lines[-1] == "5 jobs: 5 completed"
    # One without a title has that of its first line.
    assert [title for (title,) in rows(tmp_path, "title")][1:3] == [
        "A short history of the lighthouse",
        "Bread for beginners",
    ]
    assert rows(tmp_path, "status, pack IS NULL") == [("completed", 0)] * 5


def test_two_run_at_a_time_and_the_next_when_one_of_them_has_ended(
    burst: Callable[..., subprocess.Popen[str]], gate: Gate, tmp_path: Path
) -> None:
    process = burst(*"abcd")
    first, second = gate.next(), gate.next()
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "pending": 2})
    assert gate.nobody_else()
    first.go()
    third = gate.next()
    for held in (second, third):
        held.go()
    gate.next().go()
    code, lines, errors = ended(process)
    assert (code, lines[-1], errors) == (0, "4 jobs: 4 completed", "")
    assert gate.peak == 2


def test_so_many_seconds_lie_between_two_starts(
    burst: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    code, lines, _ = ended(burst("a", "b", "c", gated=False, stagger=0.4))
    assert (code, lines[-1]) == (0, "3 jobs: 3 completed")
    starts = [datetime.fromisoformat(start) for (start,) in rows(tmp_path, "started_at")]
    # By the wall's clock, which may be set a little meanwhile.
    assert min((b - a).total_seconds() for a, b in pairwise(starts)) > 0.3


def test_a_job_that_fails_is_named_with_the_reason_and_the_exit_code_is_1(
    burst: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    code, lines, errors = ended(burst("# Good", f"# Bad\n\n{TOO_LARGE}", gated=False))
    assert code == 1
    assert lines[-2].startswith("Bad: failed: ")
    assert "DocumentTooComplex: the addresses of the document's links" in lines[-2]
    assert lines[-1] == "2 jobs: 1 completed, 1 failed"
    assert errors.count("Traceback (most recent call last):") == 1
    assert statuses(tmp_path) == {"completed": 1, "failed": 1}


def test_its_rows_are_on_the_page_and_a_server_leaves_them_alone(
    burst: Callable[..., subprocess.Popen[str]], gate: Gate, serve: Serve
) -> None:
    process = burst("# Of bees")
    held = gate.next()
    server = serve()  # and it starts by ending what servers have left open
    assert server.client.get("/jobs").json()["jobs"][0]["title"] == "Of bees"
    assert server.counts() == {"generating": 1}
    server.terminate()
    server.process.wait(TIMEOUT)
    held.go()
    assert ended(process)[0] == 0


def test_what_an_earlier_burst_has_left_open_is_interrupted(
    burst: Callable[..., subprocess.Popen[str]], gate: Gate, tmp_path: Path
) -> None:
    killed = burst("a", "b", "c")
    gate.next(), gate.next()
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "pending": 1})
    killed.kill()
    killed.communicate()

    assert ended(burst("d", gated=False))[0] == 0

    reason = "the burst was stopped before this job had ended"
    assert rows(tmp_path, "status, reason") == [("interrupted", reason)] * 3 + [("completed", None)]


def test_a_row_that_is_retried_by_the_server_is_the_servers_from_then_on(
    app_database: Path,
) -> None:
    create_tables()
    with get_db_session() as db:
        manager = JobManager(db)
        row = manager.create_job("# Of bees", title="Of bees", kind="markdown", owner=BURST)
        manager.cancel(row.id)
        manager.prepare_retry(row.id)
        assert interrupt_open_rows(BURST) == 0
        assert manager.get(row.id).status == "pending"
        assert interrupt_open_rows() == 1


# ---- being stopped -------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_once_what_runs_may_end_and_the_rest_is_cancelled(
    burst: Callable[..., subprocess.Popen[str]],
    gate: Gate,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    process = burst(*"abcd")
    running = gate.next(), gate.next()
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "pending": 2})
    process.send_signal(number)
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "cancelled": 2})
    for held in running:
        held.go()
    ended_with, lines, errors = ended(process)
    assert (ended_with, errors) == (code, "")
    assert "Stopping when what runs has ended; once more, and it is left." in lines
    assert lines[-3:] == [
        "c: cancelled: cancelled before it had ended",
        "d: cancelled: cancelled before it had ended",
        "4 jobs: 2 completed, 2 cancelled",
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_twice_it_leaves_at_once_and_what_ran_is_interrupted(
    burst: Callable[..., subprocess.Popen[str]],
    gate: Gate,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    process = burst(*"abc")
    gate.next(), gate.next()  # and they are never let through
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "pending": 1})
    process.send_signal(number)
    until(lambda: statuses(tmp_path), lambda seen: seen == {"generating": 2, "cancelled": 1})
    process.send_signal(number)
    ended_with, lines, errors = ended(process)
    assert ended_with == code
    assert lines[-1] == "3 jobs: 2 interrupted, 1 cancelled"
    assert "Traceback" not in errors
    assert statuses(tmp_path) == {"interrupted": 2, "cancelled": 1}


def test_stopped_once_with_no_time_to_drain_it_leaves_by_itself(
    burst: Callable[..., subprocess.Popen[str]], gate: Gate, tmp_path: Path
) -> None:
    process = burst("a", drain=0)
    gate.next()  # and it is never let through
    process.terminate()
    code, lines, _ = ended(process)
    assert (code, lines[-1]) == (143, "1 jobs: 1 interrupted")


# ---- what it refuses -----------------------------------------------------------------------------


def test_json_lines_are_taken_too(tmp_path: Path) -> None:
    lines = [
        {"source": "One.\u2028Still one.", "title": "  Its\n title "},
        {"source": "Two.", "kind": "text"},
    ]
    proposals = tmp_path / "proposals.jsonl"
    proposals.write_text(
        "\ufeff" + "\r\n\r\n".join(json.dumps(each, ensure_ascii=False) for each in lines),
        encoding="utf-8",
    )
    done = script(tmp_path, str(proposals), "--stagger=0.001")
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(tmp_path, "title, kind") == [("Its title", "markdown"), ("Two.", "text")]


@pytest.mark.parametrize("content", ["", " \n", "[]"])
def test_a_file_without_proposals_is_nothing_to_do(tmp_path: Path, content: str) -> None:
    proposals = tmp_path / "proposals.json"
    proposals.write_text(content)
    done = script(tmp_path, str(proposals))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Nothing to do: {proposals} has no proposals\n"
    assert not (tmp_path / "content_app.db").exists()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("[", "EOF while parsing a list at line 1 column 1"),
        (
            b'[{"source": "\xff"}]',
            "'utf-8' codec can't decode byte 0xff in position 13: invalid start byte",
        ),
        (
            '[{"source": "a"}, {"source": "", "kind": "html"}, 3, {"sauce": "a\\u0000"}]',
            "not all proposals are as they should be\n"
            "  proposal 2: source: String should have at least 1 character\n"
            "  proposal 2: kind: Input should be 'markdown' or 'text'\n"
            "  proposal 3: Input should be a valid dictionary or instance of Proposal\n"
            "  proposal 4: source: Field required\n"
            "  proposal 4: sauce: Extra inputs are not permitted",
        ),
        (
            '{"source": "a"}\n\n{"source": "a\\u0000"}\n{',
            "not all proposals are as they should be\n"
            "  line 3: source: Value error, must have no NUL\n"
            "  line 4: Invalid JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            json.dumps([{"source": "é" * 524_289}]),
            "not all proposals are as they should be\n"
            "  proposal 1: source: Value error, must have at most 1,048,576 bytes, got 1,048,578",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_all_that_is_wrong_and_leaves_nothing_behind(
    tmp_path: Path, content: str | bytes, wrong: str
) -> None:
    proposals = tmp_path / "proposals.json"
    proposals.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = script(tmp_path, str(proposals))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.partition("error: ")[2] == f"{proposals}: {wrong}\n"
    assert not (tmp_path / "content_app.db").exists()


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["missing.json"], "cannot read missing.json: No such file or directory"),
        (["."], "cannot read .: Is a directory"),
        (["--stagger=0"], "stagger must be more than 0 seconds, got 0.0"),
        (["--stagger=soon"], "argument --stagger: invalid float value: 'soon'"),
    ],
)
def test_a_bad_argument_is_a_clear_error(tmp_path: Path, arguments: list[str], wrong: str) -> None:
    done = script(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.partition("error: ")[2] == f"{wrong}\n"
