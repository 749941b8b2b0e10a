"""`python -m examples.content_app`: what it prints, and what it says when it cannot start."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import Serve
from tests.examples.support import TIMEOUT, environment


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.content_app", *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.slow
def test_it_prints_its_address_and_where_its_database_is(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    assert server.announcement.startswith("Content app: http://127.0.0.1:")
    assert server.port != 0
    assert server.client.get("/").status_code == 200
    assert server.client.get("/health").status_code == 200
    assert server.next_line() == f"Database:    {tmp_path / 'content_app.db'}\n"
    assert (tmp_path / "content_app.db").exists()


@pytest.mark.slow
def test_ctrl_c_ends_it_without_a_traceback(serve: Serve) -> None:
    server = serve()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(TIMEOUT) == 0
    assert "Application shutdown complete" in server.log()
    assert "Traceback" not in server.log()


@pytest.mark.slow
def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(tmp_path, "--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Choose another with --port; 0 takes any that is free.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CONTENT_LIMIT", "0", "CONTENT_LIMIT must be a number of at least 1, got '0'"),
        ("CONTENT_LIMIT", "two", "CONTENT_LIMIT must be a number of at least 1, got 'two'"),
        (
            "CONTENT_TIMEOUT",
            "0",
            "CONTENT_TIMEOUT must be a number of at least 0.1, got '0'",
        ),
        (
            "CONTENT_STUCK_AFTER",
            "nan",
            "CONTENT_STUCK_AFTER must be a number of at least 0.1, got 'nan'",
        ),
        (
            "DATABASE_URL",
            "sqlite://",
            "DATABASE_URL must name a file for SQLite, got 'sqlite://'",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_a_clear_error(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    ended = run(tmp_path, "--port", "0", **{variable: value})
    assert ended.returncode != 0
    assert message in ended.stderr
